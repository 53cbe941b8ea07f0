package wire

import "slices"

// CountOrder numbers what counts are of, the seats: pairs of a group and a
// vantage point, in the order in which counts stand in partials. Many partials
// share one. It may be added to until the first refers to it. The zero value is
// empty and ready.
type CountOrder struct {
	seats     []countSeat
	groups    []GroupKey // by number; each once
	vantages  []string
	vantageAt map[string]int32
}

// countSeat holds the numbers of group and vantage point in their order.
type countSeat struct{ group, vantage int32 }

// NewCountOrder returns an empty order with room for as many seats.
func NewCountOrder(seats int) *CountOrder {
	return &CountOrder{seats: make([]countSeat, 0, seats), groups: make([]GroupKey, 0, seats)}
}

// Add appends a seat. All seats of a group must come together.
func (o *CountOrder) Add(group GroupKey, vantage string) {
	g := int32(len(o.groups) - 1)
	if g < 0 || o.groups[g] != group {
		o.groups = append(o.groups, group)
		g++
	}
	o.seats = append(o.seats, countSeat{g, o.vantage(vantage)})
}

// vantage numbers a vantage point; mostly it is that of the seat before.
func (o *CountOrder) vantage(name string) int32 {
	if n := len(o.seats); n > 0 {
		if last := o.seats[n-1].vantage; o.vantages[last] == name {
			return last
		}
	}
	v, ok := o.vantageAt[name]
	if !ok {
		if o.vantageAt == nil {
			o.vantageAt = map[string]int32{}
		}
		v = int32(len(o.vantages))
		o.vantageAt[name] = v
		o.vantages = append(o.vantages, name)
	}
	return v
}

// Group returns the group of a seat.
func (o *CountOrder) Group(seat int32) GroupKey { return o.groups[o.seats[seat].group] }

// reset empties an order that no partial refers to.
func (o *CountOrder) reset() {
	o.seats, o.groups, o.vantages = o.seats[:0], o.groups[:0], o.vantages[:0]
	clear(o.vantageAt)
}

// PackedCounts are a partial's counts with what many have in common said once:
// a fifth of their memory, without pointers, and in the shape of their bytes.
type PackedCounts struct {
	Order *CountOrder
	// Moments are what counts share; each is that of one row or more.
	Moments []Moment
	// Rows are sorted by seat, then by bin.
	Rows []CountRow
}

// Moment is what a bin has from one source of counts: a stretch's samples that
// were judged under many thresholds are good or not by the threshold, but as
// many under each. See BinCount.
type Moment struct {
	Bin, Newest  int64
	Total, Blind uint64
}

// CountRow is one count: places of its seat and moment, and how many were good.
type CountRow struct {
	Seat, Moment int32
	Good         uint64
}

// Reset empties the counts and keeps their memory.
func (c *PackedCounts) Reset(o *CountOrder) {
	c.Order, c.Moments, c.Rows = o, c.Moments[:0], c.Rows[:0]
}

// Len returns how many counts there are; none in nil.
func (c *PackedCounts) Len() int {
	if c == nil {
		return 0
	}
	return len(c.Rows)
}

// At unpacks count i into n.
func (c *PackedCounts) At(i int, n *BinCount) {
	r := &c.Rows[i]
	s, m := c.Order.seats[r.Seat], &c.Moments[r.Moment]
	*n = BinCount{Group: c.Order.groups[s.group], Vantage: c.Order.vantages[s.vantage],
		Bin: m.Bin, Good: r.Good, Total: m.Total, Blind: m.Blind, Newest: m.Newest}
}

// Append appends the counts to dst, unpacked.
func (c *PackedCounts) Append(dst []BinCount) []BinCount {
	n := len(dst)
	dst = slices.Grow(dst, len(c.Rows))[:n+len(c.Rows)]
	for i := range c.Rows {
		c.At(i, &dst[n+i])
	}
	return dst
}

// pack packs counts in any order. The dictionary numbers their groups.
func (c *PackedCounts) pack(counts []BinCount, d *partialDictionary) {
	o := c.Order
	if o == nil {
		o = &CountOrder{}
	}
	o.reset()
	c.Reset(o)
	for i := range counts {
		n := &counts[i]
		m := Moment{n.Bin, n.Newest, n.Total, n.Blind}
		if i == 0 || m != c.Moments[len(c.Moments)-1] {
			c.Moments = append(c.Moments, m)
		}
		if i == 0 || n.Group != counts[i-1].Group || n.Vantage != counts[i-1].Vantage {
			g := int32(d.group(n.Group))
			o.seats = append(o.seats, countSeat{g, o.vantage(n.Vantage)})
		}
		c.Rows = append(c.Rows, CountRow{int32(len(o.seats) - 1), int32(len(c.Moments) - 1), n.Good})
	}
	o.groups = append(o.groups, d.groups...)
}
