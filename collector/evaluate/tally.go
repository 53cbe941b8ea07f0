package evaluate

import (
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// budgetingSlots is the OpenSLO budgeting method that counts slots.
const budgetingSlots = "Timeslices"

// delta is what one change adds to the sums of a group; negative parts take
// back what a restatement changed.
type delta struct{ good, total, goodSlots, badSlots, unknownSlots int64 }

func stateDelta(st sla.State, n int64) delta {
	switch st {
	case sla.Good:
		return delta{goodSlots: n}
	case sla.Bad:
		return delta{badSlots: n}
	case sla.Unknown:
		return delta{unknownSlots: n}
	}
	return delta{}
}

// layouts are the window shapes of a stream's objectives: burn-rate windows in
// the unit that the objective budgets by, its own window in all units.
type layouts struct{ events, slots, unknown *slo.Layout }

func layoutsOf(objectives []*slo.Objective) *layouts {
	var events, slots, unknown []int64
	for _, o := range objectives {
		burn := &events
		if o.Budgeting == budgetingSlots {
			burn = &slots
		}
		for _, r := range o.Burn {
			*burn = append(*burn, r.Long, r.Short)
		}
		if o.Calendar == nil {
			events, slots, unknown = append(events, o.Window), append(slots, o.Window), append(unknown, o.Window)
		}
	}
	return &layouts{slo.NewLayout(events...), slo.NewLayout(slots...), slo.NewLayout(unknown...)}
}

// tally holds a group's running sums over the windows of its objectives.
type tally struct {
	events, slots, unknown *slo.Window
	periods                map[*slo.Objective]*period
}

// period sums up the current period of a calendar-aligned objective.
type period struct{ events, slots, unknown slo.PeriodSum }

func newTally(l *layouts, objectives []*slo.Objective) *tally {
	t := &tally{events: slo.NewWindow(l.events), slots: slo.NewWindow(l.slots), unknown: slo.NewWindow(l.unknown)}
	for _, o := range objectives {
		if o.Calendar != nil {
			if t.periods == nil {
				t.periods = map[*slo.Objective]*period{}
			}
			t.periods[o] = &period{}
		}
	}
	return t
}

// advance moves the windows' end to now. A calendar that does not load was
// refused with its file; here it sums nothing.
func (t *tally) advance(now int64) {
	t.events.Advance(now)
	t.slots.Advance(now)
	t.unknown.Advance(now)
	for o, p := range t.periods {
		_ = p.events.Advance(o.Calendar, now)
		_ = p.slots.Advance(o.Calendar, now)
		_ = p.unknown.Advance(o.Calendar, now)
	}
}

func (t *tally) add(start int64, d delta) {
	if d.good|d.total != 0 {
		t.events.Add(start, d.good, d.total)
	}
	if d.goodSlots|d.badSlots != 0 {
		t.slots.Add(start, d.goodSlots, d.goodSlots+d.badSlots)
	}
	if d.unknownSlots != 0 {
		t.unknown.Add(start, d.unknownSlots, d.unknownSlots)
	}
	for _, p := range t.periods {
		p.events.Add(start, d.good, d.total)
		p.slots.Add(start, d.goodSlots, d.goodSlots+d.badSlots)
		p.unknown.Add(start, d.unknownSlots, d.unknownSlots)
	}
}

// window returns the sums over the objective's own window or current period.
func (t *tally) window(o *slo.Objective) ledger.Totals {
	if p := t.periods[o]; p != nil {
		u := func(n int64) uint64 { return uint64(max(n, 0)) }
		return ledger.Totals{Good: u(p.events.Good), Total: u(p.events.Total), GoodSlots: u(p.slots.Good),
			BadSlots: u(p.slots.Total - p.slots.Good), UnknownSlots: u(p.unknown.Total)}
	}
	good, total := t.events.Sum(o.Window)
	goodSlots, decided := t.slots.Sum(o.Window)
	_, unknown := t.unknown.Sum(o.Window)
	return ledger.Totals{Good: good, Total: total, GoodSlots: goodSlots, BadSlots: decided - goodSlots, UnknownSlots: unknown}
}

// budgeted returns the good and all events, or decided slots, that the
// objective's budget counts, over a burn-rate window.
func (t *tally) budgeted(o *slo.Objective, length int64) (good, total uint64) {
	if o.Budgeting == budgetingSlots {
		return t.slots.Sum(length)
	}
	return t.events.Sum(length)
}
