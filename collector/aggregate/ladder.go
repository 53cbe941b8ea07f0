package aggregate

import (
	"cmp"
	"encoding/binary"
	"slices"
)

const (
	// ladderFrom is how many streams must judge the same values by thresholds
	// alone for a ladder to be cheaper than to judge each for itself.
	ladderFrom = 4
	// maxRungs bounds a ladder to what a scale's table can count.
	maxRungs = 1 << 15
)

// ladder counts values for all streams that judge them by a threshold. A sample
// is counted once, between two rungs; what that is in good and total of each
// stream is summed up at the cut.
type ladder struct {
	// What each sample reads, side by side.
	scale *scale
	span  span
	bin   int64
	bins  []ladderBin // of the stretch

	rungs []ladderRung
	dirty bool  // it has bins
	mixed bool  // it shares cells with others, so that it is summed in these
	fed   int64 // the last sweep that found it in use
	// Of the partial being cut: where the moments of its bins begin, and where it
	// has one bin and its cells to itself, the bin's sums.
	placed int32
	only   []uint64
	total  uint64
}

type ladderRung struct {
	cell *cell
	// index is the cut's in the scale; above says that values above it are good.
	index int
	above bool
}

// place puts index and above into one number.
func (r ladderRung) place() int32 {
	if r.above {
		return int32(r.index)<<1 | 1
	}
	return int32(r.index) << 1
}

type ladderBin struct {
	start, newest int64
	counts        []uint64 // by place on the scale
	// total is known when the bin is summed: each of counts is then the sum of
	// those up to it.
	total uint64
}

// sum turns the counts into sums.
func (b *ladderBin) sum() {
	b.total = 0
	for i := range b.counts {
		b.total += b.counts[i]
		b.counts[i] = b.total
	}
}

// good returns how many of a summed bin's values were good at a rung's place.
func (b *ladderBin) good(place int32) uint64 {
	n := b.counts[place>>1]
	if place&1 != 0 {
		return b.total - n
	}
	return n
}

// step is a feed's place on a ladder to be.
type step struct {
	feed  feed
	cut   int64
	above bool
}

// ladders takes from the feeds of one column those that are enough for ladders,
// and returns these and the feeds that are left.
func (s *State) ladders(feeds []feed) (left []feed, made []*ladder) {
	if len(feeds) < ladderFrom {
		return feeds, nil
	}
	type kind struct {
		span
		bin int64
	}
	var order []kind
	steps := map[kind][]step{}
	for _, fd := range feeds {
		st := fd.stream
		cut, above, ok := rung(st.op, st.def.Threshold)
		if !ok || fd.role != roleSample || st.def.Histogram {
			left = append(left, fd)
			continue
		}
		k := kind{st.span, st.def.Bin}
		if steps[k] == nil {
			order = append(order, k)
		}
		steps[k] = append(steps[k], step{fd, cut, above})
	}
	for _, k := range order {
		of := steps[k]
		if len(of) < ladderFrom || len(of) > maxRungs {
			for i := range of {
				left = append(left, of[i].feed)
			}
			continue
		}
		made = append(made, s.ladderOf(k.span, k.bin, of))
	}
	return left, made
}

// ladderOf returns the ladder of the steps: one for all columns of all schemas
// and hosts that feed the same cells in the same way.
func (s *State) ladderOf(sp span, bin int64, steps []step) *ladder {
	slices.SortFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.cut, b.cut), cmp.Compare(a.feed.cell.serial, b.feed.cell.serial))
	})
	key := binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(nil, sp.From), sp.Until), bin)
	cuts := make([]int64, len(steps))
	for i := range steps {
		cuts[i] = steps[i].cut
		key = binary.AppendUvarint(key, steps[i].feed.cell.serial)
	}
	if l := s.laddersBy[string(key)]; l != nil {
		return l
	}
	l := &ladder{scale: s.scaleOf(cuts), span: sp, bin: bin, fed: s.swept}
	for i := range steps {
		at, _ := slices.BinarySearch(l.scale.cuts, steps[i].cut)
		l.rungs = append(l.rungs, ladderRung{steps[i].feed.cell, at, steps[i].above})
		s.feedBy(steps[i].feed.cell, l, l.rungs[i])
	}
	s.laddersBy[string(key)] = l
	return l
}

// count adds one value to the stretch.
func (s *State) count(l *ladder, t int64, v float64) {
	if t < l.span.From || t >= l.span.Until || v != v {
		return
	}
	start := s.binStart(t, l.bin)
	var b *ladderBin
	if n := len(l.bins); n > 0 && l.bins[n-1].start == start {
		b = &l.bins[n-1]
	} else {
		b = s.ladderBin(l, start)
	}
	b.newest = max(b.newest, t)
	b.counts[l.scale.place(v)]++
}

func (s *State) ladderBin(l *ladder, start int64) *ladderBin {
	if !l.dirty {
		l.dirty = true
		s.climbed = append(s.climbed, l)
	}
	for i := len(l.bins) - 1; i >= 0; i-- {
		if l.bins[i].start == start {
			return &l.bins[i]
		}
	}
	n := len(l.bins)
	l.bins = slices.Grow(l.bins, 1)[:n+1] // what lies there keeps its counts, cleared
	b := &l.bins[n]
	if b.start, b.newest = start, 0; b.counts == nil {
		b.counts = make([]uint64, len(l.scale.cuts)+1)
	}
	s.bins += len(l.rungs)
	return b
}

// sumLadders sums what the ladders counted in the stretch; those that are mixed,
// or all of them, into their cells. It returns how many counts the others make.
func (s *State) sumLadders(all bool) (n int) {
	for _, l := range s.climbed {
		for i := range l.bins {
			l.bins[i].sum()
		}
		if l.mixed || all {
			s.sumIntoCells(l)
			continue
		}
		n += len(l.rungs) * len(l.bins)
		slices.SortFunc(l.bins, func(a, b ladderBin) int { return cmp.Compare(a.start, b.start) })
	}
	return n
}

func (s *State) sumIntoCells(l *ladder) {
	for i := range l.bins {
		b := &l.bins[i]
		for _, r := range l.rungs {
			c := s.bin(r.cell, b.start)
			c.good += b.good(r.place())
			c.total += b.total
			c.newest = max(c.newest, b.newest)
		}
	}
	l.reset()
}

// resetLadders begins the next stretch.
func (s *State) resetLadders() {
	for _, l := range s.climbed {
		l.reset()
	}
	s.climbed = s.climbed[:0]
}

func (l *ladder) reset() {
	for i := range l.bins {
		clear(l.bins[i].counts)
	}
	l.only = nil
	if cap(l.bins) > keepBins {
		l.bins = nil
	}
	l.bins, l.dirty = l.bins[:0], false
}

// keepBins is how many bins a cell or ladder keeps room for between stretches;
// a spool's replay needs more for a while.
const keepBins = 64
