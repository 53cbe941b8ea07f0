package statement

import (
	"reflect"
	"testing"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

func TestMonthsAreWrittenAs202611(t *testing.T) {
	p, err := Month("2028-02", time.UTC)
	if err != nil || p.Name != "2028-02" || p.End-p.Start != 29*86_400_000 {
		t.Errorf("February 2028 is %+v (%v)", p, err)
	}
	for _, bad := range []string{"2026-13", "2026-1", "11/2026", ""} {
		if p, err := Month(bad, time.UTC); err == nil {
			t.Errorf("%q is accepted as %+v", bad, p)
		}
	}
}

func TestPeriodsOtherThanCalendarMonths(t *testing.T) {
	f := func(c sla.Contract, start, end string) {
		t.Helper()
		loc, err := time.LoadLocation("Europe/London")
		if err != nil {
			t.Skip(err)
		}
		p, err := Period(&c, "2026-03", loc)
		if err != nil {
			t.Fatal(err)
		}
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04") }
		if at(p.Start) != start || at(p.End) != end {
			t.Errorf("%s to %s, want %s to %s", at(p.Start), at(p.End), start, end)
		}
	}
	f(sla.Contract{}, "2026-03-01T00:00", "2026-03-31T23:00")
	f(sla.Contract{FirstDay: 15}, "2026-03-15T00:00", "2026-04-14T23:00")
	f(sla.Contract{RollingDays: 365}, "2025-03-31T23:00", "2026-03-31T23:00")
	f(sla.Contract{RollingDays: 3}, "2026-03-29T00:00", "2026-03-31T23:00")
}

func TestSpansAreExtended(t *testing.T) {
	var spans []sla.Span
	for i, s := range []sla.State{sla.Good, sla.Good, sla.Bad, sla.Good} {
		spans = clauses.AppendSpan(spans, sla.Span{Start: int64(i) * minute, End: int64(i+1) * minute, State: s})
	}
	spans = clauses.AppendSpan(spans, sla.Span{Start: 10 * minute, End: 11 * minute, State: sla.Good})
	spans = clauses.AppendSpan(spans, sla.Span{Start: 11 * minute, End: 12 * minute, State: sla.Good, Good: 1, Total: 2})
	want := []sla.Span{{Start: 0, End: 2 * minute, State: sla.Good}, {Start: 2 * minute, End: 3 * minute, State: sla.Bad},
		{Start: 3 * minute, End: 4 * minute, State: sla.Good}, {Start: 10 * minute, End: 11 * minute, State: sla.Good},
		{Start: 11 * minute, End: 12 * minute, State: sla.Good, Good: 1, Total: 2}}
	if !reflect.DeepEqual(spans, want) {
		t.Errorf("got %v, want %v", spans, want)
	}
}

func TestTheMonthThatAnInstantLiesIn(t *testing.T) {
	dubai := time.FixedZone("Asia/Dubai", 4*3600)
	f := func(c sla.Contract, at, want string) {
		t.Helper()
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := MonthAt(&c, instant.UnixMilli(), dubai); got != want {
			t.Errorf("%s is in %s, want %s", at, got, want)
		}
	}
	f(sla.Contract{}, "2026-10-31T20:00:00Z", "2026-11")
	f(sla.Contract{FirstDay: 15}, "2026-11-14T19:59:59Z", "2026-10")
	f(sla.Contract{FirstDay: 15}, "2026-11-14T20:00:00Z", "2026-11")
	f(sla.Contract{RollingDays: 7}, "2026-11-10T00:00:00Z", "2026-11")
}
