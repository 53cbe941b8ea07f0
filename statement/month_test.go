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

func TestRunsAreExtended(t *testing.T) {
	var runs []sla.Run
	for i, s := range []sla.State{sla.Good, sla.Good, sla.Bad, sla.Good} {
		runs = appendRun(runs, int64(i)*minute, minute, s)
	}
	runs = appendRun(runs, 10*minute, minute, sla.Good)
	want := []sla.Run{{Start: 0, Slots: 2, State: sla.Good}, {Start: 2 * minute, Slots: 1, State: sla.Bad},
		{Start: 3 * minute, Slots: 1, State: sla.Good}, {Start: 10 * minute, Slots: 1, State: sla.Good}}
	if !reflect.DeepEqual(runs, want) {
		t.Errorf("got %v, want %v", runs, want)
	}
}
