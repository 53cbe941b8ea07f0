package evaluate

import (
	"maps"
	"slices"

	"nines/internal/inventory"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// expectations are what the inventory says of groups. It adds nothing to what is
// counted: only whether a group without data has slots, which are unknown, and
// whose they are.
type expectations struct {
	view *inventory.View
	// mine tells whether this partition carries a group.
	mine func(wire.GroupKey) bool

	at        int64             // the log time that was looked at
	resources []inventory.Claim // as they are then
	index     *inventory.Index
	scopes    map[string]*slo.Scope      // by stream
	contracts map[string]map[string]bool // those that settle it, by stream
	past      *past                      // nil until it is asked for
	// until is the log time from which some fact says something else.
	until int64
}

// Expect tells the state what the inventory holds. Groups of what runs are
// expected from now on, heard of or not; those of what does not run are not, from
// the first slot on that begins when it had stopped. mine tells whether the
// partition carries a group.
func (s *State) Expect(v *inventory.View, mine func(wire.GroupKey) bool) {
	s.exp = &expectations{view: v, mine: mine}
	s.SetInventory(v)
	s.expect()
}

// expectDue looks again where log time has reached a fact.
func (s *State) expectDue() {
	if s.exp != nil && s.logTime >= s.exp.until {
		s.expect()
	}
}

// expect applies the inventory as it is at the state's log time.
func (s *State) expect() {
	if s.exp == nil || s.rules == nil || s.logTime == 0 {
		return
	}
	e := s.exp
	e.look(s.logTime, s.rules)
	wanted := map[wire.GroupKey]telemetry.Labels{}
	for stream := range e.scopes {
		for i := range e.resources {
			if labels, ok := e.names(stream, &e.resources[i]); ok {
				key := wire.GroupKey{Stream: stream, Labels: labels.Hash()}
				if e.mine(key) {
					wanted[key] = labels
				}
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(wanted), cmpGroup) {
		g := s.groups.Get(key)
		if g == nil {
			g = s.newGroup(key, wanted[key])
		}
		if g.FirstSlot == 0 {
			g.FirstSlot = s.logTime - s.logTime%g.length()
			g.next, g.isNew = g.FirstSlot, true
		}
		s.change(g)
	}
	for g := range s.groups.All() {
		_, named := wanted[g.Key]
		s.assign(g, named)
		s.reckonGroup(g, true)
	}
	for _, list := range s.promises { // the next period is reckoned anew
		for _, p := range list {
			if p.end > s.logTime {
				e.until = min(e.until, p.end)
			}
		}
	}
}

// names returns the labels of the group that the claim says is there, whether it
// is heard of or not; not ok where it says so of none.
func (e *expectations) names(stream string, r *inventory.Claim) (telemetry.Labels, bool) {
	scope := e.scopes[stream]
	if !r.Running || !(scope.Names(r.Labels) || e.contracts[stream][r.Contract] && scope.Admits(r.Labels)) {
		return nil, false
	}
	labels, ok := scope.Group(r.Labels)
	if !ok {
		return nil, false
	}
	return telemetry.NewLabels(labels), true
}

// look takes the facts of an instant.
func (e *expectations) look(at int64, rules *slo.RuleSet) {
	e.at, e.resources, e.index, e.until = at, nil, inventory.NewIndex(), 1<<62
	e.scopes, e.contracts, e.past = map[string]*slo.Scope{}, settled(rules), nil
	for id, def := range rules.Streams {
		e.scopes[id] = slo.ScopeOf(def)
	}
	for _, r := range e.view.Resources() {
		if next, ok := r.Next(at); ok {
			e.until = min(e.until, next)
		}
		if claim, ok := r.ClaimAt(at); ok {
			e.index.Add(claim.Labels, len(e.resources))
			e.resources = append(e.resources, claim)
		}
	}
}

// settled returns by stream the contracts that settle it.
func settled(rules *slo.RuleSet) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for name := range rules.Contracts {
		rec, err := rules.Contract(name)
		if err != nil {
			continue // the statement reports it
		}
		for i := range rec.Contract.Objectives {
			stream := rec.Contract.Objectives[i].Stream
			if out[stream] == nil {
				out[stream] = map[string]bool{}
			}
			out[stream][name] = true
		}
	}
	return out
}

// assign says of a group whether it is expected, and whose it is. named says
// that the inventory names it by itself.
func (s *State) assign(g *group, named bool) {
	e := s.exp
	if e == nil || e.index == nil || g.stream == nil || g.Labels == nil && len(g.stream.GroupBy) > 0 {
		return
	}
	scope := e.scopes[g.Key.Stream]
	if scope == nil {
		return // its stream has ended
	}
	labels := g.Labels.Map()
	running, customer := false, ""
	var theirs []*inventory.Resource
	var owners []*inventory.Claim
	for _, id := range e.index.Find(labels) {
		r := &e.resources[id]
		if !scope.Admits(r.Labels) || !r.Owns(labels, scope.Fixed()) {
			continue
		}
		running = running || r.Running
		owners = append(owners, r)
	}
	owned := len(owners) > 0
	for i, r := range inventory.Owners(owners) {
		theirs = append(theirs, r.Resource)
		if i == 0 {
			customer = r.Customer
		} else if customer != r.Customer {
			customer = "" // two owners: the operator's alone
		}
	}
	g.own(theirs)
	was, wasIdle := g.wanted, g.idle
	g.wanted, g.idle = named || running, owned && !running && !named
	if g.idle != wasIdle {
		s.lookAtTiers(g)
	}
	if g.Customer != customer {
		g.Customer, g.isNew = customer, true
		s.change(g)
	}
	switch {
	case g.idle && g.Retired == 0 && g.FirstSlot != 0:
		s.end(g, s.idleSince(g))
	case g.wanted && !was && g.Retired != 0 && s.streamOf(g.Key.Stream) != nil:
		s.revive(g, max(g.Retired, s.logTime-s.logTime%g.length()))
		s.change(g)
	}
}

// spoke keeps a group that is not expected for as long as it has data: to the end
// of the slot.
func (g *group) spoke(start int64) {
	if g.idle && g.Retired < start+g.length() {
		g.Retired, g.isNew = start+g.length(), true
	}
}
