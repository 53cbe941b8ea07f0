package sla

import (
	"cmp"
	"slices"
)

// mask marks the slots of a period: kept, removed, or counted as available.
type mask []Effect

// exclusionMask returns what the approved exclusions do to each slot of the
// period. Overlapping and adjoining exclusions are a union; removed outranks
// available.
func (c *Contract) exclusionMask(p Period, length int64) mask {
	m := make(mask, p.Slots(length))
	var removed, all []Interval
	for i := range c.Exclusions {
		e := &c.Exclusions[i]
		times := e.Times
		if e.Recurs == nil && times == nil {
			times = []Interval{{e.Start, e.End}}
		}
		if e.ApprovedBy == "" {
			continue
		}
		all = append(all, times...)
		if e.Effect != Available {
			removed = append(removed, times...)
		}
	}
	m.mark(p, length, all, Available, c.ExcludePartly)
	m.mark(p, length, removed, Removed, c.ExcludePartly)
	return m
}

// Union merges overlapping and adjoining intervals and drops empty ones.
func Union(in []Interval) []Interval {
	in = slices.SortedFunc(slices.Values(in), func(a, b Interval) int { return cmp.Compare(a.Start, b.Start) })
	var out []Interval
	for _, i := range in {
		n := len(out)
		switch {
		case i.End <= i.Start:
		case n > 0 && i.Start <= out[n-1].End:
			out[n-1].End = max(out[n-1].End, i.End)
		default:
			out = append(out, i)
		}
	}
	return out
}

// mark gives the effect to the slots that the union of intervals covers wholly,
// or partly if asked to.
func (m mask) mark(p Period, length int64, in []Interval, effect Effect, partly bool) {
	for _, i := range Union(in) {
		start, end := max(i.Start, p.Start)-p.Start, min(i.End, p.End)-p.Start
		if end <= start {
			continue
		}
		first, last := (start+length-1)/length, end/length
		if partly {
			first, last = start/length, (end+length-1)/length
		}
		for s := first; s < min(last, int64(len(m))); s++ {
			m[s] = effect
		}
	}
}
