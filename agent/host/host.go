// Package host reads the kernel's figures directly, under the names that
// Telegraf's inputs give them, at a fraction of their cost: files stay open and
// are read with pread, tables are parsed in place, and nothing is allocated
// while the host's devices stay the same. Package agent puts these readers in
// the place of Telegraf's plugins; what they give differently says each reader.
//
// A reader belongs to one goroutine. Percentages and means are rounded to four
// decimals: finer than the kernel's ticks, and a third of the bytes on the wire.
package host

import (
	"cmp"
	"math"
	"os"
	"slices"

	"nines/internal/telemetry"
)

// Roots are where the host's files are; what is empty is where every host has it.
type Roots struct{ Proc, Sys, Run, Var string }

// EnvRoots returns the roots that HOST_PROC, HOST_SYS, HOST_RUN and HOST_VAR name,
// as Telegraf and gopsutil understand them, for agents in containers.
func EnvRoots() Roots {
	env := os.Getenv
	return Roots{Proc: env("HOST_PROC"), Sys: env("HOST_SYS"), Run: env("HOST_RUN"), Var: env("HOST_VAR")}.fill()
}

func (r Roots) fill() Roots {
	return Roots{Proc: cmp.Or(r.Proc, "/proc"), Sys: cmp.Or(r.Sys, "/sys"), Run: cmp.Or(r.Run, "/run"), Var: cmp.Or(r.Var, "/var")}
}

// absent marks a value that was not measured.
var absent = math.NaN()

// table is what a reader hands out: series that stay the same slice as long as
// the layout does, and their values.
type table struct {
	series []telemetry.Series
	values []float64
}

// reset begins another layout.
func (t *table) reset() { t.series, t.values = nil, t.values[:0] }

// add appends a series to the layout.
func (t *table) add(name string, kind telemetry.Kind, labels telemetry.Labels) {
	t.series = append(t.series, telemetry.Series{Name: name, Labels: labels, Kind: kind})
	t.values = append(t.values, absent)
}

func (t *table) result() ([]telemetry.Series, []float64, error) { return t.series, t.values, nil }

func label(name, value string) telemetry.Labels {
	return telemetry.NewLabels(map[string]string{name: value})
}

// percent returns 100*part/whole, rounded.
func percent(part, whole float64) float64 { return round4(100 * part / whole) }

func round4(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// names tells whether the entities of a table (CPUs, interfaces, disks) are the
// ones of the round before. begin, then next for each, then done.
type names struct {
	known []string
	at    int
	same  bool
}

func (n *names) begin() { n.at, n.same = 0, true }

func (n *names) next(name []byte) {
	if n.at >= len(n.known) || n.known[n.at] != string(name) {
		n.same = false
		n.known = append(n.known[:min(n.at, len(n.known))], string(name))
	}
	n.at++
}

// done returns whether the entities stayed the same.
func (n *names) done() bool {
	if n.at < len(n.known) {
		n.same = false
		n.known = slices.Clip(n.known[:n.at])
	}
	return n.same
}
