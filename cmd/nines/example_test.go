package main

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/configs"
	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
)

// checked runs nines check.
func checked(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"check"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// What nines up --example writes is without mistakes, every file of it, and its
// contracts are read out.
func TestExamplesHaveNoMistakes(t *testing.T) {
	for _, name := range configs.Examples() {
		dir := t.TempDir()
		written, err := configs.WriteExample(name, dir)
		if err != nil || len(written) == 0 {
			t.Fatal(written, err)
		}
		out, err := checked(t, dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range written {
			if ext := filepath.Ext(f); (ext == ".yaml" || ext == ".yml") && !strings.Contains(out, f+": ") {
				t.Errorf("%s was not checked", f)
			}
		}
		again, err := configs.WriteExample(name, dir)
		if err != nil || len(again) > 0 {
			t.Errorf("files that exist were written again: %v, %v", again, err)
		}
	}
}

func TestGulfReadsWell(t *testing.T) {
	dir := t.TempDir()
	if _, err := configs.WriteExample("gulf", dir); err != nil {
		t.Fatal(err)
	}
	out, err := checked(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"topology: 1 regions, 2 zones",
		"simulation.yaml: simulation, no mistakes",
		"gulf.yaml: inventory, no mistakes",
		"more than 5 % of its events failed",
		"A slot is bad if at least 2 zones are down",
		"falaj-partners",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the reading does not say %q:\n%s", want, out)
		}
	}
}

// A simulation is held against the topology that is checked with it.
func TestSimulationIsCheckedOnItsTopology(t *testing.T) {
	dir := t.TempDir()
	if _, err := configs.WriteExample("gulf", dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "simulation.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "zone: gulf-1a, at: 75s", "zone: gulf-1z, at: 75s", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := checked(t, "-q", dir); err == nil || !strings.Contains(err.Error(), `simulation.yaml:74:50: spec.faults[0].zone: the topology has no zone of this name, got "gulf-1z"`) {
		t.Errorf("got %v", err)
	}
}

// The first start tells what runs and what was announced; later ones leave the
// ledger to its users.
func TestAnExampleIsToldOnce(t *testing.T) {
	cfg, err := exampleConfig("gulf", filepath.Join(t.TempDir(), "data"), "")
	if err != nil {
		t.Fatal(err)
	}
	tell := func() (facts []inventory.Record, exclusions []inventory.Exclusion) {
		t.Helper()
		if err := tellExample(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		led := ledgerOf(t, cfg)
		defer led.Close()
		if facts, err = led.Inventory(t.Context(), access.Local(), 0); err != nil {
			t.Fatal(err)
		}
		if exclusions, err = led.Exclusions(t.Context(), access.Local(), "", 0); err != nil {
			t.Fatal(err)
		}
		return facts, exclusions
	}
	facts, exclusions := tell()
	if len(facts) == 0 || facts[0].Author != "example" || facts[0].Reason == "" {
		t.Errorf("%+v", facts)
	}
	states := map[string]string{}
	for i := range exclusions {
		x := &exclusions[i]
		states[x.Contract] = x.State
		if x.State == inventory.StateApproved && (len(x.History) != 2 || x.History[0].Author == x.History[1].Author) {
			t.Errorf("nobody approves their own: %+v", x.History)
		}
	}
	if want := map[string]string{"corniche-bank": inventory.StateApproved, "sidra-claims": inventory.StateProposed}; !maps.Equal(states, want) {
		t.Errorf("got %v, want %v", states, want)
	}

	entries, err := factsOfArgs("oryx-play", "2026-11-10T00:00:00Z", []string{"state=stopped"})
	if err != nil {
		t.Fatal(err)
	}
	led := ledgerOf(t, cfg)
	if _, err := led.RecordFacts(t.Context(), access.Local(), ledger.Note{Author: "ann", Reason: "cancelled", At: 1}, entries); err != nil {
		t.Fatal(err)
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
	again, same := tell()
	if len(again) != len(facts)+1 || len(same) != len(exclusions) {
		t.Errorf("%d facts, want %d; %d exclusions, want %d", len(again), len(facts)+1, len(same), len(exclusions))
	}
}

func ledgerOf(t *testing.T, cfg *Config) *ledger.Ledger {
	t.Helper()
	o, err := cfg.ledgerOptions()
	if err != nil {
		t.Fatal(err)
	}
	led, err := ledger.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return led
}

// A slow machine looks back on less, so that its page is there in time.
func TestHistoryIsAsLongAsThereIsTime(t *testing.T) {
	f := func(trial, want time.Duration) {
		t.Helper()
		if got := affordableAt(3*time.Hour, trial); got != want {
			t.Errorf("%s: got %s, want %s", trial, got, want)
		}
	}
	f(50*time.Millisecond, 3*time.Hour)
	f(500*time.Millisecond, time.Hour)
	f(time.Minute, historyTrial)
}

func TestUpRefusesWhatDoesNotGoTogether(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		root := newRoot()
		root.SetArgs(append([]string{"up"}, args...))
		root.SetOut(&bytes.Buffer{})
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("brings its own configuration", "--example", "gulf", "--config", "x.yaml")
	f(`no example is called "atlantis"; there are: gulf`, "--example", "atlantis")
	// A data directory with a configuration of one's own is not taken for the
	// example's.
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := configs.Write(filepath.Join(dir, "config")); err != nil {
		t.Fatal(err)
	}
	f("holds a configuration of its own", "--example", "gulf", "--data-dir", dir)
	if _, err := os.Stat(filepath.Join(dir, "config", "simulation.yaml")); err == nil {
		t.Error("the example was written into it all the same")
	}
}
