package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/configs"
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
	if _, err := checked(t, "-q", dir); err == nil || !strings.Contains(err.Error(), `simulation.yaml:73:50: spec.faults[0].zone: the topology has no zone of this name, got "gulf-1z"`) {
		t.Errorf("got %v", err)
	}
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
