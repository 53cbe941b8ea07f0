package statement

import (
	"reflect"
	"testing"
	"time"

	"nines/internal/sla"
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

func TestSpansAreExtended(t *testing.T) {
	var spans []sla.Span
	for i, s := range []sla.State{sla.Good, sla.Good, sla.Bad, sla.Good} {
		spans = appendSpan(spans, sla.Span{Start: int64(i) * minute, End: int64(i+1) * minute, State: s})
	}
	spans = appendSpan(spans, sla.Span{Start: 10 * minute, End: 11 * minute, State: sla.Good})
	spans = appendSpan(spans, sla.Span{Start: 11 * minute, End: 12 * minute, State: sla.Good, Good: 1, Total: 2})
	want := []sla.Span{{Start: 0, End: 2 * minute, State: sla.Good}, {Start: 2 * minute, End: 3 * minute, State: sla.Bad},
		{Start: 3 * minute, End: 4 * minute, State: sla.Good}, {Start: 10 * minute, End: 11 * minute, State: sla.Good},
		{Start: 11 * minute, End: 12 * minute, State: sla.Good, Good: 1, Total: 2}}
	if !reflect.DeepEqual(spans, want) {
		t.Errorf("got %v, want %v", spans, want)
	}
}
