package sla

import (
	"cmp"
	"slices"
)

// mask marks the slots of a period: kept, removed, or counted as available.
type mask []Effect

// exclusionMask returns what the approved exclusions do to each slot of the
// period. Overlapping and adjoining exclusions are a union.
func (c *Contract) exclusionMask(p Period, length int64) mask {
	m := make(mask, p.slots(length))
	var removed, all []interval
	for _, e := range c.Exclusions {
		if e.ApprovedBy == "" || e.End <= e.Start {
			continue
		}
		all = append(all, interval{e.Start, e.End})
		if e.Effect != Available {
			removed = append(removed, interval{e.Start, e.End})
		}
	}
	c.mark(m, p, length, all, Available)
	c.mark(m, p, length, removed, Removed)
	return m
}

type interval struct{ start, end int64 }

// union merges overlapping and adjoining intervals.
func union(in []interval) []interval {
	slices.SortFunc(in, func(a, b interval) int { return cmp.Compare(a.start, b.start) })
	var out []interval
	for _, i := range in {
		if n := len(out); n > 0 && i.start <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, i.end)
			continue
		}
		out = append(out, i)
	}
	return out
}

// mark gives the effect to the slots that the union of intervals covers wholly,
// or touches where the contract excludes partly covered slots.
func (c *Contract) mark(m mask, p Period, length int64, in []interval, effect Effect) {
	for _, i := range union(in) {
		start, end := max(i.start, p.Start)-p.Start, min(i.end, p.End)-p.Start
		if end <= start {
			continue
		}
		first, last := (start+length-1)/length, end/length
		if c.ExcludePartly {
			first, last = start/length, (end+length-1)/length
		}
		for s := first; s < min(last, int64(len(m))); s++ {
			m[s] = effect
		}
	}
}
