package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/scenario"
	"nines/internal/scenario/script"
)

// scenarioExt is what scenario files end with.
const scenarioExt = ".scenario"

func newTest() *cobra.Command {
	var q testRequest
	cmd := &cobra.Command{
		Use:   "test FILE|DIR…",
		Short: "Run scenarios: what happens to samples or facts, and what must follow",
		Long: `Runs scenario files (*.scenario; folders are searched): samples of simulated
agents go through the pipeline of a collector, facts through a settlement, and the
slots, budgets, alerts and credits that come out are compared with what the file
expects. Nothing else is touched: no Kafka, no ledger but one of its own, no
clock. docs/scenarios.md describes the language.

Exit code 1 if an expectation was not met, 2 if a file has a mistake. Tests of
Prometheus rules are run by: promtool test rules FILE`,
		Example: `  nines test /etc/nines
  nines test -v contracts/bank.scenario
  nines test --run "zone" --json contracts > results.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := readScenarios(args, q.name)
			if err != nil {
				return err
			}
			q.timeline, _ = cmd.Flags().GetBool("verbose") // the root has it
			return q.run(cmd.Context(), cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().BoolVar(&q.json, "json", false, "print one JSON object per scenario")
	cmd.Flags().StringVar(&q.name, "run", "", "run the scenarios whose name contains this")
	return cmd
}

// testRequest is what the command line asks for.
type testRequest struct {
	json, timeline bool
	name           string
}

// readScenarios reads files, and those below folders; mistakes of all are
// reported together.
func readScenarios(args []string, name string) (all []*script.Scenario, err error) {
	var errs []error
	found := 0
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		files := []string{arg}
		if info.IsDir() {
			if files, err = scenariosBelow(arg); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			list, err := scenario.ReadFile(file)
			errs = append(errs, err)
			found += len(list)
			for _, s := range list {
				if strings.Contains(s.Name, name) {
					all = append(all, s)
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(all) == 0 && found > 0 {
		return nil, fmt.Errorf("test: --run: none of the %d scenarios has %q in its name", found, name)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("test: no scenario to run in %s: want files that end in %s", strings.Join(args, " "), scenarioExt)
	}
	return all, nil
}

func scenariosBelow(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == scenarioExt {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// outcome is what became of one scenario.
type outcome struct {
	scenario.Result
	err  error
	took time.Duration
	done chan struct{} // closed when the rest is set
}

// run runs the scenarios on all cores and prints them in their order.
func (q *testRequest) run(ctx context.Context, out io.Writer, all []*script.Scenario) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	outcomes := make([]outcome, len(all))
	for i := range outcomes {
		outcomes[i].done = make(chan struct{})
	}
	next := make(chan int, len(all))
	for i := range all {
		next <- i
	}
	close(next)
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		wg.Go(func() {
			for i := range next {
				o, start := &outcomes[i], time.Now()
				if o.err = ctx.Err(); o.err == nil {
					o.Result, o.err = scenario.Run(ctx, all[i], scenario.Options{Timeline: q.timeline})
				}
				o.took = time.Since(start)
				close(o.done)
			}
		})
	}
	return q.report(out, all, outcomes)
}

// report prints the outcomes as they come, in their order.
func (q *testRequest) report(out io.Writer, all []*script.Scenario, outcomes []outcome) error {
	failures, start := 0, time.Now()
	var errs []error
	for i, s := range all {
		o := &outcomes[i]
		<-o.done
		print := printOutcome
		if q.json {
			print = printJSON
		}
		if err := print(out, s, o); err != nil {
			return failed(err)
		}
		errs = append(errs, o.err)
		if len(o.Failures) > 0 {
			failures++
		}
	}
	if err := errors.Join(errs...); err != nil {
		if errors.Is(err, context.Canceled) {
			return failed(errors.New("test: stopped"))
		}
		return err
	}
	if failures > 0 {
		return failed(fmt.Errorf("test: %d of %d scenarios failed", failures, len(all)))
	}
	if !q.json {
		fmt.Fprintf(out, "%d scenarios passed in %s\n", len(all), time.Since(start).Round(time.Millisecond))
	}
	return nil
}

func printOutcome(out io.Writer, s *script.Scenario, o *outcome) error {
	word := "ok  "
	if len(o.Failures) > 0 || o.err != nil {
		word = "FAIL"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s (%s)\n", word, s.File, s.Name, o.took.Round(time.Millisecond))
	for _, f := range o.Failures {
		fmt.Fprintf(&b, "      %s\n", f)
	}
	for _, line := range o.Timeline {
		fmt.Fprintf(&b, "      %s\n", line)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func printJSON(out io.Writer, s *script.Scenario, o *outcome) error {
	type failure struct {
		File string `json:"file"`
		Line int    `json:"line"`
		Col  int    `json:"col"`
		Want string `json:"want"`
		Got  string `json:"got"`
	}
	row := struct {
		Scenario string    `json:"scenario"`
		File     string    `json:"file"`
		Line     int       `json:"line"`
		OK       bool      `json:"ok"`
		Seconds  float64   `json:"seconds"`
		Error    string    `json:"error,omitempty"`
		Failures []failure `json:"failures,omitempty"`
		Timeline []string  `json:"timeline,omitempty"`
	}{s.Name, s.File, s.Line, o.err == nil && len(o.Failures) == 0, o.took.Seconds(), "", nil, o.Timeline}
	if o.err != nil {
		row.Error = o.err.Error()
	}
	for _, f := range o.Failures {
		row.Failures = append(row.Failures, failure{f.File, f.Line, f.Col, f.Want, f.Got})
	}
	return json.NewEncoder(out).Encode(row)
}
