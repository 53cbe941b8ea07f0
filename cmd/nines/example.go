package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nines/configs"
	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/yamlconf"
	"nines/rules"
)

// exampleDir is where a worked example is kept unless told otherwise: never where
// real data is.
func exampleDir(name string) string { return "data-" + name }

// exampleConfig writes a worked example's files where they are absent, and reads
// its configuration.
func exampleConfig(name, dataDir, listen string) (*Config, error) {
	if !slices.Contains(configs.Examples(), name) {
		return nil, fmt.Errorf("--example: no example is called %q; there are: %s", name, strings.Join(configs.Examples(), ", "))
	}
	if dataDir == "" {
		dataDir = exampleDir(name)
	}
	dir := filepath.Join(dataDir, "config")
	if other(filepath.Join(dir, "nines.yaml")) {
		return nil, fmt.Errorf("--example: data directory %s holds a configuration of its own; choose another with --data-dir", dataDir)
	}
	if _, err := configs.WriteExample(name, dir); err != nil {
		return nil, failed(fmt.Errorf("write to data directory %s: %w; choose another with --data-dir", dataDir, err))
	}
	cfg, err := loadConfig(filepath.Join(dir, "nines.yaml"))
	if err != nil {
		return nil, err
	}
	cfg.example = dir
	return cfg, cfg.complete(dataDir, listen)
}

// other tells whether a process configuration is there that is no example's:
// simulated figures must not join real ones.
func other(file string) bool {
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	doc, err := yamlconf.One(file, data)
	return err == nil && (doc == nil || doc.Text("simulation") == "")
}

// tellExample records what the example's folder says runs, and what it takes
// out of its contracts, into a ledger that knows of neither yet. Any other ledger
// is left as it is: what was corrected since the first start stays corrected.
func tellExample(ctx context.Context, cfg *Config, log *slog.Logger) error {
	led, err := cfg.openLedger(ctx, true, log)
	if err != nil {
		return err
	}
	defer led.Close()
	if err := tellInventory(ctx, cfg.example, led); err != nil {
		return err
	}
	return tellExclusions(ctx, cfg, led)
}

// exampleNote says who told what the example begins with.
func exampleNote(author string) ledger.Note {
	return ledger.Note{Author: cmp.Or(author, "example"), Reason: "told by the example at its first start", At: time.Now().UnixMilli()}
}

func tellInventory(ctx context.Context, dir string, led *ledger.Ledger) error {
	version, err := led.InventoryVersion(ctx)
	if err != nil || version != 0 {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "inventory", "*.yaml"))
	if err != nil {
		return fmt.Errorf("find the example's inventory: %w", err)
	}
	entries, err := readInventories(files)
	if err != nil || len(entries) == 0 {
		return err
	}
	_, err = led.RecordFacts(ctx, access.Local(), exampleNote(""), entries)
	return err
}

// tellExclusions proposes what exclusions/CONTRACT.yaml holds, by its author, and
// approves it by whoever approvedBy names.
func tellExclusions(ctx context.Context, cfg *Config, led *ledger.Ledger) error {
	known, err := led.Exclusions(ctx, access.Local(), "", 0)
	if err != nil || len(known) > 0 {
		return err
	}
	set, err := rules.Load(slices.Concat(cfg.Objectives, cfg.Contracts))
	if err != nil {
		return err
	}
	for _, c := range set.Contracts {
		file := filepath.Join(cfg.example, "exclusions", c.Name+".yaml")
		data, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the example's exclusions: %w", err)
		}
		list, err := rules.ReadExclusions(file, data, c)
		if err != nil {
			return err
		}
		for i := range list {
			if err := tellExclusion(ctx, led, c, list[i]); err != nil {
				return fmt.Errorf("%s: exclusions[%d]: %w", file, i, err)
			}
		}
	}
	return nil
}

func tellExclusion(ctx context.Context, led *ledger.Ledger, c *sla.Contract, x sla.Exclusion) error {
	approver := x.ApprovedBy
	x.ApprovedBy = ""
	made, err := led.ProposeExclusion(ctx, access.Local(), exampleNote(x.Author), c.Name, c.Customer, x)
	if err != nil || approver == "" {
		return err
	}
	_, err = led.StepExclusion(ctx, access.Local(), exampleNote(approver), made.ID, inventory.Approve)
	return err
}
