package evaluate

import (
	"slices"

	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/wire"
)

// SetExclusions tells the state, before Restore, which exclusions the ledger
// holds: those of a contract count with its own, as in its statement.
func (s *State) SetExclusions(list []inventory.Exclusion) { s.exclusions = list }

// KnowsExclusions tells whether the exclusions stand as the state was told. Where
// they do not, it is to be read from the ledger again: slots that are left out
// were counted, or the other way round.
func (s *State) KnowsExclusions(list []inventory.Exclusion) bool {
	return slices.EqualFunc(s.exclusions, list, func(a, b inventory.Exclusion) bool { return a.ID == b.ID && a.State == b.State })
}

// withExclusions returns the contract with those that the ledger holds of it.
func (s *State) withExclusions(c *sla.Contract) *sla.Contract {
	more := inventory.Applicable(s.exclusions, c.Name)
	if len(more) == 0 {
		return c
	}
	joined := *c
	joined.Exclusions = slices.Concat(c.Exclusions, more)
	return &joined
}

// life is for how long a group can have slots under a promise.
type life struct {
	from, to int64
	// owners are the resources of the inventory whose group it is; none where it
	// knows nothing of it.
	owners []*inventory.Resource
}

// lives are those of the groups whose slots the standing counts; where they are
// pooled also of those that were let go in the period, whose slots count on.
func (s *State) lives(st *standing) (out []life) {
	p := st.of
	add := func(first, end int64, owners []*inventory.Resource) {
		from := p.begins(first)
		if len(owners) > 0 {
			from = p.start // what runs and says nothing is unknown, and counts
		}
		out = append(out, life{from, end, owners})
	}
	if st.group != nil {
		add(st.group.FirstSlot, p.end, st.group.owners)
		return out
	}
	for _, g := range s.groupsOf(p) {
		add(g.FirstSlot, p.end, g.owners)
	}
	for key, old := range s.gone {
		if key.Stream == p.objective.Stream && old.Retired > p.start {
			add(old.FirstSlot, old.Retired, s.goneOwners[key])
		}
	}
	return out
}

// running returns when the life's resources ran within [from, to), as far as one
// knows.
func (l *life) running(from, to int64) []sla.Interval {
	whole := sla.Interval{Start: from, End: max(from, to)}
	if len(l.owners) == 0 {
		return []sla.Interval{{Start: from, End: max(from, min(to, l.to))}}
	}
	var out []sla.Interval
	for _, r := range l.owners {
		out = append(out, r.Running(whole)...)
	}
	return sla.Union(out)
}

// applicable returns how many slots of the period count for the life, and how
// many of those that have not ended can still turn bad: a resource has none while
// it does not run, and where the calendar counts that time is good.
func (p *promise) applicable(l *life, now int64) (all, remaining uint64) {
	for _, i := range l.running(max(l.from, now-now%p.length()), p.end) {
		remaining += p.whole(i)
	}
	if p.objective.Denominator != sla.Lifecycle {
		return p.slots(p.start, p.end), remaining
	}
	for _, i := range l.running(l.from, p.end) {
		all += p.whole(i)
	}
	return all, remaining
}

// whole returns how many applicable slots lie wholly inside an interval.
func (p *promise) whole(i sla.Interval) uint64 {
	n := p.length()
	from, to := p.start+(i.Start-p.start+n-1)/n*n, p.start+(i.End-p.start)/n*n
	return p.slots(from, max(from, to))
}

// layAside keeps what counted of a group that is let go, for when it is expected
// again, and ends its alerts: nobody can do anything about what does not run.
func (s *State) layAside(g *group) {
	s.goneOwners[g.Key] = g.owners
	for st := g.tiers; st != nil; st = st.next {
		st.resolve(s)
		delete(s.standings, st)
	}
	if g.tiers != nil {
		s.laid[g.Key] = g.tiers
	}
}

// takeUp has what counted of a group before it was let go count on.
func (s *State) takeUp(g *group) {
	delete(s.goneOwners, g.Key)
	g.tiers = s.laid[g.Key]
	delete(s.laid, g.Key)
	s.lookAtTiers(g)
}

// lookAtTiers has the group's own standings looked at within a second.
func (s *State) lookAtTiers(g *group) {
	for st := g.tiers; st != nil; st = st.next {
		st.group, st.looked = g, 0
		s.standings[st] = true
	}
}

// forgetTiers begins anew under the promises of another rule set.
func (s *State) forgetTiers() {
	s.promises, s.standings = map[string][]*promise{}, map[*standing]bool{}
	s.laid = map[wire.GroupKey]*standing{}
}

// feeOf returns the fee that the standing's credit is a share of: what the
// inventory says that the resources cost each, or else the contract's.
func (s *State) feeOf(st *standing) sla.Money {
	p := st.of
	fee, n := p.contract.Fee.Money, int64(max(len(s.groupsOf(p)), 1))
	each := p.objective.Aggregation == sla.PerResource
	var own int64
	seen := map[*inventory.Resource]bool{}
	for _, g := range s.members(st) {
		for _, r := range g.owners {
			m, err := inventory.ParseFee(r.Value(inventory.Fee, s.logTime))
			if err == nil && m.Currency == fee.Currency && !seen[r] {
				seen[r] = true
				own += m.Minor
			}
		}
	}
	switch {
	case len(seen) > 0 && (each || p.objective.Aggregation == sla.Pooled):
		fee.Minor = own
	case each && !p.contract.Fee.PerResource:
		fee.Minor /= n
	case !each && p.contract.Fee.PerResource:
		fee.Minor *= n
	}
	return fee
}
