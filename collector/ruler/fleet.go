package ruler

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"nines/collector/decode"
	"nines/collector/promseries"
	"nines/internal/telemetry"
)

const (
	// maxAhead is how far, in milliseconds, a foreign sample may be ahead of the
	// log: one of a wrong clock would have the store refuse all that come after.
	maxAhead = 600_000
	// foreignLife is the log time after which a series that is silent is forgotten.
	foreignLife = 3_600_000
	// foreignPatience is how long a series may be silent whose interval is not
	// known yet.
	foreignPatience = 300_000
)

// foreignSeries is a series of another fleet. Each ends by itself: that a host is
// gone is not known of hosts that report at intervals of their own.
type foreignSeries struct {
	series
	heard int64 // log time of its last sample, Unix milliseconds
}

// patience is how long, in milliseconds, the next sample may take.
func (s *foreignSeries) patience() int64 {
	if s.every == 0 {
		return foreignPatience
	}
	return max(3*int64(s.every), staleAfter)
}

func newFleet(keep promseries.Selectors, note func(string, telemetry.Kind)) *promseries.Foreign[*foreignSeries] {
	return promseries.NewForeign(func(ls labels.Labels, kind decode.Kind) (*foreignSeries, bool) {
		name := ls.Get(model.MetricNameLabel)
		switch kind {
		case decode.Gauge:
			note(name, telemetry.Gauge)
		case decode.Counter, decode.Delta:
			note(name, telemetry.Counter)
		case decode.Native, decode.NativeDelta:
			note(name, telemetry.Histogram)
		}
		native := kind == decode.Native || kind == decode.NativeDelta
		return &foreignSeries{series: series{labels: ls, native: native}}, keep.Keep(ls)
	})
}

// foreign appends the samples of another fleet's record. Where quiet, an earlier
// life wrote them.
func (p *partition) foreign(app storage.Appender, rec *decode.Record, quiet bool) {
	now := p.logTime
	if now == 0 {
		now = rec.Time // no tick came yet
	}
	t := p.fleet.Read(rec, promseries.Bounds{Now: now, Latest: now + maxAhead, Quiet: quiet, Floor: p.histFloor},
		func(s *foreignSeries, v *promseries.Sample) { p.sample(app, s, v) })
	if quiet {
		return
	}
	p.m.foreign.Inc()
	p.m.undecoded.Add(min(t.Bad, 1))
	p.m.duplicate.Add(t.Repeats)
	p.m.tooOld.Add(t.Late)
	p.m.future.Add(t.Future)
	p.m.rejected.Add(t.Unfit)
}

// sample appends one sample of a foreign series.
func (p *partition) sample(app storage.Appender, s *foreignSeries, v *promseries.Sample) {
	if !v.Quiet && !p.append(app, s, v) {
		return
	}
	s.heard = p.logTime
	s.seen(v.Time)
}

func (p *partition) append(app storage.Appender, s *foreignSeries, v *promseries.Sample) bool {
	var ref storage.SeriesRef
	var err error
	if s.native = v.Hist != nil || v.FloatHist != nil; s.native {
		ref, err = app.AppendHistogram(s.ref, s.labels, v.Time, v.Hist, v.FloatHist)
	} else {
		p.begin(app, s, v)
		ref, err = app.Append(s.ref, s.labels, v.Time, v.Number)
	}
	if err != nil {
		p.m.reject(err)
		return false
	}
	if v.Time < s.last {
		p.m.late.Inc()
	}
	p.m.samples.Inc()
	s.ref = ref
	return true
}

// begin writes the zero from which a sum of differences rises, so that rate()
// sees the first of them, and that a sum of an earlier life ended.
func (p *partition) begin(app storage.Appender, s *foreignSeries, v *promseries.Sample) {
	at := max(v.Start, p.histFloor) + 1
	if !v.First || v.Start == 0 || at >= v.Time {
		return
	}
	if ref, err := app.Append(s.ref, s.labels, at, 0); err == nil {
		s.ref = ref
	}
}

// sweepForeign ends the foreign series that are overdue.
func (p *partition) sweepForeign(app storage.Appender) {
	p.fleet.Each(func(s *foreignSeries) {
		if !s.stale && s.last != 0 && p.logTime-s.heard > s.patience() {
			p.mark(app, &s.series, s.last+s.patience())
		}
	})
	p.fleet.Forget(p.logTime - foreignLife)
}
