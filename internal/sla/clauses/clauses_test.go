package clauses

import (
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/sla"
)

const hour = 60 * minute

// excluded returns what an exclusion takes out of November, and its note.
func excluded(t *testing.T, zone string, terms []sla.ExclusionTerm, list ...sla.Exclusion) []sla.Exclusion {
	t.Helper()
	loc := zoneOf(t, zone)
	c := contract(func(c *sla.Contract, _ *sla.Objective) { c.Terms, c.Exclusions = terms, list })
	return exclusions(c, month(t, "2026-11", loc), loc)
}

func minutesOf(list []sla.Interval) (n int64) {
	for _, i := range sla.Union(list) {
		n += (i.End - i.Start) / minute
	}
	return n
}

func TestNoticeAndAllowance(t *testing.T) {
	x := func(start, end string, announced string) sla.Exclusion {
		e := sla.Exclusion{Start: at(start), End: at(end), Effect: sla.Removed, Category: "maintenance", ApprovedBy: "kim"}
		if announced != "" {
			e.Announced = at(announced)
		}
		return e
	}
	terms := []sla.ExclusionTerm{{Category: "maintenance", Notice: 72 * hour, Allowance: 4 * hour}}
	f := func(want []int64, notes []string, list ...sla.Exclusion) {
		t.Helper()
		for i, e := range excluded(t, "UTC", terms, list...) {
			if got := minutesOf(e.Times); got != want[i] || !strings.Contains(e.Note, notes[i]) {
				t.Errorf("exclusion %d takes %d minutes, %q; want %d, %q", i, got, e.Note, want[i], notes[i])
			}
		}
	}
	const early = "2026-10-01T00:00:00"
	f([]int64{60}, []string{"applied: removed"}, x("10:00", "11:00", early))
	f([]int64{0}, []string{"announced less than 72h ahead"}, x("10:00", "11:00", "2026-11-02T09:00:00"))
	f([]int64{0}, []string{"announced less than 72h ahead"}, x("10:00", "11:00", ""))
	f([]int64{60}, []string{"applied"}, x("10:00", "11:00", "2026-10-30T10:00:00"))
	f([]int64{0}, []string{"announced less"}, x("10:00", "11:00", "2026-10-30T10:00:01"))
	// Five hours of four: the later ones are cut, whatever their order here; time
	// that two cover is spent once.
	f([]int64{60, 180, 120}, []string{"cut where maintenance exceeds its 4h", "applied: removed", "applied"},
		x("16:00", "18:00", early), x("10:00", "13:00", early), x("10:30", "12:30", early))
	f([]int64{0}, []string{"not in this period"}, x("2026-12-02T10:00:00", "2026-12-02T11:00:00", early))
	unapproved := x("10:00", "11:00", early)
	unapproved.ApprovedBy = ""
	f([]int64{0}, []string{""}, unapproved)
}

func TestRecurringExclusionsFollowTheClockOnTheWall(t *testing.T) {
	f := func(zone, name string, r sla.Recurrence, want int64) {
		t.Helper()
		loc := zoneOf(t, zone)
		e := sla.Exclusion{Recurs: &r}
		p := month(t, name, loc)
		got := occurrences(&e, p, loc)
		for i := range got {
			got[i].Start, got[i].End = max(got[i].Start, p.Start), min(got[i].End, p.End)
		}
		if n := minutesOf(got); n != want {
			t.Errorf("%s in %s: %d minutes, want %d", name, zone, n, want)
		}
	}
	night := sla.Recurrence{From: hour, To: 2 * hour}
	f("Europe/London", "2026-03", night, 30*60)
	f("Europe/London", "2026-10", night, 32*60)
	f("Europe/London", "2026-11", night, 30*60)
	f("Australia/Lord_Howe", "2026-10", sla.Recurrence{From: 2 * hour, To: 3 * hour}, 30*60+30) // half an hour is left out
	f("Pacific/Apia", "2011-12", sla.Recurrence{From: 0, To: 24 * hour}, 30*24*60)              // a day is left out
	f("America/Havana", "2026-03", sla.Recurrence{From: 0, To: hour}, 30*60)                    // midnight is left out
	f("UTC", "2026-11", sla.Recurrence{Days: []int{0, 6}, From: 8 * hour, To: 20 * hour}, 9*12*60)
	f("UTC", "2026-11", sla.Recurrence{From: 22 * hour, To: 2 * hour}, 30*4*60) // begins before the month, too
	bounded := excluded(t, "UTC", nil, sla.Exclusion{Start: at("00:00"), End: at("2026-11-04T01:30:00"), Effect: sla.Removed, ApprovedBy: "kim", Recurs: &night})
	if got := minutesOf(bounded[0].Times); got != 2*60+30 || !strings.Contains(bounded[0].Note, "3 times") {
		t.Errorf("from 2 to 4 November: %d minutes, %s", got, bounded[0].Note)
	}
	late := excluded(t, "UTC", []sla.ExclusionTerm{{Notice: 24 * hour}}, sla.Exclusion{Effect: sla.Removed, ApprovedBy: "kim", Announced: at("2026-11-10T01:00:00"), Recurs: &night})
	if got := minutesOf(late[0].Times); got != 20*60 || !strings.Contains(late[0].Note, "without 10 times") {
		t.Errorf("announced on the 10th: %d minutes, %s", got, late[0].Note)
	}
}

func TestChangesInMidPeriod(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	// 20 bad minutes before the change, 5 after it.
	in := one(minutes(p.Start, 20, sla.Bad), minutes(at("2026-11-20T00:00"), 5, sla.Bad))
	f := func(mod func(*sla.Contract), attainment, percent, amount string, parts int) {
		t.Helper()
		c := contract(func(c *sla.Contract, _ *sla.Objective) { mod(c) })
		s := Settle(c, p, time.UTC, in)
		if s.AttainmentPct != attainment || s.Credit.Amount != amount || s.Credit.Percent != percent || len(s.Objectives) != parts {
			t.Errorf("%s, %s %%, %s of %d parts; want %s, %s %%, %s of %d", s.AttainmentPct, s.Credit.Percent, s.Credit.Amount, len(s.Objectives), attainment, percent, amount, parts)
		}
		if s.Credit.Minor < s.Bounds.LowMinor || s.Credit.Minor > s.Bounds.HighMinor || s.Contract != "elastic" || s.Period != "2026-11" {
			t.Errorf("%+v", s.Figures)
		}
	}
	double := &sla.Fee{Money: sla.Money{Minor: 2_000_000, Currency: "USD"}}
	change := func(apart bool, at ...sla.Change) func(*sla.Contract) {
		return func(c *sla.Contract) { c.Changes = &sla.Changes{Apart: apart, At: at} }
	}
	mid := sla.Change{From: at("2026-11-16T00:00"), Reason: "twice the size", Fee: double}
	f(change(false), "99.94212", "10", "1000.00", 1)
	f(change(false, mid), "99.94212", "10", "1500.00", 1) // half a month of each fee
	f(change(true, mid), "99.90740", "3.33333", "500.00", 2)
	f(change(true, sla.Change{From: at("2026-11-15T23:59:30"), Reason: "at the next slot", Fee: double}), "99.90740", "3.33333", "500.00", 2)
	stricter := sla.Change{From: mid.From, Reason: "stricter", Tiers: map[string][]sla.Tier{"availability": tiers("99.99", "20")}}
	f(change(true, stricter), "99.97685", "15", "1500.00", 2)
	f(change(false, stricter), "99.94212", "20", "2000.00", 1)
	f(change(true, sla.Change{From: p.Start - 1, Reason: "before", Fee: double}), "99.94212", "10", "2000.00", 1)
	f(change(true, sla.Change{From: p.End, Reason: "after", Fee: double}), "99.94212", "10", "1000.00", 1)
	f(change(true, sla.Change{From: mid.From, Reason: "sold", Customer: "other"}, sla.Change{From: at("2026-11-11T00:00"), Reason: "moved"}), "99.86111", "3.3333", "333.33", 3)
	own := int64(6_000_000)
	mine := facts(sla.Resource{Name: "a", Fee: &own, Spans: []sla.Span{minutes(p.Start, 20, sla.Bad)}})
	c := contract(func(c *sla.Contract, o *sla.Objective) { change(true, mid)(c); o.Aggregation = sla.PerResource })
	if s := Settle(c, p, time.UTC, mine); s.Credit.Amount != "3000.00" || s.Fee.Minor != own {
		t.Errorf("a resource's own fee is not shared between the parts: %+v of %v", s.Credit, s.Fee)
	}
}

func TestRestatementsAreRefused(t *testing.T) {
	p := month(t, "2026-10", time.UTC)
	c := contract(func(c *sla.Contract, _ *sla.Objective) { c.Revision = &sla.Revision{Cutoff: 90 * 24 * hour} })
	s := Settle(c, p, time.UTC, one())
	f := func(want string, mod func(*sla.Contract, *sla.Settlement, *Request)) {
		t.Helper()
		c, s, q := *c, s, Request{Replaces: "1", At: p.End + hour, Reason: "late data", Author: "lee", ApprovedBy: "kim"}
		mod(&c, &s, &q)
		_, err := Restate(&c, p, 0, s, q)
		if got := ""; err != nil {
			got = err.Error()
			if want == "" || !strings.Contains(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		} else if want != "" {
			t.Errorf("accepted, want %q", want)
		}
	}
	f("", func(*sla.Contract, *sla.Settlement, *Request) {})
	f("declares no restatement", func(c *sla.Contract, _ *sla.Settlement, _ *Request) { c.Revision = nil })
	f("is that of elastic, 2026-11", func(_ *sla.Contract, s *sla.Settlement, _ *Request) { s.Period = "2026-11" })
	f("name the settlement", func(_ *sla.Contract, _ *sla.Settlement, q *Request) { q.Replaces = "" })
	f("is not over", func(_ *sla.Contract, _ *sla.Settlement, q *Request) { q.At = p.End - 1 })
	f("cut-off, 2160h", func(_ *sla.Contract, _ *sla.Settlement, q *Request) { q.At = p.End + 91*24*hour })
	f("author and reason", func(_ *sla.Contract, _ *sla.Settlement, q *Request) { q.Reason = "" })
	f("second person", func(_ *sla.Contract, _ *sla.Settlement, q *Request) { q.ApprovedBy = "" })
}

func TestChronicFailure(t *testing.T) {
	ch := sla.Chronic{Below: percent("99"), Months: 2, Of: 3}
	f := func(want int, chronic bool, months ...int64) {
		t.Helper()
		var list []*big.Rat
		for _, m := range months {
			if m < 0 {
				list = append(list, nil)
				continue
			}
			list = append(list, big.NewRat(m, 1000))
		}
		if n, is := Failed(ch, list); n != want || is != chronic {
			t.Errorf("%v: %d, %v", months, n, is)
		}
	}
	f(0, false)
	f(0, false, 990, 990, 1000)
	f(1, false, 989, 990, 1000)
	f(2, true, 989, 1000, 989)
	f(1, false, 989, 989, 1000, 1000, 989) // the first two are too old
	f(1, false, 989, -1, -1)
	// Counted again after a restatement.
	f(2, true, 1000, 989, 989)
	f(1, false, 1000, 990, 989)
}

// drawnRuns draws a rule and spans over two hours of small slots.
func drawnRuns(t *rapid.T) (sla.Runs, sla.Period, []sla.Interval) {
	p := sla.Period{Start: 1_000_000, End: 1_000_000 + 20*10}
	rule := sla.Runs{Slot: 10, MinRun: rapid.Int64Range(0, 25).Draw(t, "min run"), Longer: rapid.Bool().Draw(t, "longer")}
	switch rapid.IntRange(0, 2).Draw(t, "count") {
	case 1:
		rule.Touched = true
	case 2:
		rule.Over = rapid.Int64Range(1, 9).Draw(t, "over")
	}
	var down []sla.Interval
	for range rapid.IntRange(0, 6).Draw(t, "runs") {
		from := p.Start + rapid.Int64Range(-30, 220).Draw(t, "from")
		down = append(down, sla.Interval{Start: from, End: from + rapid.Int64Range(0, 60).Draw(t, "length")})
	}
	return rule, p, down
}

// TestBadEqualsTheDefinition counts millisecond by millisecond.
func TestBadEqualsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, p, down := drawnRuns(t)
		isDown := map[int64]bool{}
		for _, i := range down {
			for ms := i.Start; ms < i.End; ms++ {
				isDown[ms] = true
			}
		}
		counts := map[int64]bool{} // milliseconds of runs that are long enough
		for ms := range isDown {
			from, to := ms, ms+1
			for isDown[from-1] {
				from--
			}
			for isDown[to] {
				to++
			}
			counts[ms] = to-from > rule.MinRun || to-from == rule.MinRun && !rule.Longer
		}
		for k, got := range bad(rule, p, down) {
			n := int64(0)
			for ms := p.Start + int64(k)*10; ms < p.Start+int64(k+1)*10; ms++ {
				if counts[ms] {
					n++
				}
			}
			want := n == 10
			if rule.Touched {
				want = n > 0
			} else if rule.Over > 0 {
				want = n > rule.Over
			}
			if got != want {
				t.Fatalf("%+v, slot %d: %v, %d ms are down in %v", rule, k, got, n, down)
			}
		}
	})
}

func TestMoreDownTimeNeverMakesASlotGood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, p, down := drawnRuns(t)
		before := bad(rule, p, down)
		from := p.Start + rapid.Int64Range(-30, 220).Draw(t, "more from")
		after := bad(rule, p, append(down, sla.Interval{Start: from, End: from + rapid.Int64Range(0, 60).Draw(t, "more")}))
		for k := range before {
			if before[k] && !after[k] {
				t.Fatalf("slot %d turned good", k)
			}
		}
		// Slots counted from the starts of runs may move, but never get fewer.
		rule.RunAligned, rule.Touched, rule.Over = true, false, 0
		count := func(in []sla.Interval) (n int) {
			// The period is wide enough for every run.
			for _, b := range bad(rule, sla.Period{Start: p.Start - 1000, End: p.End + 1000}, in) {
				if b {
					n++
				}
			}
			return n
		}
		want := 0
		for _, r := range sla.Union(down) {
			if l := r.End - r.Start; l > rule.MinRun || l == rule.MinRun && !rule.Longer {
				want += int(l / rule.Slot)
			}
		}
		n := count(down)
		if n != want {
			t.Fatalf("%d slots of runs, want %d: %v", n, want, down)
		}
		if more := count(append(down, sla.Interval{Start: from, End: from + 60})); more < n {
			t.Fatalf("%d slots, %d with more down time", n, more)
		}
	})
}

// TestZonesEqualEnumerationOfCompletions takes every unknown instance for good
// and for bad in all combinations.
func TestZonesEqualEnumerationOfCompletions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := &sla.Zones{Rule: rapid.SampledFrom([]sla.ZoneRule{sla.AllAny, sla.AllAll, sla.RegionWide}).Draw(t, "rule"), AtLeast: rapid.IntRange(2, 3).Draw(t, "at least")}
		zones := make([]zone, rapid.IntRange(0, 4).Draw(t, "zones"))
		used, unknown := 0, 0
		for i := range zones {
			zones[i] = zone{rapid.IntRange(0, 2).Draw(t, "good"), rapid.IntRange(0, 2).Draw(t, "bad"), rapid.IntRange(0, 2).Draw(t, "unknown")}
			unknown += zones[i].unknown
			if zones[i] != (zone{}) {
				used++
			}
		}
		verdicts := map[bool]bool{}
		for completion := range 1 << unknown {
			bit, down, other := 0, 0, false
			var downZones, hurt []int
			for i, z := range zones {
				for range z.unknown {
					if completion>>bit&1 == 1 {
						z.bad++
					} else {
						z.good++
					}
					bit++
				}
				if z.bad > 0 {
					hurt = append(hurt, i)
				}
				if z.bad > 0 && z.good == 0 {
					down++
					downZones = append(downZones, i)
				}
			}
			for _, d := range downZones {
				other = other || slices.ContainsFunc(hurt, func(h int) bool { return h != d })
			}
			switch rule.Rule {
			case sla.AllAny:
				verdicts[other] = true
			case sla.AllAll:
				verdicts[down >= rule.AtLeast] = true
			default:
				verdicts[down == used] = true
			}
		}
		want := sla.Unknown
		switch {
		case used < 2:
			want = sla.NotApplicable
		case len(verdicts) == 1 && verdicts[true]:
			want = sla.Bad
		case len(verdicts) == 1:
			want = sla.Good
		}
		if got := verdict(rule, zones); got != want {
			t.Fatalf("%s of %+v: %s, want %s", rule.Rule, zones, got, want)
		}
	})
}

// TestBoundsHoldForEveryClause draws facts under every kind of objective.
func TestBoundsHoldForEveryClause(t *testing.T) {
	p := sla.Period{Name: "morning", Start: at("09:00"), End: at("13:00")}
	rapid.Check(t, func(t *rapid.T) {
		c := contract(func(c *sla.Contract, o *sla.Objective) {
			o.Slot.Bad = rapid.SampledFrom([]sla.BadWhen{sla.BadUnreachable, sla.BadAnyFailure, sla.BadRatio, sla.BadAllFailed}).Draw(t, "bad when")
			o.Slot.MaxRatio = sla.Ratio{Num: uint64(rapid.IntRange(0, 9).Draw(t, "ratio")), Den: 10}
			o.Denominator = rapid.SampledFrom([]sla.Denominator{sla.Calendar, sla.Lifecycle, sla.Traffic, sla.Requests}).Draw(t, "denominator")
			o.Formula = rapid.SampledFrom([]sla.Formula{sla.BySlot, sla.ByShare}).Draw(t, "formula")
			o.Aggregation = rapid.SampledFrom([]sla.Aggregation{sla.Pooled, sla.PerResource, sla.Worst}).Draw(t, "aggregation")
			if rapid.Bool().Draw(t, "zones") {
				o.Zones = &sla.Zones{Rule: sla.AllAny}
			}
			if rapid.Bool().Draw(t, "runs") {
				o.Runs = &sla.Runs{Slot: 5 * minute, MinRun: minute, RunAligned: rapid.Bool().Draw(t, "aligned")}
			}
			o.Tiers = append([]sla.Tier{{Below: percent("100"), Lost: true}}, tiers("90", "30", "50", "100")...)
			if rapid.Bool().Draw(t, "changes") {
				c.Changes = &sla.Changes{Apart: rapid.Bool().Draw(t, "apart"), At: []sla.Change{{From: at("11:00")}}}
			}
		})
		var rs []sla.Resource
		for i := range rapid.IntRange(1, 3).Draw(t, "resources") {
			r := sla.Resource{Name: string(rune('a' + i)), Zone: string(rune('x' + i))}
			for range rapid.IntRange(0, 5).Draw(t, "facts") {
				from := p.Start + rapid.Int64Range(-3_600_000, 4*3_600_000).Draw(t, "from")
				s := sla.Span{Start: from, End: from + rapid.Int64Range(1, 3*3_600_000).Draw(t, "for"), State: rapid.SampledFrom([]sla.State{sla.Bad, sla.Unknown}).Draw(t, "state")}
				if rapid.Bool().Draw(t, "counted") {
					s.Total = rapid.Uint64Range(1, 1000).Draw(t, "total")
					s.Good = rapid.Uint64Range(0, s.Total).Draw(t, "good")
				}
				r.Spans = append(r.Spans, s)
			}
			rs = append(rs, r)
		}
		for _, policy := range []sla.Policy{sla.UnknownExclude, sla.UnknownBad, sla.UnknownGood, sla.UnknownCarry} {
			c.Objectives[0].Unknown = policy
			s := Settle(c, p, time.UTC, facts(rs...))
			b := s.Bounds
			if s.Attainment != nil && (s.Attainment.Cmp(b.Low) < 0 || s.Attainment.Cmp(b.High) > 0) {
				t.Fatalf("%s: %v outside of [%v, %v]", policy, s.Attainment, b.Low, b.High)
			}
			if s.Credit.Minor < b.LowMinor || s.Credit.Minor > b.HighMinor || s.Credit.Minor > s.Fee.Minor {
				t.Fatalf("%s: credit %d outside of [%d, %d] of %d", policy, s.Credit.Minor, b.LowMinor, b.HighMinor, s.Fee.Minor)
			}
		}
	})
}
