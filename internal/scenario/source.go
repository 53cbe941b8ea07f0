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
	// values are those of one time, rows those of a block, time by time; memory
	// that is used again.
	values, rows []float64
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
		out = append(out, &source{schema: telemetry.NewSchema(series), every: l.Every, from: l.From, next: l.From, series: cs, values: make([]float64, len(cs))})
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

// steady tells whether all series have values now, and often.
func (s *source) steady() bool {
	if s.every > quiet {
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
	s.rows = s.rows[:0]
	add := func(t int64, row ...float64) {
		at, ok := shift(t)
		if n := len(b.Times); ok && (n == 0 || at > b.Times[n-1]) {
			b.Times, s.rows = append(b.Times, at), append(s.rows, row...)
		}
	}
	for ; s.next <= now; s.next += s.every {
		events, some := s.round()
		switch {
		case events != nil:
			spread(events, s.every, func(after int64, v float64) { add(s.next+after, v) })
		case some:
			add(s.next, s.values...)
		}
	}
	b.Values = make([]float64, 0, len(s.rows))
	for col, width := 0, len(s.series); col < width; col++ {
		for i := col; i < len(s.rows); i += width {
			v := s.rows[i]
			if v != v {
				b.SetAbsent(len(b.Values))
				v = 0
			}
			b.Values = append(b.Values, v)
		}
	}
	return b
}

// round reads the next interval: the events in it where there are some, else one
// value of each series into values; some tells whether any is not missing.
func (s *source) round() (events []script.Event, some bool) {
	for i, c := range s.series {
		s.values[i] = math.NaN()
		r, k := c.at()
		if r == nil {
			continue
		}
		c.k++
		switch {
		case r.Events != nil:
			return r.Events, true // a series with events is a source by itself
		case !r.Missing:
			s.values[i], some = r.At(k), true
		}
	}
	return nil, some
}

// spread gives each event of an interval and how long after its beginning it
// comes.
func spread(events []script.Event, every int64, each func(after int64, v float64)) {
	n, at := int64(0), int64(0)
	for _, e := range events {
		n += int64(e.N)
	}
	for _, e := range events {
		for range e.N {
			each(at*every/n, e.Value)
			at++
		}
	}
}
