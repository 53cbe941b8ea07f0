package statement

import (
	"fmt"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

// Month returns the calendar month, named as 2026-11, in a time zone. It has as
// many minutes as it has: 28 to 31 days, clock changes included.
func Month(name string, loc *time.Location) (sla.Period, error) {
	return Period(&sla.Contract{}, name, loc)
}

// Period returns the period of a contract that a month names.
func Period(c *sla.Contract, month string, loc *time.Location) (sla.Period, error) {
	first, err := time.ParseInLocation("2006-01", month, loc)
	if err != nil {
		return sla.Period{}, fmt.Errorf("read month %q: write it as 2026-11", month)
	}
	return clauses.Period(c, first), nil
}

// MonthAt names the month whose period of the contract an instant, Unix
// milliseconds, lies in; between rolling periods the calendar's.
func MonthAt(c *sla.Contract, at int64, loc *time.Location) string {
	if p, ok := clauses.PeriodAt(c, at, loc); ok {
		return p.Name
	}
	return time.UnixMilli(at).In(loc).Format("2006-01")
}
