package sla

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

const min1 = int64(60_000)

// month returns a calendar month in a zone.
func month(t testing.TB, name, zone string) Period {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Skipf("time zone database: %v", err)
	}
	begin, err := time.ParseInLocation("2006-01", name, loc)
	if err != nil {
		t.Fatal(err)
	}
	return Period{name, begin.UnixMilli(), begin.AddDate(0, 1, 0).UnixMilli()}
}

// elastic is the contract of CONTRACTS' cases: 99.975/99/95 → 10/25/100 % of
// 10,000.00.
func elastic(mod func(*Contract)) *Contract {
	c := &Contract{Name: "elastic", Customer: "acme", TimeZone: "UTC", Combine: Highest,
		Fee: Fee{Money: Money{Minor: 1_000_000, Currency: "USD"}},
		Objectives: []Objective{{Name: "availability", Slot: SlotRule{Length: min1, Bad: BadUnreachable},
			Reading: "a slot of 1m is bad if the target was unreachable in all of it",
			Unknown: UnknownExclude, Denominator: Calendar, Aggregation: Pooled,
			Tiers: []Tier{{Below: percent("99.975"), Credit: percent("10")}, {Below: percent("99"), Credit: percent("25")}, {Below: percent("95"), Credit: percent("100")}}}}}
	if mod != nil {
		mod(c)
	}
	return c
}

func percent(s string) Ratio {
	r, ok := new(big.Rat).SetString(s + "e-2")
	if !ok {
		panic("no percentage: " + s)
	}
	return Ratio{Num: r.Num().Uint64(), Den: r.Denom().Uint64()}
}

// at returns the instant of a clock time on 2 November 2026, UTC.
func at(clock string) int64 {
	t, err := time.Parse("2006-01-02 15:04", "2026-11-02 "+clock)
	if err != nil {
		panic(err)
	}
	return t.UnixMilli()
}

func span(from, to string, s State) Span { return Span{Start: at(from), End: at(to), State: s} }

// slots are n slots of a minute from an instant on.
func slots(from int64, n int, s State) Span {
	return Span{Start: from, End: from + int64(n)*min1, State: s}
}

// good returns a resource that is good all period but for the runs.
func good(p Period, name string, spans ...Span) Resource {
	return Resource{Name: name, Spans: append([]Span{{Start: p.Start, End: p.End, State: Good}}, spans...)}
}

func one1(rs ...Resource) Input { return Input{Resources: map[string][]Resource{"availability": rs}} }

func TestOverlappingExclusions(t *testing.T) { // CONTRACTS case 2
	p := month(t, "2026-11", "UTC")
	in := one1(good(p, "a", span("10:50", "11:10", Bad), span("11:10", "11:40", Unknown)))
	f := func(unknown Policy, effect Effect, want Slots, attainment, credit string) {
		t.Helper()
		c := elastic(func(c *Contract) {
			c.Objectives[0].Unknown = unknown
			c.Exclusions = []Exclusion{
				{Start: at("11:05"), End: at("11:15"), Effect: effect, ApprovedBy: "kim"},
				{Start: at("10:30"), End: at("11:00"), Effect: effect, ApprovedBy: "kim"},
				{Start: at("12:00"), End: at("13:00"), Effect: effect}, // not approved: listed only
			}
		})
		s := c.Settle(p, in)
		if s.Slots != want {
			t.Errorf("%s, %s: slots %+v, want %+v", unknown, effect, s.Slots, want)
		}
		if s.AttainmentPct != attainment || s.Credit.Amount != credit {
			t.Errorf("%s, %s: %s and %s, want %s and %s", unknown, effect, s.AttainmentPct, s.Credit.Amount, attainment, credit)
		}
	}
	removed := Slots{Applicable: 43_160, Good: 43_130, Bad: 5, Unknown: 25, Excluded: 40}
	f(UnknownExclude, Removed, removed, "99.98840", "0.00")
	f(UnknownBad, Removed, removed, "99.93049", "1000.00")
	f(UnknownCarry, Removed, removed, "99.93049", "1000.00")
	f(UnknownGood, Removed, removed, "99.98841", "0.00")
	f(UnknownBad, Available, Slots{Applicable: 43_200, Good: 43_170, Bad: 5, Unknown: 25, Excluded: 40}, "99.93055", "1000.00")
	s := elastic(func(c *Contract) {
		c.Exclusions = []Exclusion{{Start: at("10:30"), End: at("11:00"), ApprovedBy: "kim"}, {Start: at("11:05"), End: at("11:15"), ApprovedBy: "kim"}}
	}).Settle(p, in)
	if s.CoveragePct != "99.94207" {
		t.Errorf("coverage %s", s.CoveragePct)
	}
	want := Bounds{AttainmentLowPct: "99.93049", AttainmentHighPct: "99.98841", CreditLow: "0.00", CreditHigh: "1000.00",
		Low: big.NewRat(43_130, 43_160), High: big.NewRat(43_155, 43_160), HighMinor: 100_000}
	if !reflect.DeepEqual(s.Bounds, want) {
		t.Errorf("bounds %+v, want %+v", s.Bounds, want)
	}
}

func TestEdgesOfTiers(t *testing.T) { // CONTRACTS case 4, calendar denominators
	f := func(name string, pays0, pays10 int) {
		t.Helper()
		p := month(t, name, "UTC")
		for bad, want := range map[int]string{pays0: "0.00", pays10: "1000.00"} {
			s := elastic(nil).Settle(p, one1(good(p, "a", slots(p.Start+7*min1, bad, Bad))))
			if s.Credit.Amount != want {
				t.Errorf("%s with %d bad minutes pays %s, want %s", name, bad, s.Credit.Amount, want)
			}
		}
	}
	f("2026-02", 10, 11)
	f("2026-11", 10, 11)
	f("2026-12", 11, 12)
	p := month(t, "2026-11", "UTC")
	met := elastic(func(c *Contract) { c.Objectives[0].Tiers = []Tier{{Below: percent("99.5"), Credit: percent("10")}} })
	if s := met.Settle(p, one1(good(p, "a", slots(p.Start, 216, Bad)))); s.Credit.Amount != "0.00" || s.AttainmentPct != "99.50000" {
		t.Errorf("99.5 exactly met: %s pays %s", s.AttainmentPct, s.Credit.Amount)
	}
	o := Objective{Tiers: []Tier{{Below: percent("99.9"), Credit: percent("10")}}}
	if o.tier(big.NewRat(9_990, 10_000)).Sign() != 0 || o.tier(big.NewRat(9_989, 10_000)).Cmp(big.NewRat(1, 10)) != 0 {
		t.Error("10 of 10,000 at 99.9 is exactly met, 11 is not")
	}
	if s := elastic(nil).Settle(p, one1(good(p, "a", slots(p.Start, 5, Bad)))); s.AttainmentPct != "99.98842" || s.Credit.Amount != "0.00" {
		t.Errorf("5 bad calendar minutes: %s, %s", s.AttainmentPct, s.Credit.Amount)
	}
}

func TestMonthsHaveTheSlotsTheyHave(t *testing.T) {
	f := func(name, zone string, minutes int) {
		t.Helper()
		if got := month(t, name, zone).Slots(min1); got != minutes {
			t.Errorf("%s in %s has %d minutes, want %d", name, zone, got, minutes)
		}
	}
	f("2026-03", "Europe/London", 44_580)
	f("2026-10", "Europe/London", 44_700)
	f("2026-11", "UTC", 43_200)
	f("2028-02", "Asia/Kolkata", 41_760)
}

func TestDaylightSavingWithExclusions(t *testing.T) { // CONTRACTS case 5 with one-off exclusions
	f := func(name string, excluded int) {
		t.Helper()
		p := month(t, name, "Europe/London")
		c := elastic(func(c *Contract) {
			c.Exclusions = []Exclusion{{Start: p.Start + 600*min1, End: p.Start + int64(600+excluded)*min1, ApprovedBy: "kim"}}
		})
		s := c.Settle(p, one1(good(p, "a", slots(p.Start, 11, Bad))))
		if s.Slots.Applicable != 42_780 || s.AttainmentPct != "99.97428" || s.Credit.Percent != "10" {
			t.Errorf("%s: %+v", name, s.Figures)
		}
	}
	f("2026-03", 1_800)
	f("2026-10", 1_920)
}

func TestAggregationAndRounding(t *testing.T) { // CONTRACTS case 9
	p := month(t, "2026-11", "UTC")
	var fleet []Resource
	for i := range 100 {
		fleet = append(fleet, good(p, fmt.Sprintf("i-%02d", i)))
	}
	fleet[42] = good(p, "i-42", slots(p.Start+5000*min1, 72*60, Bad))
	in := Input{Resources: map[string][]Resource{"availability": fleet, "each": fleet}}
	contract := func(mod func(*Contract)) *Contract {
		return elastic(func(c *Contract) {
			c.Fee = Fee{Money{Minor: 10_000, Currency: "USD"}, true}
			if mod != nil {
				mod(c)
			}
		})
	}
	f := func(c *Contract, attainment, amount, pct string) {
		t.Helper()
		s := c.Settle(p, in)
		if s.AttainmentPct != attainment || s.Credit.Amount != amount || s.Credit.Percent != pct {
			t.Errorf("%s pays %s (%s %%), want %s, %s, %s", s.AttainmentPct, s.Credit.Amount, s.Credit.Percent, attainment, amount, pct)
		}
	}
	f(contract(func(c *Contract) { c.Objectives[0].Aggregation = PerResource }), "90.00000", "100.00", "1")
	f(contract(nil), "99.90000", "1000.00", "10")
	f(contract(func(c *Contract) { c.Objectives[0].Aggregation = Worst }), "90.00000", "10000.00", "100")
	both := func(c *Contract) {
		each := c.Objectives[0]
		each.Name, each.Aggregation = "each", PerResource
		c.Objectives = append(c.Objectives, each)
	}
	f(contract(both), "99.90000", "1000.00", "10")
	f(contract(func(c *Contract) { both(c); c.Combine = Sum }), "99.90000", "1100.00", "11")
	f(contract(func(c *Contract) { both(c); c.Cap = percent("5") }), "99.90000", "500.00", "5")
	f(contract(func(c *Contract) { both(c); c.Objectives[0].Cap = percent("0.5") }), "90.00000", "100.00", "1")
	f(contract(func(c *Contract) { both(c); c.Objectives[0].Minimum = 100_001 }), "90.00000", "100.00", "1")
	f(contract(func(c *Contract) { c.Minimum = 100_001 }), "99.90000", "0.00", "0")
	s := contract(func(c *Contract) { c.Objectives[0].Aggregation = PerResource }).Settle(p, in)
	down := s.Objectives[0].Resources[42]
	if down.Name != "i-42" || down.AttainmentPct != "90.00000" || down.Credit.Amount != "100.00" || down.Credit.Percent != "100" {
		t.Errorf("the instance that was down: %+v", down)
	}
	money := func(minor int64, currency, want string) {
		t.Helper()
		c := elastic(func(c *Contract) { c.Fee.Money = Money{Minor: minor, Currency: currency} })
		s := c.Settle(p, one1(good(p, "a", slots(p.Start, 11, Bad))))
		if s.Credit.Amount != want || s.Credit.Percent != "10" || s.Credit.Currency != currency {
			t.Errorf("10 %% of %d minor units of %s is %+v, want %s", minor, currency, s.Credit, want)
		}
	}
	money(333_335, "KWD", "33.333")
	money(3335, "JPY", "333")
	money(33_335, "EUR", "33.33")
}

func TestAnUnfinishedPeriodAndABlindOne(t *testing.T) {
	p := month(t, "2026-11", "UTC")
	in := one1(Resource{Name: "a", Spans: []Span{slots(p.Start-5*min1, 100, Good), slots(p.Start+95*min1, 5, Open)}})
	in.Until = p.Start + 100*min1 + 30_000
	s := elastic(nil).Settle(p, in)
	if want := (Slots{Applicable: 100, Good: 95, Unknown: 5, NotApplicable: 43_100}); s.Slots != want {
		t.Errorf("slots %+v, want %+v", s.Slots, want)
	}
	s = elastic(nil).Settle(p, Input{})
	if s.Slots.Unknown != 43_200 || s.AttainmentPct != "" || s.CoveragePct != "0.00000" || s.Credit.Amount != "0.00" {
		t.Errorf("nothing seen: %+v", s.Figures)
	}
	if s.Bounds.AttainmentLowPct != "0.00000" || s.Bounds.AttainmentHighPct != "100.00000" || s.Bounds.CreditHigh != "10000.00" {
		t.Errorf("nothing seen, bounds: %+v", s.Bounds)
	}
	empty := elastic(func(c *Contract) { c.Objectives = nil }).Settle(p, Input{})
	if empty.Credit.Amount != "0.00" || len(empty.Objectives) != 0 {
		t.Errorf("no objectives: %+v", empty)
	}
}

func TestPartlyCoveredSlots(t *testing.T) {
	p := month(t, "2026-11", "UTC")
	f := func(partly bool, want uint64) {
		t.Helper()
		c := elastic(func(c *Contract) {
			c.ExcludePartly = partly
			c.Exclusions = []Exclusion{ // one slot is covered by two that adjoin
				{Start: p.Start + 90_000, End: p.Start + 4*min1 + 30_000, ApprovedBy: "kim"},
				{Start: p.Start + 4*min1 + 30_000, End: p.Start + 5*min1 + 1, ApprovedBy: "kim"},
				{Start: p.Start - 60*min1, End: p.Start + 1, ApprovedBy: "kim"},
				{Start: p.End, End: p.End + min1, ApprovedBy: "kim"},
			}
		})
		if got := c.Settle(p, one1(good(p, "a"))).Slots.Excluded; got != want {
			t.Errorf("partly %v: %d excluded, want %d", partly, got, want)
		}
	}
	f(false, 3)
	f(true, 6)
}

func TestSettlementKeysAreFixed(t *testing.T) {
	p := month(t, "2026-11", "UTC")
	c := elastic(func(c *Contract) {
		c.Objectives[0].Aggregation = PerResource
		c.Cap, c.Minimum = percent("50"), 100
		c.Exclusions = []Exclusion{{Start: at("10:30"), End: at("11:00"), Effect: Removed, Category: "maintenance",
			Reason: "switch replaced", Author: "lee", ApprovedBy: "kim"}, {Start: at("12:00"), End: at("13:00"), Effect: Removed, Category: "customer", Reason: "own change", Author: "lee"}}
	})
	s := c.Settle(p, one1(good(p, "a", span("10:50", "11:10", Bad), span("11:10", "11:40", Unknown)), good(p, "b")))
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/settlement.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("differs from %s (write it anew with -update):\n%s", file, got)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(got, &keys); err != nil {
		t.Fatal(err)
	}
	var names []string
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	if want := []string{"attainment_pct", "bounds", "contract", "coverage_pct", "credit", "objectives", "period", "slots", "steps", "time_zone"}; !reflect.DeepEqual(names, want) {
		t.Errorf("keys %v, want %v", names, want)
	}
}

// drawn is a random contract and input over the slots of one day.
func drawn(t *rapid.T) (*Contract, Period, Input) {
	p := Period{"morning", 0, 6 * 60 * min1}
	states := rapid.SampledFrom([]State{Good, Good, Good, Bad, Unknown, Open})
	c := elastic(func(c *Contract) {
		o := &c.Objectives[0]
		o.Aggregation = rapid.SampledFrom([]Aggregation{Pooled, PerResource, Worst}).Draw(t, "aggregation")
		c.Fee = Fee{Money{Minor: rapid.Int64Range(0, 1e9).Draw(t, "fee"), Currency: "KWD"}, rapid.Bool().Draw(t, "per resource")}
		o.Tiers = []Tier{{Below: percent("99.9"), Credit: percent("10")}, {Below: percent("90"), Credit: percent("33.3")}, {Below: percent("60"), Credit: percent("100")}}
		if rapid.Bool().Draw(t, "capped") {
			o.Cap, c.Cap = percent("40"), percent("12.5")
		}
		o.Minimum = rapid.Int64Range(0, 1e6).Draw(t, "minimum")
		for range rapid.IntRange(0, 3).Draw(t, "exclusions") {
			from := rapid.Int64Range(-10, 360).Draw(t, "from") * min1
			c.Exclusions = append(c.Exclusions, Exclusion{Start: from, End: from + rapid.Int64Range(0, 300*min1).Draw(t, "length"),
				Effect: rapid.SampledFrom([]Effect{Removed, Available}).Draw(t, "effect"), ApprovedBy: rapid.SampledFrom([]string{"", "kim"}).Draw(t, "approved")})
		}
	})
	var rs []Resource
	for i := range rapid.IntRange(0, 3).Draw(t, "resources") {
		r := Resource{Name: fmt.Sprint("r", i), Spans: []Span{slots(0, 360, Good)}}
		for range rapid.IntRange(0, 8).Draw(t, "runs") {
			r.Spans = append(r.Spans, slots(rapid.Int64Range(-20, 360).Draw(t, "start")*min1, rapid.IntRange(1, 100).Draw(t, "slots"), states.Draw(t, "state")))
		}
		rs = append(rs, r)
	}
	return c, p, one1(rs...)
}

var policies = []Policy{UnknownExclude, UnknownBad, UnknownGood, UnknownCarry}

// drawnCounts gives the contract a drawn formula and denominator, and the
// resources requests and stops.
func drawnCounts(t *rapid.T) (*Contract, Period, Input) {
	c, p, in := drawn(t)
	o := &c.Objectives[0]
	o.Denominator = rapid.SampledFrom([]Denominator{Calendar, Lifecycle, Traffic, Requests}).Draw(t, "denominator")
	o.Formula = rapid.SampledFrom([]Formula{"", BySlot, ByShare}).Draw(t, "formula")
	rs := in.Resources["availability"]
	for i := range rs {
		for j := range rs[i].Spans {
			s := &rs[i].Spans[j]
			s.Total = rapid.SampledFrom([]uint64{0, 1, 7, 1000, 1 << 63}).Draw(t, "total")
			s.Good = rapid.Uint64Range(0, s.Total).Draw(t, "good")
		}
		if rapid.Bool().Draw(t, "stopped") {
			from := rapid.Int64Range(-10*min1, 360*min1).Draw(t, "stop")
			rs[i].Stopped = []Interval{{from, from + rapid.Int64Range(0, 300*min1).Draw(t, "for")}}
		}
	}
	return c, p, in
}

func TestBoundsContainEveryPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, p, in := drawnCounts(t)
		for _, policy := range policies {
			c.Objectives[0].Unknown = policy
			s := c.Settle(p, in)
			b := s.Bounds
			if s.Attainment != nil && (s.Attainment.Cmp(b.Low) < 0 || s.Attainment.Cmp(b.High) > 0) {
				t.Fatalf("%s: attainment %v outside [%v, %v]", policy, s.Attainment, b.Low, b.High)
			}
			if s.Credit.Minor < b.LowMinor || s.Credit.Minor > b.HighMinor {
				t.Fatalf("%s: credit %d outside [%d, %d]", policy, s.Credit.Minor, b.LowMinor, b.HighMinor)
			}
			if n := s.Slots; n.Applicable != n.Good+n.Bad+n.Unknown {
				t.Fatalf("slots do not add up: %+v", n)
			}
		}
	})
}

func TestAttainmentNeverRisesAndCreditNeverFallsWhenASlotTurnsBad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, p, in := drawn(t)
		rs := in.Resources["availability"]
		if len(rs) == 0 {
			t.Skip("nothing to worsen")
		}
		c.Objectives[0].Unknown = rapid.SampledFrom(policies[:3]).Draw(t, "policy")
		before := c.Settle(p, in)
		i := rapid.IntRange(0, len(rs)-1).Draw(t, "resource")
		slot := rapid.Int64Range(0, 359).Draw(t, "slot")
		rs[i].Spans = append(slices.Clone(rs[i].Spans), slots(slot*min1, 1, Bad))
		after := c.Settle(p, in)
		if before.Attainment != nil && after.Attainment != nil && after.Attainment.Cmp(before.Attainment) > 0 {
			t.Fatalf("attainment rose from %v to %v", before.Attainment, after.Attainment)
		}
		if after.Credit.Minor < before.Credit.Minor {
			t.Fatalf("credit fell from %d to %d", before.Credit.Minor, after.Credit.Minor)
		}
	})
}

func TestOrderOfResourcesChangesNothingPooled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, p, in := drawn(t)
		c.Objectives[0].Aggregation = Pooled
		a := c.Settle(p, in)
		slices.Reverse(in.Resources["availability"])
		if b := c.Settle(p, in); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\n%+v", a.Figures, b.Figures)
		}
	})
}

func TestMergingIsAssociativeAndCommutative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, p, _ := drawnCounts(t)
		o := &c.Objectives[0]
		var parts [3]func() tally // counted anew each time: add changes its receiver
		for i := range parts {
			_, _, in := drawnCounts(t)
			var r Resource
			if rs := in.Resources["availability"]; len(rs) > 0 {
				r = rs[0]
			}
			parts[i] = func() tally { return o.count(o.cells(&r, p, nil), c.exclusionMask(p, min1), p.Slots(min1)) }
		}
		sum := func(order ...int) tally {
			var t tally
			for _, i := range order {
				part := parts[i]()
				t.add(part)
			}
			return t
		}
		left, right := sum(0, 1, 2), sum(2, 1, 0)
		rest, nested := sum(1, 2), parts[0]()
		nested.add(rest)
		for _, other := range []tally{right, nested} {
			if !reflect.DeepEqual(figures(&left), figures(&other)) {
				t.Fatalf("%+v\n%+v", figures(&left), figures(&other))
			}
		}
	})
}

func TestCreditNeverFallsAsAttainmentFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Objective{Tiers: []Tier{{Below: percent("99.9"), Credit: percent("5")}, {Below: percent("95"), Lost: true}, {Below: percent("60"), Credit: percent("100")}}}
		if rapid.Bool().Draw(t, "capped") {
			o.Cap = percent("30")
		}
		fee := Money{Minor: rapid.Int64Range(0, 1e12).Draw(t, "fee"), Currency: "JPY"}
		n := rapid.Int64Range(1, 1e9).Draw(t, "slots")
		a, b := rapid.Int64Range(0, n).Draw(t, "good"), rapid.Int64Range(0, n).Draw(t, "other")
		high, low := o.pay(big.NewRat(max(a, b), n), fee, one()), o.pay(big.NewRat(min(a, b), n), fee, one())
		if low.money.Minor < high.money.Minor || low.share.Cmp(high.share) < 0 || low.money.Minor > fee.Minor {
			t.Fatalf("%d of %d pays %v, %d pays %v", max(a, b), n, high.money, min(a, b), low.money)
		}
	})
}

func TestThousandsOfDifferentTotalsAreSummedExactly(t *testing.T) {
	p := Period{"m", 0, 8640 * 5 * min1}
	r := Resource{Name: "a"}
	for i := range int64(8640) {
		r.Spans = append(r.Spans, Span{Start: i * 5 * min1, End: (i + 1) * 5 * min1, State: Good, Good: uint64(900_000 + i), Total: uint64(1_000_000 + i)})
	}
	c := elastic(func(c *Contract) { c.Objectives[0].Slot.Length, c.Objectives[0].Formula = 5*min1, ByShare })
	s := c.Settle(p, one1(r))
	if s.AttainmentPct != "90.04294" {
		t.Errorf("attainment %s", s.AttainmentPct)
	}
}
