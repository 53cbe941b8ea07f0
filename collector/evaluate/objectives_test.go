package evaluate

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// minutes feeds streams of one-minute slots, a minute of log time at a time, and
// keeps what the ledger would hold.
type minutes struct {
	*fixture
	streams []string
	slots   map[string]map[int64]ledger.Slot
	groups  map[string]ledger.Group
	last    map[string]ledger.Status
	firing  []alert.Alert
}

func newMinutes(t *testing.T, set *slo.RuleSet, streams ...string) *minutes {
	m := &minutes{fixture: newFixture(t, 1, set), streams: streams, slots: map[string]map[int64]ledger.Slot{},
		groups: map[string]ledger.Group{}, last: map[string]ledger.Status{}}
	m.s = New(Config{}, &ledger.Claim{}, m.find, m.lookUp)
	for _, id := range streams {
		m.slots[id] = map[int64]ledger.Slot{}
	}
	return m
}

func (m *minutes) lookUp(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	sl, ok := m.slots[key.Stream][start]
	return sl, ok, nil
}

func (m *minutes) count(stream string, at int64, good, total uint64) wire.BinCount {
	return wire.BinCount{Group: wire.GroupKey{Stream: stream, Labels: target.Hash()}, Bin: at - at%1000, Good: good, Total: total, Newest: at}
}

// step applies counts at a log time and keeps what changed.
func (m *minutes) step(at int64, counts ...wire.BinCount) {
	m.t.Helper()
	p := &wire.Partial{Source: 0, Sources: 1, Incarnation: 1, From: m.to[0], To: m.to[0] + 1, LogTime: at, RuleSet: m.set, Counts: counts}
	for _, id := range m.streams {
		p.Groups = append(p.Groups, wire.GroupLabels{Key: wire.GroupKey{Stream: id, Labels: target.Hash()}, Labels: target})
	}
	m.to[0]++
	m.send(p)
	m.keep()
}

func (m *minutes) keep() {
	b, alerts, err := m.s.Advance()
	if err != nil {
		m.t.Fatal(err)
	}
	m.firing = append(append(m.firing, b.Alerts...), alerts...)
	for _, c := range b.Slots {
		m.slots[c.Group.Stream][c.Slot.Start] = c.Slot
	}
	for _, g := range b.Groups {
		m.groups[g.Key.Stream] = g
	}
	for _, st := range b.Statuses {
		m.last[st.Objective] = st
	}
}

// restart brings the state back from what the ledger holds.
func (m *minutes) restart() {
	m.t.Helper()
	now := m.s.LogTime()
	claim := &ledger.Claim{Offset: m.offset, LogTime: now, Sources: []ledger.Position{{Source: 0, Incarnation: 1, To: m.to[0], LogTime: now}}}
	var firing []alert.Alert
	for _, a := range m.s.alerts {
		firing = append(firing, *a)
	}
	m.s = New(Config{}, claim, m.find, m.lookUp)
	m.s.SetSlots(func(key wire.GroupKey, from, to int64) (out []ledger.Slot, err error) {
		for at, sl := range m.slots[key.Stream] {
			if at >= from && at < to {
				out = append(out, sl)
			}
		}
		return out, nil
	})
	var loaded []ledger.Loaded
	for _, id := range m.streams {
		if g, ok := m.groups[id]; ok {
			loaded = append(loaded, m.load(id, g, now))
		}
	}
	if err := m.s.Restore(m.set, loaded, firing, nil); err != nil {
		m.t.Fatal(err)
	}
}

// load gives single slots from Since on, and hours before.
func (m *minutes) load(id string, g ledger.Group, now int64) ledger.Loaded {
	l := ledger.Loaded{Group: g}
	hours := map[int64]*ledger.HourTotals{}
	end := now - now%minute + minute
	for at := g.FirstSlot; at < end; at += minute {
		sl, ok := m.slots[id][at]
		switch {
		case !ok:
		case at >= Since(now) || !decided(sl.State):
			l.Slots = append(l.Slots, sl)
		default:
			h := at - at%3_600_000
			if hours[h] == nil {
				hours[h] = &ledger.HourTotals{Start: h}
			}
			t := &hours[h].Totals
			t.Good, t.Total = t.Good+sl.Good, t.Total+sl.Total
			switch sl.State {
			case sla.Good:
				t.GoodSlots++
			case sla.Bad:
				t.BadSlots++
			default:
				t.UnknownSlots++
			}
		}
	}
	for h := g.FirstSlot - g.FirstSlot%3_600_000; h < end; h += 3_600_000 {
		if hours[h] != nil {
			l.Hours = append(l.Hours, *hours[h])
		}
	}
	return l
}

// meanOfSlices recomputes RatioTimeslices from the slots alone, in fractions: the
// slots whose cell is among the window's, which ends with the newest that is
// closed. What they lost together comes with it.
func (m *minutes) meanOfSlices(stream string, window, cell int64) (mean, lost float64) {
	sum, n := new(big.Rat), int64(0)
	closed := m.s.groups.Get(wire.GroupKey{Stream: stream, Labels: target.Hash()}).next
	first := (closed-1)/cell - (window+cell-1)/cell
	for at, sl := range m.slots[stream] {
		if at/cell <= first || sl.State != sla.Good && sl.State != sla.Bad {
			continue
		}
		n++
		if sl.Total == 0 {
			sum.Add(sum, big.NewRat(1, 1))
			continue
		}
		sum.Add(sum, big.NewRat(int64(sl.Good), int64(sl.Total)))
	}
	if n == 0 {
		return -1, 0
	}
	lost, _ = new(big.Rat).Sub(big.NewRat(n, 1), sum).Float64()
	mean, _ = sum.Quo(sum, big.NewRat(n, 1)).Float64()
	return mean, lost
}

func sliced(emptyGood bool) *slo.Stream {
	st := requests()
	st.Rule.EmptyGood, st.Rule.Length = emptyGood, 5*minute
	return st
}

func TestRatioTimeslicesIsTheMeanOfSlices(t *testing.T) {
	const hour = 60 * minute
	rapid.Check(t, func(rt *rapid.T) {
		st := sliced(rapid.Bool().Draw(rt, "empty good"))
		o := objective("mean", st, nil)
		o.Budgeting, o.Window, o.Burn = slo.RatioTimeslices, day, nil
		short := objective("hour", st, nil)
		short.Budgeting, short.Window = slo.RatioTimeslices, hour
		short.Burn = []slo.BurnRow{{Severity: "page", Long: hour, Short: hour, Factor: 1e12}}
		m := newMinutes(t, rules(st, o, short), st.ID())
		for i := int64(0); i < 11*60; i += 5 {
			at := epoch + i*minute + 10_000
			var counts []wire.BinCount
			add := func(back int64) {
				total := rapid.SampledFrom([]uint64{1, 3, 60, 7_000_000}).Draw(rt, "total")
				counts = append(counts, m.count(st.ID(), at-back*minute, rapid.Uint64Range(0, total).Draw(rt, "good"), total))
			}
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0: // silence
			case 1:
				add(0)
				add(rapid.Int64Range(1, min(i, 300)+1).Draw(rt, "late"))
			default:
				add(0)
			}
			m.step(at, counts...)
			if rapid.IntRange(0, 40).Draw(rt, "restart") == 0 && len(m.groups) > 0 {
				m.restart()
			}
		}
		check := func(when string) {
			for name, window := range map[string][2]int64{"mean": {day, hour}, "hour": {hour, minute}} {
				want, _ := m.meanOfSlices(st.ID(), window[0], window[1])
				got := -1.0
				if a := m.last[name].Attainment; a.Den > 0 {
					got = float64(a.Num) / float64(a.Den)
				}
				if math.Abs(got-want) > 1e-9 {
					t.Fatalf("%s, %s: attainment %v, the slots' mean is %v", when, name, got, want)
				}
			}
		}
		check("running")
		burn := m.last["hour"].Burn[0].Long
		if _, lost := m.meanOfSlices(st.ID(), hour, minute); math.Abs(burn-lost/12*1000) > 1e-4 {
			want := lost / 12 * 1000
			t.Fatalf("burn %v, want %v", burn, want)
		}
		m.restart()
		m.step(m.s.LogTime()+16_000, m.count(st.ID(), m.s.LogTime(), 1, 1))
		check("restored")
	})
}

func shop() (set *slo.RuleSet, ids []string) {
	set = &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	whole := &slo.Objective{Name: "shop", Service: "demo", Target: sla.Ratio{Num: 9, Den: 10}, Budgeting: slo.Occurrences, Window: day,
		Burn: []slo.BurnRow{{Severity: "page", Long: 3_600_000, Short: 300_000, Factor: 3}}, Budget: slo.BudgetRows()}
	for i, part := range []struct {
		target sla.Ratio
		weight float64
	}{{sla.Ratio{Num: 9, Den: 10}, 2}, {sla.Ratio{Num: 99, Den: 100}, 0.5}} {
		st := requests()
		st.Composite, st.Total.Metric = "shop", []string{"checkouts", "searches"}[i]
		o := objective([]string{"shop/1", "shop/2"}[i], st, nil)
		o.Target, o.Window, o.Burn = part.target, day, nil
		set.Streams[st.ID()] = st
		set.Objectives = append(set.Objectives, o)
		whole.Components = append(whole.Components, slo.Component{Objective: o.Name, StreamID: st.ID(), Weight: part.weight})
		ids = append(ids, st.ID())
	}
	whole.StreamID = ids[0]
	set.Objectives = append(set.Objectives, whole)
	return set, ids
}

func TestCompositeIsTheWeightedSumOfItsParts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		set, ids := shop()
		m := newMinutes(t, set, ids...)
		var good, total [2]uint64
		first := epoch - epoch%minute
		for i := int64(0); i < 40; i++ {
			at := epoch + i*minute + 10_000
			var counts []wire.BinCount
			for k, id := range ids {
				if i > 0 && rapid.Bool().Draw(rt, "silent") {
					continue
				}
				n := rapid.Uint64Range(1, 1000).Draw(rt, "total")
				g := rapid.Uint64Range(n/2, n).Draw(rt, "good")
				good[k], total[k] = good[k]+g, total[k]+n
				counts = append(counts, m.count(id, at, g, n))
			}
			m.step(at, counts...)
		}
		m.step(m.s.LogTime()+16_000, m.count(ids[0], m.s.LogTime(), 0, 0))
		seen := float64(m.s.LogTime()-first) / float64(day)
		e := func(k int) float64 { return 1 - float64(good[k])/float64(total[k]) }
		used := (2*e(0)/0.1 + 0.5*e(1)/0.01) * seen
		st := m.last["shop"]
		if math.Abs(st.BudgetLeft-(1-used)) > 1e-6 {
			t.Fatalf("budget left %v, want %v", st.BudgetLeft, 1-used)
		}
		want := 1 - min(1, 2*e(0)+0.5*e(1))
		if got := float64(st.Attainment.Num) / float64(st.Attainment.Den); math.Abs(got-want) > 1e-8 {
			t.Fatalf("attainment %v, want %v", got, want)
		}
		if sum := total[0] + total[1]; st.Window.Total != sum {
			t.Fatalf("%d events, want %d", st.Window.Total, sum)
		}
		hour := float64(m.s.LogTime()-first) / 3_600_000
		if want := (2*e(0)/0.1 + 0.5*e(1)/0.01) * hour; math.Abs(st.Burn[0].Long-want) > 1e-6 {
			t.Fatalf("burn %v, want %v", st.Burn[0].Long, want)
		}
		left := m.last["shop"].BudgetLeft
		m.restart()
		m.step(m.s.LogTime()+16_000, m.count(ids[1], m.s.LogTime(), 0, 0))
		if got := m.last["shop"].BudgetLeft; math.Abs(got-left) > 0.02*(1-left)+1e-9 {
			t.Fatalf("after a restart the budget is %v, was %v", got, left)
		}
	})
}

// TestCompositeAlertsOnAnyPart: what is told of the second part is judged,
// although the first is silent.
func TestCompositeAlertsOnAnyPart(t *testing.T) {
	set, ids := shop()
	m := newMinutes(t, set, ids...)
	m.step(epoch+10_000, m.count(ids[0], epoch+10_000, 1, 1))
	for i := int64(1); i < 20; i++ {
		m.step(epoch+i*minute+10_000, m.count(ids[1], epoch+i*minute+10_000, 50, 100))
	}
	if a := m.said("burn", alert.Firing); len(a) != 1 || a[0].Labels["objective"] != "shop" || a[0].Labels["target"] != "t" {
		t.Errorf("burn alerts %+v", a)
	}
}

// said returns the alerts of a kind that were published with a status, once.
func (m *minutes) said(kind string, status alert.Status) (out []alert.Alert) {
	seen := map[string]bool{}
	for _, a := range append(m.alerts, m.firing...) {
		id := a.Key() + string(a.Status) + a.Annotations["summary"]
		if a.Labels["kind"] == kind && a.Status == status && !seen[id] {
			seen[id] = true
			out = append(out, a)
		}
	}
	return out
}

func TestConsumedBudgetAlertsOnceEach(t *testing.T) {
	st := requests()
	o := objective("web", st, nil)
	o.Target, o.Window, o.Burn, o.Budget = sla.Ratio{Num: 9, Den: 10}, 3_600_000, nil, slo.BudgetRows()
	m := newMinutes(t, rules(st, o), st.ID())
	i := int64(0)
	run := func(n int64, good uint64) {
		for end := i + n; i < end; i++ {
			m.step(epoch+i*minute+10_000, m.count(st.ID(), epoch+i*minute+10_000, good, 100))
		}
	}
	run(60, 100)
	want := func(when string, fired, resolved int) {
		t.Helper()
		if f, r := len(m.said("budget", alert.Firing)), len(m.said("budget", alert.Resolved)); f != fired || r != resolved {
			t.Errorf("%s: %d fired, %d resolved; want %d and %d", when, f, r, fired, resolved)
		}
	}
	want("all good", 0, 0)
	run(3, 40) // 180 of 6000: 30 %
	want("a third", 1, 0)
	if a := m.said("budget", alert.Firing)[0]; a.Labels["consumed"] != "25" || a.Labels["severity"] != alert.Advisory || a.Labels["alertname"] != AlertBudget {
		t.Errorf("%+v", a)
	}
	run(8, 40)
	want("all of it", 5, 0)
	m.restart()
	run(10, 100)
	want("after a restart nothing is said twice", 5, 0)
	run(60, 100)
	want("the window has passed", 5, 5)
}

func TestNoDataAlertsAfterItsTime(t *testing.T) {
	st := requests()
	o := objective("web", st, nil)
	o.Burn, o.NoData = nil, []slo.NoData{{Severity: alert.Ticket, After: 15 * minute, Policy: slo.Policy{Name: "p", Targets: ",mail,"}}}
	m := newMinutes(t, rules(st, o), st.ID())
	m.step(epoch+10_000, m.count(st.ID(), epoch+10_000, 1, 1))
	at := epoch + 10_000
	pass := func(d int64) {
		for end := at + d; at < end; at += 5_000 {
			m.step(at)
		}
	}
	pass(14 * minute)
	if a := m.said("nodata", alert.Firing); len(a) != 0 {
		t.Errorf("too soon: %+v", a)
	}
	pass(2 * minute)
	a := m.said("nodata", alert.Firing)
	if len(a) != 1 || a[0].Labels["severity"] != alert.Ticket || a[0].Labels["policy"] != "p" || a[0].Labels["targets"] != ",mail," || a[0].Labels["target"] != "t" {
		t.Fatalf("%+v", a)
	}
	m.step(at, m.count(st.ID(), at, 1, 1))
	if a := m.said("nodata", alert.Resolved); len(a) != 1 {
		t.Errorf("resolved %+v", a)
	}
	at += 3 * 3_600_000 // the collector was away
	m.step(at)
	pass(10 * minute)
	if a := m.said("nodata", alert.Firing); len(a) != 1 {
		t.Errorf("a silence of the collector's own is told: %+v", a)
	}
}

func TestConditionsOfPolicies(t *testing.T) {
	st := requests()
	o := objective("web", st, nil)
	o.Target, o.Window = sla.Ratio{Num: 9, Den: 10}, 3_600_000
	o.Burn = []slo.BurnRow{
		{Severity: alert.Page, Long: 5 * minute, Short: 5 * minute, Factor: 0.5, Op: slo.GTE, After: 3 * minute, Condition: "hot", Policy: slo.Policy{Name: "p", Targets: ",a,b,"}},
		{Severity: alert.Ticket, Long: 5 * minute, Short: 5 * minute, Factor: 0.5, Op: slo.LT, Condition: "cold"},
	}
	m := newMinutes(t, rules(st, o), st.ID())
	i := int64(0)
	run := func(n int64, good uint64) {
		for end := i + n; i < end; i++ {
			m.step(epoch+i*minute+10_000, m.count(st.ID(), epoch+i*minute+10_000, good, 100))
		}
	}
	by := func(condition string, status alert.Status) (n int) {
		for _, a := range m.said("burn", status) {
			if a.Labels["condition"] == condition {
				n++
			}
		}
		return n
	}
	run(10, 100)
	if by("cold", alert.Firing) != 1 || by("hot", alert.Firing) != 0 {
		t.Errorf("%+v", m.said("burn", alert.Firing))
	}
	run(3, 0)
	if by("cold", alert.Resolved) != 1 || by("hot", alert.Firing) != 0 {
		t.Error("it fires before alertAfter, or the other one does not resolve")
	}
	run(2, 0)
	if by("hot", alert.Firing) != 1 {
		t.Error("it does not fire after alertAfter")
	}
	m.restart()
	run(1, 0)
	if by("hot", alert.Resolved) != 0 {
		t.Error("a restart resolves it")
	}
	run(8, 100)
	if by("hot", alert.Resolved) != 1 {
		t.Error("it does not resolve")
	}
}

func TestCompositePartsShareAPartition(t *testing.T) {
	_, ids := shop()
	if ids[0] == ids[1] || slo.Affinity(ids[0]) != slo.Affinity(ids[1]) {
		t.Errorf("streams %v", ids)
	}
	if id := requests().ID(); slo.Affinity(id) != id {
		t.Errorf("%s is spread by %s", id, slo.Affinity(id))
	}
}

// TestAYearOutlivesARestart: the ledger gives a quarter of hours by itself.
func TestAYearOutlivesARestart(t *testing.T) {
	st := requests()
	o := objective("web", st, nil)
	o.Burn, o.Window, o.Calendar = nil, 365*day, &slo.Calendar{TimeZone: "UTC", Unit: "year"}
	set := rules(st, o)
	m := newMinutes(t, set, st.ID())
	const hour = 60 * minute
	yearStart := int64(1_767_225_600_000) // 2026-01-01 UTC
	first, now := yearStart-30*day, yearStart+200*day
	hours := func(from, to int64) (out []ledger.HourTotals) {
		for h := max(from, first); h < to; h += hour {
			out = append(out, ledger.HourTotals{Start: h, Totals: ledger.Totals{Good: 9, Total: 10, BadSlots: 1}})
		}
		return out
	}
	key := wire.GroupKey{Stream: st.ID(), Labels: target.Hash()}
	m.s = New(Config{}, &ledger.Claim{LogTime: now}, m.find, m.lookUp)
	m.s.SetHours(func(_ wire.GroupKey, from, to int64) ([]ledger.HourTotals, error) { return hours(from, to), nil })
	loaded := []ledger.Loaded{{Group: ledger.Group{Key: key, Labels: target, FirstSlot: first}, Hours: hours(now-92*day, Since(now))}}
	if err := m.s.Restore(m.set, loaded, nil, nil); err != nil {
		t.Fatal(err)
	}
	m.step(now, m.count(st.ID(), now, 1, 1))
	n := uint64((Since(now) - yearStart) / hour)
	if w := m.last["web"].Window; w.Total != 10*n+1 || w.Good != 9*n+1 {
		t.Errorf("the year holds %d of %d, want %d of %d", w.Good, w.Total, 9*n+1, 10*n+1)
	}
}
