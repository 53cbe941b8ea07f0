package wire

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// GroupTable finds what is kept of groups by their keys. It is a map that does
// not repeat the keys: with a million groups, what a map spends on them is more
// than many groups need themselves. A pointer takes 11 to 16 bytes here, and more
// only after many were deleted; in a map, 37 to 80. The zero value is empty.
//
// It is an open table with linear probing; entries behind a deleted one move up.
type GroupTable[G interface {
	comparable
	GroupKey() GroupKey
}] struct {
	seats []G // the zero value is a free one
	n     int
	seed  maphash.Seed
}

// leastSeats is how small a table is made.
const leastSeats = 8

// Len returns how many entries there are.
func (t *GroupTable[G]) Len() int { return t.n }

// Get returns the key's entry, or the zero value.
func (t *GroupTable[G]) Get(k GroupKey) (g G) {
	if t.n > 0 {
		g = t.seats[t.find(k)]
	}
	return g
}

// Put enters g under its key, which must not change as long as it is here. One
// that was there is replaced.
func (t *GroupTable[G]) Put(g G) {
	if 4*(t.n+1) > 3*len(t.seats) {
		t.resize(max(leastSeats, len(t.seats)+len(t.seats)/2))
	}
	var free G
	at := t.find(g.GroupKey())
	if t.seats[at] == free {
		t.n++
	}
	t.seats[at] = g
}

// Delete removes the key's entry, if there is one.
func (t *GroupTable[G]) Delete(k GroupKey) {
	var free G
	if t.n == 0 {
		return
	}
	at := t.find(k)
	if t.seats[at] == free {
		return
	}
	t.seats[at] = free
	t.n--
	if len(t.seats) > leastSeats && 4*t.n < len(t.seats) {
		t.resize(max(leastSeats, 2*t.n))
		return
	}
	// What stands behind the hole is found only if no hole lies between its place
	// and where its key says: each such entry moves into it, and leaves the next.
	for i := t.after(at); t.seats[i] != free; i = t.after(i) {
		if home := t.home(t.seats[i].GroupKey()); t.behind(home, i) >= t.behind(at, i) {
			t.seats[at], t.seats[i] = t.seats[i], free
			at = i
		}
	}
}

// All gives the entries in no order. What is put meanwhile may be among them;
// nothing may be deleted.
func (t *GroupTable[G]) All() iter.Seq[G] {
	var free G
	seats := t.seats
	return func(yield func(G) bool) {
		for _, g := range seats {
			if g != free && !yield(g) {
				return
			}
		}
	}
}

// DeleteFunc removes the entries that gone says so of.
func (t *GroupTable[G]) DeleteFunc(gone func(G) bool) {
	var keys []GroupKey
	for g := range t.All() {
		if gone(g) {
			keys = append(keys, g.GroupKey())
		}
	}
	for _, k := range keys {
		t.Delete(k)
	}
}

// find returns the seat of the key, or the free one that it would take.
func (t *GroupTable[G]) find(k GroupKey) int {
	var free G
	at := t.home(k)
	for t.seats[at] != free && t.seats[at].GroupKey() != k {
		at = t.after(at)
	}
	return at
}

// home returns the first seat that the key may take.
func (t *GroupTable[G]) home(k GroupKey) int {
	h := (maphash.String(t.seed, k.Stream) ^ k.Labels) * 0x9e3779b97f4a7c15 // 2^64 / golden ratio
	h ^= h >> 32
	at, _ := bits.Mul64(h*0x9e3779b97f4a7c15, uint64(len(t.seats)))
	return int(at)
}

func (t *GroupTable[G]) after(at int) int {
	if at++; at == len(t.seats) {
		return 0
	}
	return at
}

// behind returns how many seats to comes after from.
func (t *GroupTable[G]) behind(from, to int) int {
	if to < from {
		to += len(t.seats)
	}
	return to - from
}

func (t *GroupTable[G]) resize(n int) {
	var free G
	if t.seats == nil {
		t.seed = maphash.MakeSeed()
	}
	old := t.seats
	t.seats = make([]G, n)
	for _, g := range old {
		if g != free {
			t.seats[t.find(g.GroupKey())] = g
		}
	}
}
