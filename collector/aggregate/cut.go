package aggregate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"nines/internal/wire"
)

// cut ends the stretch and returns what it added.
func (s *State) cut(sketches bool) *wire.Partial {
	if sketches {
		s.judgeForeign()
	}
	p := &wire.Partial{
		Source: s.source, Sources: s.sources, Incarnation: s.incarnation,
		From: s.from, To: s.pos, LogTime: s.logTime, RuleSet: s.rules.id,
		Gaps: s.gaps, Unplaced: s.unplaced,
	}
	for i := range p.Gaps {
		if g := &p.Gaps[i]; g.Reason == wire.ReasonLog {
			g.To = s.logTime
		}
	}
	s.cutCells(p)
	s.cutRegions(p)
	s.from, s.sinceCut, s.bins, s.gaps, s.unplaced = s.pos, 0, 0, nil, nil
	if sketches {
		s.sketchMark = s.logTime / sketchEvery
		s.cutSketches(p)
		s.cutAgents(p)
	}
	for i := range p.Unplaced {
		s.announce(p, s.groups.Get(p.Unplaced[i].Group))
	}
	if sketches {
		s.forget()
	}
	return p
}

// cutCells moves the bins into the partial, sorted.
func (s *State) cutCells(p *wire.Partial) {
	s.spreadFans()
	laddered := s.sumLadders(false)
	s.ranked()
	c := s.spare
	if s.spare = nil; c == nil {
		c = &wire.PackedCounts{}
	}
	c.Reset(s.counted)
	c.Rows = slices.Grow(c.Rows, s.bins)
	for _, l := range s.climbed {
		l.placed = int32(len(c.Moments))
		if len(l.bins) == 1 && l.dirty {
			l.only, l.total = l.bins[0].counts, l.bins[0].total
		}
		for i := range l.bins {
			b := &l.bins[i]
			c.Moments = append(c.Moments, wire.Moment{Bin: b.start, Newest: b.newest, Total: b.total})
		}
	}
	if len(s.dirty)+laddered < len(s.order)/8 {
		for _, i := range s.touched() {
			s.cutSeat(p, c, i)
		}
	} else {
		s.cutSeats(p, c)
	}
	s.dirty = s.dirty[:0]
	s.resetLadders()
	if p.Packed = c; !s.packs {
		p.Counts, p.Packed = c.Append(nil), nil
		s.keep(c)
	}
}

// touched returns the places of the cells that the stretch added to, in order.
func (s *State) touched() []int {
	var at []int
	for _, c := range s.dirty {
		at = append(at, int(c.rank))
	}
	for _, l := range s.climbed {
		if l.dirty { // else it was summed into its cells
			for _, r := range l.rungs {
				at = append(at, int(r.cell.rank))
			}
		}
	}
	slices.Sort(at)
	return at
}

// cutSeats appends what the stretch added to all cells. Most are fed by a ladder
// that has one bin, and were announced in this minute.
func (s *State) cutSeats(p *wire.Partial, c *wire.PackedCounts) {
	minute := int32(s.logTime / 60_000)
	rows := c.Rows
	for i := range s.order {
		st := &s.order[i]
		if l := st.ladder; l != nil && len(l.only) > 0 && st.minute == minute {
			good := l.only[st.rung>>1]
			if st.rung&1 != 0 {
				good = l.total - good
			}
			rows = append(rows, wire.CountRow{Seat: int32(i), Moment: l.placed, Good: good})
			continue
		}
		c.Rows = rows
		s.cutSeat(p, c, i)
		rows = c.Rows
	}
	c.Rows = rows
}

// cutSeat appends what the stretch added to the cell of that rank.
func (s *State) cutSeat(p *wire.Partial, c *wire.PackedCounts, rank int) {
	st := &s.order[rank]
	l := st.ladder
	if l != nil && !l.mixed {
		if !l.dirty {
			return
		}
	} else if !st.cell.dirty() {
		return
	}
	if minute := int32(s.logTime / 60_000); st.minute != minute {
		st.minute = minute
		s.announce(p, st.cell.group)
	}
	if l == nil || l.mixed {
		cutCell(c, st.cell, rank)
		return
	}
	for i := range l.bins {
		c.Rows = append(c.Rows, wire.CountRow{Seat: int32(rank), Moment: l.placed + int32(i), Good: l.bins[i].good(st.rung)})
	}
}

func cutCell(out *wire.PackedCounts, c *cell, rank int) {
	if len(c.bins) > 1 {
		slices.SortFunc(c.bins, func(a, b bin) int { return cmp.Compare(a.start, b.start) })
	}
	for i := range c.bins {
		b := &c.bins[i]
		out.Rows = append(out.Rows, wire.CountRow{Seat: int32(rank), Moment: int32(len(out.Moments)), Good: b.good})
		out.Moments = append(out.Moments, wire.Moment{Bin: b.start, Newest: b.newest, Total: b.total, Blind: b.blind})
	}
	if cap(c.bins) > keepBins {
		c.bins = c.one[:]
	}
	c.bins = c.bins[:0]
}

// keepCounts is how many counts' memory is kept in any case, 2 MB. What a
// spool's replay needed beyond is given up when it is over.
const keepCounts = 1 << 17

// Pack has partials carry their counts packed from here on, for the encoder.
func (s *State) Pack() { s.packs = true }

// Recycle hands the memory of a partial's packed counts and announcements back
// for the next ones: its caller keeps nothing of these.
func (s *State) Recycle(p *wire.Partial) {
	if p.Packed != nil {
		s.keep(p.Packed)
	}
	if cap(p.Groups) > cap(s.spareGroups) {
		s.spareGroups = p.Groups[:0]
	}
	p.Packed, p.Groups = nil, nil
}

func (s *State) keep(c *wire.PackedCounts) {
	room := cap(c.Rows)
	if (s.spare == nil || room > cap(s.spare.Rows)) && (room <= keepCounts || len(c.Rows) > room/8) {
		s.spare = c
	}
}

func (s *State) cutRegions(p *wire.Partial) {
	for _, r := range s.heardRegions {
		p.Regions = append(p.Regions, r.seen)
		r.seen.Frames, r.seen.Newest = 0, 0
	}
	s.heardRegions = s.heardRegions[:0]
	slices.SortFunc(p.Regions, func(a, b wire.RegionSeen) int { return strings.Compare(a.Region, b.Region) })
}

func (s *State) cutSketches(p *wire.Partial) {
	all := slices.SortedFunc(maps.Values(s.sketches), func(a, b *sketch) int {
		return cmp.Or(compareGroups(a.group.key, b.group.key), cmp.Compare(a.slot, b.slot))
	})
	for _, k := range all {
		k.cut = true
		s.announce(p, k.group)
		p.Sketches = append(p.Sketches, wire.Sketch{Group: k.group.key, Slot: k.slot, Hist: k.hist})
	}
	clear(s.sketches)
}

func (s *State) cutAgents(p *wire.Partial) {
	slices.SortFunc(s.heard, func(a, b *boot) int {
		return cmp.Or(strings.Compare(a.key.Agent, b.key.Agent), cmp.Compare(a.key.Boot, b.key.Boot))
	})
	p.Agents = slices.Grow(p.Agents, len(s.heard))
	for _, b := range s.heard {
		p.Agents = append(p.Agents, wire.AgentSeen{Agent: b.key.Agent, Boot: b.key.Boot, Host: b.host,
			Frames: b.seen.frames, Samples: b.seen.samples, Repeats: b.seen.repeats,
			LastSeq: b.lastSeq, Newest: b.seen.newest, Skew: b.seen.skew})
		b.heard = false
	}
	s.heard = s.heard[:0]
}

// announce adds the group's labels to a partial that mentions it, unless they
// were announced in this minute of log time.
func (s *State) announce(p *wire.Partial, g *group) {
	if minute := s.logTime / 60_000; g != nil && g.minute != minute {
		g.minute = minute
		if p.Groups == nil {
			p.Groups, s.spareGroups = s.spareGroups, nil
		}
		p.Groups = append(p.Groups, wire.GroupLabels{Key: g.key, Labels: g.labels})
	}
}

// forget drops what has been silent for so long that nothing can come after.
func (s *State) forget() {
	for k, b := range s.boots {
		if b.used < s.logTime-agentLife {
			delete(s.boots, k)
			b.gone = true
			if s.newest[k.Agent] == k {
				delete(s.newest, k.Agent)
			}
		}
	}
	for k, c := range s.counters {
		if c.lastUsed() < s.logTime-agentLife && s.gone(k.agent, k.boot) {
			delete(s.counters, k)
		}
	}
	for k, p := range s.pairs {
		if p.used < s.logTime-agentLife && s.gone(k.agent, k.boot) {
			delete(s.pairs, k)
		}
	}
	for r := range s.refusals {
		if s.boots[r.boot] == nil {
			delete(s.refusals, r)
		}
	}
	for fp, sc := range s.schemas {
		if sc.used < s.logTime-agentLife {
			delete(s.schemas, fp)
			sc.gone = true
			clear(s.recent[:])
		}
	}
	s.foreign.forget(s.logTime)
	s.forgetStrikes()
	if s.logTime >= s.swept+sweepEvery {
		s.sweep()
	}
}

// gone tells whether the boot that feeds a counter is forgotten, an agent's newest
// where boot is 0: its plans point to its counters, which live as long as it.
func (s *State) gone(agent string, boot uint64) bool {
	b := bootKey{agent, boot}
	if boot == 0 {
		b = s.newest[agent]
	}
	return s.boots[b] == nil
}

// sweep drops the cells and labels of groups that no boot feeds any more, the
// plans of hosts that are gone, and what boots resolved of schemas that are
// forgotten.
func (s *State) sweep() {
	s.swept = s.logTime
	for _, b := range s.boots {
		b.region = nil
		b.schemas = slices.DeleteFunc(b.schemas, func(r resolved) bool { return s.schemas[r.fingerprint] == nil })
		for i := range b.schemas {
			b.schemas[i].plan.feedUntil(s.swept)
		}
		if b.class != nil {
			b.class.fed = s.swept
		}
	}
	s.foreign.sweep(s.swept)
	clear(s.regions)
	s.lastRegion = nil
	for k, c := range s.classes {
		c.plans = slices.DeleteFunc(c.plans, func(p *plan) bool { return p.fed != s.swept })
		if c.fed != s.swept {
			delete(s.classes, k)
		}
	}
	for k, l := range s.laddersBy {
		if l.fed != s.swept {
			delete(s.laddersBy, k)
		}
	}
	maps.DeleteFunc(s.fans, func(_ fanKey, f *fan) bool { return f.fed != s.swept })
	s.sweepKin()
	clear(s.scales) // ladders keep theirs
	s.sweepCells()
}

// feedUntil marks all that the plan feeds as in use by the sweep.
func (p *plan) feedUntil(swept int64) {
	if p == nil || p.fed == swept {
		return
	}
	p.fed = swept
	for i := range p.gains {
		for _, f := range p.gains[i].fans {
			f.feedUntil(swept)
		}
	}
	for i := range p.feeds {
		p.feeds[i].cell.fed = swept
	}
	for i := range p.pairs {
		p.pairs[i].cell.fed = swept
	}
	for i := range p.steps {
		p.steps[i].ladder.fed = swept
		for _, r := range p.steps[i].ladder.rungs {
			r.cell.fed = swept
		}
	}
}
