// Command bench measures what docs and issues promise in figures, in CPU time
// of this process, so that other work on the machine matters little:
//
//	go run ./bench [-only frame_decode,frame_encode] [-runs 5] [-out bench/results.json]
//	go run ./bench -only vs_telegraf_native,vs_prometheus -report bench/RESULTS.md
//
// A benchmark is a method of suite, in a file of its own; adding the file adds
// the benchmark.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"nines/internal/hush"
)

// result is one line of the table and one element of results.json.
type result struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Better string  `json:"better"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	Target float64 `json:"target,omitempty"`
}

func main() {
	hush.End()
	if was, err := child(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	} else if was {
		return
	}
	side := &sideBySide{}
	only := flag.String("only", "", "comma-separated names; where empty, all but those against other programs")
	runs := flag.Int("runs", 5, "runs of each benchmark; the median counts")
	out := flag.String("out", filepath.Join("bench", "results.json"), "where to write the results as JSON")
	flag.StringVar(&side.report, "report", "", "where to write the report on benchmarks against other programs, such as bench/RESULTS.md")
	flag.IntVar(&side.hosts, "hosts", 0, "hosts in benchmarks against other programs (default 2000); 200 to try them out")
	flag.IntVar(&side.seconds, "seconds", 0, "how much those hosts have sent, an eighth of it for the slower programs (default 120)")
	flag.IntVar(&side.fleet, "fleet", 0, "hosts among which detection is timed (default 10000)")
	flag.DurationVar(&side.window, "window", 0, "how long agents are measured at a time (default 30s, and six intervals at least)")
	flag.Parse()
	if err := run(os.Stdout, side, *only, *runs, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, side *sideBySide, only string, runs int, out string) error {
	if runs < 1 {
		return fmt.Errorf("-runs must be at least 1, got %d", runs)
	}
	chosen, err := choose(benchmarks(side), only)
	if err != nil {
		return err
	}
	return runChosen(w, side, chosen, runs, out)
}

// runChosen measures one benchmark after the other. One that fails takes no
// other's figure with it.
func runChosen(w io.Writer, side *sideBySide, chosen []benchmark, runs int, out string) (err error) {
	var results []result
	var failed []error
	side.runs = runs
	defer func() { err = errors.Join(err, side.close(results, os.Args[1:])) }()
	for _, b := range chosen {
		if side.ctx != nil && side.ctx.Err() != nil {
			failed = append(failed, errors.New("stopped: what was left is not measured"))
			break
		}
		r, err := measure(b, runs)
		if err != nil {
			failed = append(failed, fmt.Errorf("run %s: %w", b.Name, err))
			continue
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return errors.Join(failed...)
	}
	return errors.Join(errors.Join(failed...), table(w, results), save(out, results))
}

// choose returns the benchmarks named in only, in its order, or all that are not
// apart.
func choose(all []benchmark, only string) ([]benchmark, error) {
	if strings.TrimSpace(only) == "" {
		return slices.DeleteFunc(slices.Clone(all), func(b benchmark) bool { return b.Apart }), nil
	}
	var chosen []benchmark
	var errs []error
	for name := range strings.SplitSeq(only, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(all, func(b benchmark) bool { return b.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("no benchmark is named %q; there are %s", name, names(all)))
			continue
		}
		chosen = append(chosen, all[i])
	}
	return chosen, errors.Join(errs...)
}

func names(all []benchmark) string {
	var s []string
	for _, b := range all {
		s = append(s, b.Name)
	}
	return strings.Join(s, ", ")
}

func measure(b benchmark, runs int) (result, error) {
	if b.Clean != nil {
		defer b.Clean()
	}
	once, err := b.Prepare()
	if err != nil {
		return result{}, fmt.Errorf("prepare: %w", err)
	}
	values := make([]float64, runs)
	for i := range values {
		if values[i], err = once(); err != nil {
			return result{}, err
		}
	}
	slices.Sort(values)
	return result{
		Name: b.Name, Unit: b.Unit, Better: b.Better, Target: b.Target, Runs: runs,
		Min: values[0], Median: (values[(runs-1)/2] + values[runs/2]) / 2, Max: values[runs-1],
	}, nil
}

func table(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "benchmark\tmedian\tmin\tmax\tunit\ttarget\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%.4g\t%s\t%s\t\n", r.Name, r.Median, r.Min, r.Max, r.Unit, r.target())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print results: %w", err)
	}
	return nil
}

// target says what was promised and whether the median keeps it.
func (r result) target() string {
	if r.Target == 0 {
		return "-"
	}
	sign, kept := "≤", r.Median <= r.Target
	if r.Better == higher {
		sign, kept = "≥", r.Median >= r.Target
	}
	if !kept {
		return fmt.Sprintf("%s %g MISSED", sign, r.Target)
	}
	return fmt.Sprintf("%s %g kept", sign, r.Target)
}

func save(path string, results []result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}
