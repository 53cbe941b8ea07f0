package slo

import (
	"fmt"
	"time"
)

// calendarLayout is how OpenSLO writes calendar.startTime.
const calendarLayout = "2006-01-02 15:04:05"

// Bounds returns the half-open calendar period [start, end) that contains now,
// all in Unix milliseconds. Periods are counted in local time from Start, so one
// of a day lasts 23 or 25 hours where the clocks change.
func (c *Calendar) Bounds(now int64) (start, end int64, err error) {
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return 0, 0, fmt.Errorf("load time zone %q of a calendar window: %w", c.TimeZone, err)
	}
	anchor, err := c.anchor(loc)
	if err != nil {
		return 0, 0, err
	}
	years, months, days, err := c.step()
	if err != nil {
		return 0, 0, err
	}
	at := func(n int) time.Time { return anchor.AddDate(n*years, n*months, n*days) }
	t := time.UnixMilli(now)
	length := at(1).Sub(anchor)
	n := int(t.Sub(anchor) / length)
	for at(n).After(t) {
		n--
	}
	for !at(n + 1).After(t) {
		n++
	}
	return at(n).UnixMilli(), at(n + 1).UnixMilli(), nil
}

// anchor is the instant from which periods are counted: Start, or else the
// first Monday that began a year, 2001-01-01 00:00:00 local time.
func (c *Calendar) anchor(loc *time.Location) (time.Time, error) {
	if c.Start == "" {
		return time.Date(2001, 1, 1, 0, 0, 0, 0, loc), nil
	}
	t, err := time.ParseInLocation(calendarLayout, c.Start, loc)
	if err != nil {
		return t, fmt.Errorf("parse start %q of a calendar window: write it as %s", c.Start, calendarLayout)
	}
	return t, nil
}

func (c *Calendar) step() (years, months, days int, err error) {
	switch c.Unit {
	case "day":
		return 0, 0, 1, nil
	case "week":
		return 0, 0, 7, nil
	case "month":
		return 0, 1, 0, nil
	case "quarter":
		return 0, 3, 0, nil
	case "year":
		return 1, 0, 0, nil
	}
	return 0, 0, 0, fmt.Errorf("calendar window of unit %q: use day, week, month, quarter or year", c.Unit)
}

// PeriodSum sums up the current period of a calendar window of one group.
type PeriodSum struct {
	// Start and End bound the period, Unix milliseconds, half-open.
	Start, End int64
	// Good and Total are what was added to slots that start within.
	Good, Total int64
}

// Advance moves to the period that contains now, from zero where it is another
// one than before.
func (p *PeriodSum) Advance(c *Calendar, now int64) error {
	if p.End > p.Start && now < p.End {
		return nil
	}
	start, end, err := c.Bounds(now)
	if err != nil {
		return err
	}
	*p = PeriodSum{Start: start, End: end}
	return nil
}

// Add adds to the slot that starts at slotStart; slots of other periods are
// left out. Negative deltas take back what a restatement changed.
func (p *PeriodSum) Add(slotStart, good, total int64) {
	if slotStart >= p.Start && slotStart < p.End {
		p.Good += good
		p.Total += total
	}
}
