package aggregate

import (
	"slices"

	"nines/internal/wire"
)

// fan spreads what cumulative series gained over the cells of all streams that
// count it by the same groups. Hosts of equal groups share one: a reading is
// added once, and what it is in good and total of each stream is worked out at
// the cut.
type fan struct {
	span
	bin, slot int64 // lengths of bins and slots
	bins      []gain
	dirty     bool // it has bins
	feeds     []feed
	totals    int   // how many of the feeds count all events
	fed       int64 // the last sweep that found it in use
}

// gain is what a stretch's readings added to one bin.
type gain struct {
	start, newest int64
	events        uint64
	// risen is the newest of the readings that showed events, of which only the
	// counters of all events say something by showing none.
	risen int64
	some  bool
}

// gainColumn ties a column of a cumulative series to its fans.
type gainColumn struct {
	col    int
	series uint64 // hash of name and labels
	fresh  bool
	who    *readers // who read it: a reader for each feed of the fans
	fans   []*fan
	totals int // of all fans
}

// gain takes one value of a cumulative series.
func (s *State) gain(gc *gainColumn, c *cumulative, t int64, v float64) {
	if !(v >= 0) || v >= 1<<63 {
		return
	}
	if c.who != gc.who && !s.align(c, gc.who, false) {
		s.gainApart(gc, c, t, func(n *counter) (uint64, int64, bool) { return s.risen(n, t, uint64(v)) })
		return
	}
	inc, since, ok := s.risen(&c.counter, t, uint64(v))
	if !ok || inc == 0 && gc.totals == 0 {
		return
	}
	for _, f := range gc.fans {
		s.credit(f, since, t, inc)
	}
}

// gainApart does what gain and gainForeign do where the readers do not agree on
// the last value: some stream began to read the series later than others. risen
// says what happened since a reader's last.
func (s *State) gainApart(gc *gainColumn, c *cumulative, t int64, risen func(*counter) (inc uint64, since int64, ok bool)) {
	for _, f := range gc.fans {
		for i := range f.feeds {
			fd := &f.feeds[i]
			if inc, since, ok := risen(c.of(fd.reader())); ok {
				s.placeGain(fd, since, t, inc)
			}
		}
	}
	c.unite(gc.who)
}

// placeGain places what one feed gained; see place.
func (s *State) placeGain(fd *feed, since, t int64, inc uint64) {
	if inc == 0 && fd.role != roleTotal {
		return
	}
	good, total := fd.stream.counts(fd.role, inc)
	s.place(fd.stream, fd.cell, since, t, good, total, inc > 0)
}

// credit adds what happened after a reading at prevTime, 0 where there was none,
// and until t; see place.
func (s *State) credit(f *fan, prevTime, t int64, inc uint64) {
	at := t - 1
	if at < f.From || at >= f.Until || inc == 0 && f.totals == 0 {
		return
	}
	if prevTime != 0 && t-prevTime > f.slot || prevTime == 0 && s.missed {
		for i := range f.feeds {
			s.placeGain(&f.feeds[i], prevTime, t, inc)
		}
		return
	}
	b := s.fanBin(f, s.binStart(at, f.bin))
	b.events += inc
	b.newest = max(b.newest, t)
	if inc > 0 {
		b.risen, b.some = max(b.risen, t), true
	}
}

// fanBin returns the fan's bin that starts at start.
func (s *State) fanBin(f *fan, start int64) *gain {
	for i := len(f.bins) - 1; i >= 0; i-- {
		if f.bins[i].start == start {
			return &f.bins[i]
		}
	}
	if !f.dirty {
		f.dirty = true
		s.fanned = append(s.fanned, f)
	}
	f.bins = append(f.bins, gain{start: start})
	s.bins += len(f.feeds)
	return &f.bins[len(f.bins)-1]
}

// spreadFans adds what the fans gained in the stretch to their cells.
func (s *State) spreadFans() {
	bins := s.bins // which the fans have announced
	for _, f := range s.fanned {
		for i := range f.bins {
			s.spread(f, &f.bins[i])
		}
		if f.dirty = false; cap(f.bins) > keepBins {
			f.bins = nil
		}
		f.bins = f.bins[:0]
	}
	s.fanned, s.bins = s.fanned[:0], bins
}

func (s *State) spread(f *fan, b *gain) {
	for i := range f.feeds {
		fd := &f.feeds[i]
		newest := b.newest
		if fd.role != roleTotal {
			if newest = b.risen; !b.some {
				continue
			}
		}
		good, total := fd.stream.counts(fd.role, b.events)
		c := s.bin(fd.cell, b.start)
		c.good += good
		c.total += total
		c.newest = max(c.newest, newest)
	}
}

// fanKey is what a fan is found by.
type fanKey struct {
	of      *fanOutline
	labels  uint64 // hash of the group's
	vantage string
}

// fanOf returns the fan of the outline for a group and vantage point.
func (s *State) fanOf(of *fanOutline, by *grouped, vantage string) *fan {
	k := fanKey{of, by.hash, vantage}
	f := s.fans[k]
	if f != nil {
		return f
	}
	f = &fan{span: of.span, bin: of.bin, slot: of.slot, totals: of.totals, fed: s.swept, feeds: slices.Clone(of.feeds)}
	for i := range f.feeds {
		fd := &f.feeds[i]
		fd.cell = s.cell(wire.GroupKey{Stream: fd.stream.id, Labels: by.hash}, by.labels, vantage)
		s.feedBy(fd.cell, nil, ladderRung{})
	}
	s.fans[k] = f
	return f
}

// feedUntil marks the fan and its cells as in use by the sweep.
func (f *fan) feedUntil(swept int64) {
	if f.fed == swept {
		return
	}
	f.fed = swept
	for i := range f.feeds {
		f.feeds[i].cell.fed = swept
	}
}
