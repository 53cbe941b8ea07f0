package evaluate

import (
	"errors"
	"slices"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// reckoning says which slots of a group count under a promise, as the statement
// divides them. Nil counts all.
type reckoning struct {
	from, to int64 // what it is known for
	// counts are the times of the slots that count, unknown of those among them
	// that count where they are unknown.
	counts, unknown []sla.Interval
	running         []sla.Interval // when it ran for the contract
}

// SetInventory tells the state, before Restore, what the inventory holds: it
// decides which slots count against whose promise. Expect does it, too.
func (s *State) SetInventory(v *inventory.View) {
	s.view = v
	s.claimed = v.Claimed(sla.Interval{Start: -1 << 60, End: 1 << 60})
}

// reckonGroup works out which slots of the group count under each promise. With
// again, what was counted otherwise before is put right, from the slots in the
// ledger and in memory; where these cannot be read, the state is to be.
func (s *State) reckonGroup(g *group, again bool) {
	promises := s.promises[g.Key.Stream]
	if s.view == nil || len(promises) == 0 || g.stream == nil || g.Labels == nil && len(g.stream.GroupBy) > 0 {
		return
	}
	scope, labels := slo.ScopeOf(g.stream), g.Labels.Map()
	owned := s.claimed.Of(labels, scope)
	was := g.reckoned()
	now := make([]*reckoning, len(promises))
	g.tied().reckoned = now
	for i, p := range promises {
		if p.advance(s.logTime); p.end == 0 {
			continue
		}
		p.take(s.view)
		r := p.reckon(labels, scope, owned)
		now[i] = r
		if again && !s.stale && g.FirstSlot != 0 {
			var old *reckoning
			if i < len(was) {
				old = was[i]
			}
			if err := s.recount(g, i, old, r); err != nil {
				s.stale = true
			}
		}
	}
}

// take learns which resources are the contract's in the period.
func (p *promise) take(v *inventory.View) {
	if p.view == v && p.viewed == p.start {
		return
	}
	p.view, p.viewed, p.members = v, p.start, nil
	for _, r := range v.Resources() {
		if len(r.Belongs(p.agreed, sla.Interval{Start: p.start, End: p.end})) > 0 {
			p.members = append(p.members, r)
		}
	}
}

// reckon says what counts of a group that is whose owned says. Where resources
// name the contract these are settled, else the groups seen that are nobody
// else's.
func (p *promise) reckon(labels map[string]string, scope *slo.Scope, owned []inventory.Owned) *reckoning {
	n := p.length()
	whole := sla.Interval{Start: p.start - (slo.TierSpan/n+1)*n, End: p.end}
	taken := inventory.Taken(p.agreed, owned)
	if len(p.members)+len(taken) == 0 {
		return nil
	}
	r := &reckoning{from: whole.Start, to: whole.End}
	left := inventory.Without(whole, taken)
	if len(p.members) == 0 {
		p.join(r, p.slotsOf(left, true), left, left, whole)
		return r
	}
	divided := slices.ContainsFunc(owned, func(o inventory.Owned) bool { return len(o.Others) > 0 })
	for _, m := range p.members {
		if during := inventory.Intersect(m.Belongs(p.agreed, whole), p.speaks(m, labels, scope, owned, whole)); len(during) > 0 {
			during = inventory.Intersect(during, left)
			ran := inventory.Intersect(m.Belongs(p.agreed, whole), m.Running(whole))
			p.join(r, p.slotsOf(during, !divided), during, ran, whole)
		}
	}
	r.counts, r.unknown, r.running = sla.Union(r.counts), sla.Union(r.unknown), sla.Union(r.running)
	return r
}

// join adds the slots of what a group speaks for during some time, and when that
// ran.
func (p *promise) join(r *reckoning, slots, during, ran []sla.Interval, whole sla.Interval) {
	r.running = append(r.running, inventory.Intersect(during, ran)...)
	if p.objective.Denominator == sla.Lifecycle {
		slots = inventory.Intersect(slots, p.inside(ran))
	}
	idle := p.inside(inventory.Without(whole, ran))
	r.counts = append(r.counts, slots...)
	r.unknown = append(r.unknown, inventory.Intersect(slots, inventory.Without(whole, idle))...)
}

// speaks returns when a group speaks for a resource: while it is its own, or
// where it is nobody's own, while all that it names is known of it.
func (p *promise) speaks(m *inventory.Resource, labels map[string]string, scope *slo.Scope, owned []inventory.Owned, in sla.Interval) (out []sla.Interval) {
	for _, o := range owned {
		if slices.ContainsFunc(o.Owners, func(c *inventory.Claim) bool { return c.Resource == m }) {
			out = append(out, o.Interval)
		}
	}
	if len(owned) > 0 {
		return sla.Union(out)
	}
	for _, s := range m.Stretches(in) {
		if scope.Admits(s.Labels) && agrees(labels, s.Labels) && s.Counts(labels, scope.Fixed()) {
			out = append(out, s.Interval)
		}
	}
	return sla.Union(out)
}

func agrees(group, known map[string]string) bool {
	for name, value := range group {
		if told, ok := known[name]; ok && told != value {
			return false
		}
	}
	return true
}

// slotsOf returns the times of the slots that begin in some times, with meet also
// of those that they cut.
func (p *promise) slotsOf(in []sla.Interval, meet bool) []sla.Interval {
	return inventory.SlotsOf(in, sla.Period{Start: p.start}, p.length(), meet)
}

// inside returns the times of the slots that lie wholly inside some times.
func (p *promise) inside(in []sla.Interval) (out []sla.Interval) {
	at, n := sla.Period{Start: p.start}, p.length()
	for _, i := range in {
		out = append(out, sla.Interval{Start: p.start + at.Index(i.Start, n)*n, End: p.start + (at.Index(i.End+1, n)-1)*n})
	}
	return sla.Union(out)
}

// weigh returns what a slot of a state counts.
func (r *reckoning) weigh(start int64, state sla.State) (bad, unknown int) {
	bad, unknown = one(state == sla.Bad), one(state == sla.Unknown)
	if r == nil || bad+unknown == 0 {
		return bad, unknown
	}
	return bad * one(has(r.counts, start)), unknown * one(has(r.unknown, start))
}

func has(list []sla.Interval, at int64) bool {
	return slices.ContainsFunc(list, func(i sla.Interval) bool { return i.Start <= at && at < i.End })
}

// covers tells whether all slots of [from, to) count whatever they are, and meets
// whether some do.
func (r *reckoning) covers(from, to int64) bool {
	return r == nil || slices.ContainsFunc(r.unknown, func(i sla.Interval) bool { return i.Start <= from && to <= i.End })
}

func (r *reckoning) meets(from, to int64) bool {
	return r == nil || slices.ContainsFunc(r.counts, func(i sla.Interval) bool { return i.Start < to && from < i.End })
}

// reckoning returns what counts under the i-th promise to the group's stream.
func (g *group) reckoning(i int) *reckoning {
	if list := g.reckoned(); i < len(list) {
		return list[i]
	}
	return nil
}

// recount puts right what was counted of the group as the inventory was known
// before.
func (s *State) recount(g *group, i int, was, is *reckoning) error {
	for _, t := range differ(was, is, s.logTime) {
		slots, err := s.slotsIn(g, t)
		if err != nil {
			return err
		}
		for k := range slots {
			sl := &slots[k]
			if s.promises[g.Key.Stream][i].without(sl.Start) {
				continue
			}
			b, u := is.weigh(sl.Start, sl.State)
			b0, u0 := was.weigh(sl.Start, sl.State)
			if b != b0 || u != u0 {
				s.standing(g, i).add(s.logTime, sl.Start, b-b0, u-u0)
			}
		}
	}
	return nil
}

// differ returns the past time in which two reckonings count otherwise.
func differ(was, is *reckoning, now int64) []sla.Interval {
	switch {
	case was == nil && is == nil:
		return nil
	case was == nil:
		was, is = is, nil
	}
	in := sla.Interval{Start: was.from, End: min(was.to, now)}
	if is == nil {
		return inventory.Without(in, was.unknown)
	}
	in.Start, in.End = max(in.Start, is.from), min(in.End, is.to)
	var out []sla.Interval
	for _, pair := range [][2][]sla.Interval{{was.counts, is.counts}, {is.counts, was.counts}, {was.unknown, is.unknown}, {is.unknown, was.unknown}} {
		out = append(out, inventory.Intersect(pair[0], inventory.Without(in, pair[1]))...)
	}
	return sla.Union(out)
}

// slotsIn returns the decided slots of the group that start in an interval, those
// in memory before those in the ledger.
func (s *State) slotsIn(g *group, in sla.Interval) (out []ledger.Slot, err error) {
	if s.readSlots != nil && in.Start < in.End {
		out, err = s.readSlots(g.Key, in.Start, in.End)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) { // it was not written yet
			return nil, err
		}
		out = slices.DeleteFunc(out, func(sl ledger.Slot) bool { return g.slot(sl.Start) != nil })
	}
	for _, sl := range g.slots {
		if in.Start <= sl.Start && sl.Start < in.End && decided(sl.State) {
			out = append(out, sl.stored())
		}
	}
	return out, nil
}
