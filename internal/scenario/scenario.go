// Package scenario runs the scenarios of package script: it gives the samples of
// simulated agents to the pipeline of package replay, or facts to a settlement,
// moves log time, and compares what comes out with what is expected. It promises
// that the figures are those of a collector and of a statement, because the same
// code computes them; that each expectation is judged at its own time; and that
// it reads no clock and starts no goroutine. `nines test` calls it, and so do the
// tests of what is shipped.
package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nines/internal/access"
	"nines/internal/scenario/script"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
	"nines/rules"
)

// Failure is an expectation that was not met.
type Failure struct {
	script.Pos
	// Want and Got say in words what was expected, and what there was.
	Want, Got string
}

// String returns file:line:col: expected …, got ….
func (f Failure) String() string {
	return fmt.Sprintf("%s:%d:%d: expected %s, got %s", f.File, f.Line, f.Col, f.Want, f.Got)
}

// Result is what became of a scenario.
type Result struct {
	// Failures in the order of the expectations' times; none if all were met.
	Failures []Failure
	// Timeline are lines that show slots and alerts; only where asked for.
	Timeline []string
}

// Options are what Run may be asked for.
type Options struct {
	// Timeline asks for the result's timeline.
	Timeline bool
}

// ReadFile reads the scenarios of a file.
func ReadFile(file string) ([]*script.Scenario, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	return script.Parse(file, data)
}

// Run runs a scenario. An error says that it could not be run: a file that it
// names has mistakes, or it names what is not there, with the position; what was
// not as expected is in the result.
func Run(ctx context.Context, s *script.Scenario, o Options) (Result, error) {
	r := &run{s: s, opts: o, facts: s.Facts, settled: map[string]*sla.Settlement{}}
	if err := r.useRules(s.Rules); err != nil {
		return Result{}, err
	}
	err := r.play(ctx)
	return Result{Failures: r.failures, Timeline: r.timeline}, err
}

// run is a scenario that is being run.
type run struct {
	s          *script.Scenario
	opts       Options
	set        *slo.RuleSet
	contracts  []*sla.Contract
	exclusions []*exclusion
	facts      []script.Fact
	settled    map[string]*sla.Settlement // by contract and month
	world      *world                     // nil where facts are settled
	failures   []Failure
	timeline   []string
}

// exclusion is one that the scenario has entered.
type exclusion struct {
	name string
	sla.Exclusion
}

// play runs the scenario from its start to its end.
func (r *run) play(ctx context.Context) error {
	if len(r.s.Loads) == 0 && !r.s.Inventoried() {
		for i := range r.s.Steps {
			if err := r.step(ctx, &r.s.Steps[i]); err != nil {
				return err
			}
		}
		return nil
	}
	w, err := newWorld(ctx, r.s, r.set)
	if err != nil {
		return err
	}
	r.world = w
	defer w.close()
	for i := range r.s.Steps {
		step := &r.s.Steps[i]
		to := step.At
		if to < 0 {
			to = w.end
		}
		if err := w.advance(to); err != nil {
			return err
		}
		if err := r.step(ctx, step); err != nil {
			return err
		}
	}
	if err := w.advance(w.end); err != nil || !r.opts.Timeline {
		return err
	}
	r.timeline, err = w.show(ctx, r.set)
	return err
}

// step does what the step says, or notes what is not as expected.
func (r *run) step(ctx context.Context, step *script.Step) error {
	switch step.Action {
	case script.UseRules:
		if err := r.useRules(step.Files); err != nil {
			return err
		}
		return r.world.setRules(r.set)
	case script.Exclude:
		x := step.Exclusion
		r.exclusions = append(r.exclusions, &exclusion{x.Name, sla.Exclusion{Start: x.Start, End: x.End, Announced: x.Announced,
			Effect: sla.Effect(x.Effect), Category: x.Category, Reason: x.Reason, Author: x.Author, ApprovedBy: x.ApprovedBy}})
		return nil
	case script.Approve:
		return r.approve(step)
	case script.Tell:
		entries, err := told(&step.Told)
		if err != nil {
			return err
		}
		return r.world.record(ctx, entries)
	case script.Correct:
		if r.world != nil {
			return at(step.Pos, "corrects facts, and there are samples")
		}
		r.facts = step.Facts
		return nil
	case script.Settle, script.Restate:
		return r.settle(ctx, step)
	}
	if r.world == nil {
		return at(step.Pos, "needs samples: want load statements; of facts a contract is settled, and nothing else")
	}
	return r.observe(ctx, step)
}

func (r *run) approve(step *script.Step) error {
	for _, x := range r.exclusions {
		if x.name != step.Name {
			continue
		}
		if access.SamePerson(x.Author, step.Want) {
			return at(step.Pos, "is approved by its author: nobody approves their own")
		}
		x.ApprovedBy = step.Want
		return nil
	}
	return at(step.Pos, "no exclusion of this name was entered before: "+step.Name)
}

// fail notes that an expectation was not met.
func (r *run) fail(at script.Pos, want, got string) {
	r.failures = append(r.failures, Failure{at, want, got})
}

// at returns a mistake of the scenario that only shows when it runs.
func at(p script.Pos, reason string) error {
	return yamlconf.Errors{{File: p.File, Line: p.Line, Col: p.Col, Reason: reason}}
}

// useRules loads the files; mistakes in them are reported with their positions,
// missing files with that of the scenario's word.
func (r *run) useRules(files []script.Path) error {
	var paths []string
	for _, f := range files {
		path := beside(f)
		if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
			return at(f.Pos, "is no file that can be read: "+path)
		}
		paths = append(paths, path)
	}
	set, err := rules.Load(paths)
	if err != nil {
		return err
	}
	if len(set.PrometheusFiles) > 0 {
		return at(files[0].Pos, "are Prometheus rules, which have tests of their own: promtool test rules ("+set.PrometheusFiles[0]+")")
	}
	r.set, r.contracts = set.RuleSet, set.Contracts
	return nil
}

// contract returns the contract of the name.
func (r *run) contract(step *script.Step) (*sla.Contract, error) {
	var names []string
	for _, c := range r.contracts {
		if c.Name == step.Name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return nil, at(step.Pos, "the rules have no contract "+strconv.Quote(step.Name)+"; they have "+list(names))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
