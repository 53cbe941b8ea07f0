package statement

import (
	"nines/internal/inventory"
	"nines/internal/sla"
)

// idle adds to the slots of an objective over runs those without data that lie
// wholly in time in which the resource was stopped: a run does not reach into
// them. What they count as, the denominator says.
func idle(o *sla.Objective, p sla.Period, spans []sla.Span, stopped []sla.Interval) []sla.Span {
	if o.Runs == nil {
		return spans
	}
	var known []sla.Interval
	for _, s := range spans {
		known = append(known, sla.Interval{Start: s.Start, End: s.End})
	}
	known = sla.Union(known)
	n := o.Slot.Length
	for _, i := range sla.Union(stopped) {
		first, last := p.Index(i.Start, n), p.Index(i.End+1, n)-1
		for _, free := range inventory.Without(sla.Interval{Start: p.Start + first*n, End: p.Start + last*n}, known) {
			spans = append(spans, sla.Span{Start: free.Start, End: free.End, State: sla.Good})
		}
	}
	return spans
}
