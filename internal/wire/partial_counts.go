package wire

import (
	"encoding/binary"
	"slices"
)

// Bits of a count's flags: what is written of it. Counts are sorted, so that
// most of a row follows from the row before.
const (
	countGroup   = 0x03 // which group, by one of the three below
	countVantage = 0x04 // the place of the vantage point follows; else as before
	countBin     = 0x08 // the distance to the bin before follows, in units; else as before
	countAllGood = 0x10 // Good equals Total and is not written
	countBlind   = 0x20 // Blind follows; else 0
	countKnown   = 0x3f

	groupSame  = 0x00 // as before
	groupNext  = 0x01 // the next in the dictionary
	groupPlace = 0x02 // its place in the dictionary follows
)

// countColumns are the three parts of counts: what differs from count to count
// stands apart from what repeats, which costs half the bytes after compression
// and half the time to compress.
type countColumns struct {
	places []byte // flags, and what they say that follows
	events []byte // totals and newest times
	good   []byte // and blind
	// moments are the counts' with their bytes.
	moments []writtenMoment
	// present are the groups that counts are of, in the order of their first
	// mention, which is the order of their numbers; names are the vantage
	// points, and vantageAt their numbers from 1 by those of the order.
	present   []int32
	names     []string
	vantageAt []int32
}

// writtenMoment is a moment and what is written of it into events.
type writtenMoment struct {
	bin          int64
	total, blind uint64
	newest       uint64 // as written
	bytes        uint64 // of total and newest, least significant first
	size         int    // of them; 0 where they are more than 8
	plain        bool   // they are no more, and none was blind
}

// append appends the counts, and leaves behind what they mention.
func (c *countColumns) append(dst []byte, p *PackedCounts) []byte {
	dst = appendUvarint(dst, uint64(len(p.Rows)))
	c.present, c.names = c.present[:0], c.names[:0]
	if len(p.Rows) == 0 {
		return dst
	}
	first := p.Moments[p.Rows[0].Moment].Bin
	unit := binUnit(p.Moments, first)
	dst = appendVarint(dst, first)
	dst = appendUvarint(dst, uint64(unit))
	c.writeMoments(p.Moments)
	c.vantageAt = append(c.vantageAt[:0], make([]int32, len(p.Order.vantages))...)
	c.put(p, first, unit)
	dst = appendBytes(dst, c.places)
	dst = appendBytes(dst, c.events)
	return appendBytes(dst, c.good)
}

// writeMoments writes what all counts of a moment have in common.
func (c *countColumns) writeMoments(moments []Moment) {
	c.moments = slices.Grow(c.moments[:0], len(moments))
	var room [2 * binary.MaxVarintLen64]byte
	for i := range moments {
		m := &moments[i]
		w := writtenMoment{bin: m.Bin, total: m.Total, blind: m.Blind, newest: zigzag(m.Newest - m.Bin)}
		clear(room[:8])
		if n := len(appendShort(appendShort(room[:0], w.total), w.newest)); n <= 8 {
			w.plain = w.blind == 0
			w.size, w.bytes = n, binary.LittleEndian.Uint64(room[:])
		}
		c.moments = append(c.moments, w)
	}
}

// put writes the columns.
func (c *countColumns) put(p *PackedCounts, bin, unit int64) {
	seats := p.Order.seats
	places := slices.Grow(c.places[:0], len(p.Rows))
	events := slices.Grow(c.events[:0], 8*len(p.Rows))
	good := slices.Grow(c.good[:0], len(p.Rows))
	group, number, vantage, place := int32(-1), -1, int32(-1), int32(0)
	for i := range p.Rows {
		r := &p.Rows[i]
		s, m := seats[r.Seat], &c.moments[r.Moment]
		if m.plain && m.bin == bin && s.vantage == vantage && s.group > group && number == len(c.present)-1 {
			// Most are: a new group at the same time and place.
			group, number = s.group, number+1
			c.present = append(c.present, group)
			flags := byte(groupNext)
			switch {
			case r.Good == m.total:
				flags |= countAllGood
			case r.Good < 1<<7:
				good = append(good, byte(r.Good))
			default:
				good = appendShort(good, r.Good)
			}
			places = append(places, flags)
			at := len(events)
			binary.LittleEndian.PutUint64(events[at:at+8], m.bytes)
			events = events[:at+m.size]
			continue
		}
		flags := byte(groupSame)
		if s.group != group {
			group = s.group
			n := c.number(group)
			if flags = groupPlace; n == number+1 {
				flags = groupNext
			}
			number = n
		}
		if s.vantage != vantage {
			vantage = s.vantage
			if v := c.vantage(p.Order, vantage); v != place {
				place = v
				flags |= countVantage
			}
		}
		if m.bin != bin {
			flags |= countBin
		}
		if r.Good == m.total {
			flags |= countAllGood
		} else {
			good = appendShort(good, r.Good)
		}
		if m.blind != 0 {
			flags |= countBlind
			good = appendShort(good, m.blind)
		}
		places = append(places, flags)
		if flags&countGroup == groupPlace {
			places = appendUvarint(places, uint64(number))
		}
		if flags&countVantage != 0 {
			places = appendUvarint(places, uint64(place))
		}
		if flags&countBin != 0 {
			places = appendVarint(places, (m.bin-bin)/unit)
			bin = m.bin
		}
		if m.size == 0 {
			events = appendShort(appendShort(events, m.total), m.newest)
			events = slices.Grow(events, 8*(len(p.Rows)-i))
			continue
		}
		// Eight bytes at once, of which those that count stay.
		at := len(events)
		binary.LittleEndian.PutUint64(events[at:at+8], m.bytes)
		events = events[:at+m.size]
	}
	c.places, c.events, c.good = places, events, good
}

// number returns the group's number among those present. New ones come in the
// order of their numbers in the order.
func (c *countColumns) number(group int32) int {
	n := len(c.present)
	if n == 0 || c.present[n-1] < group {
		c.present = append(c.present, group)
		return n
	}
	n, _ = slices.BinarySearch(c.present, group)
	return n
}

func (c *countColumns) vantage(o *CountOrder, v int32) int32 {
	if c.vantageAt[v] == 0 {
		c.names = append(c.names, o.vantages[v])
		c.vantageAt[v] = int32(len(c.names))
	}
	return c.vantageAt[v] - 1
}

func (c *countColumns) appendVantages(dst []byte) []byte {
	dst = appendUvarint(dst, uint64(len(c.names)))
	for _, v := range c.names {
		dst = appendString(dst, v)
	}
	return dst
}

// appendShort is appendUvarint, quick for the one or two bytes that most take.
func appendShort(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v)|0x80, byte(v>>7))
	}
	return binary.AppendUvarint(b, v)
}

// binUnit returns the greatest length that divides the distances of all bins,
// in milliseconds.
func binUnit(moments []Moment, first int64) int64 {
	unit := uint64(0)
	last := first
	for i := range moments {
		d := moments[i].Bin - first
		if moments[i].Bin == last || d == 0 {
			continue
		}
		last = moments[i].Bin
		if d >= 1<<62 || d <= -1<<62 {
			return 1 // distances between such bins wrap
		}
		a, b := unit, uint64(max(d, -d))
		for b != 0 {
			a, b = b, a%b
		}
		unit = a
	}
	if unit == 0 {
		return 1
	}
	return int64(unit)
}
