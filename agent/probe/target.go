package probe

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// probeFunc makes one attempt, scheduled at at (Unix ms). It returns soon
// after ctx ends, and is safe for concurrent use.
type probeFunc func(ctx context.Context, at int64) result

// spec is what is known of a target before it is probed. It does not change.
type spec struct {
	// key identifies the target over reloads; labels follow from it.
	key      string
	kind     string
	labels   telemetry.Labels
	interval int64 // ms
	phase    int64 // ms past a multiple of interval
	timeout  time.Duration
	phases   [numPhases]bool // which phases can occur
	figures  [numFigures]bool
	probe    probeFunc
	// control is the index of a control target plus one, else 0.
	control int
	// close frees what the probe holds; nil where it holds nothing.
	close func()
}

// target is a spec at work.
type target struct {
	// spec and due belong to the scheduler. Attempts get the spec handed over.
	spec     *spec
	due      int64 // Unix ms
	window   int64 // number of the RTT window that due lies in
	inFlight atomic.Int32

	mu      sync.Mutex
	series  series
	failing bool // the newest result was a failure
	gone    bool // no longer scheduled
}

// rttWindow is how often the RTT histogram of a target is sent, in ms.
const rttWindow = 10_000

// counts are the cumulative counters of a target. They outlive the target
// within a boot, since their series must not start again below what was sent.
type counts struct {
	failures [numReasons]uint64
	missed   uint64
	noBudget uint64
	sent     uint64
	lost     uint64
	finishes [numFinishes]uint64
}

func (c *counts) empty() bool { return *c == counts{} }

// series turns results into rounds. It is not safe for concurrent use.
type series struct {
	labels  telemetry.Labels
	phases  [numPhases]bool
	figures [numFigures]bool
	http    bool
	counts  counts

	// The columns of schema after the first three: phases, http_status and
	// tls_expiry where they can occur, then counters that have counted.
	schema  *telemetry.Schema
	columns columns
	blind   *telemetry.Schema
	rtt     *telemetry.Schema

	newest  int64 // sample time of the newest round so far
	failing int   // failures in a row, up to one more than are urgent
	hists   [numHists]*hist.Histogram
}

// The histograms of a target, with the names of their series.
const (
	histRTT = iota
	histGaps
	numHists
)

var histNames = [numHists]string{"probe_rtt_seconds", "probe_llm_inter_token_seconds"}

// columns are the indexes of optional columns; 0 means there is none.
type columns struct {
	phases         [numPhases]int
	status, expiry int
	figures        [numFigures]int
	failures       [numReasons]int
	missed         int
	noBudget       int
	sent, lost     int
	finishes       [numFinishes]int
}

const (
	colSuccess = iota
	colLatency
	colDuration
	colOptional
)

func newSeries(sp *spec, c counts) series {
	s := series{labels: sp.labels, phases: sp.phases, figures: sp.figures, http: sp.kind == "http" || sp.kind == "llm", counts: c}
	s.layout()
	return s
}

// layout makes the schema of what has occurred so far, in a fixed order.
func (s *series) layout() {
	var list []telemetry.Series
	add := func(name string, kind telemetry.Kind, extra ...telemetry.Label) int {
		ls := s.labels
		if len(extra) > 0 {
			ls = ls.With(extra)
		}
		list = append(list, telemetry.Series{Name: name, Labels: ls, Kind: kind, Fresh: kind == telemetry.Counter})
		return len(list) - 1
	}
	add("probe_success", telemetry.Gauge)
	add("probe_latency_seconds", telemetry.Gauge)
	add("probe_duration_seconds", telemetry.Gauge)
	var c columns
	for p, can := range s.phases {
		if can {
			c.phases[p] = add("probe_phase_seconds", telemetry.Gauge, telemetry.Label{Name: "phase", Value: phaseNames[p]})
		}
	}
	if s.http {
		c.status = add("probe_http_status", telemetry.Gauge)
	}
	if s.phases[phaseTLS] {
		c.expiry = add("probe_tls_expiry_timestamp_seconds", telemetry.Gauge)
	}
	for f, can := range s.figures {
		if can {
			c.figures[f] = add(figureNames[f], telemetry.Gauge)
		}
	}
	s.layoutCounters(&c, add)
	s.schema, s.columns = telemetry.NewSchema(list), c
}

// layoutCounters adds the counters that have counted.
func (s *series) layoutCounters(c *columns, add func(string, telemetry.Kind, ...telemetry.Label) int) {
	for r, n := range s.counts.failures {
		if n > 0 {
			c.failures[r] = add("probe_failures_total", telemetry.Counter, telemetry.Label{Name: "reason", Value: reason(r).String()})
		}
	}
	if s.counts.missed > 0 {
		c.missed = add("probe_missed_total", telemetry.Counter)
	}
	if s.counts.noBudget > 0 {
		c.noBudget = add("probe_missed_total", telemetry.Counter, telemetry.Label{Name: "reason", Value: "budget"})
	}
	if s.counts.sent > 0 {
		c.sent = add("probe_packets_sent_total", telemetry.Counter)
		c.lost = add("probe_packets_lost_total", telemetry.Counter)
	}
	for f, n := range s.counts.finishes {
		if n > 0 {
			c.finishes[f] = add("probe_llm_finish_total", telemetry.Counter, telemetry.Label{Name: "reason", Value: finishNames[f]})
		}
	}
}

// miss counts attempts that were not made. The count travels with the next
// round: there is no sample for what was not measured.
func (s *series) miss(n int64) {
	s.counts.missed += uint64(n)
	if s.columns.missed == 0 {
		s.layout()
	}
}

// round returns the round of an attempt that was scheduled at at and took
// wait; wait is negative where it was not started.
func (s *series) round(at int64, wait time.Duration, r *result) telemetry.Round {
	if !r.ok {
		s.counts.failures[r.reason]++
		if s.columns.failures[r.reason] == 0 {
			s.layout()
		}
	}
	s.finished(r.finish)
	s.counts.sent += uint64(r.sent)
	s.counts.lost += uint64(r.lost)
	if s.counts.sent > 0 && s.columns.sent == 0 {
		s.layout()
	}
	b := newRoundBuilder(s.schema, at)
	latency := wait
	if r.latency >= 0 {
		latency = r.latency
	}
	if r.ok {
		b.set(colSuccess, 1)
		b.setDuration(colLatency, latency)
	} else {
		b.set(colSuccess, 0)
		b.set(colLatency, math.Inf(1))
	}
	for _, rtt := range r.rtts {
		s.observe(histRTT, rtt)
	}
	if r.ok && r.rtts == nil {
		s.observe(histRTT, latency)
	}
	for _, gap := range r.gaps {
		s.observe(histGaps, gap)
	}
	b.setDuration(colDuration, wait)
	s.setDetails(&b, r)
	s.setCounters(&b, at)
	b.round.Urgent = s.urgent(r.ok)
	return b.finish()
}

// urgentFailures is how many failures in a row leave at once: as many as any
// objective that ships confirms an outage by. What fails on leaves with the rest,
// so that many who are down do not keep one who goes down waiting.
const urgentFailures = 3

func (s *series) urgent(ok bool) bool {
	if ok {
		s.failing = 0
		return false
	}
	s.failing = min(s.failing+1, urgentFailures+1)
	return s.failing <= urgentFailures
}

// finished counts how an answer ended.
func (s *series) finished(f finish) {
	if f == finishNone {
		return
	}
	s.counts.finishes[f]++
	if s.columns.finishes[f] == 0 {
		s.layout()
	}
}

// noBudgetRound returns the round of an attempt that was not made because its
// budget is used up: no success and no latency, which are unknown.
func (s *series) noBudgetRound(at int64, r *result) telemetry.Round {
	s.counts.noBudget++
	if s.columns.noBudget == 0 {
		s.layout()
	}
	b := newRoundBuilder(s.schema, at)
	s.setDetails(&b, r)
	s.setCounters(&b, at)
	return b.finish()
}

func (s *series) setDetails(b *roundBuilder, r *result) {
	for p, col := range s.columns.phases {
		if col > 0 {
			b.setDuration(col, r.phases[p])
		}
	}
	if s.columns.status > 0 && r.status > 0 {
		b.set(s.columns.status, float64(r.status))
	}
	if s.columns.expiry > 0 && !r.expiry.IsZero() {
		b.set(s.columns.expiry, float64(r.expiry.Unix()))
	}
	for f, col := range s.columns.figures {
		if col > 0 && !math.IsNaN(r.figures[f]) {
			b.set(col, r.figures[f])
		}
	}
}

// setCounters sets the counters of a round newer than all before: an attempt
// that ends after a later one would otherwise carry the greater count at the
// earlier time, which reads as a reset.
func (s *series) setCounters(b *roundBuilder, at int64) {
	if at <= s.newest {
		return
	}
	s.newest = at
	for r, col := range s.columns.failures {
		if col > 0 {
			b.set(col, float64(s.counts.failures[r]))
		}
	}
	if s.columns.missed > 0 {
		b.set(s.columns.missed, float64(s.counts.missed))
	}
	if s.columns.noBudget > 0 {
		b.set(s.columns.noBudget, float64(s.counts.noBudget))
	}
	if s.columns.sent > 0 {
		b.set(s.columns.sent, float64(s.counts.sent))
		b.set(s.columns.lost, float64(s.counts.lost))
	}
	for f, col := range s.columns.finishes {
		if col > 0 {
			b.set(col, float64(s.counts.finishes[f]))
		}
	}
}

// blindRound returns the round of a failed attempt that says nothing about the
// target.
func (s *series) blindRound(at int64, wait time.Duration) telemetry.Round {
	if s.blind == nil {
		s.blind = telemetry.NewSchema([]telemetry.Series{
			{Name: "probe_blind", Labels: s.labels, Kind: telemetry.Gauge},
			{Name: "probe_duration_seconds", Labels: s.labels, Kind: telemetry.Gauge},
		})
	}
	b := newRoundBuilder(s.blind, at)
	b.set(0, 1)
	b.setDuration(1, wait)
	return b.finish()
}

func (s *series) observe(which int, d time.Duration) {
	if s.hists[which] == nil {
		s.hists[which] = &hist.Histogram{}
	}
	s.hists[which].Observe(d.Seconds())
}

// takeRTT returns the round of what was observed since the last one, with the
// sample time at, and tells whether there was anything.
func (s *series) takeRTT(at int64) (telemetry.Round, bool) {
	n := 1
	if s.figures[figureTTFT] {
		n = numHists
	}
	if s.hists == ([numHists]*hist.Histogram{}) {
		return telemetry.Round{}, false
	}
	if s.rtt == nil {
		var list []telemetry.Series
		for _, name := range histNames[:n] {
			list = append(list, telemetry.Series{Name: name, Labels: s.labels, Kind: telemetry.Histogram})
		}
		s.rtt = telemetry.NewSchema(list)
	}
	b := newRoundBuilder(s.rtt, at)
	b.round.Hists = make([]*hist.Histogram, n)
	for i := range n {
		if s.hists[i] != nil {
			b.set(i, 0)
			b.round.Hists[i] = s.hists[i]
		}
	}
	s.hists = [numHists]*hist.Histogram{}
	return b.finish(), true
}
