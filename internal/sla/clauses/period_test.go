package clauses

import (
	"reflect"
	"testing"
	"time"

	"nines/internal/sla"
)

func instant(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

func TestThePeriodThatAnInstantLiesIn(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Skip(err)
	}
	f := func(c sla.Contract, at, want string) {
		t.Helper()
		p, ok := PeriodAt(&c, instant(t, at), london)
		if !ok {
			p.Name = ""
		}
		if p.Name != want || ok && (p.Start > instant(t, at) || p.End <= instant(t, at)) {
			t.Errorf("%s lies in %+v (%v), want %q", at, p, ok, want)
		}
	}
	f(sla.Contract{}, "2026-07-31T22:59:59Z", "2026-07")
	f(sla.Contract{}, "2026-07-31T23:00:00Z", "2026-08")
	f(sla.Contract{}, "2026-12-31T23:59:59Z", "2026-12")
	f(sla.Contract{FirstDay: 15}, "2026-03-14T23:59:59Z", "2026-02")
	f(sla.Contract{FirstDay: 15}, "2026-03-15T00:00:00Z", "2026-03")
	f(sla.Contract{RollingDays: 7}, "2026-11-20T00:00:00Z", "") // between two
	f(sla.Contract{RollingDays: 7}, "2026-11-24T00:00:00Z", "2026-11")
	f(sla.Contract{RollingDays: 90}, "2026-11-20T00:00:00Z", "2026-11")
}

// TestWhatIsInForce: pooled, the last terms of the period and all fees; apart,
// the part that the instant lies in.
func TestWhatIsInForce(t *testing.T) {
	c := &sla.Contract{Fee: sla.Fee{Money: sla.Money{Minor: 3_000_000, Currency: "EUR"}}, Customer: "a",
		Objectives: []sla.Objective{{Name: "x", Slot: sla.SlotRule{Length: 60_000}}}}
	p := Period(c, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	middle := instant(t, "2026-11-16T00:00:00Z")
	f := func(apart bool, now int64, customer string, minor int64, length time.Duration) {
		t.Helper()
		c.Changes = &sla.Changes{Apart: apart, At: []sla.Change{{From: middle, Customer: "b",
			Fee: &sla.Fee{Money: sla.Money{Minor: 1_000_000, Currency: "EUR"}}}}}
		got, part := InForce(c, p, now)
		if got.Customer != customer || got.Fee.Minor != minor || part.End-part.Start != length.Milliseconds() {
			t.Errorf("apart %v: %s, %d, %d ms; want %s, %d, %s", apart, got.Customer, got.Fee.Minor, part.End-part.Start, customer, minor, length)
		}
	}
	const day = 24 * time.Hour
	f(false, p.Start, "b", 2_000_000, 30*day)
	f(true, p.Start, "a", 1_500_000, 15*day)
	f(true, middle-1, "a", 1_500_000, 15*day)
	f(true, middle, "b", 500_000, 15*day)
	c.Changes = nil
	if got, part := InForce(c, p, middle); got.Customer != "a" || got.Fee.Minor != 3_000_000 || part != p {
		t.Errorf("without changes: %+v over %+v", got, part)
	}
}

func TestWhatExclusionsTakeOutOfAPeriod(t *testing.T) {
	c := &sla.Contract{}
	p := Period(c, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	one := func(from, to int64, effect sla.Effect, by string) sla.Exclusion {
		return sla.Exclusion{Start: p.Start + from, End: p.Start + to, Effect: effect, ApprovedBy: by}
	}
	c.Exclusions = []sla.Exclusion{one(-5, 10, sla.Removed, "x"), one(5, 20, sla.Removed, "x"), one(15, 30, sla.Available, "x"), one(50, 60, sla.Removed, "")}
	removed, all := Excluded(c, p, time.UTC)
	if want := []sla.Interval{{Start: p.Start, End: p.Start + 20}}; !reflect.DeepEqual(removed, want) {
		t.Errorf("removed %v, want %v", removed, want)
	}
	if want := []sla.Interval{{Start: p.Start, End: p.Start + 30}}; !reflect.DeepEqual(all, want) {
		t.Errorf("excluded %v, want %v", all, want)
	}
}
