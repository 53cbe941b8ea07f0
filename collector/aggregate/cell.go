package aggregate

import (
	"cmp"
	"slices"
	"strings"

	"nines/internal/hist"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// group is one label combination of a stream.
type group struct {
	key    wire.GroupKey
	labels telemetry.Labels
	minute int64 // of log time, when last announced
	// cell is that of all vantage points where these are not told apart, else
	// the cells are in vantages.
	cell     *cell
	vantages map[string]*cell
}

// GroupKey is the key by which a table finds the group.
func (g *group) GroupKey() wire.GroupKey { return g.key }

// cell collects the current stretch's bins of one group and vantage point. There
// is one for each live group, and it is 128 bytes so that none are lost to the
// next size of the allocator.
type cell struct {
	group   *group
	vantage string
	bins    []bin
	one     [1]bin  // memory for the first
	sketch  *sketch // the last one added to
	serial  uint64  // unique among the state's cells
	fed     int64   // the last sweep that found it in use
	// ladder is all that feeds the cell, and rung the cell's place on it. Where
	// several ladders or a feed of its own do, it is nil and rung is mixedRung.
	ladder *ladder
	rung   int32
	rank   int32 // its place in the state's order, -1 before it has one
}

// mixedRung says that a cell is on no ladder alone; places are not below zero.
const mixedRung = -1

func (c *cell) mixed() bool { return c.rung == mixedRung }

// dirty tells whether the stretch has added to the cell.
func (c *cell) dirty() bool { return len(c.bins) > 0 }

// seat is a cell's place in the order of a partial's counts, with all that a
// cut reads of it side by side.
type seat struct {
	cell   *cell
	ladder *ladder // as the cell's
	rung   int32
	minute int32 // of log time, when it was last seen to that the group is announced
}

// bin is what the stretch added to one bin; see wire.BinCount.
type bin struct {
	start, newest      int64
	good, total, blind uint64
}

// sketch is a histogram of a group's samples in one slot since the last sketch
// cut.
type sketch struct {
	group *group
	slot  int64
	hist  hist.Histogram
	cut   bool // it has been published
}

type sketchKey struct {
	group *group
	slot  int64
}

// cell returns the cell of the group and vantage point, which it makes where
// there is none; labels are read then only.
func (s *State) cell(gk wire.GroupKey, labels telemetry.Labels, vantage string) *cell {
	g := s.groups.Get(gk)
	if g == nil {
		if slices.Equal(labels, s.grouped) {
			labels = s.grouped
		}
		s.grouped = labels
		g = &group{key: gk, labels: labels}
		s.groups.Put(g)
	}
	c := g.cell
	if vantage != "" {
		c = g.vantages[vantage]
	}
	if c != nil {
		return c
	}
	s.cellSerial++
	c = &cell{group: g, vantage: vantage, serial: s.cellSerial, fed: s.swept, rank: -1}
	c.bins = c.one[:0]
	g.add(c)
	s.unranked = append(s.unranked, c)
	return c
}

// bin returns the cell's bin that starts at start.
func (s *State) bin(c *cell, start int64) *bin {
	if n := len(c.bins); n > 0 && c.bins[n-1].start == start {
		return &c.bins[n-1]
	}
	return s.otherBin(c, start)
}

func (s *State) otherBin(c *cell, start int64) *bin {
	if !c.dirty() {
		s.dirty = append(s.dirty, c)
	}
	for i := len(c.bins) - 1; i >= 0; i-- {
		if c.bins[i].start == start {
			return &c.bins[i]
		}
	}
	c.bins = append(c.bins, bin{start: start})
	s.bins++
	return &c.bins[len(c.bins)-1]
}

// binStart returns the start of the bin of the length that holds t. Samples of
// one time come together, and most bins have one length.
func (s *State) binStart(t, length int64) int64 {
	if t != s.binTime || length != s.binLength {
		s.binTime, s.binLength, s.binFrom = t, length, t-mod(t, length)
	}
	return s.binFrom
}

// sketchOf returns the histogram of the cell's group and the slot.
func (s *State) sketchOf(c *cell, slot int64) *hist.Histogram {
	if k := c.sketch; k != nil && k.slot == slot && !k.cut {
		return &k.hist
	}
	key := sketchKey{c.group, slot}
	k := s.sketches[key]
	if k == nil {
		k = &sketch{group: c.group, slot: slot}
		s.sketches[key] = k
	}
	c.sketch = k
	return &k.hist
}

// ranked brings the new cells into the order. Cells are ranked once, so that a
// cut need not sort.
func (s *State) ranked() {
	if len(s.unranked) == 0 {
		return
	}
	slices.SortFunc(s.unranked, compareCells)
	merged := make([]seat, 0, len(s.order)+len(s.unranked))
	i := 0
	for _, c := range s.unranked {
		for i < len(s.order) && compareCells(s.order[i].cell, c) < 0 {
			merged = append(merged, s.order[i])
			i++
		}
		merged = append(merged, seat{cell: c, ladder: c.ladder, rung: c.rung, minute: -1})
	}
	s.order, s.unranked = append(merged, s.order[i:]...), nil
	s.number()
}

// number tells the cells their ranks, and the encoder their order.
func (s *State) number() {
	s.counted = wire.NewCountOrder(len(s.order))
	for i := range s.order {
		c := s.order[i].cell
		c.rank = int32(i)
		s.counted.Add(c.group.key, c.vantage)
	}
}

// feedBy notes a ladder that feeds the cell, or with none a feed of its own.
func (s *State) feedBy(c *cell, l *ladder, r ladderRung) {
	switch {
	case !c.mixed() && l != nil && c.ladder == nil:
		c.ladder, c.rung = l, r.place()
	case !c.mixed() && l != nil && c.ladder == l:
		return
	default:
		for _, fed := range []*ladder{l, c.ladder} {
			if fed != nil {
				fed.mixed = true
			}
		}
		c.ladder, c.rung = nil, mixedRung
	}
	if c.rank >= 0 {
		s.order[c.rank].ladder, s.order[c.rank].rung = c.ladder, c.rung
	}
}

func compareCells(a, b *cell) int {
	if a.group != b.group {
		return compareGroups(a.group.key, b.group.key)
	}
	return strings.Compare(a.vantage, b.vantage)
}

func compareGroups(a, b wire.GroupKey) int {
	return cmp.Or(strings.Compare(a.Stream, b.Stream), cmp.Compare(a.Labels, b.Labels))
}

// keepDirty forgets all cells but those of the current stretch: the rules have
// changed, and boots resolve what they feed anew.
func (s *State) keepDirty() {
	for g := range s.groups.All() {
		g.cell, g.vantages = nil, nil
	}
	for _, c := range s.dirty {
		c.group.add(c)
		c.ladder, c.rung, c.rank = nil, 0, -1
	}
	s.order, s.unranked = nil, slices.Clone(s.dirty)
}

func (g *group) add(c *cell) {
	switch {
	case c.vantage == "":
		g.cell = c
	case g.vantages == nil:
		g.vantages = map[string]*cell{c.vantage: c}
	default:
		g.vantages[c.vantage] = c
	}
}

// sweepCells drops the cells that the running sweep found in no use, and the
// groups that have none left.
func (s *State) sweepCells() {
	s.order = slices.DeleteFunc(s.order, func(st seat) bool { return st.cell.fed != s.swept })
	s.number()
	s.groups.DeleteFunc(func(g *group) bool {
		if g.cell != nil && g.cell.fed != s.swept {
			g.cell = nil
		}
		for v, c := range g.vantages {
			if c.fed != s.swept {
				delete(g.vantages, v)
			}
		}
		return g.cell == nil && len(g.vantages) == 0
	})
}
