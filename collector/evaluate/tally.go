package evaluate

import (
	"slices"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// delta is what one change adds to the sums of a group; negative parts take
// back what a restatement changed.
type delta struct {
	good, total, goodSlots, badSlots, unknownSlots int64
	// part of whole slices, in parts of slo.SliceUnit.
	part, whole int64
}

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
type layouts struct {
	events, slots, unknown *slo.Layout
	slices                 *slo.Layout // nil where no objective asks for it
	slot                   int64       // length of a slot in milliseconds
}

// over returns the length of the objective's window over which it is measured:
// one of slots holds whole ones, and one at least.
func (l *layouts) over(o *slo.Objective, length int64) int64 {
	if o.Budgeting == slo.Occurrences {
		return length
	}
	return (length + l.slot - 1) / l.slot * l.slot
}

func layoutsOf(objectives []*slo.Objective, slot int64) *layouts {
	l := &layouts{slot: slot}
	var events, slots, unknown, slices []int64
	ratios := false
	for _, o := range objectives {
		burn := &events
		switch o.Budgeting {
		case slo.Timeslices:
			burn = &slots
		case slo.RatioTimeslices:
			burn, ratios = &slices, true
			if o.Calendar == nil {
				slices = append(slices, l.over(o, o.Window))
			}
		}
		for _, r := range o.Burn {
			*burn = append(*burn, l.over(o, r.Long), l.over(o, r.Short))
		}
		if o.Calendar == nil {
			own := l.over(o, o.Window)
			events, slots, unknown = append(events, own), append(slots, own), append(unknown, own)
		}
	}
	l.events, l.slots, l.unknown = slo.NewLayout(events...), slo.NewLayout(slots...), slo.NewLayout(unknown...)
	if ratios {
		l.slices = slo.NewLayout(slices...)
	}
	return l
}

// tally holds a group's running sums over the windows of its objectives.
type tally struct {
	layouts       *layouts
	events, slots slo.Window
	unknown       *slo.Window // nil until a slot is unknown
	slices        *slo.Window // nil where no objective asks for it
	periods       map[*slo.Objective]*period
	// at is the slot to which good of total events were added that the sums do
	// not hold yet: ticks bring little by little what the windows take once a
	// minute. Who asks for events gets them added; see sum.
	at          int64
	good, total int64
}

// period sums up the current period of a calendar-aligned objective.
type period struct{ events, slots, unknown, slices slo.PeriodSum }

func newTally(l *layouts, objectives []*slo.Objective) tally {
	t := tally{layouts: l, events: slo.NewWindow(l.events), slots: slo.NewWindow(l.slots)}
	if l.slices != nil {
		w := slo.NewWindow(l.slices)
		t.slices = &w
	}
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

// sliced tells whether ratios of slots are summed.
func (t *tally) sliced() bool { return t.slices != nil || len(t.periods) > 0 }

// advance moves the windows' end to now; those of slots end with the newest one
// that is closed, whose end is closed, so that they hold whole slots that are
// decided. A calendar that does not load was refused with its file; here it sums
// nothing.
func (t *tally) advance(now, closed int64) {
	if t.periods != nil || t.events.Closes(now) {
		t.settle() // into open cells, which costs less than into closed ones
	}
	t.events.Advance(now)
	t.slots.Advance(closed - 1)
	if t.unknown != nil {
		t.unknown.Advance(closed - 1)
	}
	if t.slices != nil {
		t.slices.Advance(closed - 1)
	}
	for o, p := range t.periods {
		p.advance(o.Calendar, now)
	}
}

// count adds events to the slot that starts at start.
func (t *tally) count(start, good, total int64) {
	if start != t.at {
		t.settle()
		t.at = start
	}
	t.good += good
	t.total += total
}

// sum returns the good and all events of a window, those included that it does
// not hold yet.
func (t *tally) sum(length int64) (good, total uint64) {
	if t.at > t.events.Now() {
		t.settle() // which moves the window on
	}
	if t.good|t.total == 0 {
		return t.events.Sum(length)
	}
	return t.events.SumWith(length, slo.Added{Start: t.at, Good: t.good, Total: t.total})
}

// settle brings the sums up to date. What adds up to nothing moves the window on
// all the same, as it would have one by one.
func (t *tally) settle() {
	if t.good|t.total != 0 {
		d := delta{good: t.good, total: t.total}
		t.good, t.total = 0, 0
		t.add(t.at, d)
	} else {
		t.events.Advance(t.at)
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
		t.unknowns().Add(start, d.unknownSlots, d.unknownSlots)
	}
	if t.slices != nil && d.part|d.whole != 0 {
		t.slices.Add(start, d.part, d.whole)
	}
	for o, p := range t.periods {
		p.advance(o.Calendar, start) // the first of a new one comes before log time does
		p.add(start, d)
	}
}

// added is a delta of the slot, or the hour, that starts at start.
type added struct {
	start int64
	delta
}

// addAll does what add does of each, and costs less of many.
func (t *tally) addAll(all []added) {
	var list []slo.Added
	fill := func(w *slo.Window, of func(*added) (good, total int64)) {
		list = list[:0]
		for i := range all {
			if good, total := of(&all[i]); good|total != 0 {
				list = append(list, slo.Added{Start: all[i].start, Good: good, Total: total})
			}
		}
		if len(list) > 0 {
			w.AddAll(list)
		}
	}
	fill(&t.events, func(a *added) (int64, int64) { return a.good, a.total })
	fill(&t.slots, func(a *added) (int64, int64) { return a.goodSlots, a.goodSlots + a.badSlots })
	if slices.ContainsFunc(all, func(a added) bool { return a.unknownSlots != 0 }) {
		fill(t.unknowns(), func(a *added) (int64, int64) { return a.unknownSlots, a.unknownSlots })
	}
	if t.slices != nil {
		fill(t.slices, func(a *added) (int64, int64) { return a.part, a.whole })
	}
	for _, p := range t.periods {
		for i := range all {
			p.add(all[i].start, all[i].delta)
		}
	}
}

// unknowns returns the window of unknown slots, which most groups never need.
func (t *tally) unknowns() *slo.Window {
	if t.unknown == nil {
		w := slo.NewWindow(t.layouts.unknown)
		w.Advance(t.slots.Now())
		t.unknown = &w
	}
	return t.unknown
}

func (p *period) advance(c *slo.Calendar, now int64) {
	for _, sum := range []*slo.PeriodSum{&p.events, &p.slots, &p.unknown, &p.slices} {
		_ = sum.Advance(c, now)
	}
}

func (p *period) add(start int64, d delta) {
	p.events.Add(start, d.good, d.total)
	p.slots.Add(start, d.goodSlots, d.goodSlots+d.badSlots)
	p.unknown.Add(start, d.unknownSlots, d.unknownSlots)
	p.slices.Add(start, d.part, d.whole)
}

// window returns the sums over the objective's own window or current period.
func (t *tally) window(o *slo.Objective) ledger.Totals {
	if p := t.periods[o]; p != nil {
		t.settle()
		u := func(n int64) uint64 { return uint64(max(n, 0)) }
		return ledger.Totals{Good: u(p.events.Good), Total: u(p.events.Total), GoodSlots: u(p.slots.Good),
			BadSlots: u(p.slots.Total - p.slots.Good), UnknownSlots: u(p.unknown.Total)}
	}
	own := t.layouts.over(o, o.Window)
	good, total := t.sum(own)
	goodSlots, decided := t.slots.Sum(own)
	var unknown uint64
	if t.unknown != nil {
		_, unknown = t.unknown.Sum(own)
	}
	return ledger.Totals{Good: good, Total: total, GoodSlots: goodSlots, BadSlots: decided - goodSlots, UnknownSlots: unknown}
}

// budgeted returns the good and all events, decided slots, or parts of slices
// that the objective's budget counts, over a window, and how long that is.
func (t *tally) budgeted(o *slo.Objective, window int64) (good, total uint64, length int64) {
	length = t.layouts.over(o, window)
	switch {
	case o.Budgeting == slo.Timeslices:
		good, total = t.slots.Sum(length)
	case o.Budgeting == slo.RatioTimeslices && t.slices != nil:
		good, total = t.slices.Sum(length)
	default:
		good, total = t.sum(length)
	}
	return good, total, length
}

// attained returns what budgeted does, over the objective's own window or
// current period.
func (t *tally) attained(o *slo.Objective) (good, total uint64, length int64) {
	p := t.periods[o]
	if p == nil {
		return t.budgeted(o, o.Window)
	}
	t.settle()
	sum := p.events
	switch o.Budgeting {
	case slo.Timeslices:
		sum = p.slots
	case slo.RatioTimeslices:
		sum = p.slices
	}
	return uint64(max(sum.Good, 0)), uint64(max(sum.Total, 0)), p.events.End - p.events.Start
}
