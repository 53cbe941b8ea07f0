package evaluate

import (
	"cmp"
	"slices"

	"nines/internal/sla"
)

// The slots in memory are those that are open, the last few that were closed,
// and those that late data has brought back: a short list, ascending by start.

type slot struct {
	Start       int64
	Good, Total uint64
	Version     uint32
	State       sla.State
	dirty       bool  // differs from what was last handed to the ledger: the next batch has it
	late        bool  // data came after it was closed
	rest        *rest // nil where there is nothing to say
}

// rest is what a good slot without evidence of bins does not need.
type rest struct {
	Blind    uint64
	Reason   string
	Vantages []sla.Bins
	Complete []string
	// part and whole are what the sums of RatioTimeslices hold of it.
	part, whole int64
}

// more returns the slot's rest, to be added to.
func (sl *slot) more() *rest {
	if sl.rest == nil {
		sl.rest = &rest{}
	}
	return sl.rest
}

// vantages returns what the vantage points saw; nil where the slot is judged by
// its counts alone, or is complete.
func (sl *slot) vantages() []sla.Bins {
	if sl.rest == nil {
		return nil
	}
	return sl.rest.Vantages
}

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
