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
		for i := range s.Spec.Objectives {
			used[s.Spec.Objectives[i].IndicatorRef] = true
		}
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
	bases := c.indicatorsOf(s)
	window, calendar := c.window(s)
	alerts := c.policiesOf(s)
	switch s.Spec.BudgetingMethod {
	case slo.Occurrences, slo.Timeslices, slo.RatioTimeslices:
	default:
		c.fail(d, "spec.budgetingMethod", s.Spec.BudgetingMethod, "want Occurrences, Timeslices or RatioTimeslices")
		return
	}
	if len(s.Spec.Objectives) == 0 {
		c.fail(d, "spec.objectives", nil, "is required")
	}
	if len(bases) == 0 || window == 0 {
		return
	}
	composite := isComposite(s)
	if len(s.Spec.Objectives) == 1 && !s.Spec.Objectives[0].CompositeWeight.IsZero() {
		c.fail(d, objectivePath(0)+".compositeWeight", nil, "belongs to several objectives: one has nothing to be weighed against")
	}
	var parts []*slo.Objective
	for i := range s.Spec.Objectives {
		if b := bases[min(i, len(bases)-1)]; b != nil {
			if o := c.objective(s, i, *b, window, calendar); o != nil {
				c.silence(alerts, b, o)
				if !composite {
					c.alerting(alerts, b, o)
					c.reachable(d, objectivePath(i), o, slo.Burn(0, 1, o.Target))
				}
				parts = append(parts, o)
			}
		}
	}
	if composite && len(parts) == len(s.Spec.Objectives) {
		c.compose(s, parts, alerts)
	}
}

// reachable warns of rows that a total outage, which burns at the worst rate,
// could not reach.
func (c *compiler) reachable(d *yamlconf.Doc, at string, o *slo.Objective, worst float64) {
	for _, row := range o.Burn {
		if !row.Reached(worst) {
			c.warn(d, at, nil, "the burn-rate row over %s can never fire: a total outage burns less than %.4g times the budget", yamlconf.Duration(row.Long*1e6), row.Factor)
		}
	}
}

func objectivePath(i int) string { return "spec.objectives[" + strconv.Itoa(i) + "]" }

// indicatorsOf returns the compiled SLIs of an SLO: one for all its objectives,
// or one for each. Those that are refused are nil; none at all where the
// document names none.
func (c *compiler) indicatorsOf(s *document[sloSpec]) []*base {
	own := 0
	for i := range s.Spec.Objectives {
		if o := &s.Spec.Objectives[i]; o.Indicator != nil || o.IndicatorRef != "" {
			own++
		}
	}
	if own == 0 {
		return []*base{c.indicatorOf(s.doc, "spec", s.Spec.Indicator, s.Spec.IndicatorRef)}
	}
	if s.Spec.Indicator != nil || s.Spec.IndicatorRef != "" {
		c.fail(s.doc, "spec", nil, "want an indicator either for all objectives or for each of them")
		return nil
	}
	var bases []*base
	for i := range s.Spec.Objectives {
		o := &s.Spec.Objectives[i]
		bases = append(bases, c.indicatorOf(s.doc, objectivePath(i), o.Indicator, o.IndicatorRef))
	}
	return bases
}

func (c *compiler) indicatorOf(d *yamlconf.Doc, at string, inline *inlineSLI, ref string) *base {
	switch {
	case (inline == nil) == (ref == ""):
		c.fail(d, at, nil, "want either indicator or indicatorRef")
	case inline != nil:
		return c.indicator(d, at+".indicator.spec", &inline.Spec)
	default:
		if sli := c.slis[ref]; sli != nil {
			return c.indicator(sli.doc, "spec", &sli.Spec)
		}
		c.fail(d, at+".indicatorRef", ref, "no SLI of this name is among the files")
	}
	return nil
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

// objective compiles one objective of a document and adds it to the set; nil
// where it is refused.
func (c *compiler) objective(s *document[sloSpec], i int, b base, window int64, calendar *slo.Calendar) *slo.Objective {
	d, at, o := s.doc, objectivePath(i), &s.Spec.Objectives[i]
	name := s.Metadata.Name
	if len(s.Spec.Objectives) > 1 {
		name += "/" + strconv.Itoa(i+1)
	}
	before := len(c.errs)
	target, ok := c.target(d, at, o)
	if isComposite(s) {
		b.stream.Composite = s.Metadata.Name
	}
	if b.stream.Sample != nil && b.stream.Op == "" {
		ok = c.compare(d, at, o.Op, o.Value, &b.stream) && ok
	} else if o.Value != nil {
		c.fail(d, at+".value", *o.Value, "belongs to thresholdMetric")
	} else if o.Op != "" && !comparison(o.Op) {
		c.fail(d, at+".op", o.Op, "want lte, lt, gte or gt")
	}
	if !ok || len(c.errs) > before {
		return nil
	}
	given, ok := c.given(d, at, o, &b, s.Spec.BudgetingMethod, target)
	if !ok {
		return nil
	}
	b.stream.Rule = c.slot(b.doc, b.at+".slot", b.spec.Slot, given, &b.stream)
	out := &slo.Objective{
		Name: name, DisplayName: displayName(s.Metadata.DisplayName, o.DisplayName), Service: s.Spec.Service, Description: s.Spec.Description,
		StreamID: c.stream(b.stream), Target: target, Budgeting: s.Spec.BudgetingMethod, Window: window, Calendar: calendar,
		Down: c.down(&b, b.stream.Rule), Source: fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line(at)),
	}
	c.bases[name] = &b
	c.set.RuleSet.Objectives = append(c.set.RuleSet.Objectives, out)
	return out
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
	if method == slo.Occurrences {
		if o.TimeSliceTarget != "" || o.TimeSliceWindow != "" {
			c.fail(d, at, nil, "timeSliceTarget and timeSliceWindow belong to budgetingMethod: Timeslices and RatioTimeslices")
			return sla.SlotRule{}, false
		}
		if probes(&b.stream) {
			return sla.SlotRule{Length: defaultSlot, Bad: sla.BadUnreachable}, true
		}
		return sla.SlotRule{Length: defaultSlot, Bad: sla.BadRatio, MaxRatio: complement(target)}, true
	}
	length, err := parseSlice(o.TimeSliceWindow)
	if err != nil {
		c.fail(d, at+".timeSliceWindow", o.TimeSliceWindow, "%v", err)
		return sla.SlotRule{}, false
	}
	share := target // a slice of RatioTimeslices is shown as bad if it misses the target by itself
	if o.TimeSliceTarget != "" || method == slo.Timeslices {
		share, err = parseDecimal(o.TimeSliceTarget)
		if err != nil || share.Num == 0 || share.Cmp(one) > 0 {
			c.fail(d, at+".timeSliceTarget", o.TimeSliceTarget, "want a share above 0 and at most 1, such as 0.95")
			return sla.SlotRule{}, false
		}
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
	if r.Num >= r.Den {
		c.fail(d, at+field, text, "want less than all: a target of 100 %% leaves no budget")
		return r, false
	}
	return r, true
}
