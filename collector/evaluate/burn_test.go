package evaluate

import (
	"fmt"
	"math"
	"testing"

	"nines/internal/alert"
	"nines/internal/sla"
	"nines/internal/slo"
)

const hour = 60 * minute

// burnFixture plays minutes of 60 requests each under one objective of 99.9 %
// with the rows of 30 days.
type burnFixture struct {
	*minutes
	o  *slo.Objective
	id string
	at int64 // minutes since epoch's
}

func newBurn(t *testing.T, change func(*slo.Stream, *slo.Objective)) *burnFixture {
	st := requests()
	o := objective("web", st, nil)
	o.Budgeting, o.Budget = slo.Timeslices, slo.BudgetRows()
	change(st, o)
	o.StreamID = st.ID()
	return &burnFixture{minutes: newMinutes(t, rules(st, o), st.ID()), o: o, id: st.ID()}
}

// play adds n minutes in each of which so many of 60 requests fail; below 0 the
// minute is silent.
func (f *burnFixture) play(n int, bad int) *burnFixture {
	f.t.Helper()
	for range n {
		from := epoch + f.at*minute
		if bad >= 0 {
			f.step(from+30_000, f.count(f.id, from+20_000, uint64(60-bad), 60))
		}
		f.step(from+59_000, f.count(f.id, from+40_000, 0, 0))
		f.at++
	}
	return f
}

// settle lets the last minute be decided: log time is 7 s into the next one.
func (f *burnFixture) settle() *burnFixture {
	f.t.Helper()
	f.step(epoch+f.at*minute+7_000, f.count(f.id, epoch+f.at*minute, 0, 0))
	return f
}

func (f *burnFixture) want(what string, long, short, used float64) {
	f.t.Helper()
	st := f.last["web"]
	near := func(got, want float64) bool { return math.Abs(got-want) < 0.0005*(1+math.Abs(want)) }
	if len(st.Burn) == 0 || !near(st.Burn[0].Long, long) || !near(st.Burn[0].Short, short) || !near(1-st.BudgetLeft, used) {
		f.t.Errorf("%s: burn %+v, consumed %v; want %v and %v, %v", what, st.Burn, 1-st.BudgetLeft, long, short, used)
	}
}

// wantPages compares the pages that burn rows have raised so far.
func (f *burnFixture) wantPages(what string, want string) {
	f.t.Helper()
	var got []string
	for _, a := range f.said("burn", alert.Firing) {
		if a.Labels["severity"] == alert.Page {
			got = append(got, a.Labels["window"])
		}
	}
	if fmt.Sprint(got) != want {
		f.t.Errorf("%s: pages %v, want %s", what, got, want)
	}
}

// TestBurnOfYoungOldAndUnknown: one bad minute of an hour burns 1/60 ÷ 0.001,
// that is 16.7 times too fast, however old the group is and whatever the monitor
// has missed; it spends 1/43.2 of the month's budget.
func TestBurnOfYoungOldAndUnknown(t *testing.T) {
	const one, five, ofMonth = 1000.0 / 60, 1000.0 / 5, 1 / 43.2
	timeslices := func(*slo.Stream, *slo.Objective) {}
	newBurn(t, timeslices).play(10, 0).play(1, 60).settle().want("young", one, five, ofMonth)
	newBurn(t, timeslices).play(1, 60).settle().want("its first minute", one, five, ofMonth)
	newBurn(t, timeslices).play(90, 0).play(1, 60).settle().want("old", one, five, ofMonth)
	newBurn(t, timeslices).play(20, 0).play(15, -1).play(20, 0).play(1, 60).settle().want("a quarter of an hour unknown", one, five, ofMonth)
	newBurn(t, timeslices).play(1, 60).play(4, -1).settle().want("unknown since", one, five, ofMonth)
	newBurn(t, timeslices).play(1, 60).play(4, 0).settle().want("in its fifth minute it is of the short window", one, five, ofMonth)
	newBurn(t, timeslices).play(1, 60).play(5, 0).settle().want("in the sixth no more", one, 0, ofMonth)
	newBurn(t, timeslices).play(1, 60).play(59, 0).settle().want("of the hour's sixty", one, 0, ofMonth)
	newBurn(t, timeslices).play(1, 60).play(60, 0).settle().want("of the next", 0, 0, ofMonth)

	ratios := func(st *slo.Stream, o *slo.Objective) { o.Budgeting = slo.RatioTimeslices }
	newBurn(t, ratios).play(10, 0).play(1, 30).settle().want("young, half of a minute lost", one/2, five/2, ofMonth/2)
	newBurn(t, ratios).play(90, 0).play(1, 30).settle().want("old", one/2, five/2, ofMonth/2)
	newBurn(t, ratios).play(20, 0).play(15, -1).play(20, 0).play(1, 30).settle().want("with unknown", one/2, five/2, ofMonth/2)

	// Events: what was not heard of is in no ratio; before the first they were as
	// many as later. The log time is 7 s into the next minute.
	events := func(st *slo.Stream, o *slo.Objective) { o.Budgeting = slo.Occurrences }
	age := func(n float64) float64 { return (n*60 + 7) / 60 }
	newBurn(t, events).play(9, 0).play(1, 60).settle().want("young", 1000.0/10*age(10)/60, 1000.0/4, 1000.0/10*age(10)/43_200)
	newBurn(t, events).play(90, 0).play(1, 60).settle().want("old", 1000.0/59, 1000.0/4, 1000.0/91*age(91)/43_200)
	newBurn(t, events).play(20, 0).play(15, -1).play(20, 0).play(1, 60).settle().want("unknown minutes have no events", 1000.0/41*age(56)/60, 1000.0/4, 1000.0/41*age(56)/43_200)
}

// TestConsumedOfACalendarPeriod: a day of 1,440 minutes at 99 % allows 14.4 bad
// ones, whenever the group began and however much of the day is over.
func TestConsumedOfACalendarPeriod(t *testing.T) {
	daily := func(budgeting string) func(*slo.Stream, *slo.Objective) {
		return func(st *slo.Stream, o *slo.Objective) {
			o.Budgeting, o.Target, o.Window = budgeting, sla.Ratio{Num: 99, Den: 100}, day
			o.Calendar = &slo.Calendar{TimeZone: "UTC", Unit: "day"}
		}
	}
	newBurn(t, daily(slo.Timeslices)).play(10, 0).play(2, 60).settle().want("young", 2.0/60/0.01, 2.0/5/0.01, 2/14.4)
	newBurn(t, daily(slo.Timeslices)).play(30, 0).play(30, -1).play(30, 0).play(2, 60).settle().want("with unknown", 2.0/60/0.01, 2.0/5/0.01, 2/14.4)
	newBurn(t, daily(slo.RatioTimeslices)).play(10, 0).play(2, 30).settle().want("by ratio", 1.0/60/0.01, 1.0/5/0.01, 1/14.4)
	f := newBurn(t, daily(slo.Occurrences)).play(8, 0).play(2, 60).settle()
	f.want("events", 20*(607.0/3600), 2.0/4/0.01, 20*(607.0/86_400))
}

// TestOneBadMinutePagesNobody: at 99.9 % one bad minute of an hour burns fast
// enough for the first row, and costs 2.3 % of the month's budget; but a minute
// that is over tells of no rate. The second within the hour pages.
func TestOneBadMinutePagesNobody(t *testing.T) {
	at := func(num, den uint64) func(*slo.Stream, *slo.Objective) {
		return func(_ *slo.Stream, o *slo.Objective) { o.Target = sla.Ratio{Num: num, Den: den} }
	}
	f := newBurn(t, at(999, 1000)).play(20, 0).play(1, 60).play(3, 0).settle()
	f.wantPages("one bad minute", "[]")
	f.play(30, 0).play(1, 60).settle()
	f.wantPages("another, half an hour later", "[1h]")

	f = newBurn(t, at(999, 1000)).play(1, 60).play(60, 0).play(1, 60).play(3, 0).settle()
	f.wantPages("another, an hour later", "[]")

	f = newBurn(t, at(9999, 10_000)).play(20, 0).play(1, 60).settle()
	f.wantPages("one at 99.99 %", "[]")
	if n := len(f.said("burn", alert.Firing)); n != 2 {
		t.Errorf("a minute that costs 23 %% of a month raised %d tickets, want those of 1d and 3d", n)
	}
	f.play(1, 60).settle()
	f.wantPages("the second at 99.99 %", "[1h 6h]")

	f = newBurn(t, at(99_999, 100_000)).play(20, 0).play(1, 60).settle()
	f.wantPages("one at 99.999 %", "[]")
	pages := 0
	for _, a := range f.said("budget", alert.Firing) {
		if a.Labels["severity"] == alert.Page {
			pages++
		}
	}
	if pages != 1 {
		t.Errorf("a minute that costs 231 %% of a month's budget raised %d pages, want one: the budget is spent", pages)
	}

	// Five minutes that are bad fill the short window: they go on, as far as one
	// can tell.
	f = newBurn(t, func(st *slo.Stream, _ *slo.Objective) { st.Rule.Length = 5 * minute }).play(21, 0).play(5, 60).settle()
	f.wantPages("one slot of five minutes", "[1h]")
	f = newBurn(t, func(st *slo.Stream, _ *slo.Objective) { st.Rule.Length = hour }).play(106, 0).play(60, 60).settle()
	f.wantPages("one slot of an hour", "[1h 6h]")

	// One failed request of an hour's is no rate either; the second is.
	f = newBurn(t, func(_ *slo.Stream, o *slo.Objective) { o.Budgeting = slo.Occurrences }).play(20, 0).play(1, 1).settle()
	f.wantPages("one failed request", "[]")
	g := newMinutes(t, f.rulesOnly(), f.id)
	g.step(epoch+30_000, g.count(f.id, epoch+20_000, 0, 1))
	if len(g.said("burn", alert.Firing)) != 0 {
		t.Error("the first request of a young group failed: nobody is woken")
	}
}

func (f *burnFixture) rulesOnly() *slo.RuleSet { return f.sets[f.set] }
