package evaluate

import (
	"cmp"
	"slices"
)

// The slots in memory are those that are open, the last few that were closed,
// and those that late data has brought back: a short list, ascending by start.

// last returns the slot that was asked for last, nil where it was forgotten.
func (g *group) last() *slot {
	if at := int(g.at); at < len(g.slots) {
		return g.slots[at]
	}
	return nil
}

// slot returns the slot that starts at start if it is in memory, else nil.
func (g *group) slot(start int64) *slot {
	at, found := g.place(start)
	if !found {
		return nil
	}
	g.at = int32(at)
	return g.slots[at]
}

// place returns where among the slots in memory the one that starts at start is,
// or would be.
func (g *group) place(start int64) (at int, found bool) {
	return slices.BinarySearchFunc(g.slots, start, func(sl *slot, start int64) int { return cmp.Compare(sl.Start, start) })
}

// keep takes a slot into memory that is not there.
func (g *group) keep(sl *slot) {
	at, _ := g.place(sl.Start)
	g.slots = slices.Insert(g.slots, at, sl)
	g.at = int32(at)
}
