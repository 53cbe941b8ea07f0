package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/alerting"
	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/collector/forward"
	"nines/collector/ruler"
	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/yamlconf"
	"nines/web"
)

// Config is one process's YAML: each package's own configuration, nested.
type Config struct {
	DataDir    string          `yaml:"data_dir,omitempty"`
	Kafka      bus.Config      `yaml:"kafka,omitempty"`
	Broker     BrokerConfig    `yaml:"broker,omitempty"`
	Topics     TopicsConfig    `yaml:"topics,omitempty"`
	Ledger     LedgerConfig    `yaml:"ledger,omitempty"`
	Objectives []string        `yaml:"objectives,omitempty"`
	Contracts  []string        `yaml:"contracts,omitempty"`
	Evaluate   EvaluateConfig  `yaml:"evaluate,omitempty"`
	Ruler      ruler.Config    `yaml:"ruler,omitempty"`
	Forward    forward.Config  `yaml:"forward,omitempty"`
	Alerting   alerting.Config `yaml:"alerting,omitempty"`
	Web        web.Config      `yaml:"web,omitempty"`
	// Agent is the file of the agent that `nines up` runs.
	Agent string `yaml:"agent,omitempty"`
	// Simulation is a file of hosts that `nines up` plays on the Topology.
	Topology   []string `yaml:"topology,omitempty"`
	Simulation string   `yaml:"simulation,omitempty"`

	example string  // folder of the worked example that this is; empty for none
	file    string  // where it was read from
	read    *Config // as it was read
}

// BrokerConfig is the embedded broker's part.
type BrokerConfig struct {
	Listen         string            `yaml:"listen,omitempty"`
	Retention      yamlconf.Duration `yaml:"retention,omitempty"`
	RetentionBytes int64             `yaml:"retention_bytes,omitempty"`
}

// TopicsConfig says how topics are created that are absent.
type TopicsConfig struct {
	TelemetryPartitions int `yaml:"telemetry_partitions,omitempty"`
	PartialsPartitions  int `yaml:"partials_partitions,omitempty"`
	// Replication is the number of copies; 0 leaves it to the broker's
	// default.replication.factor.
	Replication int               `yaml:"replication,omitempty"`
	Retention   yamlconf.Duration `yaml:"retention,omitempty"`
	// Formats are how other fleets write, by topic, and which regions' topics
	// nines' own agents write to.
	Formats map[string]string `yaml:"formats,omitempty"`
}

// EvaluateConfig bounds how long slots stay open, and silence.
type EvaluateConfig struct {
	Lateness    yamlconf.Duration `yaml:"lateness,omitempty"`
	HardBound   yamlconf.Duration `yaml:"hard_bound,omitempty"`
	BlindAfter  yamlconf.Duration `yaml:"blind_after,omitempty"`
	RetireAfter yamlconf.Duration `yaml:"retire_after,omitempty"`
}

func (c EvaluateConfig) state() evaluate.Config {
	return evaluate.Config{Lateness: c.Lateness.Milliseconds(), HardBound: c.HardBound.Milliseconds(),
		BlindAfter: c.BlindAfter.Milliseconds(), RetireAfter: c.RetireAfter.Milliseconds()}
}

// loadConfig reads the file strictly and makes its paths absolute.
func loadConfig(file string) (*Config, error) {
	c := &Config{}
	if err := yamlconf.Load(file, c); err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	at := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	for _, list := range [][]string{c.Objectives, c.Contracts, c.Topology, c.Ruler.Rules} {
		for i := range list {
			at(&list[i])
		}
	}
	at(&c.DataDir)
	at(&c.Ledger.Path)
	at(&c.Ledger.PasswordFile)
	at(&c.Ledger.Checkpoints.Key)
	at(&c.Ledger.Checkpoints.Dir)
	at(&c.Ruler.Dir)
	at(&c.Alerting.AlertmanagerFile)
	at(&c.Agent)
	at(&c.Simulation)
	c.Kafka = c.Kafka.RelativeTo(dir)
	c.Forward = c.Forward.RelativeTo(dir)
	read := *c
	c.file, c.read = file, &read
	return c, nil
}

// Check implements yamlconf.Checker: values that cannot work, with positions.
func (c *Config) Check(doc *yamlconf.Doc) yamlconf.Errors {
	var errs yamlconf.Errors
	bad := func(path string, got any, format string, args ...any) {
		errs = append(errs, doc.Errorf(path, got, format, args...))
	}
	least := func(path string, n, limit int) {
		if n < limit {
			bad(path, n, "must be at least %d", limit)
		}
	}
	least("topics.telemetry_partitions", cmp.Or(c.Topics.TelemetryPartitions, 1), 1)
	least("topics.partials_partitions", cmp.Or(c.Topics.PartialsPartitions, 1), 1)
	least("topics.replication", c.Topics.Replication, 0)
	if n := c.Topics.PartialsPartitions; n > 1 && c.Ledger.Postgres == "" {
		bad("topics.partials_partitions", n, "more than one needs a ledger on PostgreSQL: set ledger.postgres, or 1")
	}
	_, formats := aggregate.ParseFormats(c.Topics.Formats)
	for _, topic := range slices.Sorted(maps.Keys(formats)) {
		bad("topics.formats."+topic, c.Topics.Formats[topic], "%v", formats[topic])
	}
	c.Ledger.check(bad)
	if c.Simulation != "" && len(c.Topology) == 0 {
		bad("simulation", c.Simulation, "needs a topology on which it is played: set topology")
	}
	for path, d := range map[string]yamlconf.Duration{
		"topics.retention": c.Topics.Retention, "evaluate.lateness": c.Evaluate.Lateness, "evaluate.hard_bound": c.Evaluate.HardBound,
		"evaluate.blind_after": c.Evaluate.BlindAfter, "evaluate.retire_after": c.Evaluate.RetireAfter,
	} {
		if d < 0 {
			bad(path, d, "must not be negative")
		}
	}
	if r := c.Topics.Retention; r > 0 && r.D() < time.Hour {
		bad("topics.retention", r, "must be at least 1h, or a short outage loses records")
	}
	lateness, hard := cmp.Or(c.Evaluate.Lateness.D(), 5*time.Second), cmp.Or(c.Evaluate.HardBound.D(), time.Minute)
	if lateness > 0 && hard > 0 && hard < lateness {
		bad("evaluate.hard_bound", hard, "must be at least evaluate.lateness, %s, or bins close before late frames may come", lateness)
	}
	if c.Web.Listen != "" {
		if err := checkListen(c.Web.Listen); err != nil {
			bad("web.listen", c.Web.Listen, "%v", err)
		}
	}
	errs = append(errs, c.checkParts(doc)...)
	return append(errs, c.checkFiles(doc)...)
}

// checkParts asks the packages whose configuration this is.
func (c *Config) checkParts(doc *yamlconf.Doc) yamlconf.Errors {
	var errs yamlconf.Errors
	if len(c.Kafka.Brokers) > 0 {
		errs = append(errs, doc.Place("kafka", c.Kafka.Validate())...)
	}
	errs = append(errs, doc.Place("broker", c.Broker.config("data").Validate())...)
	r := c.Ruler
	r.Dir = cmp.Or(r.Dir, "series")
	errs = append(errs, doc.Place("", r.Validate())...)
	errs = append(errs, doc.Place("", c.Forward.Validate())...)
	return append(errs, doc.Place("", c.Alerting.Validate())...)
}

// checkFiles reports files that are named and absent, where they are named.
// What is in them is for their readers to judge.
func (c *Config) checkFiles(doc *yamlconf.Doc) yamlconf.Errors {
	var errs yamlconf.Errors
	dir := filepath.Dir(doc.File())
	need := func(path, name string) {
		if name == "" || strings.ContainsAny(name, "*?[") {
			return
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if _, err := os.Stat(name); err != nil {
			errs = append(errs, doc.Errorf(path, name, "names a file that cannot be read: %v", reason(err)))
		}
	}
	each := func(path string, names []string) {
		for i, n := range names {
			need(fmt.Sprintf("%s[%d]", path, i), n)
		}
	}
	each("objectives", c.Objectives)
	each("contracts", c.Contracts)
	each("topology", c.Topology)
	each("ruler.rules", c.Ruler.Rules)
	need("alerting.alertmanager_file", c.Alerting.AlertmanagerFile)
	need("agent", c.Agent)
	need("simulation", c.Simulation)
	need("ledger.password_file", c.Ledger.PasswordFile)
	for path, name := range c.Forward.Files() {
		need(path, name)
	}
	return errs
}

// checkListen tells whether the address can be listened on, as far as that is
// seen from its form.
func checkListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("must be host:port, such as " + web.DefaultListen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("must end in a port from 1 to 65535, such as " + web.DefaultListen)
	}
	return nil
}

func (c BrokerConfig) config(dataDir string) broker.Config {
	return broker.Config{DataDir: filepath.Join(dataDir, "broker"), Listen: c.Listen, Retention: c.Retention.D(), RetentionBytes: c.RetentionBytes}
}

// complete fills in what the shipped configuration says.
func (c *Config) complete(dataDir, listen string) error {
	c.DataDir = cmp.Or(dataDir, c.DataDir, "data")
	abs, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("find data directory %s: %w", c.DataDir, err)
	}
	c.DataDir = abs
	if listen != "" {
		if err := checkListen(listen); err != nil {
			return fmt.Errorf("--listen: %w, got %q", err, listen)
		}
	}
	c.Web.Listen = cmp.Or(listen, c.Web.Listen, web.DefaultListen)
	c.Ledger.Checkpoints = c.Ledger.Checkpoints.complete(c.DataDir)
	c.Ruler.Dir = cmp.Or(c.Ruler.Dir, filepath.Join(c.DataDir, "series"))
	c.Alerting.ExternalURL = cmp.Or(c.Alerting.ExternalURL, "http://"+c.Web.Listen)
	c.Ruler.ExternalURL = cmp.Or(c.Ruler.ExternalURL, c.Alerting.ExternalURL)
	c.Topics.TelemetryPartitions = cmp.Or(c.Topics.TelemetryPartitions, 2)
	c.Topics.PartialsPartitions = cmp.Or(c.Topics.PartialsPartitions, 1)
	c.Topics.Retention = cmp.Or(c.Topics.Retention, yamlconf.Duration(24*time.Hour))
	return nil
}
