// Package clauses holds the clauses of a contract that reach beyond one slot:
// runs of unreachable time, availability zones, recurring and bounded exclusions,
// changes within a period, restatement, chronic failure. It promises pure
// functions, as package sla does; a time zone is an argument. Package statement
// and nines settle call Settle.
package clauses

import (
	"time"

	"nines/internal/sla"
)

// lay returns the contract with the times of its exclusions worked out, and the
// input with the slots that are settled.
func lay(c *sla.Contract, p sla.Period, loc *time.Location, in sla.Input) (*sla.Contract, sla.Input) {
	out := *c
	out.Exclusions = exclusions(c, p, loc)
	in.Fees = c.Fees(in)
	resources := map[string][]sla.Resource{}
	for i := range c.Objectives {
		o := &c.Objectives[i]
		list := append([]sla.Resource(nil), in.Resources[o.Name]...)
		if rule, ok := runsOf(o, in.Exact); ok {
			for j := range list {
				list[j].Spans = layOut(o, rule, p, list[j].Spans, in.Exact)
			}
		}
		if o.Zones != nil {
			list = overZones(o, p, list, in.Fees)
		} else {
			share(list, in.Fees)
		}
		resources[o.Name] = list
	}
	in.Resources = resources
	return &out, in
}

// runsOf returns the rule that makes slots from unreachable time; not ok where
// the slots of the stream are settled as they are. Facts at any instants follow
// the slot's formula: an attempt at any time would have failed while down.
func runsOf(o *sla.Objective, exact bool) (rule sla.Runs, ok bool) {
	if o.Runs != nil {
		return *o.Runs, true
	}
	rule.Slot = o.Slot.Length
	switch o.Slot.Bad {
	case sla.BadAnyFailure:
		rule.Touched = true
	case sla.BadRatio:
		limit := o.Slot.MaxRatio.Rat()
		limit.Mul(limit, sla.Ratio{Num: uint64(rule.Slot), Den: 1}.Rat())
		rule.Over = limit.Num().Int64() / limit.Denom().Int64()
		rule.Touched = rule.Over == 0
	}
	return rule, exact
}

// layOut makes the slots of a resource from spans at any instants. What is known
// to be down gives the best case, what may have been down besides the worst: a
// slot that differs between them is unknown.
func layOut(o *sla.Objective, rule sla.Runs, p sla.Period, spans []sla.Span, exact bool) []sla.Span {
	var down, unknown, known []sla.Interval
	n := p.Slots(rule.Slot)
	counts := make([]sla.Span, n)
	for _, s := range spans {
		i := sla.Interval{Start: s.Start, End: s.End}
		known = append(known, i)
		switch {
		case exact && s.Total > 0:
			for k := max(p.Index(s.Start, rule.Slot), 0); k < min(p.Index(s.End, rule.Slot), int64(n)); k++ {
				counts[k] = s
			}
		case s.State == sla.Bad:
			down = append(down, i)
		case s.State != sla.Good:
			unknown = append(unknown, i)
		}
	}
	if !exact {
		unknown = append(unknown, gaps(p, rule, sla.Union(known))...)
	}
	best, worst := bad(rule, p, down), bad(rule, p, append(unknown, down...))
	share := overlap(p, rule.Slot, sla.Union(down))
	var out []sla.Span
	for k := range n {
		s := sla.Span{Start: p.Start + int64(k)*rule.Slot, State: sla.Good}
		s.End = s.Start + rule.Slot
		if c := counts[k]; c.Total > 0 {
			s.State, s.Good, s.Total = judge(o, s.Start, c), c.Good, c.Total
		} else if lost := share[k]; lost > 0 && byTime(o) {
			s.Good, s.Total = uint64(rule.Slot-lost), uint64(rule.Slot)
		}
		switch {
		case best[k]:
			s.State = sla.Bad
		case worst[k]:
			s.State = sla.Unknown
		}
		out = AppendSpan(out, s)
	}
	return out
}

// byTime tells whether a slot without events counts by the share of its time that
// was not lost. Traffic and requests know events only.
func byTime(o *sla.Objective) bool {
	return o.Formula == sla.ByShare && (o.Denominator == sla.Calendar || o.Denominator == sla.Lifecycle)
}

// judge decides a slot from its events. Where the formula is about attempts,
// they are these.
func judge(o *sla.Objective, start int64, s sla.Span) sla.State {
	rule := o.Slot
	switch rule.Bad {
	case sla.BadUnreachable:
		rule.Bad = sla.BadAllFailed
	case sla.BadAnyFailure:
		rule.Bad, rule.MaxRatio = sla.BadRatio, sla.Ratio{Num: 0, Den: 1}
	}
	state, _ := rule.Decide(start, 0, sla.Counts{Good: s.Good, Total: s.Total}, nil)
	return state
}

// bad tells which slots are bad if exactly the given time was down.
func bad(rule sla.Runs, p sla.Period, down []sla.Interval) []bool {
	out := make([]bool, p.Slots(rule.Slot))
	mark := func(first, last int64) {
		for k := max(first, 0); k < min(last, int64(len(out))); k++ {
			out[k] = true
		}
	}
	var runs []sla.Interval
	for _, r := range sla.Union(down) {
		if length := r.End - r.Start; length < rule.MinRun || length == rule.MinRun && rule.Longer {
			continue
		}
		runs = append(runs, r)
		first := p.Index(r.Start, rule.Slot)
		switch {
		case rule.RunAligned: // the slot of a run stands in the clock's slot in which it begins
			before := max(0, (p.Start-r.Start)/rule.Slot) // slots that begin before the period
			for t := r.Start + before*rule.Slot; t+rule.Slot <= r.End && t < p.End; t += rule.Slot {
				k := p.Index(t+1, rule.Slot) - 1
				mark(k, k+1)
			}
		case rule.Over > 0:
		case rule.Touched:
			mark(p.Index(r.Start+1, rule.Slot)-1, p.Index(r.End, rule.Slot))
		default:
			mark(first, p.Index(r.End+1, rule.Slot)-1)
		}
	}
	if rule.Over > 0 {
		for k, ms := range overlap(p, rule.Slot, runs) {
			out[k] = ms > rule.Over
		}
	}
	return out
}

// overlap returns how much of each slot the disjoint intervals take, in
// milliseconds.
func overlap(p sla.Period, length int64, in []sla.Interval) []int64 {
	out := make([]int64, p.Slots(length))
	for _, i := range in {
		for k := max(p.Index(i.Start+1, length)-1, 0); k < min(p.Index(i.End, length), int64(len(out))); k++ {
			start := p.Start + k*length
			out[k] += min(i.End, start+length) - max(i.Start, start)
		}
	}
	return out
}

// gaps returns what the disjoint intervals leave out of the period, and of the time
// around it and them that decides how long a run at the edges is. One that begins
// before the first is aligned to the period's slots.
func gaps(p sla.Period, rule sla.Runs, in []sla.Interval) (out []sla.Interval) {
	first, end := p.Start, p.End
	if n := len(in); n > 0 {
		first, end = min(first, in[0].Start), max(end, in[n-1].End)
	}
	end += rule.MinRun + rule.Slot
	at := p.Start - ((p.Start-first+rule.MinRun)/rule.Slot+2)*rule.Slot
	for _, i := range append(in, sla.Interval{Start: end, End: end}) {
		if i.Start > at {
			out = append(out, sla.Interval{Start: at, End: i.Start})
		}
		at = max(at, i.End)
	}
	return out
}

// AppendSpan adds a span to spans, extending the last where it continues it.
func AppendSpan(spans []sla.Span, next sla.Span) []sla.Span {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if last.State == next.State && last.Good == next.Good && last.Total == next.Total && last.End == next.Start {
			last.End = next.End
			return spans
		}
	}
	return append(spans, next)
}
