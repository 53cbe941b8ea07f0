package clauses

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"nines/internal/sla"
)

const minute = int64(60_000)

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("time zone database: %v", err)
	}
	return loc
}

func month(t testing.TB, name string, loc *time.Location) sla.Period {
	t.Helper()
	begin, err := time.ParseInLocation("2006-01", name, loc)
	if err != nil {
		t.Fatal(err)
	}
	return sla.Period{Name: name, Start: begin.UnixMilli(), End: begin.AddDate(0, 1, 0).UnixMilli()}
}

func percent(s string) sla.Ratio {
	r, ok := new(big.Rat).SetString(s + "e-2")
	if !ok {
		panic("no percentage: " + s)
	}
	return sla.Ratio{Num: r.Num().Uint64(), Den: r.Denom().Uint64()}
}

func tiers(pairs ...string) (out []sla.Tier) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, sla.Tier{Below: percent(pairs[i]), Credit: percent(pairs[i+1])})
	}
	return out
}

// contract is that of the cases: 99.975/99/95 → 10/25/100 % of 10,000.00.
func contract(mod func(*sla.Contract, *sla.Objective)) *sla.Contract {
	c := &sla.Contract{Name: "elastic", Customer: "acme", TimeZone: "UTC", Combine: sla.Highest,
		Fee: sla.Fee{Money: sla.Money{Minor: 1_000_000, Currency: "USD"}},
		Objectives: []sla.Objective{{Name: "availability", Slot: sla.SlotRule{Length: minute, Bad: sla.BadUnreachable},
			Unknown: sla.UnknownExclude, Denominator: sla.Calendar, Aggregation: sla.Pooled,
			Tiers: tiers("99.975", "10", "99", "25", "95", "100")}}}
	if mod != nil {
		mod(c, &c.Objectives[0])
	}
	return c
}

// at reads 2006-01-02T15:04:05 in UTC; the date may be left out: 2 November.
func at(text string) int64 {
	if !strings.Contains(text, "T") {
		text = "2026-11-02T" + text
	}
	if strings.Count(text, ":") == 1 {
		text += ":00"
	}
	t, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t.UnixMilli()
}

func span(from, to string, s sla.State) sla.Span {
	return sla.Span{Start: at(from), End: at(to), State: s}
}

func facts(rs ...sla.Resource) sla.Input {
	return sla.Input{Exact: true, Resources: map[string][]sla.Resource{"availability": rs}}
}

func one(spans ...sla.Span) sla.Input { return facts(sla.Resource{Name: "a", Spans: spans}) }

func minutes(from int64, n int, s sla.State) sla.Span {
	return sla.Span{Start: from, End: from + int64(n)*minute, State: s}
}

func TestCase1Runs(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	in := one(span("10:00:00", "10:01:00", sla.Bad), span("10:10:30", "10:11:45", sla.Bad), span("10:20:00", "10:21:01", sla.Bad), span("10:30:59", "10:33:01", sla.Bad))
	f := func(runs *sla.Runs, want uint64) {
		t.Helper()
		c := contract(func(_ *sla.Contract, o *sla.Objective) { o.Runs = runs })
		s := Settle(c, p, time.UTC, in)
		if s.Slots != (sla.Slots{Applicable: 43_200, Good: 43_200 - want, Bad: want}) {
			t.Errorf("%+v: %+v, want %d bad", runs, s.Slots, want)
		}
	}
	f(nil, 4)
	f(&sla.Runs{Slot: minute}, 4)
	f(&sla.Runs{Slot: minute, MinRun: minute, Longer: true, Touched: true}, 8)
	f(&sla.Runs{Slot: minute, MinRun: minute, RunAligned: true}, 5)
}

func TestCase1FromSlotsOfTheLedger(t *testing.T) {
	// The same runs, seen through slots of a second, as a ledger holds them.
	p := month(t, "2026-11", time.UTC)
	spans := []sla.Span{{Start: p.Start, End: p.End, State: sla.Good}, span("10:00:00", "10:01:00", sla.Bad), span("10:10:30", "10:11:45", sla.Bad),
		span("10:20:00", "10:21:01", sla.Bad), span("10:30:59", "10:33:01", sla.Bad), span("11:00:30", "11:01:20", sla.Unknown)}
	c := contract(func(_ *sla.Contract, o *sla.Objective) {
		o.Slot.Length, o.Runs = 1000, &sla.Runs{Slot: minute, MinRun: minute, Longer: true, Touched: true}
	})
	in := one(spans...)
	in.Exact = false
	if s := Settle(c, p, time.UTC, in); s.Slots != (sla.Slots{Applicable: 43_200, Good: 43_192, Bad: 8}) {
		t.Errorf("%+v", s.Slots) // 50 s unknown cannot be a run of more than a minute
	}
	in.Resources["availability"][0].Spans = append(spans, span("11:00:00", "11:00:30", sla.Bad))
	if s := Settle(c, p, time.UTC, in); s.Slots.Unknown != 2 || s.Slots.Bad != 8 {
		t.Errorf("%+v", s.Slots) // with what was down before it they can
	}
	in.Resources["availability"][0].Spans = spans[1:]
	if s := Settle(c, p, time.UTC, in); s.Slots.Unknown != 43_192 {
		t.Errorf("%+v", s.Slots) // what the ledger has not is unknown
	}
}

func TestCase2Overlap(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	in := one(span("10:50", "11:10", sla.Bad), span("11:10", "11:40", sla.Unknown))
	f := func(policy sla.Policy, effect sla.Effect, attainment, credit string) {
		t.Helper()
		c := contract(func(c *sla.Contract, o *sla.Objective) {
			o.Unknown = policy
			c.Exclusions = []sla.Exclusion{
				{Start: at("10:30"), End: at("11:00"), Effect: effect, ApprovedBy: "kim"},
				{Start: at("11:05"), End: at("11:15"), Effect: effect, ApprovedBy: "kim"}}
		})
		s := Settle(c, p, time.UTC, in)
		if s.AttainmentPct != attainment || s.Credit.Amount != credit || s.Slots.Excluded != 40 || s.Slots.Bad != 5 || s.Slots.Unknown != 25 {
			t.Errorf("%s, %s: %+v", policy, effect, s.Figures)
		}
		if effect == sla.Removed && (s.CoveragePct != "99.94207" || s.Slots.Good != 43_130) {
			t.Errorf("%s: %+v", policy, s.Figures)
		}
	}
	f(sla.UnknownExclude, sla.Removed, "99.98840", "0.00")
	f(sla.UnknownBad, sla.Removed, "99.93049", "1000.00")
	f(sla.UnknownCarry, sla.Removed, "99.93049", "1000.00")
	f(sla.UnknownGood, sla.Removed, "99.98841", "0.00")
	f(sla.UnknownBad, sla.Available, "99.93055", "1000.00")
}

func TestCase3Zones(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	// Each instance in the minutes 1 to 6: o up, x down, ? unknown, - stopped.
	instances := []struct{ zone, minutes string }{
		{"a", "xxxxx-"}, {"a", "xxxxx-"}, {"b", "xxo??x"}, {"b", "oxoo?x"}, {"c", "oo?---"}}
	var rs []sla.Resource
	for i, in := range instances {
		r := sla.Resource{Name: fmt.Sprint(in.zone, i), Zone: in.zone}
		r.Stopped = []sla.Interval{{Start: p.Start + 6*minute, End: p.End}}
		for k, what := range in.minutes {
			from := p.Start + int64(k)*minute
			switch what {
			case 'x':
				r.Spans = append(r.Spans, minutes(from, 1, sla.Bad))
			case '?':
				r.Spans = append(r.Spans, minutes(from, 1, sla.Unknown))
			case '-':
				r.Stopped = append(r.Stopped, sla.Interval{Start: from, End: from + minute})
			}
		}
		rs = append(rs, r)
	}
	f := func(rule sla.ZoneRule, good, bad, unknown, not uint64) {
		t.Helper()
		c := contract(func(_ *sla.Contract, o *sla.Objective) { o.Zones = &sla.Zones{Rule: rule, Label: "zone"} })
		want := sla.Slots{Applicable: good + bad + unknown, Good: good, Bad: bad, Unknown: unknown, NotApplicable: not + 43_194}
		if s := Settle(c, p, time.UTC, facts(rs...)); s.Slots != want {
			t.Errorf("%s: %+v, want %+v", rule, s.Slots, want)
		}
	}
	f(sla.AllAny, 0, 2, 3, 1)
	f(sla.AllAll, 2, 1, 2, 1)
	f(sla.RegionWide, 4, 0, 1, 1)
}

func TestCase4Edges(t *testing.T) {
	f := func(name string, pays0, pays10 int) {
		t.Helper()
		p := month(t, name, time.UTC)
		for bad, want := range map[int]string{pays0: "0.00", pays10: "1000.00"} {
			if s := Settle(contract(nil), p, time.UTC, one(minutes(p.Start, bad, sla.Bad))); s.Credit.Amount != want {
				t.Errorf("%s: %d bad minutes pay %s, want %s", name, bad, s.Credit.Amount, want)
			}
		}
	}
	f("2026-02", 10, 11)
	f("2026-11", 10, 11)
	f("2026-12", 11, 12)
	p := month(t, "2026-11", time.UTC)
	met := contract(func(_ *sla.Contract, o *sla.Objective) { o.Tiers = tiers("99.5", "10") })
	if s := Settle(met, p, time.UTC, one(minutes(p.Start, 216, sla.Bad))); s.AttainmentPct != "99.50000" || s.Credit.Amount != "0.00" {
		t.Errorf("exactly met: %+v", s.Figures)
	}
	requests := contract(func(_ *sla.Contract, o *sla.Objective) {
		o.Denominator, o.Tiers, o.Slot.Bad = sla.Requests, tiers("99.9", "10"), sla.BadRatio
	})
	for good, want := range map[uint64]string{9_990: "0.00", 9_989: "1000.00"} {
		if s := Settle(requests, p, time.UTC, one(sla.Span{Start: p.Start, End: p.Start + minute, Good: good, Total: 10_000})); s.Credit.Amount != want {
			t.Errorf("%d of 10,000: %+v", good, s.Figures)
		}
	}
	instance := facts(sla.Resource{Name: "i", Spans: []sla.Span{minutes(at("2026-11-12T00:00"), 5, sla.Bad)}, Stopped: []sla.Interval{
		{Start: p.Start, End: at("2026-11-10T09:15:30")}, {Start: at("2026-11-20T17:45:20"), End: p.End}}})
	lifecycle := contract(func(_ *sla.Contract, o *sla.Objective) { o.Denominator = sla.Lifecycle })
	if s := Settle(lifecycle, p, time.UTC, instance); s.Slots.Applicable != 14_909 || s.AttainmentPct != "99.96646" || s.Credit.Percent != "10" {
		t.Errorf("lifecycle: %+v", s.Figures)
	}
	if s := Settle(contract(nil), p, time.UTC, instance); s.Slots.Applicable != 43_200 || s.AttainmentPct != "99.98842" || s.Credit.Percent != "0" {
		t.Errorf("calendar: %+v", s.Figures)
	}
}

func TestCase5DaylightSaving(t *testing.T) {
	london := zoneOf(t, "Europe/London")
	f := func(name string, total, excluded uint64) {
		t.Helper()
		p := month(t, name, london)
		c := contract(func(c *sla.Contract, _ *sla.Objective) {
			c.TimeZone = "Europe/London"
			c.Exclusions = []sla.Exclusion{{Effect: sla.Removed, ApprovedBy: "kim",
				Recurs: &sla.Recurrence{TimeZone: "Europe/London", From: 3_600_000, To: 7_200_000}}}
		})
		s := Settle(c, p, london, one(minutes(p.Start+12*60*minute, 11, sla.Bad)))
		if s.Slots.Excluded != excluded || s.Slots.Applicable != 42_780 || s.Slots.Applicable+s.Slots.Excluded != total {
			t.Errorf("%s: %+v", name, s.Slots)
		}
		if s.AttainmentPct != "99.97428" || s.Credit.Percent != "10" {
			t.Errorf("%s: %+v", name, s.Figures)
		}
	}
	f("2026-03", 44_580, 1_800)
	f("2026-10", 44_700, 1_920)
	kolkata := zoneOf(t, "Asia/Kolkata")
	p := month(t, "2026-11", kolkata)
	hour := contract(func(c *sla.Contract, o *sla.Objective) {
		c.TimeZone = "Asia/Kolkata"
		o.Runs = &sla.Runs{Slot: 60 * minute, Over: 6 * minute}
	})
	for from, want := range map[string]uint64{"04:27": 0, "04:50": 1} {
		down := minutes(at(from), 7, sla.Bad)
		if s := Settle(hour, p, kolkata, one(down)); s.Slots.Bad != want || s.Slots.Applicable != 720 {
			t.Errorf("down from %sZ: %+v, want %d hours", from, s.Slots, want)
		}
	}
}

func TestCase6Formulas(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	var spans []sla.Span
	for i := range 100 {
		good := uint64(1000)
		if i < 10 {
			good = 500
		}
		from := p.Start + int64(i*37)*5*minute
		spans = append(spans, sla.Span{Start: from, End: from + 5*minute, Good: good, Total: 1000})
	}
	f := func(mod func(*sla.Objective), want string, in sla.Input) *sla.Settlement {
		t.Helper()
		s := Settle(contract(func(_ *sla.Contract, o *sla.Objective) { mod(o) }), p, time.UTC, in)
		if s.AttainmentPct != want {
			t.Errorf("%+v, want %s", s.Figures, want)
		}
		return &s
	}
	five := sla.SlotRule{Length: 5 * minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 5, Den: 100}}
	f(func(o *sla.Objective) { o.Slot, o.Formula = five, sla.ByShare }, "99.94212", one(spans...))
	f(func(o *sla.Objective) { o.Slot = five }, "99.88425", one(spans...))
	f(func(o *sla.Objective) { o.Slot, o.Denominator = five, sla.Requests }, "95.00000", one(spans...))
	f(func(o *sla.Objective) { o.Slot = sla.SlotRule{Length: 5 * minute, Bad: sla.BadAllFailed} }, "100.00000", one(spans...))
	if s := f(func(o *sla.Objective) { o.Slot, o.Denominator = five, sla.Traffic }, "90.00000", one(spans...)); s.Slots.Applicable != 100 || s.Slots.NotApplicable != 8_540 {
		t.Errorf("slots with traffic: %+v", s.Slots)
	}
	lost := one(
		sla.Span{Start: p.Start, End: p.Start + 60*minute, Good: 70, Total: 100},
		sla.Span{Start: p.Start + 100*minute, End: p.Start + 110*minute, Good: 0, Total: 100})
	s := f(func(o *sla.Objective) { o.Slot.Bad, o.Formula = sla.BadRatio, sla.ByShare }, "99.93518", lost)
	if left := new(big.Rat).Sub(big.NewRat(1, 1), s.Attainment); left.Mul(left, big.NewRat(43_200, 1)).Cmp(big.NewRat(28, 1)) != 0 {
		t.Errorf("%v minutes are lost, want 28", left)
	}
	f(func(o *sla.Objective) { o.Formula = sla.ByShare }, "99.93518", one(span("10:00:30", "10:28:30", sla.Bad))) // whole traffic lost
	p99 := sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}}
	for above, want := range map[uint64]uint64{10: 0, 11: 1} {
		s := Settle(contract(func(_ *sla.Contract, o *sla.Objective) { o.Slot = p99 }), p, time.UTC,
			one(sla.Span{Start: p.Start, End: p.Start + minute, Good: 1000 - above, Total: 1000}))
		if s.Slots.Bad != want {
			t.Errorf("%d above the threshold: %+v", above, s.Slots)
		}
	}
}

func TestCase7ARegionGoesDark(t *testing.T) {
	rule := sla.SlotRule{Length: minute, Bad: sla.BadUnreachable, K: 3, N: 5}
	f := func(fail, succeed int, want sla.State) {
		t.Helper()
		all := make([]uint64, 1)
		all[0] = 1<<60 - 1
		var bins []sla.Bins
		for i := range 6 { // five outside, and the region's own, which is silent
			b := sla.Bins{Vantage: fmt.Sprint(i), OK: make([]uint64, 1), Fail: make([]uint64, 1)}
			switch {
			case i < fail:
				b.Fail = all
			case i < fail+succeed:
				b.OK = all
			case i < 5:
				b.Missing = all
			default:
				continue // no heartbeat: not among those expected
			}
			bins = append(bins, b)
		}
		states := map[sla.State]int{}
		for m := range int64(30) {
			s, _ := rule.Decide(m*minute, 1000, sla.Counts{}, bins)
			states[s]++
		}
		if states[want] != 30 {
			t.Errorf("%d fail, %d succeed: %v, want 30 %s", fail, succeed, states, want)
		}
	}
	f(5, 0, sla.Bad)
	f(0, 5, sla.Good)
	f(0, 0, sla.Unknown)
	f(2, 1, sla.Unknown)
	f(2, 3, sla.Good)
}

func TestCase8Restatement(t *testing.T) {
	p := month(t, "2026-10", time.UTC)
	f := func(favour bool, badBefore, unknownBefore, badAfter int, before, after, delta string) {
		t.Helper()
		c := contract(func(c *sla.Contract, o *sla.Objective) {
			o.Unknown = sla.UnknownBad
			c.Revision = &sla.Revision{CustomerFavour: favour, Cutoff: 90 * 1440 * minute}
		})
		old := Settle(c, p, time.UTC, one(minutes(p.Start, badBefore, sla.Bad), minutes(p.Start+100*minute, unknownBefore, sla.Unknown)))
		next := Settle(c, p, time.UTC, one(minutes(p.Start, badAfter, sla.Bad)))
		if old.AttainmentPct != before || next.AttainmentPct != after {
			t.Errorf("attainment %s, then %s", old.AttainmentPct, next.AttainmentPct)
		}
		q := Request{Replaces: "2026-10/1", At: p.End + 1440*minute, Reason: "late data", Author: "lee", ApprovedBy: "kim"}
		r, err := Restate(c, p, old.Credit.Minor, next, q)
		if err != nil || r.Delta != delta {
			t.Errorf("delta %+v, want %s (%v)", r, delta, err)
		}
		q.ApprovedBy = "lee"
		if _, err := Restate(c, p, old.Credit.Minor, next, q); err == nil || !strings.Contains(err.Error(), "second person") {
			t.Errorf("approved by its author: %v", err)
		}
	}
	f(true, 9, 3, 9, "99.97311", "99.97983", "0.00")
	f(false, 9, 3, 9, "99.97311", "99.97983", "-1000.00")
	f(true, 9, 0, 12, "99.97983", "99.97311", "1000.00")
	f(false, 9, 0, 12, "99.97983", "99.97311", "1000.00")
}

func TestCase9Aggregation(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	var fleet []sla.Resource
	for i := range 100 {
		fleet = append(fleet, sla.Resource{Name: fmt.Sprintf("i-%02d", i)})
	}
	fleet[42].Spans = []sla.Span{minutes(p.Start+5000*minute, 72*60, sla.Bad)}
	in := facts(fleet...)
	in.Resources["each"] = fleet
	f := func(mod func(*sla.Contract, *sla.Objective), attainment, amount string) {
		t.Helper()
		s := Settle(contract(func(c *sla.Contract, o *sla.Objective) {
			c.Fee = sla.Fee{Money: sla.Money{Minor: 10_000, Currency: "USD"}, PerResource: true}
			mod(c, o)
		}), p, time.UTC, in)
		if s.AttainmentPct != attainment || s.Credit.Amount != amount {
			t.Errorf("%s, %s; want %s, %s", s.AttainmentPct, s.Credit.Amount, attainment, amount)
		}
	}
	both := func(c *sla.Contract, o *sla.Objective) {
		each := *o
		each.Name, each.Aggregation = "each", sla.PerResource
		c.Objectives = append(c.Objectives, each)
	}
	f(func(_ *sla.Contract, o *sla.Objective) { o.Aggregation = sla.PerResource }, "90.00000", "100.00")
	f(func(*sla.Contract, *sla.Objective) {}, "99.90000", "1000.00")
	f(both, "99.90000", "1000.00")
	f(func(c *sla.Contract, o *sla.Objective) { both(c, o); c.Cap = percent("5") }, "99.90000", "500.00")
	for currency, want := range map[string]string{"KWD": "33.333", "JPY": "333"} {
		minor := map[string]int64{"KWD": 333_335, "JPY": 3335}[currency]
		c := contract(func(c *sla.Contract, _ *sla.Objective) { c.Fee.Money = sla.Money{Minor: minor, Currency: currency} })
		if s := Settle(c, p, time.UTC, one(minutes(p.Start, 11, sla.Bad))); s.Credit.Amount != want {
			t.Errorf("10 %% in %s is %s, want %s", currency, s.Credit.Amount, want)
		}
	}
}

func TestCase10LateDataLandsInItsOwnSlots(t *testing.T) {
	// Broker away 02:00-02:10 with the target fine: unknown, then good. That the
	// spool lands there, and that nobody is woken, is the pipeline's test.
	p := month(t, "2026-11", time.UTC)
	c := contract(func(c *sla.Contract, _ *sla.Objective) { c.Revision = &sla.Revision{Cutoff: 1440 * minute} })
	before := Settle(c, p, time.UTC, one(span("02:00", "02:10", sla.Unknown)))
	after := Settle(c, p, time.UTC, one())
	if before.Slots.Unknown != 10 || before.Slots.Bad != 0 || after.Slots.Good != before.Slots.Good+10 {
		t.Errorf("%+v, then %+v", before.Slots, after.Slots)
	}
}
