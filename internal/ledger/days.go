package ledger

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Hours of the newest days are rows of their own, which commits rewrite minute by
// minute. Before the day named in table packing, a group's hours of a day are one
// row of day_slots, and one of days. The row of slots is there because what a
// database spends on a row and its index entry is twice what a quiet hour takes.
// The row of totals is there because a take-over needs those of every hour of a
// quarter, without the slots.

// dayMillis is the length of a day in UTC, in milliseconds.
const dayMillis = 24 * hourMillis

// dayFormat is the first byte of a day's totals, daySlotsFormat that of its slots.
// Of one of wholeDaySlots, which is read and no longer written, the hours share
// nothing.
const (
	dayFormat      = 1
	daySlotsFormat = 2
	wholeDaySlots  = 1
)

func dayOf(t int64) int64 {
	d := t - t%dayMillis
	if d > t {
		d -= dayMillis
	}
	return d
}

// appendDay encodes the totals of a day's hours, ascending.
func appendDay(b []byte, day int64, hours []HourTotals) []byte {
	b = append(b, dayFormat, byte(len(hours)))
	for _, h := range hours {
		b = append(b, byte((h.Start-day)/hourMillis))
	}
	col := make([]uint64, len(hours))
	for _, f := range []func(*Totals) uint64{
		func(t *Totals) uint64 { return t.Total },
		func(t *Totals) uint64 { return t.Total - t.Good },
		func(t *Totals) uint64 { return t.GoodSlots },
		func(t *Totals) uint64 { return t.BadSlots },
		func(t *Totals) uint64 { return t.UnknownSlots },
	} {
		for i := range hours {
			col[i] = f(&hours[i].Totals)
		}
		b = appendColumn(b, col)
	}
	return b
}

// decodeDay appends a packed day's hours to dst.
func decodeDay(dst []HourTotals, day int64, b []byte) ([]HourTotals, error) {
	r := &reader{b: b}
	if f := r.byte(); f != dayFormat && r.err == nil {
		return dst, fmt.Errorf("%w: day of format %d", errBytes, f)
	}
	n := int(r.byte())
	if n > 24 {
		r.fail("more than 24 hours")
		n = 0
	}
	first := len(dst)
	last := -1
	for range n {
		h := int(r.byte())
		if h <= last || h > 23 {
			r.fail("hours out of order")
		}
		last = h
		dst = append(dst, HourTotals{Start: day + int64(h)*hourMillis})
	}
	hours := dst[first:]
	var buf [24]uint64
	for _, f := range []func(*Totals, uint64){
		func(t *Totals, v uint64) { t.Total = v },
		func(t *Totals, v uint64) { t.Good = t.Total - v },
		func(t *Totals, v uint64) { t.GoodSlots = v },
		func(t *Totals, v uint64) { t.BadSlots = v },
		func(t *Totals, v uint64) { t.UnknownSlots = v },
	} {
		for i, v := range r.column(buf[:0], n) {
			f(&hours[i].Totals, v)
		}
	}
	if err := r.end(); err != nil {
		return dst[:first], err
	}
	return dst, nil
}

// hourBlock is a group's block of one hour.
type hourBlock struct {
	hour  int64 // its start, Unix milliseconds
	block []byte
}

func byBlockHour(b hourBlock, hour int64) int { return cmp.Compare(b.hour, hour) }

// appendDaySlots encodes a day's blocks, ascending by hour: of each what differs
// from the one before. Most hours begin and end alike, or are alike.
func appendDaySlots(b []byte, day int64, hours []hourBlock) []byte {
	b = append(b, daySlotsFormat, byte(len(hours)))
	var prev []byte
	var buf [24][]byte
	fresh := buf[:0]
	for _, h := range hours {
		head := commonPrefix(prev, h.block)
		tail := commonSuffix(prev[head:], h.block[head:])
		prev = h.block
		own := h.block[head : len(h.block)-tail]
		fresh = append(fresh, own)
		b = append(b, byte((h.hour-day)/hourMillis))
		b = binary.AppendUvarint(b, uint64(head))
		b = binary.AppendUvarint(b, uint64(tail))
		b = binary.AppendUvarint(b, uint64(len(own)))
	}
	for _, own := range fresh {
		b = append(b, own...)
	}
	return b
}

func commonPrefix(a, b []byte) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) (n int) {
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// sharedBlock says how an hour's block is put together: so many bytes from the
// beginning of the block before, so many of its own, and so many from the other's
// end.
type sharedBlock struct{ head, own, tail uint64 }

// decodeDaySlots appends a day's blocks to dst. They do not depend on b.
func decodeDaySlots(dst []hourBlock, day int64, b []byte) ([]hourBlock, error) {
	r := &reader{b: b}
	format := r.byte()
	if format != daySlotsFormat && format != wholeDaySlots && r.err == nil {
		return dst, fmt.Errorf("%w: slots of a day of format %d", errBytes, format)
	}
	var shared [24]sharedBlock
	n := int(r.byte())
	if n > len(shared) {
		r.fail("more than 24 hours")
		n = 0
	}
	first, last := len(dst), -1
	var before, size uint64
	for i := range n {
		h := int(r.byte())
		if h <= last || h > 23 {
			r.fail("hours out of order")
		}
		last = h
		s := &shared[i]
		if format == daySlotsFormat {
			s.head, s.tail = r.uvarint(), r.uvarint()
		}
		s.own = r.uvarint()
		if s.head > before || s.tail > before-s.head || s.own > uint64(len(r.b)) {
			r.fail("hour of a wrong length")
			*s = sharedBlock{}
		}
		before = s.head + s.own + s.tail
		size += before
		dst = append(dst, hourBlock{hour: day + int64(h)*hourMillis})
	}
	r.sharedBlocks(dst[first:], &shared, size)
	if err := r.end(); err != nil {
		return dst[:first], err
	}
	return dst, nil
}

// sharedBlocks fills in the blocks, which are of so many bytes together.
func (r *reader) sharedBlocks(hours []hourBlock, shared *[24]sharedBlock, size uint64) {
	if r.err != nil {
		return
	}
	all := make([]byte, 0, size)
	var prev []byte
	for i := range hours {
		s := shared[i]
		if s.own > uint64(len(r.b)) {
			r.fail("hour cut short")
			return
		}
		from := len(all)
		all = append(append(append(all, prev[:s.head]...), r.b[:s.own]...), prev[uint64(len(prev))-s.tail:]...)
		r.b = r.b[s.own:]
		prev = all[from:len(all):len(all)]
		hours[i].block = prev
	}
}

// blockOf returns the block of one hour, nil if the day has none.
func blockOf(hour int64, daySlots []byte) ([]byte, error) {
	var buf [24]hourBlock
	hours, err := decodeDaySlots(buf[:0], dayOf(hour), daySlots)
	if err != nil {
		return nil, err
	}
	if i, found := slices.BinarySearchFunc(hours, hour, byBlockHour); found {
		return hours[i].block, nil
	}
	return nil, nil
}
