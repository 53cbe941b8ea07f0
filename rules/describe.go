package rules

import (
	"fmt"
	"strings"
	"time"

	"nines/internal/sla"
)

// Describe returns the full reading of a contract in words, defaults included,
// for nines check.
func Describe(c *sla.Contract) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	title := c.Name
	if c.DisplayName != "" {
		title += " (" + c.DisplayName + ")"
	}
	say("Contract %s with customer %s%s%s.", title, c.Customer, optional(", through reseller ", c.Reseller), optional(", for ", c.Product))
	say("  Period: the calendar month in %s, from local midnight of its first day to that of the next month's.", c.TimeZone)
	per := "for all resources together"
	if c.Fee.PerResource {
		per = "for each resource"
	}
	say("  Fee: %s %s a month %s.", c.Fee.Money, c.Fee.Currency, per)
	for i := range c.Objectives {
		describeObjective(say, &c.Objectives[i], c.Fee.Currency)
	}
	combine := "the greatest credit of the objectives only"
	if c.Combine == sla.Sum {
		combine = "the credits of all objectives added up"
	}
	say("  Credit: %s%s%s, never more than the fee, truncated to the currency's minor unit.", combine, atMost(c.Cap), notBelow(c.Minimum, c.Fee.Currency))
	describeExclusions(say, c)
	return b.String()
}

func describeObjective(say func(string, ...any), o *sla.Objective, currency string) {
	say("  Objective %s:", o.Name)
	say("    %s.", o.Reading)
	say("    Slots are counted over the whole calendar month, and %s.", map[sla.Policy]string{
		sla.UnknownExclude: "unknown slots leave the denominator",
		sla.UnknownBad:     "unknown slots count as bad",
		sla.UnknownGood:    "unknown slots count as good",
		sla.UnknownCarry:   "unknown slots repeat the last decided slot, judged before exclusions; with none before them they leave the denominator",
	}[o.Unknown])
	say("    %s.", map[sla.Aggregation]string{
		sla.Pooled:      "The slots of all resources are pooled into one attainment",
		sla.PerResource: "Each resource has its own attainment and credit, on its own fee; the credits are added up",
		sla.Worst:       "The resource with the lowest attainment speaks for all",
	}[o.Aggregation])
	for _, t := range o.Tiers {
		say("    Attainment below %s: credit of %s of the fee.", t.Below, t.Credit)
	}
	say("    The lowest tier that is missed counts; attainment equal to a bound meets it%s%s.", atMost(o.Cap), notBelow(o.Minimum, currency))
}

func describeExclusions(say func(string, ...any), c *sla.Contract) {
	partly := "wholly"
	if c.ExcludePartly {
		partly = "wholly or partly"
	}
	say("  Exclusions: %d declared; slots are judged first, then those %s covered by the union of approved exclusions are excluded.", len(c.Exclusions), partly)
	for _, e := range c.Exclusions {
		effect := "leaves the denominator"
		if e.Effect == sla.Available {
			effect = "counts as good"
		}
		if e.ApprovedBy == "" {
			effect = "is only listed, for want of approval"
		} else {
			effect += ", approved by " + e.ApprovedBy
		}
		say("    %s to %s, %s, %s (by %s): %s.", clock(e.Start), clock(e.End), e.Category, e.Reason, e.Author, effect)
	}
}

func optional(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func atMost(limit sla.Ratio) string {
	if limit.Den == 0 {
		return ""
	}
	return ", at most " + limit.String() + " of the fee"
}

func notBelow(minimum int64, currency string) string {
	if minimum == 0 {
		return ""
	}
	return fmt.Sprintf("; a credit below %s %s is not paid", sla.Money{Minor: minimum, Currency: currency}, currency)
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
