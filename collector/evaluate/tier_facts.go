package evaluate

import (
	"slices"

	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/slo"
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

// life is when something ran whose slots count under a promise.
type life struct {
	running []sla.Interval
	to      int64 // nothing is to come from then on
}

// lives are those of what the standing counts: a group, or where all are pooled
// the resources of the contract, or the groups seen where it has none.
func (s *State) lives(st *standing) (out []life) {
	p := st.of
	whole := []sla.Interval{{Start: p.start, End: p.end}}
	add := func(r *reckoning, to int64) {
		switch {
		case r == nil:
			out = append(out, life{whole, to})
		case r.meets(p.start, p.end):
			out = append(out, life{inventory.Intersect(r.running, whole), to})
		}
	}
	switch {
	case st.group != nil:
		add(st.group.reckoning(p.index), p.end)
		return out
	case len(p.members) > 0:
		return s.memberLives(p, whole)
	}
	for _, g := range s.groupsOf(p) {
		add(g.reckoning(p.index), p.end)
	}
	for key, old := range s.gone {
		if key.Stream == p.objective.Stream && old.Retired > p.start {
			add(s.goneReckoned(key, p), old.Retired)
		}
	}
	return out
}

// memberLives are those of the resources that the statement settles together.
func (s *State) memberLives(p *promise, whole []sla.Interval) (out []life) {
	def := s.rules.Streams[p.objective.Stream]
	if def == nil {
		return nil
	}
	scope := slo.ScopeOf(def)
	for _, m := range p.members {
		if slices.ContainsFunc(m.Stretches(whole[0]), func(t inventory.Stretch) bool { return scope.Admits(t.Labels) }) {
			out = append(out, life{inventory.Intersect(m.Belongs(p.agreed, whole[0]), m.Running(whole[0])), p.end})
		}
	}
	return out
}

// goneReckoned is what counts of a group that was let go.
func (s *State) goneReckoned(key wire.GroupKey, p *promise) *reckoning {
	old, def := s.gone[key], s.streamOf(key.Stream)
	if s.view == nil || def == nil || old.Labels == nil && len(def.GroupBy) > 0 {
		return nil
	}
	scope, labels := slo.ScopeOf(def), old.Labels.Map()
	return p.reckon(labels, scope, s.claimed.Of(labels, scope))
}

// applicable returns how many slots of the period count for the life, and how
// many of those that have not ended can still turn bad: a resource has none while
// it does not run, and where the calendar counts that time is good.
func (p *promise) applicable(l *life, now int64) (all, remaining uint64) {
	coming := []sla.Interval{{Start: now - now%p.length(), End: max(now-now%p.length(), min(p.end, l.to))}}
	for _, i := range inventory.Intersect(l.running, coming) {
		remaining += p.whole(i)
	}
	if p.objective.Denominator != sla.Lifecycle {
		return p.slots(p.start, p.end), remaining
	}
	for _, i := range l.running {
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
		for _, r := range g.owners() {
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
