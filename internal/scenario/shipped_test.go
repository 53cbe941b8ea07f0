package scenario_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nines/internal/scenario"
	"nines/internal/scenario/script"
)

const configs = "../../configs"

// shipped returns the scenarios of every file below configs.
func shipped(t *testing.T) (all []*script.Scenario) {
	t.Helper()
	err := filepath.WalkDir(configs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".scenario" {
			return err
		}
		list, err := scenario.ReadFile(path)
		all = append(all, list...)
		return err
	})
	if err != nil || len(all) < 200 {
		t.Fatal(len(all), err)
	}
	return all
}

// TestShippedScenarios runs each scenario that is shipped, then once more with
// every expectation changed: each must be met, and missed.
func TestShippedScenarios(t *testing.T) {
	for _, s := range shipped(t) {
		t.Run(filepath.Base(s.File)+"/"+s.Name, func(t *testing.T) {
			t.Parallel()
			r, err := scenario.Run(t.Context(), s, scenario.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Failures {
				t.Error(f)
			}
			wrong, expected := spoiled(s)
			r, err = scenario.Run(t.Context(), wrong, scenario.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range expected {
				if !slices.ContainsFunc(r.Failures, func(f scenario.Failure) bool { return f.Pos == p }) {
					t.Errorf("%s:%d:%d: the expectation cannot fail", p.File, p.Line, p.Col)
				}
			}
		})
	}
}

// spoiled returns the scenario with every expectation made wrong, and where a
// failure must be reported.
func spoiled(s *script.Scenario) (*script.Scenario, []script.Pos) {
	c := *s
	c.Steps = slices.Clone(s.Steps)
	var at []script.Pos
	for i := range c.Steps {
		step := &c.Steps[i]
		if !step.Expects() {
			continue
		}
		switch {
		case len(step.Keys) > 0:
			step.Keys = slices.Clone(step.Keys)
			for k := range step.Keys {
				step.Keys[k].Want += "7"
				at = append(at, step.Keys[k].Pos)
			}
			continue
		case len(step.States) > 0:
			step.States = slices.Clone(step.States)
			step.States[0].Letter = 'X'
			at = append(at, step.States[0].Pos)
			continue
		case step.Action == script.Alert, step.Action == script.Resolved:
			step.Labels = map[string]string{"severity": "none"}
		case step.Action == script.Quiet, step.Action == script.NoAlert, step.Action == script.Never:
			step.Action = script.Alert // none fires, so none can be found
		case step.Action == script.State:
			step.Want = "sideways"
		case strings.HasSuffix(step.Want, "%"):
			step.Want = "7" + step.Want
		default:
			step.Want += "7"
		}
		at = append(at, step.Pos)
	}
	return &c, at
}

// TestEveryRuleHasAScenario: objectives, contracts and templates that are shipped
// have a file of scenarios beside them, by the same name.
func TestEveryRuleHasAScenario(t *testing.T) {
	for _, glob := range []string{"objectives/*.yaml", "contracts/*.yaml", "contracts/templates/*.yaml", "scenarios/*.yaml",
		"examples/*/objectives/*.yaml", "examples/*/contracts/*.yaml", "examples/*/*/objectives.yaml"} {
		files, err := filepath.Glob(filepath.Join(configs, glob))
		if err != nil || len(files) == 0 {
			t.Fatal(glob, err)
		}
		for _, file := range files {
			s, err := scenario.ReadFile(strings.TrimSuffix(file, ".yaml") + ".scenario")
			if err != nil || len(s) == 0 {
				t.Errorf("%s: no scenarios beside it: %v", file, err)
			}
			for _, name := range s {
				if len(name.Rules) == 0 || name.Rules[0].Name != filepath.Base(file) {
					t.Errorf("%s: scenario %s is about %v", file, name.Name, name.Rules)
				}
			}
		}
	}
}
