package evaluate

import (
	"fmt"
	"strconv"

	"nines/internal/slo"
)

// Names of the alerts on a budget as a whole and on silence.
const (
	AlertBudget = "ErrorBudgetConsumed" // kind budget, severity of its row
	AlertNoData = "NoData"              // kind nodata, severity of its rule
)

// budgetLabels tell the rows of an objective's budget apart.
func budgetLabels(r slo.BudgetRow) map[string]string {
	return map[string]string{"consumed": strconv.Itoa(r.Percent)}
}

// policyLabels name the policy that asked for an alert, and its targets.
func policyLabels(p slo.Policy, more map[string]string) map[string]string {
	if p.Name != "" {
		more["policy"] = p.Name
	}
	if p.Targets != "" {
		more["targets"] = p.Targets
	}
	return more
}

// held tells whether the row's condition, which holds or not, has held for as
// long as it must.
func (j *judged) held(s *State, i int, now bool) (fires, holds bool) {
	row := j.def.Burn[i]
	holds = now
	if row.After == 0 {
		return holds, holds
	}
	if !holds && j.trouble == nil {
		return false, false
	}
	t := j.troubled()
	if t.since == nil {
		t.since = make([]int64, len(j.def.Burn))
	}
	switch {
	case !holds:
		t.since[i] = 0
	case t.since[i] == 0:
		t.since[i] = s.logTime
	}
	return holds && s.logTime-t.since[i] >= row.After, holds
}

// judgeBudget raises an alert for each share of the budget that is consumed.
func (s *State) judgeBudget(g *group, j *judged) {
	if len(j.def.Budget) == 0 || g.stream == nil || g.FirstSlot == 0 || s.stale {
		return
	}
	g.advance(s)
	used, _, _ := g.consumed(s, j.def)
	for i, row := range j.def.Budget {
		a := 2 + len(j.def.Burn) + i
		switch percent := 100 * used; {
		case percent < float64(row.Percent-slo.BudgetSlack):
			s.withdraw(j, a)
		case percent < float64(row.Percent), s.raised(j, a), s.logTime-s.newest(g, j.def) > s.cfg.PageWindow:
			// between the two, said already, or old data told late
		default:
			s.raise(g, j, a, s.newest(g, j.def), fmt.Sprintf("%s has consumed %.0f %% of its error budget (limit %d %%)", g.name(j.def), percent, row.Percent))
		}
	}
}

// judgeNoData raises an alert for a group that has fallen silent.
func (s *State) judgeNoData(g *group, j *judged) {
	if g.FirstSlot == 0 || g.stream == nil || g.idle {
		return
	}
	silent := s.logTime - max(g.lastSample, s.awake, g.FirstSlot)
	for i, rule := range j.def.NoData {
		a := 2 + len(j.def.Burn) + len(j.def.Budget) + i
		switch {
		case silent <= rule.After:
			if s.logTime-g.lastSample <= rule.After { // not for a jump alone
				s.withdraw(j, a)
			}
		case !s.raised(j, a):
			s.raise(g, j, a, 0, fmt.Sprintf("%s has sent no data for %s; its objective is not judged", g.name(j.def), duration(rule.After)))
		}
	}
}
