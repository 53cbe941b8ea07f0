package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"time"

	"nines/alerting"
	"nines/collector/evaluate"
	"nines/collector/ruler"
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
	Objectives []string        `yaml:"objectives,omitempty"`
	Contracts  []string        `yaml:"contracts,omitempty"`
	Evaluate   EvaluateConfig  `yaml:"evaluate,omitempty"`
	Ruler      ruler.Config    `yaml:"ruler,omitempty"`
	Alerting   alerting.Config `yaml:"alerting,omitempty"`
	Web        web.Config      `yaml:"web,omitempty"`
	// Agent is the file of the agent that `nines up` runs.
	Agent string `yaml:"agent,omitempty"`
}

// BrokerConfig is the embedded broker's part.
type BrokerConfig struct {
	Listen         string            `yaml:"listen,omitempty"`
	Retention      yamlconf.Duration `yaml:"retention,omitempty"`
	RetentionBytes int64             `yaml:"retention_bytes,omitempty"`
}

// TopicsConfig says how topics are created that are absent.
type TopicsConfig struct {
	TelemetryPartitions int               `yaml:"telemetry_partitions,omitempty"`
	PartialsPartitions  int               `yaml:"partials_partitions,omitempty"`
	Replication         int               `yaml:"replication,omitempty"`
	Retention           yamlconf.Duration `yaml:"retention,omitempty"`
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
	for _, list := range [][]string{c.Objectives, c.Contracts, c.Ruler.Rules} {
		for i := range list {
			at(&list[i])
		}
	}
	at(&c.DataDir)
	at(&c.Ruler.Dir)
	at(&c.Alerting.AlertmanagerFile)
	at(&c.Agent)
	return c, nil
}

// Check implements yamlconf.Checker: values that cannot work, with positions.
func (c *Config) Check(doc *yamlconf.Doc) yamlconf.Errors {
	var errs yamlconf.Errors
	least := func(path string, n, limit int) {
		if n < limit {
			errs = append(errs, doc.Errorf(path, n, "must be at least %d", limit))
		}
	}
	least("topics.telemetry_partitions", cmp.Or(c.Topics.TelemetryPartitions, 1), 1)
	least("topics.partials_partitions", cmp.Or(c.Topics.PartialsPartitions, 1), 1)
	if c.Topics.PartialsPartitions > 1 {
		errs = append(errs, doc.Errorf("topics.partials_partitions", c.Topics.PartialsPartitions,
			"more than one needs a ledger on PostgreSQL, which this release does not have; set 1"))
	}
	for path, d := range map[string]yamlconf.Duration{
		"topics.retention": c.Topics.Retention, "evaluate.lateness": c.Evaluate.Lateness, "evaluate.hard_bound": c.Evaluate.HardBound,
		"evaluate.blind_after": c.Evaluate.BlindAfter, "evaluate.retire_after": c.Evaluate.RetireAfter,
	} {
		if d < 0 {
			errs = append(errs, doc.Errorf(path, d, "must not be negative"))
		}
	}
	if r := c.Topics.Retention; r != 0 && r.D() < time.Hour {
		errs = append(errs, doc.Errorf("topics.retention", r, "must be at least 1h, or a short outage loses records"))
	}
	return errs
}

// complete fills in what the shipped configuration says.
func (c *Config) complete(dataDir, listen string) error {
	c.DataDir = cmp.Or(dataDir, c.DataDir, "data")
	abs, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("find data directory %s: %w", c.DataDir, err)
	}
	c.DataDir = abs
	c.Web.Listen = cmp.Or(listen, c.Web.Listen, web.DefaultListen)
	c.Ruler.Dir = cmp.Or(c.Ruler.Dir, filepath.Join(c.DataDir, "series"))
	c.Alerting.ExternalURL = cmp.Or(c.Alerting.ExternalURL, "http://"+c.Web.Listen)
	c.Ruler.ExternalURL = cmp.Or(c.Ruler.ExternalURL, c.Alerting.ExternalURL)
	c.Topics.TelemetryPartitions = cmp.Or(c.Topics.TelemetryPartitions, 2)
	c.Topics.PartialsPartitions = cmp.Or(c.Topics.PartialsPartitions, 1)
	c.Topics.Replication = cmp.Or(c.Topics.Replication, 1)
	c.Topics.Retention = cmp.Or(c.Topics.Retention, yamlconf.Duration(24*time.Hour))
	return nil
}
