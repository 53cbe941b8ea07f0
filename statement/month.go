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

// Period returns the period of a contract that a month names: the calendar
// month, or the one that begins on the contract's first day, or the rolling days
// that end with it.
func Period(c *sla.Contract, month string, loc *time.Location) (sla.Period, error) {
	p, err := Month(month, loc)
	if err != nil {
		return p, err
	}
	if c.FirstDay > 1 {
		first := time.UnixMilli(p.Start).In(loc).AddDate(0, 0, c.FirstDay-1)
		p.Start, p.End = first.UnixMilli(), first.AddDate(0, 1, 0).UnixMilli()
	}
	if c.RollingDays > 0 {
		p.Start = time.UnixMilli(p.End).In(loc).AddDate(0, 0, -c.RollingDays).UnixMilli()
	}
	return p, nil
}

// appendSpan adds one slot to spans, extending the last where it continues it.
func appendSpan(spans []sla.Span, next sla.Span) []sla.Span {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if last.State == next.State && last.End == next.Start && last.Good == next.Good && last.Total == next.Total {
			last.End = next.End
			return spans
		}
	}
	return append(spans, next)
}
