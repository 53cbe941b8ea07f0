package verify

import (
	"cmp"
	"fmt"
	"slices"

	"nines/internal/sla"
)

// facts draws what is known of some resources, as a ledger or a file of facts
// would give it.
func (d dice) facts(c *sla.Contract, p sla.Period) sla.Input {
	in := sla.Input{Exact: d.chance(50), Resources: map[string][]sla.Resource{}}
	if d.chance(10) {
		in.Until = d.between(p.Start+1, p.End-1)
	}
	var names []sla.Resource
	for k := range d.between(1, 4) {
		r := sla.Resource{Name: fmt.Sprintf("vm-%d", k), Zone: pick(d, "a", "b", "c"), Group: pick(d, "", "", "east")}
		if d.chance(15) {
			fee := d.between(0, 5_000_000)
			r.Fee = &fee
		}
		if d.chance(15) {
			r.FeeFrom = map[int64]int64{}
			for range d.between(1, 3) {
				r.FeeFrom[d.between(p.Start-day, p.End+day)] = d.between(0, 5_000_000)
			}
		}
		if n := len(names); n > 0 && d.chance(20) { // a part of the one before
			r.Of, r.Fee, r.FeeFrom = cmp.Or(names[n-1].Of, names[n-1].Name), names[n-1].Fee, names[n-1].FeeFrom
		}
		for range pick(d, 0, 0, 1, 2) {
			at := d.between(p.Start-day, p.End)
			r.Stopped = append(r.Stopped, sla.Interval{Start: at, End: at + d.between(0, 12*hour)})
		}
		names = append(names, r)
	}
	for i := range c.Objectives {
		o := &c.Objectives[i]
		if d.chance(3) {
			continue // nothing was seen
		}
		for _, r := range names {
			if in.Exact {
				r.Spans = d.instants(o, p)
			} else {
				r.Spans = d.slots(o, p)
			}
			in.Resources[o.Name] = append(in.Resources[o.Name], r)
		}
	}
	return in
}

// instants draws facts at any time: down, unknown, and events.
func (d dice) instants(o *sla.Objective, p sla.Period) (out []sla.Span) {
	for range d.between(0, 8) {
		at := d.between(p.Start-10*minute, p.End)
		length := pick(d, d.between(1, 3*minute), minute, d.between(minute, 2*hour))
		if d.chance(40) {
			at -= (at - p.Start) % minute
		}
		out = append(out, sla.Span{Start: at, End: at + length, State: pick(d, sla.Bad, sla.Bad, sla.Unknown)})
	}
	var counts []sla.Span
	for range pick(d, int64(0), d.between(0, 5)) {
		at := d.between(p.Start, p.End)
		total := uint64(d.between(1, 1000))
		counts = append(counts, sla.Span{Start: at, End: at + d.between(1, 5*hour), State: sla.Good, Good: total - uint64(d.between(0, int64(total))), Total: total})
		if d.chance(50) {
			counts[len(counts)-1].Good = total
		}
	}
	slices.SortFunc(counts, func(a, b sla.Span) int { return cmp.Compare(a.Start, b.Start) })
	for i, s := range counts { // two counts of one time are refused
		if i+1 < len(counts) {
			s.End = min(s.End, counts[i+1].Start)
		}
		if s.End > s.Start {
			out = append(out, s)
		}
	}
	return out
}

// slots draws what a ledger holds of a stream: runs of slots, some missing, some
// still open, beyond the period's edges where runs are counted.
func (d dice) slots(o *sla.Objective, p sla.Period) (out []sla.Span) {
	length := o.Slot.Length
	at := p.Start
	if o.Runs != nil {
		at -= (o.Runs.MinRun/length + 1) * length
	}
	for at < p.End {
		n := pick(d, 1, 2, d.between(1, 40), d.between(1, 1500)) * length
		s := sla.Span{Start: at, End: at + n, State: pick(d, sla.Good, sla.Good, sla.Good, sla.Good, sla.Bad, sla.Unknown, sla.Open)}
		if o.Runs == nil && o.Zones == nil && d.chance(5) {
			s.State = sla.NotApplicable // a narrower resource's
		}
		if o.CountsEvents() && (s.State == sla.Good || s.State == sla.Bad) && d.chance(80) {
			s.Total = uint64(d.between(1, 500))
			s.Good = uint64(d.between(0, int64(s.Total)))
			if s.State == sla.Good {
				s.Good = s.Total - min(s.Good, s.Total/20)
			}
		}
		if !d.chance(5) {
			out = append(out, s)
		}
		at += n
	}
	return out
}
