package clauses

import (
	"slices"
	"time"

	"nines/internal/sla"
)

// Period returns the period of a contract that a month names, given as its first
// instant: the calendar month, or the one that begins on the contract's first
// day, or the rolling days that end with it.
func Period(c *sla.Contract, month time.Time) sla.Period {
	start, end := month, month.AddDate(0, 1, 0)
	if c.FirstDay > 1 {
		start = start.AddDate(0, 0, c.FirstDay-1)
		end = start.AddDate(0, 1, 0)
	}
	if c.RollingDays > 0 {
		start = end.AddDate(0, 0, -c.RollingDays)
	}
	return sla.Period{Name: month.Format("2006-01"), Start: start.UnixMilli(), End: end.UnixMilli()}
}

// PeriodAt returns the period of the contract that the time now (Unix
// milliseconds) lies in; not ok before the rolling days of a month begin.
func PeriodAt(c *sla.Contract, now int64, loc *time.Location) (p sla.Period, ok bool) {
	t := time.UnixMilli(now).In(loc)
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, loc)
	for _, months := range []int{0, -1} {
		if p = Period(c, first.AddDate(0, months, 0)); p.Start <= now && now < p.End {
			return p, true
		}
	}
	return p, false
}

// InForce returns the contract as it is settled for the time now, and the part
// of the period that it is settled over: the whole, unless the contract changes
// within it and settles the parts apart. The fee is that of the part's time.
func InForce(c *sla.Contract, p sla.Period, now int64) (*sla.Contract, sla.Period) {
	parts := split(c, p, nil)
	if len(parts) == 1 {
		return parts[0].contract, p
	}
	fee := prorate(c, p, parts)
	if !c.Changes.Apart {
		last := parts[len(parts)-1].contract
		last.Fee.Money = fee
		return last, p
	}
	i := slices.IndexFunc(parts, func(part part) bool { return now < part.period.End })
	return parts[max(i, 0)].contract, parts[max(i, 0)].period
}

// Excluded returns what the contract's approved exclusions take out of the
// period as unions of times: those that leave the denominator, and all.
func Excluded(c *sla.Contract, p sla.Period, loc *time.Location) (removed, all []sla.Interval) {
	list := exclusions(c, p, loc)
	for i := range list {
		e := &list[i]
		all = append(all, e.Times...)
		if e.Effect != sla.Available {
			removed = append(removed, e.Times...)
		}
	}
	return sla.Union(removed), sla.Union(all)
}
