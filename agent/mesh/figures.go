package mesh

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/telemetry"
)

// refusal is why a reflector did not answer a packet.
type refusal int

const (
	notRefused refusal = iota
	refusedShort
	refusedStranger
	refusedEcho
	refusedForged
	refusedRate
	refusedSend
	refusals
)

// String returns the reason as series name it.
func (r refusal) String() string {
	return [refusals]string{"", "short", "stranger", "echo", "forged", "rate", "send"}[r]
}

// stray is what became of an answer that no waiting question fits.
type stray int

const (
	strayLate      stray = iota // after the time-out: the packet counts as lost
	strayDuplicate              // the second answer to a question
	strayUnknown                // to a question that was not asked, or not of this peer
	strayBad                    // not an answer, or not under our key
	strays
)

func (s stray) String() string {
	return [strays]string{"late", "duplicate", "unknown", "bad"}[s]
}

// Figures are what a mesh says about itself. They outlive the Mesh: an agent has
// one for its life, and a reload that makes another Mesh goes on with it. All of
// it is safe for concurrent use. The zero value is ready.
type Figures struct {
	on                             atomic.Bool
	slot                           atomic.Int64 // 0 stands by, else slot+1
	peers                          atomic.Int64
	pairsWanted, pairsCovered      atomic.Int64
	entries, zones                 atomic.Int64
	invalid, rosterErrors          atomic.Uint64
	sent, lost, sendErrors, unmet  atomic.Uint64
	answers, reordered, missedTurn atomic.Uint64
	readErrors                     atomic.Uint64
	strays                         [strays]atomic.Uint64
	answered                       atomic.Uint64
	refused                        [refusals]atomic.Uint64
}

// figure is one of them.
type figure struct {
	name, label, of string
	kind            telemetry.Kind
	value           func() float64
}

// list returns all figures, always in the same order.
func (f *Figures) list() []figure {
	gauge := func(name string, v *atomic.Int64) figure {
		return figure{name: "nines_agent_mesh_" + name, kind: telemetry.Gauge, value: func() float64 { return float64(v.Load()) }}
	}
	counter := func(name string, v *atomic.Uint64) figure {
		return figure{name: "nines_agent_mesh_" + name, kind: telemetry.Counter, value: func() float64 { return float64(v.Load()) }}
	}
	list := []figure{
		gauge("peers", &f.peers),
		gauge("pairs_wanted", &f.pairsWanted),
		gauge("pairs_covered", &f.pairsCovered),
		gauge("roster_entries", &f.entries),
		gauge("roster_zones", &f.zones),
		counter("roster_invalid_total", &f.invalid),
		counter("roster_errors_total", &f.rosterErrors),
		counter("sent_total", &f.sent),
		counter("answers_total", &f.answers),
		counter("lost_total", &f.lost),
		counter("unmet_total", &f.unmet),
		counter("send_errors_total", &f.sendErrors),
		counter("missed_turns_total", &f.missedTurn),
		counter("reordered_total", &f.reordered),
		counter("read_errors_total", &f.readErrors),
		counter("reflected_total", &f.answered),
	}
	holds := gauge("slot_held", &f.slot)
	holds.value = func() float64 { return float64(min(f.slot.Load(), 1)) }
	list = append(list, holds)
	for s := range strays {
		c := counter("stray_answers_total", &f.strays[s])
		c.label, c.of = "reason", s.String()
		list = append(list, c)
	}
	for r := notRefused + 1; r < refusals; r++ {
		c := counter("refused_total", &f.refused[r])
		c.label, c.of = "reason", r.String()
		list = append(list, c)
	}
	return list
}

// Export shows the figures in a metrics set too; call it once. They are zero
// while there is no mesh.
func (f *Figures) Export(set *metrics.Set) {
	if set == nil {
		return
	}
	for _, fig := range f.list() {
		name := fig.name
		if fig.label != "" {
			name += fmt.Sprintf("{%s=%q}", fig.label, fig.of)
		}
		set.NewGauge(name, fig.value)
	}
}

// Round returns the figures as a round; false where no mesh runs.
func (f *Figures) Round(at int64) (telemetry.Round, bool) {
	if !f.on.Load() {
		return telemetry.Round{}, false
	}
	list := f.list()
	series, values := make([]telemetry.Series, len(list)), make([]float64, len(list))
	for i, fig := range list {
		series[i] = telemetry.Series{Name: fig.name, Kind: fig.kind, Fresh: fig.kind == telemetry.Counter}
		if fig.label != "" {
			series[i].Labels = telemetry.Labels{{Name: fig.label, Value: fig.of}}
		}
		values[i] = fig.value()
	}
	return telemetry.Round{Schema: telemetry.NewSchema(series), Time: at, Values: values}, true
}

// stopped clears what holds only while a mesh runs.
func (f *Figures) stopped() {
	f.on.Store(false)
	for _, g := range []*atomic.Int64{&f.slot, &f.peers, &f.pairsWanted, &f.pairsCovered, &f.entries, &f.zones} {
		g.Store(0)
	}
}
