package slo

import "nines/internal/sla"

// Lengths in milliseconds.
const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

// BurnRow is one row of the multi-window, multi-burn-rate table: it fires when
// burn(Long) > Factor and burn(Short) > Factor, where burn is the error ratio
// divided by 1 - target. A row made of an OpenSLO AlertCondition has Op, and
// both windows are its lookback window.
type BurnRow struct {
	Severity string  `json:"severity"`
	Long     int64   `json:"long_ms"`
	Short    int64   `json:"short_ms"`
	Factor   float64 `json:"factor"`
	// Op compares the burn with Factor; empty is GT.
	Op Op `json:"op,omitempty"`
	// After is how long it must have held before it fires, milliseconds.
	After int64 `json:"after_ms,omitempty"`
	// Condition names the AlertCondition it was made of.
	Condition string `json:"condition,omitempty"`
	Policy
}

// Policy says which AlertPolicy asked for an alert, and whom it is to notify:
// the names of its targets, sorted, with commas around each.
type Policy struct {
	Name    string `json:"policy,omitempty"`
	Targets string `json:"targets,omitempty"`
}

// Holds tells whether the burn rates over the row's windows make it fire: of
// nothing, nothing holds. A page needs a rate, and one loss is none: more than one
// slot or event must be lost, unless one slot is as long as the short window. What
// a single one costs is told as budget consumed.
func (r BurnRow) Holds(long, short Rate) bool {
	switch {
	case !r.MayHold(short) || !r.over(long.Burn):
		return false
	case r.low() || r.Severity != "page":
		return true
	}
	return long.Lost > 1 || short.Room == 1
}

// MayHold tells whether the row holds for some burn of the long window: where it
// does not, as nearly always, that need not be known.
func (r BurnRow) MayHold(short Rate) bool { return short.Seen > 0 && r.over(short.Burn) }

// over compares a burn rate with the factor.
func (r BurnRow) over(burn float64) bool {
	switch r.Op {
	case LT:
		return burn < r.Factor
	case LTE:
		return burn <= r.Factor
	case GTE:
		return burn >= r.Factor
	}
	return burn > r.Factor
}

// low tells whether the row fires while the budget burns slowly.
func (r BurnRow) low() bool { return r.Op == LT || r.Op == LTE }

// BudgetRow alerts when a share of the error budget is consumed.
type BudgetRow struct {
	Severity string `json:"severity"`
	// Percent of the budget: 100 is all of it.
	Percent int `json:"percent"`
}

// BudgetSlack is by how many percent of the budget consumption must fall below
// a row before its alert resolves, so that it does not come and go.
const BudgetSlack = 5

// BudgetRows returns the consumption that alerts unless declared otherwise.
func BudgetRows() []BudgetRow {
	return []BudgetRow{{"advisory", 25}, {"advisory", 50}, {"ticket", 75}, {"ticket", 90}, {"page", 100}}
}

// NoData alerts when a group has been silent.
type NoData struct {
	Severity string `json:"severity"`
	// After is how long, in milliseconds of log time.
	After int64 `json:"after_ms"`
	Policy
}

// BurnRows returns the four rows of the multi-window, multi-burn-rate table for
// an SLO period in milliseconds: Factor = budget share × period / Long. Rows
// whose long window exceeds the period are left out.
// Source: The Site Reliability Workbook, chapter 5, table 5-8.
func BurnRows(period int64) []BurnRow {
	table := []struct {
		severity    string
		budget      float64
		long, short int64
	}{
		{"page", 0.02, hour, 5 * minute},
		{"page", 0.05, 6 * hour, 30 * minute},
		{"ticket", 0.10, day, 2 * hour},
		{"ticket", 0.10, 3 * day, 6 * hour},
	}
	var rows []BurnRow
	for _, t := range table {
		if t.long <= period {
			rows = append(rows, BurnRow{Severity: t.severity, Long: t.long, Short: t.short,
				Factor: t.budget * float64(period) / float64(t.long)})
		}
	}
	return rows
}

// Burn returns the burn rate: the error ratio of good of total events (or slots)
// divided by the budget 1 - target. It is 0 without events, and for a target of
// 1, which has no budget, the error ratio times 1e9; never NaN or infinite.
func Burn(good, total uint64, target sla.Ratio) float64 {
	if total == 0 || good >= total {
		return 0
	}
	return burn(float64(total-good)/float64(total), target)
}

// burn divides an error ratio by the budget.
func burn(errs float64, target sla.Ratio) float64 {
	if target.Den == 0 || target.Num >= target.Den {
		return errs * 1e9
	}
	return errs * float64(target.Den) / float64(target.Den-target.Num)
}

// BudgetLeft returns the share of the error budget that good of total events
// (or slots) leave: 1 is whole, 0 spent, negative overspent. 1 without events.
func BudgetLeft(good, total uint64, target sla.Ratio) float64 {
	return 1 - Burn(good, total, target)
}

// CanFire tells whether a total outage reaches the row's factor: for lax
// targets the budget is so large that the row can never fire.
func (r BurnRow) CanFire(target sla.Ratio) bool {
	return r.Reached(Burn(0, 1, target))
}

// Reached tells whether a burn rate of worst makes the row fire, or less does.
func (r BurnRow) Reached(worst float64) bool {
	return r.low() || r.over(worst)
}

// Float returns the ratio for display and plots, never for judgement; 0 where
// there is no value.
func Float(r sla.Ratio) float64 {
	if r.Den == 0 {
		return 0
	}
	return float64(r.Num) / float64(r.Den)
}
