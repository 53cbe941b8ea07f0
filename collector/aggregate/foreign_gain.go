package aggregate

import "nines/internal/telemetry"

// addForeignGain adds to the plan what a cumulative series feeds. Series of one
// name that are alike to all matchers share an outline, so that each has its
// groups found and nothing else.
func (s *State) addForeignGain(p *plan, series *telemetry.Series) {
	if s.rules.byMetric[series.Name] == nil {
		return
	}
	var room [256]byte
	key := appendValues(appendText(room[:0], series.Name), s.rules.matched, series.Labels)
	outlines := s.foreign.outlines
	o := outlines[string(key)]
	if o == nil {
		o = &outline{}
		s.outlineGain(o, 0, series, nil)
		if len(outlines) >= maxForeignSeries {
			clear(outlines) // plans keep theirs
		}
		outlines[string(key)] = o
	}
	if len(o.gains) == 0 {
		return
	}
	g := &o.gains[0]
	gc := gainColumn{who: g.who, totals: g.totals, fans: make([]*fan, 0, len(g.fans))}
	groups := make([]grouped, len(o.groupings))
	for _, of := range g.fans {
		by := &groups[of.grouping]
		by.find(o.groupings[of.grouping], series.Labels, nil)
		gc.fans = append(gc.fans, s.fanOf(of, by, of.vantageOf(series, nil)))
	}
	p.gains = append(p.gains, gc)
}

// gainForeign turns a cumulative value into what happened since the last one, or
// since start where the counter began after it; see gain.
func (s *State) gainForeign(gc *gainColumn, c *cumulative, start, t int64, now uint64) {
	if c.who != gc.who && !s.align(c, gc.who, false) {
		s.gainApart(gc, c, t, func(n *counter) (uint64, int64, bool) { return s.foreign.risen(n, start, t, now) })
		return
	}
	inc, since, ok := s.foreign.risen(&c.counter, start, t, now)
	if !ok {
		return
	}
	for _, f := range gc.fans {
		s.credit(f, since, t, inc)
	}
}

// risen takes a cumulative value of time t that counts from start on, and returns
// what happened since the reading before, or since start where the counter began
// after it. It is not ok where the value says nothing new.
func (f *foreignState) risen(c *counter, start, t int64, now uint64) (inc uint64, since int64, ok bool) {
	prev, since := c.value, c.time
	if since != 0 && t <= since {
		return 0, 0, false // a repeat, or older than what is already counted
	}
	c.value, c.time = now, t
	switch {
	case since == 0 && !f.heardFrom(start):
		return 0, 0, false // the base
	case since == 0 || start > since:
		return now, start, true
	case now >= prev:
		return now - prev, since, true
	}
	return now, since, true // the counter was reset
}

// heardFrom tells whether a counter that started then was read from its start
// on.
func (f *foreignState) heardFrom(start int64) bool {
	return start != 0 && f.began != 0 && start >= f.began
}
