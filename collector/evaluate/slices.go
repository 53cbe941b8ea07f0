package evaluate

import (
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// SetSlots lets Restore read single slots of a group that start in [from, to),
// Unix milliseconds, for objectives that the hours' sums do not suffice for.
func (s *State) SetSlots(read func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error)) {
	s.readSlots = read
}

// SetHours lets Restore read the sums of a group's hours in [from, to), Unix
// milliseconds, for calendar periods that began before what the ledger gives.
func (s *State) SetHours(read func(key wire.GroupKey, from, to int64) ([]ledger.HourTotals, error)) {
	s.readHours = read
}

// restorePeriods adds to calendar periods the hours before those that the ledger
// has given: it gives those of a quarter, and a year is longer.
func (s *State) restorePeriods(g *group, given []ledger.HourTotals) error {
	to := Since(s.logTime)
	if len(given) > 0 {
		to = min(to, given[0].Start)
	}
	for _, p := range g.sums.periods {
		from := max(p.events.Start, g.FirstSlot)
		from -= from % 3_600_000
		if s.readHours == nil || from >= to {
			continue
		}
		hours, err := s.readHours(g.Key, from, to)
		if err != nil {
			return err
		}
		for i := range hours {
			p.add(hours[i].Start, hourDelta(&hours[i]))
		}
	}
	return nil
}

// hourDelta is what an hour's sums add.
func hourDelta(h *ledger.HourTotals) delta {
	return delta{good: int64(h.Good), total: int64(h.Total),
		goodSlots: int64(h.GoodSlots), badSlots: int64(h.BadSlots), unknownSlots: int64(h.UnknownSlots)}
}

// share returns what the slot adds to the sums of RatioTimeslices: nothing
// while it is open or unknown.
func share(sl *ledger.Slot) (part, whole int64) {
	if sl.State != sla.Good && sl.State != sla.Bad {
		return 0, 0
	}
	return int64(slo.SliceShare(clamp(sl.Good), sl.Total)), slo.SliceUnit
}

// reshare counts the slot's ratio in the sums, or what it has changed by.
func (g *group) reshare(sl *slot) {
	if !g.sums.sliced() {
		return
	}
	part, whole := share(&ledger.Slot{State: sl.State, Good: sl.Good, Total: sl.Total})
	r := sl.more()
	g.sums.add(sl.Start, delta{part: part - r.part, whole: whole - r.whole})
	r.part, r.whole = part, whole
}

// restoreSlices adds the ratios of the slots before the single ones that the
// ledger has given, where an objective averages them.
func (s *State) restoreSlices(g *group) error {
	from := s.slicesFrom(g)
	to := Since(s.logTime)
	if s.readSlots == nil || from >= to {
		return nil
	}
	slots, err := s.readSlots(g.Key, from, to)
	if err != nil {
		return err
	}
	all := make([]added, 0, len(slots))
	for i := range slots {
		part, whole := share(&slots[i])
		all = append(all, added{slots[i].Start, delta{part: part, whole: whole}})
	}
	g.sums.addAll(all)
	return nil
}

// slicesFrom returns from when on the group's windows of RatioTimeslices count;
// log time where it has none.
func (s *State) slicesFrom(g *group) int64 {
	from := s.logTime
	if l := s.layoutOf(g.Key.Stream).slices; l != nil {
		from -= l.Reach()
	}
	for o, p := range g.sums.periods {
		if o.Budgeting == slo.RatioTimeslices {
			from = min(from, p.slices.Start)
		}
	}
	return max(from, g.FirstSlot)
}
