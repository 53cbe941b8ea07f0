package evaluate

import (
	"slices"

	"nines/internal/alert"
	"nines/internal/ledger"
)

// Since returns from when on the state needs single slots to be restored; before
// that, hours suffice. It reaches back beyond the windows that count in cells
// shorter than an hour.
func Since(logTime int64) int64 {
	t := logTime - 8*3_600_000
	return t - t%3_600_000
}

// Restore brings back the groups that the ledger holds, and its alerts: those
// that fire, and those resolved within a day, under the rule set in force at the
// last commit.
func (s *State) Restore(ruleSet string, loaded []ledger.Loaded, alerts []alert.Alert, agents []ledger.Agent) error {
	if err := s.useRules(ruleSet); err != nil {
		return err
	}
	s.out = ledger.Batch{} // the ledger has it
	s.rulesAt = s.logTime
	for i := range alerts {
		a := alerts[i]
		if a.Status == alert.Resolved {
			s.restoreOutage(&a)
			continue
		}
		s.alerts[a.Key()] = &a
	}
	s.seekOrphans() // groups take over the alerts that are theirs
	for i := range loaded {
		if err := s.restoreGroup(&loaded[i]); err != nil {
			return err
		}
	}
	if s.partition == 0 {
		for i := range agents {
			a := &agents[i]
			s.boots.restore(a)
			if a.LastSeen < s.logTime-s.cfg.RetireAfter {
				continue
			}
			s.hearAt(a.Host.Get("region"), a.LastSeen, a.Newest)
		}
	}
	for _, g := range s.changed {
		g.changed = false
	}
	s.changed = nil
	for _, g := range s.touched {
		g.touched = false
	}
	s.touched = nil
	return nil
}

func (s *State) hearAt(name string, seen, newest int64) {
	r := s.regions[name]
	if r == nil {
		r = &region{blind: newNamed(map[string]string{"alertname": AlertBlind, "severity": alert.Page, "kind": "blind",
			"region": name, "reason": "no_telemetry"})}
		s.regions[name] = r
	}
	r.seen, r.newest = max(r.seen, seen), max(r.newest, newest)
}

func (s *State) restoreGroup(l *ledger.Loaded) error {
	g := s.newGroup(l.Group.Key, l.Group.Labels)
	g.Group, g.isNew = l.Group, false
	open := slices.ContainsFunc(l.Slots, func(sl ledger.Slot) bool { return !decided(sl.State) })
	over := g.Retired != 0 && g.Retired < s.logTime-s.cfg.HardBound-s.cfg.Lateness && !open
	if g.stream == nil && !over && s.streams != nil {
		g.stream = s.streams(g.Key.Stream)
	}
	if g.stream == nil || over {
		if err := s.restoreTiers(g, l); err != nil {
			return err
		}
		s.letGo(g)
		s.layAside(g)
		return nil
	}
	if s.streamOf(g.Key.Stream) == nil {
		s.end(g, s.outgoing())
	} else {
		s.goOn(g)
	}
	g.sums.advance(s.logTime, 0)
	g.next, g.lastData = g.FirstSlot, g.FirstSlot
	all := make([]added, 0, len(l.Hours)+len(l.Slots))
	for i := range l.Hours {
		h := &l.Hours[i]
		all = append(all, added{h.Start, hourDelta(h)})
		if h.Total > 0 {
			g.lastData = max(g.lastData, h.Start)
		}
		// All slots that start within an hour that is over are decided.
		last := h.Start + 3_600_000 - 1
		g.next = max(g.next, last-last%g.length()+g.length())
	}
	for i := range l.Slots {
		sl := &l.Slots[i]
		d := stateDelta(sl.State, 1)
		d.good, d.total = int64(sl.Good-sl.Owed), int64(sl.Total)
		d.part, d.whole = share(sl)
		all = append(all, added{sl.Start, d})
		if sl.Total > 0 {
			g.lastData = max(g.lastData, sl.Start)
			g.lastSample = max(g.lastSample, sl.Start)
		}
		if decided(sl.State) {
			g.next = max(g.next, sl.Start+g.length())
		}
	}
	g.sums.addAll(all)
	if err := s.restoreTiers(g, l); err != nil {
		return err
	}
	s.restoreSlots(g, l.Slots)
	for i := range g.judged {
		j := &g.judged[i]
		switch {
		case s.raised(j, atDown):
			j.down = confirmed
			s.outageBegins(g)
		case s.raised(j, atAdvisory):
			j.down = advised
		}
	}
	if err := s.restorePeriods(g, l.Hours); err != nil {
		return err
	}
	return s.restoreSlices(g)
}

// restoreSlots keeps the open and the newest slots, and reads from their bins
// what the vantage points saw last.
func (s *State) restoreSlots(g *group, slots []ledger.Slot) {
	for i := range slots {
		sl := &slots[i]
		if decided(sl.State) && sl.Start < g.next-keepSlots*g.length() {
			continue
		}
		kept := recalled(sl, g.sums.sliced())
		g.replay(kept)
		g.keep(kept)
		g.behind = g.behind || !decided(sl.State) && sl.Start < g.next
	}
}
