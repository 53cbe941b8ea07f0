package slo

import (
	"testing"

	"pgregory.net/rapid"

	"nines/internal/sla"
)

func percent(n, d uint64) sla.Ratio { return sla.Ratio{Num: n, Den: 100 * d} }

func TestATierAllowsSoManyBadSlots(t *testing.T) {
	f := func(applicable uint64, bound sla.Ratio, want uint64) {
		t.Helper()
		o := Outlook{Applicable: applicable}
		if got := o.Allowed(bound); got != want {
			t.Errorf("%d slots at %s allow %d bad, want %d", applicable, bound, got, want)
		}
		o.Bad = want
		if o.Missed(bound) {
			t.Errorf("%d bad of %d miss %s", want, applicable, bound)
		}
		o.Bad++
		if !o.Missed(bound) {
			t.Errorf("%d bad of %d do not miss %s", want+1, applicable, bound)
		}
	}
	f(43_200, percent(99_975, 1000), 10)
	f(40_320, percent(99_975, 1000), 10)
	f(44_640, percent(99_975, 1000), 11)
	f(43_200, percent(995, 10), 216) // exactly met pays nothing
	f(10_000, percent(999, 10), 10)
	f(43_200, percent(95, 1), 2160)
	f(43_200, percent(100, 1), 0)
	f(43_200*10_000_000_000, percent(99_999_999, 1_000_000), 4_320_000)
}

func TestAProjectionGoesOnAtTheRateOfTheLastWeek(t *testing.T) {
	f := func(o Outlook, projected string, falls, recovers bool) {
		t.Helper()
		bound := percent(99_975, 1000) // allows 10.8 of 43,200
		if got := o.Projected().FloatString(4); got != projected {
			t.Errorf("%+v projects %s bad slots, want %s", o, got, projected)
		}
		if o.Falls(bound) != falls || o.Recovers(bound) != recovers {
			t.Errorf("%+v: falls %v, recovers %v, want %v, %v", o, o.Falls(bound), o.Recovers(bound), falls, recovers)
		}
	}
	week := uint64(10_080)
	f(Outlook{Applicable: 43_200, Remaining: 43_200, Span: week}, "0.0000", false, true)
	f(Outlook{Applicable: 43_200, Remaining: 20_160, Bad: 3, Recent: 3, Span: week}, "9.0000", false, true)
	// Between 9.72 and 10.8 an alert stays as it is.
	f(Outlook{Applicable: 43_200, Remaining: 20_160, Bad: 4, Recent: 3, Span: week}, "10.0000", false, false)
	f(Outlook{Applicable: 43_200, Remaining: 20_160, Bad: 5, Recent: 3, Span: week}, "11.0000", true, false)
	f(Outlook{Applicable: 43_200, Remaining: 20_160, Bad: 9, Recent: 0, Span: week}, "9.0000", false, true)
	// Unknown slots count for none.
	f(Outlook{Applicable: 43_200, Remaining: 20_160, Bad: 3, Unknown: 900, Recent: 3, Span: week}, "9.0000", false, true)
}

func TestWhenATierFalls(t *testing.T) {
	f := func(o Outlook, want uint64, ok bool) {
		t.Helper()
		if got, sure := o.Left(percent(99_975, 1000)); got != want || sure != ok {
			t.Errorf("%+v: %d slots left (%v), want %d (%v)", o, got, sure, want, ok)
		}
	}
	f(Outlook{Applicable: 43_200, Remaining: 30_000, Bad: 5, Recent: 5, Span: 10_080}, 12_096, true) // 6 more at 5 a week
	f(Outlook{Applicable: 43_200, Remaining: 12_000, Bad: 5, Recent: 5, Span: 10_080}, 12_096, false)
	f(Outlook{Applicable: 43_200, Remaining: 30_000, Bad: 5}, 0, false)
	f(Outlook{Applicable: 43_200, Remaining: 30_000, Bad: 11}, 0, true)
}

// TestAMissedTierIsAlwaysProjected: what is certain is never above what is
// projected, and one more bad slot never helps.
func TestAMissedTierIsAlwaysProjected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 1<<40)
		o := Outlook{Applicable: n.Draw(t, "applicable"), Span: 10_080}
		o.Remaining = rapid.Uint64Range(0, o.Applicable).Draw(t, "remaining")
		o.Bad = rapid.Uint64Range(0, o.Applicable-o.Remaining).Draw(t, "bad")
		o.Recent = rapid.Uint64Range(0, 10_080).Draw(t, "recent")
		bound := sla.Ratio{Den: rapid.Uint64Range(1, 1_000_000).Draw(t, "den")}
		bound.Num = rapid.Uint64Range(0, bound.Den-1).Draw(t, "num")
		if o.Missed(bound) && (!o.Falls(bound) || o.Recovers(bound)) {
			t.Fatalf("%+v misses %v and is not projected to", o, bound)
		}
		exact := sla.Ratio{Num: o.Applicable - o.Bad, Den: o.Applicable}
		if o.Missed(bound) != (exact.Cmp(bound) < 0) {
			t.Fatalf("%+v: missed %v, but with all else good it attains %v of %v", o, o.Missed(bound), exact, bound)
		}
		worse := o
		worse.Bad++
		if o.Falls(bound) && !worse.Falls(bound) || o.Missed(bound) && !worse.Missed(bound) {
			t.Fatalf("%+v: one more bad slot mends it", o)
		}
	})
}

func TestTheRecentPastIsAWeekOfHours(t *testing.T) {
	var r Recent
	at := int64(1_790_000_040_000)
	r.Add(at, at, 3)
	r.Add(at+hour, at+hour, 2)
	r.Add(at, at+hour, -1) // restated
	r.Add(at-TierSpan, at+hour, 9)
	if n := r.Advance(at + hour); n != 4 {
		t.Errorf("%d bad slots in the last week, want 4", n)
	}
	if n := r.Advance(at + TierSpan); n != 2 {
		t.Errorf("%d a week later, want 2", n)
	}
	if n := r.Advance(at + 3*TierSpan); n != 0 {
		t.Errorf("%d three weeks later, want 0", n)
	}
}
