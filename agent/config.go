package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nines/agent/mesh"
	"nines/agent/probe"
	"nines/agent/telegraf"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/internal/yamlconf"
)

// Config is the agent's YAML. The zero value measures this host's clock and the
// agent itself, nothing else; configs/agent/agent.yaml is what ships.
type Config struct {
	// Agent is the agent's name, unique in the fleet; the host's name where
	// empty.
	Agent string `yaml:"agent,omitempty"`
	// Labels describe the host and apply to all its series: host (the agent's
	// name where empty), zone, region and what else the operator wants.
	Labels map[string]string `yaml:"labels,omitempty"`
	// Interval between measurements of inputs without their own; 1s.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Flush is how often frames leave; 1s. Failed probes do not wait for it.
	Flush time.Duration `yaml:"flush,omitempty"`
	// SelfInterval is how often the agent's own figures and the host clock's
	// offset are measured; 10s.
	SelfInterval time.Duration `yaml:"self_interval,omitempty"`
	// Readers is who measures what Telegraf's base inputs name: "kernel", the
	// default, reads the kernel's files directly at a fraction of the cost;
	// "telegraf" runs the plugins themselves.
	Readers string `yaml:"readers,omitempty"`
	// Inputs holds Telegraf configuration ([[inputs.x]]) inline.
	Inputs string `yaml:"inputs,omitempty"`
	// InputsFiles are files of Telegraf configuration; relative paths start at
	// the directory of the agent's configuration.
	InputsFiles []string `yaml:"inputs_files,omitempty"`
	// Probes are the agent's probes, and the control targets that tell an
	// offline prober from a failing target.
	Probes probe.Config `yaml:"probes,omitempty"`
	// Mesh measures the network between the fleet's hosts.
	Mesh mesh.Config `yaml:"mesh,omitempty"`
	// Spool holds frames while Kafka is away.
	Spool SpoolConfig `yaml:"spool,omitempty"`
	// Local is the agent's own port.
	Local Local `yaml:"local,omitempty"`
	// Limits bound what the agent takes of its host.
	Limits Limits `yaml:"limits,omitempty"`
	// Topic is where frames go; nines.telemetry, or that of the agent's region,
	// nines.telemetry.REGION.
	Topic string `yaml:"topic,omitempty"`
	// Kafka is where frames go. Not used where the caller brings a client.
	Kafka bus.Config `yaml:"kafka,omitempty"`

	// Dir is where relative paths start; Load sets it.
	Dir string `yaml:"-"`
	// StateDir is where relative paths of what the agent writes start; the
	// program that runs it sets it.
	StateDir string `yaml:"-"`
	// GPUWorker is the command that reads NVIDIA's GPUs in a process of its own,
	// where the driver may hang or fail without the agent; the program that runs
	// the agent sets it. Without one they are read in the agent's process.
	GPUWorker []string `yaml:"-"`
	// inputsLine is where the inline TOML begins in the YAML file.
	inputsLine int
	file       string
	places     map[string]string // top-level field → "file:line:col: "
}

// SpoolConfig bounds what the agent keeps while Kafka is away.
type SpoolConfig struct {
	// MemoryBytes is the most bytes of frames held in memory; 67108864 (64 MiB,
	// some hours of a host's base metrics).
	MemoryBytes int `yaml:"memory_bytes,omitempty"`
	// Dir is where frames go that wait for long, so that they outlive the process;
	// a relative path starts at the state directory. Empty keeps them in memory
	// alone.
	Dir string `yaml:"dir,omitempty"`
	// DiskBytes is the most that they take there; 536870912 (512 MiB).
	DiskBytes int64 `yaml:"disk_bytes,omitempty"`
	// MaxAge is the longest that a frame waits, in memory or on disk; 24h. Below
	// two days, for which a collector remembers what it had of an agent.
	MaxAge time.Duration `yaml:"max_age,omitempty"`
	// ReplaySpeed is how many seconds of samples leave in a second after Kafka was
	// away; 10.
	ReplaySpeed float64 `yaml:"replay_speed,omitempty"`
}

// Bounds of SpoolConfig.
const (
	minMemory, minDisk = 1 << 20, 8 << 20
	minAge, maxAge     = time.Minute, 47 * time.Hour
	minSpeed, maxSpeed = 2, 1000
)

// validate returns all that is wrong, joined.
func (c SpoolConfig) validate() error {
	var errs []error
	bad := func(path, f string, a ...any) { errs = append(errs, fmt.Errorf("spool."+path+": "+f, a...)) }
	if n := c.MemoryBytes; n != 0 && n < minMemory {
		bad("memory_bytes", "must be at least %d (1 MiB), got %d", minMemory, n)
	}
	if n := c.DiskBytes; n != 0 && n < minDisk {
		bad("disk_bytes", "must be at least %d (8 MiB), got %d", minDisk, n)
	}
	if c.DiskBytes != 0 && c.Dir == "" {
		bad("disk_bytes", "needs a directory: set spool.dir, got %d", c.DiskBytes)
	}
	if d := c.MaxAge; d != 0 && (d < minAge || d > maxAge) {
		bad("max_age", "must lie within 1m and 47h, because collectors forget an agent after 48h, got %s", d)
	}
	if v := c.ReplaySpeed; v != 0 && !(v >= minSpeed && v <= maxSpeed) {
		bad("replay_speed", "must lie within %d and %d, or what waits would never be sent, got %g", minSpeed, maxSpeed, v)
	}
	return errors.Join(errs...)
}

// Names of Config.Readers.
const (
	ReadersKernel   = "kernel"
	ReadersTelegraf = "telegraf"
)

// Load reads an agent's configuration file strictly. Errors name file, line and
// column, all at once.
func Load(file string) (Config, error) {
	var c Config
	if err := yamlconf.Load(file, &c); err != nil {
		return Config{}, err
	}
	c.Dir = filepath.Dir(file)
	c.Kafka = c.Kafka.RelativeTo(c.Dir)
	return c, nil
}

// Check implements yamlconf.Checker.
func (c *Config) Check(doc *yamlconf.Doc) yamlconf.Errors {
	c.Place(doc, "")
	out := doc.Place("", c.validateOwn())
	out = append(out, c.Probes.Check(doc, "probes")...)
	return append(out, doc.Place("kafka", c.validateKafka())...)
}

// Place tells the configuration where in a document it stands, so that errors
// in the inline inputs name their line. prefix is the path before its fields,
// "agent." where a bigger configuration nests it.
func (c *Config) Place(doc *yamlconf.Doc, prefix string) {
	c.file = doc.File()
	c.Dir = filepath.Dir(c.file)
	c.inputsLine = doc.Line(prefix + "inputs")
	if strings.Contains(c.Inputs, "\n") {
		c.inputsLine++ // a block begins below its key
	}
	c.places = map[string]string{}
	for _, path := range []string{"agent", "topic", "kafka", "spool"} {
		e := doc.Errorf(prefix+path, nil, "")
		c.places[path] = fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Col)
	}
}

// at is where a top-level field stands, to begin an error with; empty where the
// configuration is not from a file.
func (c *Config) at(path string) string { return c.places[path] }

// Validate returns all that is wrong with the values, joined, each as
// "path: reason". It reads no file and does not look into the inputs.
func (c *Config) Validate() error {
	errs := []error{c.validateOwn()}
	errs = append(errs, prefixed("probes", c.Probes.Validate())...)
	errs = append(errs, prefixed("kafka", c.validateKafka())...)
	return errors.Join(errs...)
}

// validateKafka leaves out a configuration without brokers: the caller may
// bring a client.
func (c *Config) validateKafka() error {
	if len(c.Kafka.Brokers) == 0 {
		return nil
	}
	return c.Kafka.Validate()
}

// validateOwn checks what is the agent's own.
func (c *Config) validateOwn() error {
	var errs []error
	bad := func(path, f string, a ...any) { errs = append(errs, fmt.Errorf(path+": "+f, a...)) }
	for path, d := range map[string]time.Duration{"interval": c.Interval, "flush": c.Flush, "self_interval": c.SelfInterval} {
		if d != 0 && (d < 100*time.Millisecond || d > time.Hour) {
			bad(path, "must lie within 100ms and 1h, got %s", d)
		}
	}
	if c.Flush > time.Minute {
		bad("flush", "must be at most 1m, or a region would seem silent, got %s", c.Flush)
	}
	if c.Topic != "" && !wire.IsTelemetry(c.Topic) {
		bad("topic", "must be %s or %s.REGION, got %q", wire.TopicTelemetry, wire.TopicTelemetry, c.Topic)
	}
	switch c.Readers {
	case "", ReadersKernel, ReadersTelegraf:
	default:
		bad("readers", "must be kernel or telegraf, got %q", c.Readers)
	}
	errs = append(errs, yamlconf.Parts(c.checkMesh())...)
	errs = append(errs, yamlconf.Parts(c.Spool.validate())...)
	errs = append(errs, yamlconf.Parts(c.Local.validate())...)
	errs = append(errs, yamlconf.Parts(c.Limits.validate(c.Spool.MemoryBytes))...)
	for n, v := range c.Labels {
		if !validLabel(n) {
			bad("labels", "not a label name (letters, digits and _, not first a digit or __), got %q", n)
		}
		if v == "" {
			bad("labels."+n, "is empty; leave it out or give it a value")
		}
	}
	if a, ok := c.Labels["agent"]; ok && c.Agent != "" && a != c.Agent {
		bad("labels.agent", "is the agent's name and set by agent: %s; remove it", c.Agent)
	}
	return errors.Join(errs...)
}

// prefixed puts a path before each of the joined errors.
func prefixed(path string, err error) []error {
	list := yamlconf.Parts(err)
	for i, e := range list {
		list[i] = fmt.Errorf("%s.%w", path, e)
	}
	return list
}

func validLabel(n string) bool {
	if n == "" || strings.HasPrefix(n, "__") || n[0] >= '0' && n[0] <= '9' {
		return false
	}
	for _, r := range n {
		if r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}

// withDefaults fills in what is left out.
func (c Config) withDefaults() (Config, error) {
	if c.Agent == "" {
		name, err := os.Hostname()
		if err != nil || name == "" {
			return c, fmt.Errorf("agent: this host has no name; set one: %w", err)
		}
		c.Agent = name
	}
	orDuration(&c.Interval, time.Second)
	orDuration(&c.Flush, time.Second)
	orDuration(&c.SelfInterval, 10*time.Second)
	c.Topic = cmp.Or(c.Topic, wire.TopicTelemetry)
	if c.Readers == "" {
		c.Readers = ReadersKernel
	}
	if c.Spool.MemoryBytes == 0 {
		c.Spool.MemoryBytes = defaultSpoolRAM
	}
	c.Spool.DiskBytes = cmp.Or(c.Spool.DiskBytes, 512<<20)
	orDuration(&c.Spool.MaxAge, 24*time.Hour)
	c.Spool.ReplaySpeed = cmp.Or(c.Spool.ReplaySpeed, 10)
	c.Local.Listen = cmp.Or(c.Local.Listen, DefaultListen)
	if f := c.Local.TokenFile; f != "" {
		c.Local.TokenFile = c.path(f)
	}
	if d := c.Spool.Dir; d != "" && !filepath.IsAbs(d) {
		c.Spool.Dir = filepath.Join(c.StateDir, d)
	}
	return c, nil
}

func orDuration(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// hostLabels are the labels in every frame's header: those of the operator,
// agent, and host where the operator names none.
func (c Config) hostLabels() telemetry.Labels {
	m := map[string]string{"host": c.Agent}
	for n, v := range c.Labels {
		m[n] = v
	}
	m["agent"] = c.Agent
	return telemetry.NewLabels(m)
}

// inputFiles reads the Telegraf configuration: the files, then the inline text,
// with the secrets that they name filled in.
func (c Config) inputFiles() ([]telegraf.File, secrets, error) {
	var (
		files []telegraf.File
		sec   secrets
		errs  []error
	)
	add := func(name string, line int, text string) {
		full, err := sec.fill(&c, name, line, text)
		errs = append(errs, err)
		files = append(files, telegraf.File{Name: name, Line: line, Text: []byte(full)})
	}
	for _, name := range c.InputsFiles {
		path := c.path(name)
		text, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read inputs: %w", err))
			continue
		}
		add(path, 0, string(text))
	}
	if strings.TrimSpace(c.Inputs) != "" {
		name := c.file
		if name == "" {
			name = "inputs"
		}
		add(name, c.inputsLine, c.Inputs)
	}
	return files, sec, errors.Join(errs...)
}

// CheckFiles reads the files that the configuration names and parses the inputs
// without running them.
func (c Config) CheckFiles() error {
	m := c.Mesh
	m.KeyFile = c.keyFile()
	return errors.Join(c.CheckInputs(), m.CheckKey())
}

// keyFile is the path of the mesh's key.
func (c Config) keyFile() string {
	if c.Mesh.KeyFile == "" {
		return ""
	}
	return c.path(c.Mesh.KeyFile)
}

// CheckInputs parses the inputs without running them. Errors read
// file:line:1: inputs.x: reason.
func (c Config) CheckInputs() error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	files, sec, err := c.inputFiles()
	if err != nil {
		return err
	}
	_, err = telegraf.Load(files, c.Interval)
	return hideIn(err, sec.values)
}
