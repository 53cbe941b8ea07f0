package sla

import (
	"fmt"
	"time"
)

// Period is the half-open interval [Start, End) that is settled, in Unix
// milliseconds.
type Period struct {
	// Name is how the settlement calls it, 2026-11.
	Name       string
	Start, End int64
}

// Month returns the calendar month, named as 2026-11, in a time zone. It has as
// many minutes as it has: 28 to 31 days, clock changes included.
func Month(name string, loc *time.Location) (Period, error) {
	t, err := time.ParseInLocation("2006-01", name, loc)
	if err != nil {
		return Period{}, fmt.Errorf("read month %q: write it as 2026-11", name)
	}
	return Period{name, t.UnixMilli(), t.AddDate(0, 1, 0).UnixMilli()}, nil
}

// slots returns how many whole slots the period has.
func (p Period) slots(length int64) int {
	if length <= 0 || p.End <= p.Start {
		return 0
	}
	return int((p.End - p.Start) / length)
}
