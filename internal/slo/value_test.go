package slo

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/sla"
)

func TestSliceShareIsTheTruncatedRatio(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "total")
		good := rapid.Uint64Range(0, total).Draw(t, "good")
		want := new(big.Int).Mul(new(big.Int).SetUint64(good), big.NewInt(SliceUnit))
		want.Quo(want, new(big.Int).SetUint64(total))
		if got := SliceShare(good, total); got != want.Uint64() {
			t.Fatalf("%d of %d is %d, want %s", good, total, got, want)
		}
	})
	if SliceShare(0, 0) != SliceUnit || SliceShare(5, 4) != SliceUnit || SliceShare(0, 9) != 0 {
		t.Error("no events, more good than all, or none good")
	}
}

func TestCompositeIsLinearAndMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Custom(func(t *rapid.T) Part {
			return Part{rapid.Float64Range(0.01, 100).Draw(t, "weight"), rapid.Float64Range(0, 1000).Draw(t, "value")}
		})
		parts := rapid.SliceOfN(part, 1, 6).Draw(t, "parts")
		sum := Composite(parts)
		i := rapid.IntRange(0, len(parts)-1).Draw(t, "which")
		parts[i].Value *= 2
		if more := Composite(parts); more < sum {
			t.Fatalf("a part burns more and the composite less: %v, %v", sum, more)
		}
		parts[i].Value /= 2
		parts[i].Weight *= 3
		got, want := Composite(parts), sum+2*parts[i].Weight/3*parts[i].Value
		if math.Abs(got-want) > 1e-9*(1+want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestRowsHoldByTheirOperator(t *testing.T) {
	f := func(op Op, below, equal, above bool) {
		t.Helper()
		r := BurnRow{Factor: 2, Op: op}
		at := func(burn float64) Rate { return Rate{Burn: burn, Seen: 1, Lost: 1} }
		if r.Holds(at(1), at(1)) != below || r.Holds(at(2), at(2)) != equal || r.Holds(at(3), at(3)) != above {
			t.Errorf("operator %q", op)
		}
		if op != "" && r.Holds(at(3), at(1)) {
			t.Errorf("operator %q holds over one window alone", op)
		}
	}
	f("", false, false, true)
	f(GT, false, false, true)
	f(GTE, false, true, true)
	f(LT, true, false, false)
	f(LTE, true, true, false)
	if (BurnRow{Factor: 2, Op: LTE}).Holds(Rate{}, Rate{}) {
		t.Error("silence burns slowly")
	}
	lax := sla.Ratio{Num: 1, Den: 2}
	if (BurnRow{Factor: 2}).CanFire(lax) || !(BurnRow{Factor: 2, Op: GTE}).CanFire(lax) || !(BurnRow{Op: LT}).CanFire(lax) {
		t.Error("a total outage burns exactly twice the budget of 50 %")
	}
}

func TestCalendarUnits(t *testing.T) {
	f := func(c Calendar, now, start, end string) {
		t.Helper()
		s, e, err := c.Bounds(ms(t, now))
		if err != nil || s != ms(t, start) || e != ms(t, end) {
			t.Errorf("%+v at %s: [%d, %d) %v, want [%s, %s)", c, now, s, e, err, start, end)
		}
	}
	late := Calendar{TimeZone: "UTC", Unit: "month", Start: "2024-01-31 06:00:00"}
	f(late, "2024-02-15T00:00:00Z", "2024-01-31T06:00:00Z", "2024-02-29T06:00:00Z")
	f(late, "2024-03-01T00:00:00Z", "2024-02-29T06:00:00Z", "2024-03-31T06:00:00Z")
	f(late, "2025-02-28T06:00:00Z", "2025-02-28T06:00:00Z", "2025-03-31T06:00:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "minute", Count: 5}, "2026-01-01T00:07:30Z", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "hour", Count: 6, Start: "2026-01-01 03:00:00"}, "2026-01-02T02:00:00Z", "2026-01-01T21:00:00Z", "2026-01-02T03:00:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "quarter", Count: 2}, "2026-09-01T00:00:00Z", "2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z")
	f(Calendar{TimeZone: "Europe/London", Unit: "day", Count: 10, Start: "2026-03-25 00:00:00"}, "2026-03-30T00:00:00Z", "2026-03-25T00:00:00Z", "2026-04-03T23:00:00Z")
}

// Every instant is in exactly one period, and the next begins where it ends.
func TestCalendarPeriodsJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Calendar{
			TimeZone: rapid.SampledFrom([]string{"UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"}).Draw(t, "zone"),
			Unit:     rapid.SampledFrom([]string{"minute", "hour", "day", "week", "month", "quarter", "year"}).Draw(t, "unit"),
			Start:    rapid.SampledFrom([]string{"", "2024-02-29 12:30:00", "2026-01-31 00:00:00", "2040-12-31 23:59:59"}).Draw(t, "start"),
			Count:    rapid.IntRange(0, 3).Draw(t, "count"),
		}
		now := rapid.Int64Range(0, 80*365*day).Draw(t, "now")
		start, end, err := c.Bounds(now)
		if err != nil || now < start || now >= end {
			t.Fatalf("%+v: %d in [%d, %d) %v", c, now, start, end, err)
		}
		next, after, err := c.Bounds(end)
		if err != nil || next != end || after <= end {
			t.Fatalf("%+v: after [%d, %d) comes [%d, %d) %v", c, start, end, next, after, err)
		}
	})
}
