package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nines/collector/notary"
	"nines/internal/access"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/yamlconf"
)

// LedgerConfig says where the ledger is, and for how long it keeps what.
type LedgerConfig struct {
	// Path is a directory, or a file that ends in .db.
	Path string `yaml:"path,omitempty"`
	// Postgres, in place of it, is a database's address. It may hold a password.
	Postgres bus.Secret `yaml:"postgres,omitempty"`
	// One of the two may hold the password.
	PasswordFile string          `yaml:"password_file,omitempty"`
	PasswordEnv  string          `yaml:"password_env,omitempty"`
	Retention    RetentionConfig `yaml:"retention,omitempty"`
	// People are who may change inventory and exclusions; none lets anybody.
	People []string `yaml:"people,omitempty"`
	// Checkpoints are the signed states of the log of closed hours.
	Checkpoints CheckpointsConfig `yaml:"checkpoints,omitempty"`
}

// CheckpointsConfig says who signs the ledger's log, and where that goes.
type CheckpointsConfig struct {
	// Name of the ledger in its checkpoints, which a new key is made for.
	Name string `yaml:"name,omitempty"`
	// Key is the key's file, and Dir takes the checkpoints.
	Key string `yaml:"key,omitempty"`
	Dir string `yaml:"dir,omitempty"`
	// Alert sends each to people, too.
	Alert bool `yaml:"alert,omitempty"`
}

// complete fills in what is not said.
func (c CheckpointsConfig) complete(dataDir string) CheckpointsConfig {
	c.Key = cmp.Or(c.Key, filepath.Join(dataDir, "checkpoint.key"))
	c.Dir = cmp.Or(c.Dir, filepath.Join(dataDir, "checkpoints"))
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil || notary.CheckName(host) != nil {
			host = "nines"
		}
		c.Name = host
	}
	return c
}

// RetentionConfig is ledger.Retention in configuration's units.
type RetentionConfig struct {
	Slots    yamlconf.Duration `yaml:"slots,omitempty"`
	Sketches yamlconf.Duration `yaml:"sketches,omitempty"`
	Gaps     yamlconf.Duration `yaml:"gaps,omitempty"`
	Alerts   yamlconf.Duration `yaml:"alerts,omitempty"`
}

// check reports what cannot work, by path.
func (c *LedgerConfig) check(bad func(path string, got any, format string, args ...any)) {
	if c.Postgres == "" {
		if c.PasswordFile != "" {
			bad("ledger.password_file", c.PasswordFile, "is for ledger.postgres, which is not set")
		}
		if c.PasswordEnv != "" {
			bad("ledger.password_env", c.PasswordEnv, "is for ledger.postgres, which is not set")
		}
	} else {
		if c.Path != "" {
			bad("ledger.path", c.Path, "set it or ledger.postgres, not both")
		}
		if err := ledger.CheckPostgres(string(c.Postgres)); err != nil {
			bad("ledger.postgres", c.Postgres, "%v", err)
		}
		if c.PasswordFile != "" && c.PasswordEnv != "" {
			bad("ledger.password_env", c.PasswordEnv, "set it or ledger.password_file, not both")
		}
	}
	for i, name := range c.People {
		at := "ledger.people[" + strconv.Itoa(i) + "]"
		if access.SamePerson(name, "") {
			bad(at, name, "name somebody")
		} else if slices.ContainsFunc(c.People[:i], func(p string) bool { return access.SamePerson(p, name) }) {
			bad(at, name, "is named twice: capitals and spaces make no second person")
		}
	}
	if name := c.Checkpoints.Name; name != "" {
		if err := notary.CheckName(name); err != nil {
			bad("ledger.checkpoints.name", name, "%v", err)
		}
	}
	for path, d := range map[string]yamlconf.Duration{
		"ledger.retention.slots": c.Retention.Slots, "ledger.retention.sketches": c.Retention.Sketches,
		"ledger.retention.gaps": c.Retention.Gaps, "ledger.retention.alerts": c.Retention.Alerts,
	} {
		if d < 0 {
			bad(path, d, "must not be negative")
		}
	}
}

// options are the ledger's, without a logger and metrics.
func (c *LedgerConfig) options(dataDir string) (ledger.Options, error) {
	r := c.Retention
	o := ledger.Options{People: c.People, Retention: ledger.Retention{Slots: r.Slots.D(), Sketches: r.Sketches.D(), Gaps: r.Gaps.D(), Alerts: r.Alerts.D()}}
	if c.Postgres == "" {
		o.Path = cmp.Or(c.Path, ledgerPath(dataDir))
		return o, nil
	}
	o.Postgres = string(c.Postgres)
	switch {
	case c.PasswordFile != "":
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return o, fmt.Errorf("read the ledger's password from ledger.password_file: %w", err)
		}
		o.Password = strings.TrimRight(string(b), "\r\n")
	case c.PasswordEnv != "":
		o.Password = os.Getenv(c.PasswordEnv)
		if o.Password == "" {
			return o, fmt.Errorf("read the ledger's password from ledger.password_env: %s is not set in the environment", c.PasswordEnv)
		}
	}
	return o, nil
}

func (c *Config) ledgerOptions() (ledger.Options, error) { return c.Ledger.options(c.DataDir) }

// config reads what the flags name.
func (f *ledgerFlags) config() (*Config, error) {
	cfg := &Config{}
	if f.file != "" {
		var err error
		if cfg, err = loadConfig(f.file); err != nil {
			return nil, err
		}
	}
	cfg.DataDir = cmp.Or(f.dataDir, cfg.DataDir, "data")
	cfg.Ledger.Checkpoints = cfg.Ledger.Checkpoints.complete(cfg.DataDir)
	return cfg, nil
}

// openLedger opens the ledger that the configuration or the data directory
// names, for a tool. It creates none, except for a restoring.
func openLedger(ctx context.Context, file, dataDir string, create bool, log *slog.Logger) (*ledger.Ledger, error) {
	cfg, err := (&ledgerFlags{file: file, dataDir: dataDir}).config()
	if err != nil {
		return nil, err
	}
	return cfg.openLedger(ctx, create, log)
}

func (c *Config) openLedger(ctx context.Context, create bool, log *slog.Logger) (*ledger.Ledger, error) {
	o, err := c.ledgerOptions()
	if err != nil {
		return nil, failed(err)
	}
	if o.Postgres == "" && !create {
		if _, err := os.Stat(o.Path); err != nil {
			return nil, failed(fmt.Errorf("no ledger at %s: %w; name another with --data-dir, or the configuration with --config", o.Path, errors.Unwrap(err)))
		}
	}
	o.Log = log
	led, err := ledger.Open(ctx, o)
	return led, failed(err)
}
