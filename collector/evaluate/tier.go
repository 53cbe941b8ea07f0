package evaluate

import (
	"strings"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// Names of the alerts on the credit tiers of contracts, kind tier, severity as
// the contract declares.
const (
	AlertTierRisk   = "CreditTierAtRisk" // projected to fall below it
	AlertTierMissed = "CreditTierMissed" // below it whatever comes
)

// tierEvery is the log time between two looks at a standing of which nothing
// has changed: the recent past moves on.
const tierEvery = 60_000

// standing counts the slots of a period that speak against a promise: those of
// one group, or of all where they are pooled.
type standing struct {
	of           *promise
	group        *group    // nil for all
	next         *standing // of the same group
	start        int64     // of the period that is counted
	bad, unknown uint64
	recent       slo.Recent
	alerts       []tierAlerts // one element a tier
	looked       int64        // log time; 0 to be looked at now
}

type tierAlerts struct {
	bound        sla.Ratio
	risk, missed named
}

// SetParted says whether other evaluators judge groups, too. What one knows of
// slots that are pooled is then a part: it projects, and is sure of nothing.
func (s *State) SetParted(parted bool) { s.parted = parted }

// countTiers counts a slot whose state has changed.
func (s *State) countTiers(g *group, start int64, was, is sla.State) {
	if was != sla.Bad && is != sla.Bad && was != sla.Unknown && is != sla.Unknown {
		return
	}
	for i, p := range s.promises[g.Key.Stream] {
		r := g.reckoning(i)
		bad, unknown := r.weigh(start, is)
		bad0, unknown0 := r.weigh(start, was)
		bad, unknown = bad-bad0, unknown-unknown0
		if p.advance(s.logTime); p.end != 0 && (bad != 0 || unknown != 0) && !p.without(start) {
			s.standing(g, i).add(s.logTime, start, bad, unknown)
		}
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// standing returns what counts for the group under the i-th promise to its
// stream, and has it looked at.
func (s *State) standing(g *group, i int) *standing {
	p := s.promises[g.Key.Stream][i]
	st := p.pooled
	if st == nil {
		for st = g.tiers; st != nil && st.of != p; {
			st = st.next
		}
	}
	if st == nil {
		st = &standing{of: p, group: g, next: g.tiers}
		g.tiers = st
	}
	st.looked, s.standings[st] = 0, true
	return st
}

// add counts slots that start at the time start, or takes them back.
func (st *standing) add(now, start int64, bad, unknown int) {
	st.turn()
	st.recent.Add(start, now, bad)
	if start >= st.of.start && start < st.of.end {
		st.bad = uint64(max(int64(st.bad)+int64(bad), 0))
		st.unknown = uint64(max(int64(st.unknown)+int64(unknown), 0))
	}
}

// turn begins a new period from zero.
func (st *standing) turn() {
	if st.start != st.of.start {
		st.start, st.bad, st.unknown = st.of.start, 0, 0
	}
}

// restoreTiers counts what the ledger holds of the group. Hours that an
// exclusion or the period's start cuts are read slot by slot.
func (s *State) restoreTiers(g *group, l *ledger.Loaded) error {
	for i, p := range s.promises[g.Key.Stream] {
		if p.advance(s.logTime); p.end == 0 {
			continue
		}
		slots, r := l.Slots, g.reckoning(i)
		for k := range l.Hours {
			h := &l.Hours[k]
			end := h.Start + 3_600_000
			if h.BadSlots+h.UnknownSlots == 0 || !r.meets(h.Start, end) {
				continue
			}
			if s.readSlots != nil && (p.meets(h.Start, end) || !r.covers(h.Start, end)) {
				more, err := s.readSlots(g.Key, h.Start, end)
				if err != nil {
					return err
				}
				slots = append(slots[:len(slots):len(slots)], more...)
				continue
			}
			s.standing(g, i).add(s.logTime, h.Start, int(h.BadSlots), int(h.UnknownSlots))
		}
		for k := range slots {
			sl := &slots[k]
			if bad, unknown := r.weigh(sl.Start, sl.State); bad+unknown > 0 && !p.without(sl.Start) {
				s.standing(g, i).add(s.logTime, sl.Start, bad, unknown)
			}
		}
	}
	return nil
}

// judgeTiers looks at the standings of which something may have changed.
func (s *State) judgeTiers() {
	if s.stale {
		return // windows lack their past
	}
	for st := range s.standings {
		if st.looked == 0 || s.logTime-st.looked >= tierEvery {
			s.judgeTier(st)
		}
	}
}

// judgeTier raises and resolves the alerts of one standing: that a tier is
// missed for certain, and that the next one is projected to be.
func (s *State) judgeTier(st *standing) {
	st.looked = s.logTime
	p := st.of
	p.advance(s.logTime)
	if p.end == 0 {
		st.resolve(s)
		return
	}
	if st.group != nil && st.group.Labels == nil {
		return // its labels follow within a minute
	}
	st.turn()
	st.name()
	if st.group != nil && st.group.idle {
		st.resolve(s) // it does not run; when it does again, what counted counts on
		return
	}
	o := s.outlook(st)
	next := true
	for i, t := range p.tiers {
		a := &st.alerts[i]
		if o.Missed(t.Below) && !(s.parted && st.group == nil) {
			s.raiseTier(st, &a.missed, o, t, s.missedText)
			s.resolve(&a.risk)
			continue
		}
		s.resolve(&a.missed)
		switch {
		case next && o.Falls(t.Below):
			s.raiseTier(st, &a.risk, o, t, s.riskText)
		case !next || o.Recovers(t.Below):
			s.resolve(&a.risk)
		}
		next = false
	}
	if o.Bad+o.Unknown+o.Recent == 0 {
		st.resolve(s)
		delete(s.standings, st)
	}
}

// raiseTier fires the alert with the words that text finds for it; old data, told
// late, wakes nobody.
func (s *State) raiseTier(st *standing, a *named, o slo.Outlook, t sla.Tier, text func(*standing, slo.Outlook, sla.Tier) string) {
	var newest int64
	if st.group != nil {
		newest = st.group.lastSample
	}
	if s.firing(a) || st.of.severity == alert.Page && st.group != nil && s.logTime-newest > s.cfg.PageWindow {
		return
	}
	s.fire(a, newest, text(st, o, t))
}

// outlook sums up where the standing is.
func (s *State) outlook(st *standing) slo.Outlook {
	p := st.of
	o := slo.Outlook{Bad: st.bad, Unknown: st.unknown, Recent: st.recent.Advance(s.logTime)}
	lives := s.lives(st)
	for i := range lives {
		all, remaining := p.applicable(&lives[i], s.logTime)
		o.Applicable += all
		o.Remaining += remaining
		o.Span += uint64(slo.TierSpan / p.length())
	}
	return o
}

// members are the groups whose slots the standing counts.
func (s *State) members(st *standing) []*group {
	if st.group != nil {
		return []*group{st.group}
	}
	return s.groupsOf(st.of)
}

func (s *State) groupsOf(p *promise) (out []*group) {
	for g := range s.groups.All() {
		if g.Key.Stream == p.objective.Stream && g.FirstSlot != 0 {
			out = append(out, g)
		}
	}
	return out
}

// name makes the identities of the standing's alerts, for the tiers in force.
func (st *standing) name() {
	p := st.of
	alerts := make([]tierAlerts, 0, len(p.tiers))
	for i, t := range p.tiers {
		if i < len(st.alerts) && st.alerts[i].bound == t.Below {
			alerts = append(alerts, st.alerts[i])
			continue
		}
		labels := func(name string) map[string]string {
			m := map[string]string{}
			if st.group != nil {
				m = st.group.Labels.Map()
			}
			m["alertname"], m["severity"], m["kind"] = name, p.severity, "tier"
			m["contract"], m["objective"] = p.contract.Name, p.name
			m["tier"] = strings.TrimSuffix(t.Below.String(), " %")
			orOwn(m, "customer", p.contract.Customer)
			orOwn(m, "reseller", p.contract.Reseller)
			return m
		}
		alerts = append(alerts, tierAlerts{t.Below, newNamed(labels(AlertTierRisk)), newNamed(labels(AlertTierMissed))})
	}
	st.alerts = alerts
}

// resolve ends all alerts of the standing.
func (st *standing) resolve(s *State) {
	for i := range st.alerts {
		s.resolve(&st.alerts[i].risk)
		s.resolve(&st.alerts[i].missed)
	}
}
