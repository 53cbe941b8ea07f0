package sla

import (
	"fmt"
	"math/big"
	"strconv"
	"time"

	"nines/internal/sla/exact"
)

// step appends a line of the calculation; values are names and texts in turn.
func (s *Settlement) step(clause, formula string, values ...string) {
	m := map[string]string{}
	for i := 0; i+1 < len(values); i += 2 {
		m[values[i]] = values[i+1]
	}
	s.Steps = append(s.Steps, Step{clause, formula, m})
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
func count(n uint64) string { return strconv.FormatUint(n, 10) }
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func (c *Contract) listExclusions(s *Settlement) {
	for i, e := range c.Exclusions {
		formula := "applied: " + string(e.Effect)
		switch {
		case e.ApprovedBy == "":
			formula = "listed, not applied: without approval"
		case e.Note != "":
			formula = e.Note
		}
		s.step("exclusions["+strconv.Itoa(i)+"]", formula, "start", stamp(e.Start), "end", stamp(e.End),
			"category", e.Category, "reason", e.Reason, "author", e.Author, "approved_by", e.ApprovedBy)
	}
}

// slotSteps says how the slots were judged and counted.
func (s *Settlement) slotSteps(o *Objective, t *tally, resources int) {
	at := "objectives[" + o.Name + "]"
	s.step(at+".slot", o.Reading, "length_ms", number(o.Length()), "resources", number(int64(resources)))
	s.step(at+".denominator", o.denominator()+"; applicable = good + bad + unknown, after exclusions; coverage = (good + bad) / applicable",
		"applicable", count(t.Applicable), "good", count(t.Good), "bad", count(t.Bad), "unknown", count(t.Unknown),
		"excluded", count(t.Excluded), "not_applicable", count(t.NotApplicable), "coverage_pct", t.coverage().Percent())
	s.step(at+".unknown", formula(o.Unknown), "unknown", count(t.Unknown),
		"as_good", count(t.asGood), "as_bad", count(t.asBad), "left_out", count(t.Unknown-t.asGood-t.asBad))
}

// creditSteps says how attainment became a credit.
func (s *Settlement) creditSteps(o *Objective, p *Part, book *Fees) {
	at := "objectives[" + o.Name + "]"
	s.step(at+".aggregation", formula(o.Aggregation), "good", text(p.good), "counted", text(p.all),
		"attainment_pct", p.AttainmentPct, "low_pct", p.Bounds.AttainmentLowPct, "high_pct", p.Bounds.AttainmentHighPct)
	values := []string{"percent", p.Credit.Percent, "fee", book.total.String(), "amount", p.Credit.Amount}
	for _, t := range o.Tiers {
		credit := t.Credit.String()
		if t.Lost {
			credit = "the lost share"
		}
		values = append(values, "below "+exact.Trim(t.Below.Percent()), credit)
	}
	if o.Cap.Den != 0 {
		values = append(values, "cap", o.Cap.String())
	}
	if o.Minimum > 0 {
		values = append(values, "minimum", Money{Minor: o.Minimum, Currency: book.total.Currency}.String())
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

// denominator says which slots count, and for what.
func (o *Objective) denominator() string {
	words := map[Denominator]string{
		Calendar:  "every slot of the period",
		Lifecycle: "slots wholly inside the time that the resource ran",
		Traffic:   "slots with events",
		Requests:  "events of all slots; an unknown slot stands for as many as a decided one had on average",
	}[o.Denominator]
	if o.Formula == ByShare {
		words += ", each counts the share of its events that succeeded"
	}
	return words
}

// text prints a whole number as it is, else in five decimals, truncated.
func text(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	q := new(big.Int).Quo(new(big.Int).Mul(r.Num(), big.NewInt(100_000)), r.Denom()).Uint64()
	return fmt.Sprintf("%d.%05d", q/100_000, q%100_000)
}

func feeFormula(f Fee) string {
	if f.PerResource {
		return "per resource, summed over resources"
	}
	return "for the contract"
}
