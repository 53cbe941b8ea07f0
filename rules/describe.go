package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/yamlconf"
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
	say("  Period: %s.", periodWords(c))
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
	describeClauses(say, c)
	return b.String()
}

func periodWords(c *sla.Contract) string {
	text := fmt.Sprintf("the calendar month in %s, from local midnight of its first day to that of the next month's", c.TimeZone)
	if c.FirstDay > 1 {
		text = fmt.Sprintf("a month in %s, from local midnight of its day %d to that of the next month's", c.TimeZone, c.FirstDay)
	}
	if c.RollingDays > 0 {
		text = fmt.Sprintf("the last %d days, in %s, at the end of %s", c.RollingDays, c.TimeZone, text)
	}
	return text
}

func describeObjective(say func(string, ...any), o *sla.Objective, currency string) {
	say("  Objective %s:", o.Name)
	say("    %s.", o.Reading)
	say("    %s.", map[sla.Denominator]string{
		sla.Calendar:  "Slots are counted over the whole calendar month; time in which a resource was stopped counts as good",
		sla.Lifecycle: "Only slots wholly inside the time that a resource ran are counted",
		sla.Traffic:   "Only slots with events are counted, and bad ones",
		sla.Requests:  "Events are counted instead of slots; an unknown slot stands for as many events as a decided one has on average",
	}[o.Denominator])
	switch {
	case o.Denominator == sla.Requests:
		say("    Attainment = events that succeeded / all events.")
	case o.Formula == sla.ByShare:
		say("    A slot counts the share of its events (or of the traffic) that succeeded; attainment = the mean over the slots. A slot without events counts 1 if good, 0 if bad.")
	default:
		say("    Attainment = good slots / counted slots.")
	}
	say("    %s.", map[sla.Policy]string{
		sla.UnknownExclude: "Unknown slots leave the denominator",
		sla.UnknownBad:     "Unknown slots count as bad",
		sla.UnknownGood:    "Unknown slots count as good",
		sla.UnknownCarry:   "Unknown slots repeat the last decided slot, judged before exclusions; with none before them they leave the denominator",
	}[o.Unknown])
	say("    %s.", map[sla.Aggregation]string{
		sla.Pooled:      "The slots of all resources are pooled into one attainment",
		sla.PerResource: "Each resource has its own attainment and credit, on its own fee; the credits are added up",
		sla.Worst:       "The resource with the lowest attainment speaks for all",
	}[o.Aggregation])
	for _, t := range o.Tiers {
		if t.Lost {
			say("    Attainment below %s: credit of the lost share itself, 100 %% - attainment, of the fee.", t.Below)
			continue
		}
		say("    Attainment below %s: credit of %s of the fee.", t.Below, t.Credit)
	}
	say("    The lowest tier that is missed counts; attainment equal to a bound meets it%s%s.", atMost(o.Cap), notBelow(o.Minimum, currency))
}

// runsWords says how unreachable time makes the settled slots, as a sentence that
// follows the reading of the stream's slots.
func runsWords(r *sla.Runs) string {
	if r == nil {
		return ""
	}
	run := ""
	switch {
	case r.MinRun > 0 && r.Longer:
		run = " Runs of unreachable time count if they last more than " + span(r.MinRun) + "."
	case r.MinRun > 0:
		run = " Runs of unreachable time count if they last at least " + span(r.MinRun) + "."
	}
	count := "a slot is bad if such time covers it wholly"
	switch {
	case r.RunAligned:
		count = "counted from the start of each run, one for each whole slot that it lasts; each stands in the clock's slot in which it begins"
	case r.Over > 0:
		count = "a slot is bad if more than " + span(r.Over) + " of it was such time"
	case r.Touched:
		count = "a slot is bad if such time touches it"
	}
	return fmt.Sprintf(". From these, slots of %s are settled, aligned to the contract's time zone.%s Of these slots: %s", span(r.Slot), run, count)
}

// zonesWords does the same for availability zones.
func zonesWords(z *sla.Zones) string {
	if z == nil {
		return ""
	}
	service := "All instances together are one service"
	if len(z.Within) > 0 {
		service = "The instances of each " + strings.Join(z.Within, " and ") + " are one service"
	}
	rule := map[sla.ZoneRule]string{
		sla.AllAny:     "a zone is down and an instance of another zone is bad",
		sla.AllAll:     fmt.Sprintf("at least %d zones are down", z.AtLeast),
		sla.RegionWide: "every zone in use is down",
	}[z.Rule]
	return fmt.Sprintf(". %s, over zones (label %s). A zone is in use when it has a running instance, and down when each of them is bad. A slot is bad if %s; not applicable if fewer than two zones are in use; unknown if the unknown instances decide", service, z.Label, rule)
}

func describeExclusions(say func(string, ...any), c *sla.Contract) {
	partly := "wholly"
	if c.ExcludePartly {
		partly = "wholly or partly"
	}
	say("  Exclusions: %d declared; slots are judged first, then those %s covered by the union of approved exclusions are excluded.", len(c.Exclusions), partly)
	for _, t := range c.Terms {
		var bounds []string
		if t.Notice > 0 {
			bounds = append(bounds, "announced at least "+span(t.Notice)+" ahead, else not applied")
		}
		if t.Allowance > 0 {
			bounds = append(bounds, "at most "+span(t.Allowance)+" a period together, what is beyond is not applied")
		}
		say("    Of the category %s: %s.", t.Category, strings.Join(bounds, "; "))
	}
	for i := range c.Exclusions {
		e := &c.Exclusions[i]
		effect := "leaves the denominator"
		if e.Effect == sla.Available {
			effect = "counts as good"
		}
		if e.ApprovedBy == "" {
			effect = "is only listed, for want of approval"
		} else {
			effect += ", approved by " + e.ApprovedBy
		}
		say("    %s, %s, %s (by %s): %s.", whenWords(e), e.Category, e.Reason, e.Author, effect)
	}
}

// whenWords says when an exclusion holds.
func whenWords(e *sla.Exclusion) string {
	if e.Recurs == nil {
		return clock(e.Start) + " to " + clock(e.End)
	}
	days := "Every day"
	if len(e.Recurs.Days) > 0 {
		names := make([]string, len(e.Recurs.Days))
		for i, n := range e.Recurs.Days {
			names[i] = weekdays[n]
		}
		days = "Every " + strings.Join(names, ", ")
	}
	text := fmt.Sprintf("%s from %s to %s by the clock of %s", days, wallClock(e.Recurs.From), wallClock(e.Recurs.To), e.Recurs.TimeZone)
	if e.Start != 0 {
		text += ", from " + clock(e.Start)
	}
	if e.End != 0 {
		text += ", until " + clock(e.End)
	}
	return text
}

func describeClauses(say func(string, ...any), c *sla.Contract) {
	if ch := c.Changes; ch != nil {
		how := "the period's slots are pooled under the terms last in force; the fee is made of each fee by the time it was in force"
		if ch.Apart {
			how = "each part of the period is settled by itself, on its share of the fee; the credits are added up"
		}
		say("  Changes within a period take effect at the next slot; %s.", how)
		for i := range ch.At {
			say("    From %s (%s): %s.", clock(ch.At[i].From), ch.At[i].Reason, changeWords(&ch.At[i]))
		}
	}
	if r := c.Revision; r != nil {
		direction := "credits may grow and shrink"
		if r.CustomerFavour {
			direction = "credits only grow"
		}
		say("  Restatement: within %s of the period's end, approved by a second person; %s.", span(r.Cutoff), direction)
	}
	if f := c.Chronic; f != nil {
		say("  Chronic failure: attainment below %s in %d of the last %d months gives the right to leave; counted again when a month is restated.", f.Below, f.Months, f.Of)
	}
	if d := c.Delays; d.ClaimDays > 0 {
		say("  A credit is to be claimed within %d days of the period's end.", d.ClaimDays)
	}
	if d := c.Delays; d.CauseDays > 0 {
		say("  A root cause analysis is due within %d business days.", d.CauseDays)
	}
	if d := c.Delays; d.EvidenceMonths > 0 {
		say("  Evidence of bad and unknown slots is kept for %d months.", d.EvidenceMonths)
	}
}

func changeWords(ch *sla.Change) string {
	var words []string
	if ch.Customer != "" {
		words = append(words, "the customer is "+ch.Customer)
	}
	if ch.Fee != nil {
		words = append(words, "the fee is "+ch.Fee.String()+" "+ch.Fee.Currency)
	}
	for _, name := range slices.Sorted(maps.Keys(ch.Tiers)) {
		for _, t := range ch.Tiers[name] {
			words = append(words, fmt.Sprintf("%s below %s: credit of %s", name, t.Below, t.Credit))
		}
	}
	if len(words) == 0 {
		return "nothing that is counted changes"
	}
	return strings.Join(words, "; ")
}

func span(ms int64) string { return yamlconf.Duration(ms * 1e6).String() }

func wallClock(ms int64) string { return fmt.Sprintf("%02d:%02d", ms/3_600_000, ms/60_000%60) }

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
