package web

import (
	"context"
	"net/http"
	"slices"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// budgetingSlots is the OpenSLO budgeting method that counts slots.
const budgetingSlots = "Timeslices"

// openHours is how far back from the log time slots may still be open: there
// the hours' sums are not complete, and slots are read one by one.
const openHours = 3 * hourMs

func (s *Server) getBurndown(r *http.Request) (any, error) {
	a, err := s.ask(r)
	if err != nil {
		return nil, err
	}
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	name := r.URL.Query().Get("objective")
	i := slices.IndexFunc(rs.Objectives, func(o *slo.Objective) bool {
		return o.StreamID == a.key.Stream && (o.Name == name || name == "")
	})
	if i < 0 {
		return nil, notFound("no objective %s judges the group %s; GET /api/nines/v1/objectives lists both", quoteShort(name), groupID(a.key))
	}
	if o := rs.Objectives[i]; len(o.Components) > 0 {
		return nil, notFound("%s is a composite objective: its budget is spent by its parts, ask for %s and so on", quoteShort(o.Name), quoteShort(o.Components[0].Objective))
	}
	logTime, err := s.o.Ledger.LogTime(r.Context())
	if err != nil {
		return nil, err
	}
	return s.burndown(r.Context(), rs.Objectives[i], a, logTime)
}

// burndown computes the budget left as evaluate does, at points of time: over
// the window, or the calendar period, that ends there.
func (s *Server) burndown(ctx context.Context, o *slo.Objective, a asked, logTime int64) (burndownView, error) {
	v := burndownView{StepMs: stepFor(a.to-a.from, a.slotMs), Points: []burndownPoint{}}
	times := pointTimes(max(a.from, a.group.FirstSlot), min(a.to, logTime), v.StepMs)
	if a.group.FirstSlot == 0 || len(times) == 0 {
		return v, nil
	}
	windows := make([]window, len(times))
	for i, t := range times {
		w, err := windowAt(o, t)
		if err != nil {
			return v, err
		}
		windows[i] = w
	}
	sums, err := s.readSums(ctx, a, windows, logTime, o.Budgeting == slo.RatioTimeslices)
	if err != nil {
		return v, err
	}
	for i, t := range times {
		w := windows[i]
		good, total := sums.between(w.from, t, o.Budgeting == budgetingSlots)
		used := o.Rate(good, total, slo.Extent{Length: w.length, Age: max(t-max(a.group.FirstSlot, w.from), 1), Slot: a.slotMs}).Burn
		v.Points = append(v.Points, burndownPoint{T: t, BudgetLeft: finite(1 - used)})
	}
	return v, nil
}

// pointTimes are the multiples of step in (from, to), and to itself.
func pointTimes(from, to, step int64) []int64 {
	if to <= from {
		return nil
	}
	var times []int64
	for t := floorTo(from, step) + step; t < to; t += step {
		times = append(times, t)
	}
	return append(times, to)
}

// window is what an objective sums up as of a point of time.
type window struct {
	// from is its start and to the point of time.
	from, to int64
	// length is the whole window's, or the calendar period's.
	length int64
}

func windowAt(o *slo.Objective, t int64) (window, error) {
	if o.Calendar == nil {
		return window{from: t - o.Window, to: t, length: o.Window}, nil
	}
	start, end, err := o.Calendar.Bounds(t - 1) // at a period's end its last instant counts
	return window{from: start, to: t, length: end - start}, err
}

// runningSums are a group's sums over time: pieces (hours or slots) in order,
// each with the sum of all before it.
type runningSums struct {
	starts []int64
	before []ledger.Totals // one more than starts
}

func (s *runningSums) add(start int64, t ledger.Totals) {
	if len(s.before) == 0 {
		s.before = append(s.before, ledger.Totals{})
	}
	sum := s.before[len(s.before)-1]
	sum.Good += t.Good
	sum.Total += t.Total
	sum.GoodSlots += t.GoodSlots
	sum.BadSlots += t.BadSlots
	s.starts = append(s.starts, start)
	s.before = append(s.before, sum)
}

// until returns the sum of the pieces that start before t.
func (s *runningSums) until(t int64) ledger.Totals {
	if len(s.before) == 0 {
		return ledger.Totals{}
	}
	i, _ := slices.BinarySearch(s.starts, t)
	return s.before[i]
}

// between returns the good and all events, or decided slots, of [from, to).
func (s *runningSums) between(from, to int64, bySlots bool) (good, total uint64) {
	a, b := s.until(from), s.until(to)
	if bySlots {
		good = b.GoodSlots - a.GoodSlots
		return good, good + b.BadSlots - a.BadSlots
	}
	return b.Good - a.Good, b.Total - a.Total
}

// span is the half-open [from, to), whole hours.
type span struct{ from, to int64 }

// fineSpans are the hours in which a window begins or ends inside the hour:
// there slots are read, elsewhere the hours' sums do.
func fineSpans(windows []window, logTime int64) []span {
	spans := []span{{floorTo(logTime-openHours, hourMs), ceilTo(logTime+1, hourMs)}}
	for _, w := range windows {
		for _, t := range []int64{w.from, w.to} {
			if h := floorTo(t, hourMs); h != t {
				spans = append(spans, span{h, h + hourMs})
			}
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(min(1, max(-1, a.from-b.from))) })
	merged := spans[:1]
	for _, s := range spans[1:] {
		if last := &merged[len(merged)-1]; s.from <= last.to {
			last.to = max(last.to, s.to)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// readSums reads what the windows need, from one end to the other. Ratios of
// slices are in no hour's sums: for them every slot is read.
func (s *Server) readSums(ctx context.Context, a asked, windows []window, logTime int64, slices bool) (*runningSums, error) {
	first, last := windows[0].from, windows[len(windows)-1].to
	for _, w := range windows {
		first = min(first, w.from)
	}
	at := floorTo(max(first, a.group.FirstSlot), hourMs)
	sums := &runningSums{}
	if slices {
		slots, err := s.o.Ledger.GroupSlots(ctx, s.who, a.key, at, ceilTo(last, hourMs))
		for i := range slots {
			sums.add(slots[i].Start, sliceOf(&slots[i]))
		}
		return sums, err
	}
	hours := func(to int64) error {
		if at >= to {
			return nil
		}
		totals, err := s.o.Ledger.HourTotals(ctx, s.who, a.key, at, to)
		for _, h := range totals {
			sums.add(h.Start, h.Totals)
		}
		return err
	}
	for _, f := range fineSpans(windows, logTime) {
		f.from, f.to = max(f.from, at), min(f.to, ceilTo(last, hourMs))
		if f.from >= f.to {
			continue
		}
		if err := hours(f.from); err != nil {
			return nil, err
		}
		slots, err := s.o.Ledger.GroupSlots(ctx, s.who, a.key, f.from, f.to)
		if err != nil {
			return nil, err
		}
		for i := range slots {
			sums.add(slots[i].Start, totalsOf(&slots[i]))
		}
		at = f.to
	}
	return sums, hours(ceilTo(last, hourMs))
}

// sliceOf is the ratio of a decided slot, as RatioTimeslices adds it up.
func sliceOf(sl *ledger.Slot) ledger.Totals {
	if sl.State != sla.Good && sl.State != sla.Bad {
		return ledger.Totals{}
	}
	return ledger.Totals{Good: slo.SliceShare(sl.Good, sl.Total), Total: slo.SliceUnit}
}

// totalsOf counts one slot; of an open one the events alone.
func totalsOf(sl *ledger.Slot) ledger.Totals {
	t := ledger.Totals{Good: sl.Good, Total: sl.Total}
	switch sl.State {
	case sla.Good:
		t.GoodSlots = 1
	case sla.Bad:
		t.BadSlots = 1
	case sla.Unknown:
		t.UnknownSlots = 1
	}
	return t
}
