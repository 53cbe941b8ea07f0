package statement

import (
	"fmt"
	"time"

	"nines/internal/sla"
)

// Month returns the calendar month, named as 2026-11, in a time zone. It has as
// many minutes as it has: 28 to 31 days, clock changes included.
func Month(name string, loc *time.Location) (sla.Period, error) {
	t, err := time.ParseInLocation("2006-01", name, loc)
	if err != nil {
		return sla.Period{}, fmt.Errorf("read month %q: write it as 2026-11", name)
	}
	return sla.Period{Name: name, Start: t.UnixMilli(), End: t.AddDate(0, 1, 0).UnixMilli()}, nil
}

// appendRun adds one slot to runs, extending the last run where it continues it.
func appendRun(runs []sla.Run, start, length int64, s sla.State) []sla.Run {
	if n := len(runs); n > 0 && runs[n-1].State == s && runs[n-1].Start+int64(runs[n-1].Slots)*length == start {
		runs[n-1].Slots++
		return runs
	}
	return append(runs, sla.Run{Start: start, Slots: 1, State: s})
}
