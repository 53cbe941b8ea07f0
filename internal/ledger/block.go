package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"nines/internal/sla"
)

// hourMillis is the length of the stretch whose slots of one group share a row.
const hourMillis = 3_600_000

// blockFormat is the first byte of a block. One of plainFormat, which is read and
// no longer written, does not tell who saw a good slot that is complete.
const (
	blockFormat = 2
	plainFormat = 1
)

// Bounds of what a block may hold, so that damaged bytes claim no memory.
const (
	maxBlockSlots = 1 << 16
	maxBlockWords = 1 << 20
	maxBlockNames = 1 << 16
)

// writtenUnit is the precision of WrittenAt in milliseconds. Slots close within
// seconds of each other's pace, so that the coarse value is the same all hour
// and costs nothing.
const writtenUnit = 10_000

// Versioned is one version of a slot and when it was written.
type Versioned struct {
	Slot
	// WrittenAt is the log time of the commit that wrote the version, Unix
	// milliseconds, rounded up to 10 s after the slot's start.
	WrittenAt int64
}

// hourOf returns the start of the hour in which t lies, also before 1970.
func hourOf(t int64) int64 {
	h := t - t%hourMillis
	if h > t {
		h -= hourMillis
	}
	return h
}

// writtenLag is WrittenAt as it is stored: units since the slot's start.
func writtenLag(v *Versioned) int64 {
	d := v.WrittenAt - v.Start
	lag := d / writtenUnit
	if d%writtenUnit > 0 {
		lag++
	}
	return lag
}

// appendBlock encodes slots of one group that start in the hour, ascending by
// start. docs/ledger.md has the format.
func appendBlock(b []byte, hour int64, slots []Versioned) []byte {
	var n names
	var sets nameSets
	for i := range slots {
		n.id(slots[i].Reason)
		for j := range slots[i].Vantages {
			n.id(slots[i].Vantages[j].Vantage)
		}
		sets.id(slots[i].Complete, &n)
	}
	b = append(b, blockFormat)
	b = binary.AppendUvarint(b, uint64(len(slots)))
	b = n.append(b)
	b = sets.append(b, &n)
	b = appendSlotColumns(b, hour, slots, &n, &sets)
	for i := range slots {
		for j := range slots[i].Vantages {
			v := &slots[i].Vantages[j]
			b = binary.AppendUvarint(b, n.id(v.Vantage))
			b = appendBitmap(b, v.OK)
			b = appendBitmap(b, v.Fail)
			b = appendBitmap(b, v.Missing)
		}
	}
	return b
}

func appendSlotColumns(b []byte, hour int64, slots []Versioned, n *names, sets *nameSets) []byte {
	col := make([]uint64, len(slots))
	put := func(f func(i int, s *Versioned) uint64) {
		for i := range slots {
			col[i] = f(i, &slots[i])
		}
		b = appendColumn(b, col)
	}
	prev := hour
	put(func(_ int, s *Versioned) uint64 {
		d := s.Start - prev
		prev = s.Start
		return uint64(d)
	})
	put(func(_ int, s *Versioned) uint64 { return uint64(s.State) })
	put(func(_ int, s *Versioned) uint64 { return uint64(s.Version) })
	var last uint64
	put(func(_ int, s *Versioned) uint64 {
		d := int64(s.Total - last)
		last = s.Total
		return zigzag(d)
	})
	put(func(_ int, s *Versioned) uint64 { return s.Total - s.Good + s.Owed })
	put(func(_ int, s *Versioned) uint64 { return s.Blind })
	put(func(_ int, s *Versioned) uint64 { return n.id(s.Reason) })
	put(func(_ int, s *Versioned) uint64 { return zigzag(writtenLag(s)) })
	put(func(_ int, s *Versioned) uint64 {
		if len(s.Vantages) == 0 && len(s.Complete) > 0 {
			return sets.id(s.Complete, n)<<1 | 1
		}
		return uint64(len(s.Vantages)) << 1
	})
	return b
}

// decodeBlock appends the block's slots to dst.
func decodeBlock(dst []Versioned, hour int64, b []byte) ([]Versioned, error) {
	return new(blockDecoder).decode(dst, hour, b)
}

// blockDecoder decodes blocks one after the other. Those with the same names
// share them.
type blockDecoder struct {
	format byte
	raw    []byte // of the names and their sets
	names  *names
	sets   [][]string
}

// decode appends the block's slots to dst.
func (d *blockDecoder) decode(dst []Versioned, hour int64, b []byte) ([]Versioned, error) {
	r := &reader{b: b}
	format := r.byte()
	if format != blockFormat && format != plainFormat && r.err == nil {
		return dst, fmt.Errorf("%w: block of format %d", errBytes, format)
	}
	count := r.uvarint()
	if count > maxBlockSlots {
		r.fail("too many slots")
	}
	if d.read(r, format); r.err != nil {
		return dst, r.err
	}
	n, sets := d.names, d.sets
	first := len(dst)
	dst = slices.Grow(dst, int(count))[:first+int(count)]
	slots := dst[first:]
	evidence := r.slotColumns(hour, slots, n)
	budget := maxBlockWords
	for i := range slots {
		switch e := evidence[i]; {
		case format == plainFormat:
			slots[i].Vantages = r.vantages(e, n, &budget)
		case e&1 == 0:
			slots[i].Vantages = r.vantages(e>>1, n, &budget)
		case e>>1 < uint64(len(sets)):
			slots[i].Complete = sets[e>>1]
		default:
			r.fail("unknown set of names")
		}
	}
	if err := r.end(); err != nil {
		return dst[:first], err
	}
	return dst, nil
}

// read reads the names and their sets, unless they are those of the block before.
func (d *blockDecoder) read(r *reader, format byte) {
	if d.format == format && bytes.HasPrefix(r.b, d.raw) {
		r.b = r.b[len(d.raw):]
		return
	}
	whole := r.b
	*d = blockDecoder{names: r.names()}
	if format == blockFormat && r.err == nil {
		d.sets = r.nameSets(d.names)
	}
	if r.err == nil {
		d.format, d.raw = format, bytes.Clone(whole[:len(whole)-len(r.b)])
	}
}

// slotColumns fills the slots and returns what there is of evidence of each.
func (r *reader) slotColumns(hour int64, slots []Versioned, n *names) []uint64 {
	col := make([]uint64, 0, len(slots))
	get := func(f func(s *Versioned, v uint64)) {
		col = r.column(col, len(slots))
		for i := range slots {
			f(&slots[i], col[i])
		}
	}
	at := uint64(0)
	get(func(s *Versioned, v uint64) {
		if v >= hourMillis || at+v >= hourMillis {
			r.fail("slot outside its hour")
			v = 0
		}
		at += v
		*s = Versioned{Slot: Slot{Start: hour + int64(at)}}
	})
	get(func(s *Versioned, v uint64) {
		if v > uint64(sla.Unknown) {
			r.fail("unknown state")
		}
		s.State = sla.State(v)
	})
	get(func(s *Versioned, v uint64) {
		if v > 1<<32-1 {
			r.fail("version too great")
		}
		s.Version = uint32(v)
	})
	var last uint64
	get(func(s *Versioned, v uint64) {
		last += uint64(unzigzag(v))
		s.Total = last
	})
	get(func(s *Versioned, v uint64) {
		if s.Good = s.Total - v; int64(s.Good) < 0 {
			s.Good, s.Owed = 0, -s.Good
		}
	})
	get(func(s *Versioned, v uint64) { s.Blind = v })
	get(func(s *Versioned, v uint64) { s.Reason = n.get(v, r) })
	get(func(s *Versioned, v uint64) { s.WrittenAt = s.Start + unzigzag(v)*writtenUnit })
	return r.column(col, len(slots))
}

func (r *reader) vantages(count uint64, n *names, budget *int) []sla.Bins {
	// Each vantage point has at least a name and three headers.
	if count > uint64(len(r.b))/4 {
		r.fail("too many vantage points")
	}
	if count == 0 || r.err != nil {
		return nil
	}
	vs := make([]sla.Bins, 0, count)
	for ; count > 0 && r.err == nil; count-- {
		vs = append(vs, sla.Bins{
			Vantage: n.get(r.uvarint(), r),
			OK:      r.bitmap(budget), Fail: r.bitmap(budget), Missing: r.bitmap(budget),
		})
	}
	return vs
}

// totalsOf sums up the final slots of a block.
func totalsOf(slots []Versioned) Totals {
	var t Totals
	for i := range slots {
		t.add(&slots[i].Slot)
	}
	return t
}

func (t *Totals) add(s *Slot) {
	if s.State == sla.Open {
		return
	}
	t.Good += s.Good
	t.Total += s.Total
	switch s.State {
	case sla.Good:
		t.GoodSlots++
	case sla.Bad:
		t.BadSlots++
	case sla.Unknown:
		t.UnknownSlots++
	}
}
