package statement

import (
	"slices"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// division says which groups of an objective's stream speak for which of the
// contract's resources. A group that several own is those's whom
// inventory.Owners names: what one slot says is said once. One that nobody owns,
// such as a region's, speaks for all that it counts for.
type division struct {
	c        *sla.Contract
	scope    *slo.Scope
	from, to int64 // of the slots that are read
	period   sla.Period
	length   int64 // of a slot
	all      []*gathered
	parts    []part
	index    *inventory.Index // of the parts
	claimed  *inventory.Claimed
}

// part is a stretch of a member.
type part struct {
	g *gathered
	inventory.Stretch
}

// share is what a member has of a group.
type share struct {
	g *gathered
	// during is when the group speaks for it, and given, in whole slots, when it
	// speaks for another in its place.
	during, given []sla.Interval
}

func newDivision(q *Request, o *sla.Objective, p sla.Period, list []*member, x *inventory.Claimed) *division {
	d := &division{c: q.Contract, scope: q.scope(o), period: p, length: o.Slot.Length, index: inventory.NewIndex(), claimed: x}
	d.from, d.to = reach(o, p)
	for _, m := range about(list, d.scope) {
		g := &gathered{member: m, slots: map[int64][]sla.Span{}, zones: map[string]*sla.Resource{}}
		d.all = append(d.all, g)
		for _, s := range m.stretches {
			if d.scope.Admits(s.Labels) {
				d.index.Add(s.Labels, len(d.parts))
				d.parts = append(d.parts, part{g, s})
			}
		}
	}
	return d
}

// of returns for whom a group speaks; none where it is of no concern.
func (d *division) of(group *ledger.Group) (out []share) {
	labels := group.Labels.Map()
	found := map[*gathered][]sla.Interval{}
	for _, id := range d.index.Find(labels) {
		if one := &d.parts[id]; one.Counts(labels, d.scope.Fixed()) {
			found[one.g] = append(found[one.g], one.Interval)
		}
	}
	if len(found) == 0 {
		return nil
	}
	owned := d.claimed.Of(labels, d.scope)
	left := inventory.Without(sla.Interval{Start: d.from, End: d.to}, inventory.Taken(d.c, owned))
	divided := slices.ContainsFunc(owned, func(o inventory.Owned) bool { return len(o.Others) > 0 })
	for _, g := range d.all {
		s := share{g: g, during: inventory.Intersect(sla.Union(found[g]), left)}
		if divided {
			d.divide(&s, owned)
		}
		if len(s.during)+len(s.given) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// divide takes from a share the slots that begin while the group is another's of
// those who own it, so that each slot of the group counts once.
func (d *division) divide(s *share, owned []inventory.Owned) {
	var mine, lost []sla.Interval
	is := func(c *inventory.Claim) bool { return c.Resource == s.g.Resource }
	for _, o := range owned {
		switch {
		case slices.ContainsFunc(o.Owners, is):
			mine = append(mine, o.Interval)
		case slices.ContainsFunc(o.Others, is):
			lost = append(lost, o.Interval)
		}
	}
	if len(mine)+len(lost) == 0 {
		return // it shares the group with whoever owns it
	}
	met := inventory.SlotsOf(s.during, d.period, d.length, true)
	s.during = inventory.SlotsOf(inventory.Intersect(s.during, sla.Union(mine)), d.period, d.length, false)
	for _, i := range met {
		s.given = append(s.given, inventory.Without(i, s.during)...)
	}
}
