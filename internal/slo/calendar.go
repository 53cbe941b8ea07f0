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
	step, err := c.step()
	if err != nil {
		return 0, 0, err
	}
	at := func(n int) time.Time { return step.from(anchor, n) }
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

// step is the length of a period: one of its fields is set.
type step struct {
	months, days int
	fixed        time.Duration
}

func (c *Calendar) step() (step, error) {
	n := max(c.Count, 1)
	switch c.Unit {
	case "minute":
		return step{fixed: time.Duration(n) * time.Minute}, nil
	case "hour":
		return step{fixed: time.Duration(n) * time.Hour}, nil
	case "day":
		return step{days: n}, nil
	case "week":
		return step{days: 7 * n}, nil
	case "month":
		return step{months: n}, nil
	case "quarter":
		return step{months: 3 * n}, nil
	case "year":
		return step{months: 12 * n}, nil
	}
	return step{}, fmt.Errorf("calendar window of unit %q: use minute, hour, day, week, month, quarter or year", c.Unit)
}

// from returns the time n steps after the anchor. A month that lacks the
// anchor's day takes its last one instead.
func (s step) from(anchor time.Time, n int) time.Time {
	if s.months == 0 {
		return anchor.AddDate(0, 0, n*s.days).Add(time.Duration(n) * s.fixed)
	}
	day := anchor.Day()
	first := anchor.AddDate(0, n*s.months, 1-day)
	if day > 28 {
		day = min(day, time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day())
	}
	return first.AddDate(0, 0, day-1)
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
