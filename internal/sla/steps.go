package sla

import (
	"strconv"
	"time"
)

// step appends a line of the calculation; values are names and texts in turn.
func (s *Settlement) step(clause, formula string, values ...string) {
	m := map[string]string{}
	for i := 0; i+1 < len(values); i += 2 {
		m[values[i]] = values[i+1]
	}
	s.Steps = append(s.Steps, Step{clause, formula, m})
}

func number(n int64) string   { return strconv.FormatInt(n, 10) }
func natural(n uint64) string { return strconv.FormatUint(n, 10) }
func stamp(ms int64) string   { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func (c *Contract) listExclusions(s *Settlement) {
	for i, e := range c.Exclusions {
		formula := "applied: " + string(e.Effect)
		if e.ApprovedBy == "" {
			formula = "listed, not applied: without approval"
		}
		s.step("exclusions["+strconv.Itoa(i)+"]", formula, "start", stamp(e.Start), "end", stamp(e.End),
			"category", e.Category, "reason", e.Reason, "author", e.Author, "approved_by", e.ApprovedBy)
	}
}

// slotSteps says how the slots were judged and counted.
func (s *Settlement) slotSteps(o *Objective, t tally, resources int) {
	at := "objectives[" + o.Name + "]"
	s.step(at+".slot", o.Reading, "length_ms", number(o.Slot.Length), "resources", number(int64(resources)))
	s.step(at+".denominator", "applicable = good + bad + unknown, after exclusions; coverage = (good + bad) / applicable",
		"applicable", natural(t.Applicable), "good", natural(t.Good), "bad", natural(t.Bad), "unknown", natural(t.Unknown),
		"excluded", natural(t.Excluded), "not_applicable", natural(t.NotApplicable), "coverage_pct", t.coverage().Percent())
	s.step(at+".unknown", formula(o.Unknown), "unknown", natural(t.Unknown),
		"as_good", natural(t.asGood), "as_bad", natural(t.asBad), "left_out", natural(t.Unknown-t.asGood-t.asBad))
}

// creditSteps says how attainment became a credit.
func (s *Settlement) creditSteps(o *Objective, p *Part, book fees) {
	at := "objectives[" + o.Name + "]"
	s.step(at+".aggregation", formula(o.Aggregation), "good", natural(p.Attainment.Num), "counted", natural(p.Attainment.Den),
		"attainment_pct", p.AttainmentPct, "low_pct", p.Bounds.AttainmentLowPct, "high_pct", p.Bounds.AttainmentHighPct)
	values := []string{"percent", p.Credit.Percent, "fee", book.total.String(), "amount", p.Credit.Amount}
	for _, t := range o.Tiers {
		values = append(values, "below "+trimZeros(t.Below.Percent()), t.Credit.String())
	}
	if o.Cap.Den != 0 {
		values = append(values, "cap", o.Cap.String())
	}
	if o.Minimum > 0 {
		values = append(values, "minimum", Money{o.Minimum, book.total.Currency}.String())
	}
	s.step(at+".tiers", "lowest tier whose bound is above the attainment; amount = fee × percent, truncated", values...)
}

// formula says in words what a choice means that a contract declares.
func formula(choice any) string {
	return map[any]string{
		UnknownExclude: "unknown slots leave the denominator",
		UnknownBad:     "unknown slots count as bad",
		UnknownGood:    "unknown slots count as good",
		UnknownCarry:   "unknown slots repeat the last decided slot, judged before exclusions",
		Pooled:         "all resources pooled; attainment = good / counted",
		PerResource:    "each resource by itself; shown: the lowest attainment = good / counted",
		Worst:          "the resource with the lowest attainment = good / counted",
		Highest:        "greatest of the objectives' credits, within cap and minimum",
		Sum:            "sum of the objectives' credits, within cap and minimum",
	}[choice]
}

func feeFormula(f Fee) string {
	if f.PerResource {
		return "per resource, summed over resources"
	}
	return "for the contract"
}
