package statement

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

// told returns what the ledger knows of a contract beside slots: the contract
// with the exclusions that were proposed or approved there, the resources that
// the inventory says are its own, none where it knows of none, and whose all
// others are.
func told(ctx context.Context, r Reader, q *Request, p sla.Period) (*sla.Contract, []*member, *inventory.Claimed, error) {
	c := q.Contract
	exclusions, err := r.Exclusions(ctx, reader(q), c.Name, q.Recorded)
	if err != nil {
		return c, nil, nil, err
	}
	if more := inventory.Applicable(exclusions, c.Name); len(more) > 0 {
		joined := *c
		joined.Exclusions = slices.Concat(c.Exclusions, more)
		c = &joined
	}
	records, err := r.Inventory(ctx, reader(q), q.Recorded)
	if err != nil {
		return c, nil, nil, err
	}
	view := inventory.At(records, q.Recorded)
	list, err := members(view, c, p)
	return c, list, view.Claimed(wide(c, p)), err
}

// gathered are the slots that were read of one member for an objective.
type gathered struct {
	*member
	slots map[int64][]sla.Span // by start, one of each group that has it
	alive [][]sla.Interval     // of each group, when it was expected
	zones map[string]*sla.Resource
	heard []sla.Interval // when it had a group, with slots or without
	given []sla.Interval // when a resource that names more labels had one
}

// loadMembers reads the slots of one objective for the contract's resources,
// whether anything was ever heard of them or not.
func loadMembers(ctx context.Context, r Reader, q *Request, o *sla.Objective, p sla.Period, list []*member, x *inventory.Claimed, b *bounds) ([]sla.Resource, error) {
	d := newDivision(q, o, p, list, x)
	from, to := reach(o, p)
	shares := map[uint64][]share{} // by hash of the labels
	want := func(group *ledger.Group) bool {
		found := d.of(group)
		shares[group.Key.Labels] = found
		return len(found) > 0
	}
	err := r.SlotsOf(ctx, reader(q), o.Stream, from, to, want, func(group ledger.Group, slots []ledger.Slot) error {
		for _, s := range shares[group.Key.Labels] {
			s.g.given = append(s.g.given, s.given...)
			s.g.take(o, p, &group, slots, s.during, b)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []sla.Resource
	for _, g := range d.all {
		if o.Zones != nil {
			out = append(out, g.instances(o, p)...)
		} else {
			out = append(out, g.resource(o, p))
		}
	}
	return out, nil
}

// take adds the slots of a group that meet the times in which it was the
// member's.
func (g *gathered) take(o *sla.Objective, p sla.Period, group *ledger.Group, slots []ledger.Slot, during []sla.Interval, b *bounds) {
	if len(during) == 0 {
		return
	}
	spans := spansOf(o, p, slots, during, b)
	g.heard = append(g.heard, during...)
	if o.Zones != nil {
		key := group.Labels.String()
		r := place(o, g.Name+" "+key, *group)
		r.Of = g.Name
		r.Stopped = g.outside(during, p)
		r.Spans = idle(o, p, spans, r.Stopped)
		g.zones[key] = r
		return
	}
	for _, s := range spans {
		g.slots[s.Start] = append(g.slots[s.Start], s)
	}
	end := group.Retired
	if end == 0 {
		end = p.End
	}
	g.alive = append(g.alive, inventory.Intersect(during, []sla.Interval{{Start: group.FirstSlot, End: end}}))
}

// outside returns when in the period the member did not run, or not there.
func (g *gathered) outside(there []sla.Interval, p sla.Period) []sla.Interval {
	whole := sla.Interval{Start: p.Start, End: p.End}
	return inventory.Without(whole, inventory.Intersect(inventory.Without(whole, sla.Union(g.stopped)), there))
}

// resource makes of the groups of a member the one resource that is settled: it
// is good only in slots in which all its groups are.
func (g *gathered) resource(o *sla.Objective, p sla.Period) sla.Resource {
	out := sla.Resource{Name: g.Name, Fee: g.fee, FeeFrom: g.feeFrom, Stopped: g.stopped}
	for _, start := range slices.Sorted(maps.Keys(g.slots)) {
		spans := g.slots[start]
		s := spans[0]
		for _, other := range spans[1:] {
			s.State = worse(s.State, other.State)
			s.Good, s.Total = s.Good+other.Good, s.Total+other.Total
		}
		if len(spans) < len(g.alive) && len(spans) < g.expected(start) {
			s.State = worse(s.State, sla.Unknown)
		}
		out.Spans = clauses.AppendSpan(out.Spans, s)
	}
	if o.Runs != nil {
		out.Stopped = slices.Concat(out.Stopped, sla.Union(g.given))
	} else {
		out.Spans = g.aside(out.Spans, o.Slot.Length)
	}
	out.Spans = idle(o, p, out.Spans, out.Stopped)
	return out
}

// aside says of slots that the member has none of its own for, because others of
// the contract took its groups, that they do not apply: what they say is said
// once, and nothing is silent.
func (g *gathered) aside(spans []sla.Span, length int64) []sla.Span {
	for _, i := range sla.Union(g.given) {
		for start := i.Start; start < i.End; start += length {
			if len(g.slots[start]) == 0 && g.expected(start) == 0 {
				spans = clauses.AppendSpan(spans, sla.Span{Start: start, End: start + length, State: sla.NotApplicable})
			}
		}
	}
	return spans
}

// expected returns how many groups should have a slot that starts at an instant.
func (g *gathered) expected(start int64) (n int) {
	for _, alive := range g.alive {
		if slices.ContainsFunc(alive, func(i sla.Interval) bool { return i.Start <= start && start < i.End }) {
			n++
		}
	}
	return n
}

// worse returns the state of two groups together: bad outranks unknown, which
// outranks good; what does not apply decides nothing. An open slot is unknown.
func worse(a, b sla.State) sla.State {
	order := []sla.State{sla.NotApplicable, sla.Good, sla.Open, sla.Unknown, sla.Bad}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// instances returns a member's instances in zones, those that were never heard
// included. Each bears the member's fee, which is paid once.
func (g *gathered) instances(o *sla.Objective, p sla.Period) []sla.Resource {
	var out []sla.Resource
	for _, key := range slices.Sorted(maps.Keys(g.zones)) {
		out = append(out, *g.zones[key])
	}
	silent, heard := map[zone][]sla.Interval{}, slices.Concat(g.heard, g.given)
	for _, s := range g.stretches {
		at := zoneOf(o, s.Labels)
		if !slices.ContainsFunc(heard, func(i sla.Interval) bool { return i.Start <= s.Start && s.Start < i.End }) {
			silent[at] = append(silent[at], s.Interval)
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(silent), func(a, b zone) int { return cmp.Or(cmp.Compare(a.within, b.within), cmp.Compare(a.zone, b.zone)) }) {
		out = append(out, sla.Resource{Name: g.Name, Of: g.Name, Group: at.within, Zone: at.zone, Stopped: g.outside(sla.Union(silent[at]), p)})
	}
	for i := range out {
		out[i].Fee, out[i].FeeFrom = g.fee, g.feeFrom
	}
	return out
}
