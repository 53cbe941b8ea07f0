package scenario

import (
	"math"

	"nines/internal/scenario/script"
	"nines/internal/telemetry"
)

// source is series that one agent samples together.
type source struct {
	schema *telemetry.Schema
	every  int64
	from   int64
	next   int64 // the time of the next sample
	series []*cursor
}

// cursor reads the values of one series in order.
type cursor struct {
	values script.Values
	run, k int // sample k of the run is next
}

// newSources returns the sources of a load: its series together, but each that
// has several values in an interval by itself.
func newSources(l *script.Load) (out []*source) {
	var together []telemetry.Series
	var cursors []*cursor
	single := func(series []telemetry.Series, cs []*cursor) {
		out = append(out, &source{schema: telemetry.NewSchema(series), every: l.Every, from: l.From, next: l.From, series: cs})
	}
	for i := range l.Series {
		s := &l.Series[i]
		c := &cursor{values: s.Values}
		if s.Values.Events() {
			single([]telemetry.Series{s.Series}, []*cursor{c})
			continue
		}
		together, cursors = append(together, s.Series), append(cursors, c)
	}
	if len(together) > 0 {
		single(together, cursors)
	}
	return out
}

// at returns the run that is read and the sample in it; nil behind the last.
func (c *cursor) at() (*script.Run, int) {
	for c.run < len(c.values) {
		r := &c.values[c.run]
		if r.N < 0 || c.k < r.N {
			return r, c.k
		}
		c.run, c.k = c.run+1, 0
	}
	return nil, 0
}

// changes returns the times at which the source's values change their run, and
// the time behind its last sample.
func (s *source) changes() []int64 {
	out := []int64{s.from}
	for _, c := range s.series {
		t := s.from
		for _, r := range c.values {
			if r.N < 0 {
				break
			}
			t += int64(r.N) * s.every
			out = append(out, t)
		}
	}
	last := out[0]
	for _, t := range out {
		last = max(last, t)
	}
	return append(out, last)
}

// steady tells whether all series have values now, at least three in a step.
func (s *source) steady() bool {
	if s.every > calm/3 {
		return false
	}
	for _, c := range s.series {
		if r, _ := c.at(); r == nil || r.Missing {
			return false
		}
	}
	return true
}

// block returns the samples up to now. Shift gives the time that the agent's
// clock shows at a true one, and whether the agent was there.
func (s *source) block(now int64, shift func(int64) (int64, bool)) telemetry.Block {
	b := telemetry.Block{Fingerprint: s.schema.Fingerprint, Schema: s.schema}
	var rows [][]float64
	for ; s.next <= now; s.next += s.every {
		for _, row := range s.round() {
			at, ok := shift(s.next + row.after)
			if n := len(b.Times); ok && (n == 0 || at > b.Times[n-1]) {
				b.Times = append(b.Times, at)
				rows = append(rows, row.values)
			}
		}
	}
	for col := range s.series {
		for _, row := range rows {
			v := row[col]
			if v != v {
				b.SetAbsent(len(b.Values))
				v = 0
			}
			b.Values = append(b.Values, v)
		}
	}
	return b
}

// row is the values at one time, so long after the interval's beginning.
type row struct {
	after  int64
	values []float64
}

// round returns the samples of the next interval: one row, or as many as there
// are events, spread evenly; none where all are missing.
func (s *source) round() []row {
	values := make([]float64, len(s.series))
	some := false
	for i, c := range s.series {
		values[i] = math.NaN()
		r, k := c.at()
		if r == nil {
			continue
		}
		c.k++
		switch {
		case r.Events != nil:
			return spread(r.Events, s.every)
		case !r.Missing:
			values[i], some = r.At(k), true
		}
	}
	if !some {
		return nil
	}
	return []row{{0, values}}
}

// spread returns the events of an interval, a row each.
func spread(events []script.Event, every int64) (out []row) {
	n := int64(0)
	for _, e := range events {
		n += int64(e.N)
	}
	at := int64(0)
	for _, e := range events {
		for range e.N {
			out = append(out, row{at * every / n, []float64{e.Value}})
			at++
		}
	}
	return out
}
