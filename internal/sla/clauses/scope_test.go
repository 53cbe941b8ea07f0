package clauses

import (
	"testing"
	"time"

	"nines/internal/sla"
)

// down is the whole month.
func down(t *testing.T) sla.Span {
	p := month(t, "2026-11", time.UTC)
	return sla.Span{Start: p.Start, End: p.End, State: sla.Bad}
}

func TestOwnFeesTakeThePlaceOfShares(t *testing.T) {
	own := func(minor int64) *int64 { return &minor }
	f := func(perResource bool, fee int64, credit string, rs ...sla.Resource) {
		t.Helper()
		c := contract(func(c *sla.Contract, o *sla.Objective) {
			c.Fee = sla.Fee{Money: sla.Money{Minor: 900_000, Currency: "USD"}, PerResource: perResource}
			o.Aggregation = sla.PerResource
		})
		s := Settle(c, month(t, "2026-11", time.UTC), time.UTC, facts(rs...))
		if s.Fee.Minor != fee || s.Credit.Amount != credit {
			t.Errorf("fee %d, credit %s; want %d, %s", s.Fee.Minor, s.Credit.Amount, fee, credit)
		}
	}
	a, b := sla.Resource{Name: "a", Spans: []sla.Span{down(t)}}, sla.Resource{Name: "b"}
	dear := sla.Resource{Name: "c", Fee: own(50_000), Spans: []sla.Span{down(t)}}
	f(false, 900_000, "3000.00", a, b, sla.Resource{Name: "c"})
	f(false, 650_000, "3500.00", a, b, dear) // a third, a third, and 500.00
	f(true, 1_850_000, "9500.00", a, b, dear)
	f(false, 50_000, "500.00", dear)
}

func TestAServiceCostsWhatItsInstancesCost(t *testing.T) {
	instance := func(name, zone string) sla.Resource {
		return sla.Resource{Name: name, Zone: zone, Group: "region=east", Spans: []sla.Span{down(t)}}
	}
	c := contract(func(c *sla.Contract, o *sla.Objective) {
		o.Aggregation = sla.PerResource
		zones := *o
		zones.Name, zones.Zones = "service", &sla.Zones{Rule: sla.RegionWide}
		c.Objectives = append(c.Objectives, zones)
	})
	list := []sla.Resource{instance("a", "1"), instance("b", "2")}
	in := sla.Input{Exact: true, Resources: map[string][]sla.Resource{"availability": list, "service": list}}
	s := Settle(c, month(t, "2026-11", time.UTC), time.UTC, in)
	if s.Fee.Minor != 1_000_000 || s.Objectives[0].Credit.Amount != "10000.00" || s.Objectives[1].Credit.Amount != "10000.00" || s.Credit.Amount != "10000.00" {
		t.Errorf("fee %v: %+v and %+v", s.Fee, s.Objectives[0].Credit, s.Objectives[1].Credit)
	}
	in.Resources["service"] = nil // nothing was seen of it: that adds no fee
	if s := Settle(c, month(t, "2026-11", time.UTC), time.UTC, in); s.Fee.Minor != 1_000_000 || s.Objectives[0].Credit.Amount != "10000.00" {
		t.Errorf("with a clause of which nothing is known: fee %v, %+v", s.Fee, s.Objectives[0].Credit)
	}
}

func TestTimeIsNoTraffic(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	// A minute with 10 requests, all good; one that was down without any, and one
	// that was down for a half.
	events := sla.Span{Start: p.Start, End: p.Start + minute, State: sla.Good, Good: 10, Total: 10}
	in := one(events, minutes(p.Start+minute, 1, sla.Bad), sla.Span{Start: p.Start + 2*minute, End: p.Start + 2*minute + minute/2, State: sla.Bad})
	f := func(denominator sla.Denominator, attainment string, counted uint64) {
		t.Helper()
		c := contract(func(_ *sla.Contract, o *sla.Objective) { o.Formula, o.Denominator = sla.ByShare, denominator })
		if s := Settle(c, p, time.UTC, in); s.AttainmentPct != attainment || s.Slots.Applicable != counted {
			t.Errorf("%s: %s of %d, want %s of %d", denominator, s.AttainmentPct, s.Slots.Applicable, attainment, counted)
		}
	}
	f(sla.Requests, "100.00000", 1)
	f(sla.Traffic, "50.00000", 2) // what is wholly down counts
	f(sla.Lifecycle, "99.99652", 43_200)
}

func TestUnknownSlotsWeighSomethingWhereNothingElseDoes(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	c := contract(func(c *sla.Contract, o *sla.Objective) {
		o.Denominator, o.Unknown = sla.Requests, sla.UnknownBad
		c.Exclusions = []sla.Exclusion{{Start: p.Start, End: p.Start + minute, Effect: sla.Available, Category: "x", Author: "lee", ApprovedBy: "kim"}}
	})
	in := one(minutes(p.Start, 1, sla.Bad), minutes(p.Start+minute, 2, sla.Unknown))
	in.Exact = false
	if s := Settle(c, p, time.UTC, in); s.AttainmentPct != "0.00000" || s.Bounds.AttainmentHighPct != "100.00000" {
		t.Errorf("%+v", s.Figures)
	}
}

func TestACutLosesNoSlot(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	c := contract(func(c *sla.Contract, o *sla.Objective) {
		long := *o
		o.Slot.Length, long.Name, long.Slot.Length = 4*minute, "long", 15*minute
		c.Objectives = append(c.Objectives, long)
		c.Changes = &sla.Changes{Apart: true, At: []sla.Change{{From: p.Start + 20*minute, Reason: "moved"}}}
	})
	s := Settle(c, p, time.UTC, sla.Input{Exact: true, Resources: map[string][]sla.Resource{"availability": {{Name: "a"}}, "long": {{Name: "a"}}}})
	slots := map[uint64]bool{}
	for _, o := range s.Objectives {
		slots[o.Slots.Applicable] = true
	}
	if !slots[15] || !slots[10_785] || !slots[4] || !slots[2876] {
		t.Errorf("cut where slots of 4 and of 15 minutes do not begin together: %v", slots)
	}
}

// TestABlindEndOfThePeriodIsUnknown: the next slots that are known lie after it.
func TestABlindEndOfThePeriodIsUnknown(t *testing.T) {
	p := month(t, "2026-11", time.UTC)
	c := contract(func(_ *sla.Contract, o *sla.Objective) { o.Runs = &sla.Runs{Slot: minute, MinRun: minute} })
	in := one(sla.Span{Start: p.Start, End: p.End - 90*minute, State: sla.Good}, sla.Span{Start: p.End + 5*minute, End: p.End + 9*minute, State: sla.Good})
	in.Exact = false
	if s := Settle(c, p, time.UTC, in); s.Slots.Unknown != 90 {
		t.Errorf("%+v, want 90 unknown", s.Slots)
	}
}
