package ruler

import (
	"errors"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"nines/collector/promseries"
	"nines/internal/telemetry"
)

// partition turns the records of one telemetry partition into samples. One
// goroutine owns it.
type partition struct {
	keep    promseries.Selectors
	note    func(name string, k telemetry.Kind)
	m       *counters
	agents  map[string]*agent
	fleet   *promseries.Foreign[*foreignSeries]
	logTime int64 // running maximum of ticks, Unix milliseconds; 0 before the first
	swept   int64 // log time of the last sweep
	// histFloor is the newest sample time in the store when it was opened:
	// histograms up to there are counted but not written again.
	histFloor int64
}

func newPartition(keep promseries.Selectors, histFloor int64, note func(string, telemetry.Kind), m *counters) *partition {
	return &partition{keep: keep, note: note, m: m, agents: map[string]*agent{}, fleet: newFleet(keep, note), histFloor: histFloor}
}

// tick moves log time on. Where ticks were missing, because the partition had no
// owner, the time between says nothing about agents: they get it back.
func (p *partition) tick(clock int64) {
	if gap := clock - p.logTime; gap > staleAfter/2 {
		for _, a := range p.agents {
			a.heard += gap
		}
		p.fleet.Each(func(s *foreignSeries) { s.heard += gap })
		p.swept += gap
	}
	p.logTime = max(p.logTime, clock)
}

// learn takes what a frame says about its sender without writing samples:
// frames before the saved position were written by an earlier life.
func (p *partition) learn(f *telemetry.Frame) {
	a := p.agent(f.Agent)
	a.boots.Repeated(f.Boot, f.Seq)
	a.heard, a.silent = p.logTime, false
	for i := range f.Blocks {
		b := &f.Blocks[i]
		if b.Schema == nil {
			continue
		}
		for _, idx := range a.columns(f.Host, b.Schema, p.keep, p.note) {
			if idx >= 0 && len(b.Times) > 0 {
				a.series[idx].seen(b.Times[len(b.Times)-1])
			}
		}
		a.sampled(b)
	}
}

// frame appends the frame's samples.
func (p *partition) frame(app storage.Appender, f *telemetry.Frame) {
	a := p.agent(f.Agent)
	a.heard, a.silent = p.logTime, false
	if a.boots.Repeated(f.Boot, f.Seq) {
		p.m.repeats.Inc()
		return
	}
	p.m.frames.Inc()
	for i := range f.Blocks {
		b := &f.Blocks[i]
		if b.Schema == nil {
			p.m.noSchema.Inc()
			continue
		}
		p.block(app, a, a.columns(f.Host, b.Schema, p.keep, p.note), b)
		a.sampled(b)
	}
}

func (a *agent) sampled(b *telemetry.Block) {
	if n := len(b.Times); n > 0 {
		a.newest = max(a.newest, b.Times[n-1])
	}
}

func (p *partition) agent(name string) *agent {
	a := p.agents[name]
	if a == nil {
		a = newAgent()
		p.agents[string(append([]byte(nil), name...))] = a
	}
	return a
}

func (p *partition) block(app storage.Appender, a *agent, cols []int32, b *telemetry.Block) {
	n, written := len(b.Times), 0
	for i, idx := range cols {
		if idx < 0 {
			continue
		}
		s := &a.series[idx]
		for r, t := range b.Times {
			k := i*n + r
			if b.IsAbsent(k) {
				continue
			}
			if s.hist != nil {
				if k < len(b.Hists) && b.Hists[k] != nil {
					s.hist.Add(b.Hists[k])
					written += p.histogram(app, s, t)
				}
				continue
			}
			written += p.float(app, s, t, b.Values[k])
		}
	}
	p.m.samples.Add(written)
}

func (p *partition) float(app storage.Appender, s *series, t int64, v float64) int {
	ref, err := app.Append(s.ref, s.labels, t, v)
	if err != nil {
		p.m.reject(err)
		return 0
	}
	s.ref = ref
	s.seen(t)
	return 1
}

// histogram appends the running sum at t. A delta that comes late is in the sum
// already and shows with the next sample: a cumulative series cannot go back.
func (p *partition) histogram(app storage.Appender, s *series, t int64) int {
	if t <= s.last || !s.hist.Written && t <= p.histFloor {
		return 0
	}
	ref, err := app.AppendHistogram(s.ref, s.labels, t, s.hist.Native(), nil)
	if err != nil {
		p.m.reject(err)
		return 0
	}
	s.ref, s.hist.Written = ref, true
	s.seen(t)
	return 1
}

// sweep writes staleness markers: for every series of an agent that has been
// silent for 15 s of log time, and for series of a live agent that are overdue
// by three of their own intervals and at least 15 s. So an instant query sees a
// host's values for 15 s after its last sample, not for five minutes. Agents
// gone for an hour are forgotten.
func (p *partition) sweep(app storage.Appender) {
	p.swept = p.logTime
	for name, a := range p.agents {
		quiet := p.logTime - a.heard
		if quiet > 3_600_000 {
			delete(p.agents, name)
			continue
		}
		gone, ended := quiet > staleAfter && !a.silent, 0
		for i := range a.series {
			s := &a.series[i]
			if s.stale || s.last == 0 {
				ended++
				continue
			}
			late := max(3*int64(s.every), staleAfter)
			switch {
			case gone:
				p.mark(app, s, a.newest+staleAfter)
			case s.every > 0 && a.newest-s.last > late:
				p.mark(app, s, s.last+late)
			}
		}
		a.silent = a.silent || gone
		if ended > 256 && 2*ended > len(a.series) {
			a.forgetSeries() // labels that come and go must not fill the memory
		}
	}
	p.sweepForeign(app)
}

// mark writes a staleness marker at t.
func (p *partition) mark(app storage.Appender, s *series, t int64) {
	s.stale = true
	nan := math.Float64frombits(value.StaleNaN)
	var err error
	if s.native {
		_, err = app.AppendHistogram(s.ref, s.labels, t, &histogram.Histogram{Sum: nan}, nil)
	} else {
		_, err = app.Append(s.ref, s.labels, t, nan)
	}
	if err != nil {
		p.m.reject(err)
		return
	}
	p.m.markers.Inc()
}

// reject counts a sample that the store did not take, by reason.
func (m *counters) reject(err error) {
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		m.duplicate.Inc()
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		m.tooOld.Inc()
	default:
		m.rejected.Inc()
	}
}
