package rules

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// objectives compiles every SLO.
func (c *compiler) objectives() {
	// SLIs that no SLO uses are checked too.
	used := map[string]bool{}
	for _, s := range c.slos {
		used[s.Spec.IndicatorRef] = true
	}
	for name, s := range c.slis {
		if !used[name] {
			c.indicator(s.doc, "spec", &s.Spec)
		}
	}
	for _, s := range c.slos {
		c.slo(s)
	}
}

func (c *compiler) slo(s *document[sloSpec]) {
	d := s.doc
	if s.Spec.Service == "" {
		c.fail(d, "spec.service", nil, "is required")
	}
	if s.Spec.AlertPolicies != nil {
		c.fail(d, "spec.alertPolicies", nil, "alertPolicies are not supported; objectives alert by the four burn-rate rows")
	}
	for i := range s.Spec.Objectives {
		o := &s.Spec.Objectives[i]
		if o.Indicator != nil || o.IndicatorRef != "" || !o.CompositeWeight.IsZero() {
			c.fail(d, objectivePath(i), nil, "composite objectives are not supported (an indicator or compositeWeight of one objective)")
			return
		}
	}
	b := c.indicatorOf(s)
	window, calendar := c.window(s)
	switch s.Spec.BudgetingMethod {
	case "Occurrences", "Timeslices":
	case "RatioTimeslices":
		c.fail(d, "spec.budgetingMethod", s.Spec.BudgetingMethod, "RatioTimeslices is not supported; use Timeslices or Occurrences")
		return
	default:
		c.fail(d, "spec.budgetingMethod", s.Spec.BudgetingMethod, "want Occurrences or Timeslices")
		return
	}
	if len(s.Spec.Objectives) == 0 {
		c.fail(d, "spec.objectives", nil, "is required")
	}
	if b == nil || window == 0 {
		return
	}
	for i := range s.Spec.Objectives {
		c.objective(s, i, *b, window, calendar)
	}
}

func objectivePath(i int) string { return "spec.objectives[" + strconv.Itoa(i) + "]" }

// indicatorOf returns the compiled SLI of an SLO.
func (c *compiler) indicatorOf(s *document[sloSpec]) *base {
	switch {
	case (s.Spec.Indicator == nil) == (s.Spec.IndicatorRef == ""):
		c.fail(s.doc, "spec", nil, "want either indicator or indicatorRef")
	case s.Spec.Indicator != nil:
		return c.indicator(s.doc, "spec.indicator.spec", &s.Spec.Indicator.Spec)
	default:
		if sli := c.slis[s.Spec.IndicatorRef]; sli != nil {
			return c.indicator(sli.doc, "spec", &sli.Spec)
		}
		c.fail(s.doc, "spec.indicatorRef", s.Spec.IndicatorRef, "no SLI of this name is among the files")
	}
	return nil
}

// window reads the time window; 0 where it is refused.
func (c *compiler) window(s *document[sloSpec]) (int64, *slo.Calendar) {
	const at = "spec.timeWindow"
	if len(s.Spec.TimeWindow) != 1 {
		c.fail(s.doc, at, nil, "want exactly one time window")
		return 0, nil
	}
	w := s.Spec.TimeWindow[0]
	if !w.IsRolling {
		return c.calendar(s.doc, at+"[0]", w)
	}
	if w.Calendar != nil {
		c.fail(s.doc, at+"[0].calendar", nil, "belongs to isRolling: false")
	}
	length, err := yamlconf.ParseDuration(w.Duration)
	switch {
	case err != nil:
		c.fail(s.doc, at+"[0].duration", w.Duration, "%v", err)
		return 0, nil
	case length < time.Hour || length > 90*24*time.Hour:
		c.fail(s.doc, at+"[0].duration", w.Duration, "want a rolling window from 1h to 90d")
		return 0, nil
	}
	return length.Milliseconds(), nil
}

// calendarUnits are the calendar windows by their OpenSLO shorthand, and how
// many days they count as in burn-rate factors.
var calendarUnits = map[string]struct {
	unit string
	days int64
}{
	"1d": {"day", 1}, "1w": {"week", 7}, "7d": {"week", 7}, "1M": {"month", 30}, "1Q": {"quarter", 90}, "3M": {"quarter", 90}, "1Y": {"year", 365},
}

func (c *compiler) calendar(d *yamlconf.Doc, at string, w timeWindow) (int64, *slo.Calendar) {
	unit, ok := calendarUnits[w.Duration]
	switch {
	case !ok:
		c.fail(d, at+".duration", w.Duration, "want a calendar window of 1d, 1w, 1M, 1Q or 1Y")
		return 0, nil
	case w.Calendar == nil:
		c.fail(d, at+".calendar", nil, "is required with isRolling: false")
		return 0, nil
	}
	if _, err := loadZone(w.Calendar.TimeZone); err != nil {
		c.fail(d, at+".calendar.timeZone", w.Calendar.TimeZone, "%v", err)
		return 0, nil
	}
	start, err := time.Parse("2006-01-02 15:04:05", w.Calendar.StartTime)
	if err != nil {
		c.fail(d, at+".calendar.startTime", w.Calendar.StartTime, "want a local time such as 2026-01-01 00:00:00")
		return 0, nil
	}
	if unit.unit != "day" && unit.unit != "week" && start.Day() > 28 {
		c.fail(d, at+".calendar.startTime", w.Calendar.StartTime, "want a day from 1 to 28, which every month has")
		return 0, nil
	}
	return unit.days * 24 * 3_600_000, &slo.Calendar{TimeZone: w.Calendar.TimeZone, Unit: unit.unit, Start: w.Calendar.StartTime}
}

// loadZone loads an IANA time zone. Local is refused: a contract must not depend
// on the machine that settles it.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("want an IANA time zone such as Europe/London")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone")
	}
	return loc, nil
}

func (c *compiler) objective(s *document[sloSpec], i int, b base, window int64, calendar *slo.Calendar) {
	d, at, o := s.doc, objectivePath(i), &s.Spec.Objectives[i]
	name := s.Metadata.Name
	if len(s.Spec.Objectives) > 1 {
		name += "/" + strconv.Itoa(i+1)
	}
	before := len(c.errs)
	target, ok := c.target(d, at, o)
	if b.stream.Sample != nil {
		ok = c.compare(d, at, o.Op, o.Value, &b.stream) && ok
	} else if o.Value != nil {
		c.fail(d, at+".value", *o.Value, "belongs to thresholdMetric")
	}
	if !ok || len(c.errs) > before {
		return
	}
	given, ok := c.given(d, at, o, &b, s.Spec.BudgetingMethod, target)
	if !ok {
		return
	}
	b.stream.Rule = c.slot(b.doc, b.at+".slot", b.spec.Slot, given, &b.stream)
	out := &slo.Objective{
		Name: name, DisplayName: displayName(s.Metadata.DisplayName, o.DisplayName), Service: s.Spec.Service, Description: s.Spec.Description,
		StreamID: c.stream(b.stream), Target: target, Budgeting: s.Spec.BudgetingMethod, Window: window, Calendar: calendar,
		Down: c.down(&b, b.stream.Rule), Source: fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line(at)),
	}
	if b.spec.BurnRate == nil || *b.spec.BurnRate {
		out.Burn = slo.BurnRows(window)
	}
	for _, row := range out.Burn {
		if !row.CanFire(target) {
			c.warn(d, at, nil, "the burn-rate row over %s can never fire: a total outage burns less than %.4g times the budget", yamlconf.Duration(row.Long*1e6), row.Factor)
		}
	}
	c.bases[name] = &b
	c.set.RuleSet.Objectives = append(c.set.RuleSet.Objectives, out)
}

func displayName(slo, objective string) string {
	if slo == "" || objective == "" {
		return slo + objective
	}
	return slo + ": " + objective
}

// given returns the slot rule that the budgeting method implies. A time slice
// is bad if more than 1 - timeSliceTarget of its events are; with Occurrences a
// slot, which only serves the display, is bad if it misses the target by
// itself, or if the target of a probe was unreachable in all of it.
func (c *compiler) given(d *yamlconf.Doc, at string, o *objectiveSpec, b *base, method string, target sla.Ratio) (sla.SlotRule, bool) {
	one := sla.Ratio{Num: 1, Den: 1}
	if method == "Occurrences" {
		if o.TimeSliceTarget != "" || o.TimeSliceWindow != "" {
			c.fail(d, at, nil, "timeSliceTarget and timeSliceWindow belong to budgetingMethod: Timeslices")
			return sla.SlotRule{}, false
		}
		if probes(&b.stream) {
			return sla.SlotRule{Length: defaultSlot, Bad: sla.BadUnreachable}, true
		}
		return sla.SlotRule{Length: defaultSlot, Bad: sla.BadRatio, MaxRatio: complement(target)}, true
	}
	length, err := yamlconf.ParseDuration(o.TimeSliceWindow)
	if err != nil {
		c.fail(d, at+".timeSliceWindow", o.TimeSliceWindow, "%v", err)
		return sla.SlotRule{}, false
	}
	share, err := parseDecimal(o.TimeSliceTarget)
	if err != nil || share.Num == 0 || share.Cmp(one) > 0 {
		c.fail(d, at+".timeSliceTarget", o.TimeSliceTarget, "want a share above 0 and at most 1, such as 0.95")
		return sla.SlotRule{}, false
	}
	if s := b.spec.Slot; s != nil && (s.Length != nil || s.BadWhen != "" || s.MaxRatio != "") {
		c.fail(b.doc, b.at+".slot", nil, "length, badWhen and maxRatio follow from timeSliceWindow and timeSliceTarget; leave them out")
		return sla.SlotRule{}, false
	}
	return sla.SlotRule{Length: length.Milliseconds(), Bad: sla.BadRatio, MaxRatio: complement(share)}, true
}

func complement(r sla.Ratio) sla.Ratio { return sla.Ratio{Num: r.Den - r.Num, Den: r.Den} }

// target reads the target exactly from its decimal text.
func (c *compiler) target(d *yamlconf.Doc, at string, o *objectiveSpec) (sla.Ratio, bool) {
	field, text, parse := ".target", o.Target, parseDecimal
	if o.TargetPercent != "" {
		field, text, parse = ".targetPercent", o.TargetPercent, parsePercent
	}
	if (o.Target == "") == (o.TargetPercent == "") {
		c.fail(d, at, nil, "want either target or targetPercent")
		return sla.Ratio{}, false
	}
	r, err := parse(strings.TrimSpace(text))
	if err != nil {
		c.fail(d, at+field, text, "%v", err)
		return r, false
	}
	if r.Num == 0 || r.Num >= r.Den {
		c.fail(d, at+field, text, "want more than nothing and less than all: a target of 100 %% leaves no budget")
		return r, false
	}
	return r, true
}
