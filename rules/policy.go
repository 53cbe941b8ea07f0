package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// The severities that alerts have.
const (
	severityPage     = "page"
	severityTicket   = "ticket"
	severityAdvisory = "advisory"
)

// policyUse is an alert policy of an SLO: by its name, or in place.
type policyUse struct {
	Ref        string           `yaml:"alertPolicyRef"`
	APIVersion string           `yaml:"apiVersion"`
	Kind       string           `yaml:"kind"`
	Metadata   meta             `yaml:"metadata"`
	Spec       *alertPolicySpec `yaml:"spec"`
}

type alertPolicySpec struct {
	Description         string         `yaml:"description"`
	AlertWhenBreaching  *bool          `yaml:"alertWhenBreaching"`
	AlertWhenResolved   *bool          `yaml:"alertWhenResolved"`
	AlertWhenNoData     *bool          `yaml:"alertWhenNoData"`
	Conditions          []conditionUse `yaml:"conditions"`
	NotificationTargets []targetUse    `yaml:"notificationTargets"`
}

type conditionUse struct {
	Ref        string         `yaml:"conditionRef"`
	APIVersion string         `yaml:"apiVersion"`
	Kind       string         `yaml:"kind"`
	Metadata   meta           `yaml:"metadata"`
	Spec       *conditionSpec `yaml:"spec"`
}

type targetUse struct {
	Ref        string      `yaml:"targetRef"`
	APIVersion string      `yaml:"apiVersion"`
	Kind       string      `yaml:"kind"`
	Metadata   meta        `yaml:"metadata"`
	Spec       *targetSpec `yaml:"spec"`
}

type conditionSpec struct {
	Description string `yaml:"description"`
	Severity    string `yaml:"severity"`
	Condition   struct {
		Kind           string             `yaml:"kind"`
		Op             string             `yaml:"op"`
		Threshold      *float64           `yaml:"threshold"`
		LookbackWindow yamlconf.Duration  `yaml:"lookbackWindow"`
		AlertAfter     *yamlconf.Duration `yaml:"alertAfter"`
	} `yaml:"condition"`
}

type targetSpec struct {
	Description string `yaml:"description"`
	Target      string `yaml:"target"`
}

// alerts are what an objective alerts on, as its document says.
type alerts struct {
	// burn are the rows of its alert policies; they take the place of the
	// table where policies are named.
	policies bool
	burn     []slo.BurnRow
	// noData are the policies' alerts on silence; stated says that some policy
	// said whether it wants one.
	noData []slo.NoData
	stated bool
}

// policiesOf compiles the alert policies of an SLO. What they refer to must be
// among the files: an alert that nobody defined would never fire.
func (c *compiler) policiesOf(s *document[sloSpec]) alerts {
	a := alerts{policies: len(s.Spec.AlertPolicies) > 0}
	for i := range s.Spec.AlertPolicies {
		use, at := &s.Spec.AlertPolicies[i], "spec.alertPolicies["+strconv.Itoa(i)+"]"
		switch {
		case (use.Ref == "") == (use.Spec == nil):
			c.fail(s.doc, at, nil, "want either alertPolicyRef or an inline AlertPolicy")
		case use.Spec != nil:
			c.kind(s.doc, at, use.Kind, "AlertPolicy")
			c.policy(s.doc, at+".spec", use.Metadata.Name, use.Spec, &a)
		default:
			p := c.policies[use.Ref]
			if p == nil {
				c.fail(s.doc, at+".alertPolicyRef", use.Ref, "no AlertPolicy of this name is among the files")
				continue
			}
			c.usedAlerts["AlertPolicy/"+use.Ref] = true
			c.policy(p.doc, "spec", use.Ref, &p.Spec, &a)
		}
	}
	return a
}

func (c *compiler) kind(d *yamlconf.Doc, at, got, want string) {
	if got != "" && got != want {
		c.fail(d, at+".kind", got, "want %s", want)
	}
}

// policy adds what one policy alerts on; into nil it is only checked, because no
// SLO uses it, and references that lead nowhere are warned of.
func (c *compiler) policy(d *yamlconf.Doc, at, name string, p *alertPolicySpec, into *alerts) {
	missing := c.fail
	if into == nil {
		into, missing = &alerts{}, c.warn
	}
	targets := c.targets(d, at+".notificationTargets", p.NotificationTargets, missing)
	if len(p.Conditions) == 0 {
		c.fail(d, at+".conditions", nil, "is required")
	}
	for i := range p.Conditions {
		use, at := &p.Conditions[i], at+".conditions["+strconv.Itoa(i)+"]"
		var row slo.BurnRow
		var ok bool
		switch {
		case (use.Ref == "") == (use.Spec == nil):
			c.fail(d, at, nil, "want either conditionRef or an inline AlertCondition")
		case use.Spec != nil:
			c.kind(d, at, use.Kind, "AlertCondition")
			row, ok = c.condition(d, at+".spec", use.Metadata.Name, use.Spec)
		case c.conditions[use.Ref] == nil:
			missing(d, at+".conditionRef", use.Ref, "no AlertCondition of this name is among the files")
		default:
			c.usedAlerts["AlertCondition/"+use.Ref] = true
			cond := c.conditions[use.Ref]
			row, ok = c.condition(cond.doc, "spec", use.Ref, &cond.Spec)
		}
		if ok {
			row.Policy = slo.Policy{Name: name, Targets: targets}
			into.add(p, row)
		}
	}
	if !isTrue(p.AlertWhenBreaching) && !isTrue(p.AlertWhenNoData) {
		c.warn(d, at, nil, "alerts on nothing: neither alertWhenBreaching nor alertWhenNoData is true")
	}
	if p.AlertWhenResolved != nil {
		c.warn(d, at+".alertWhenResolved", *p.AlertWhenResolved, "has no effect: send_resolved of a receiver in alertmanager.yml says whether it is told")
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// add has the row alert as the policy says. No data is what OpenSLO calls a burn
// rate without a value: nothing in the lookback window, for as long as the
// condition waits.
func (a *alerts) add(p *alertPolicySpec, row slo.BurnRow) {
	if isTrue(p.AlertWhenBreaching) {
		a.burn = append(a.burn, row)
	}
	a.stated = a.stated || p.AlertWhenNoData != nil
	if isTrue(p.AlertWhenNoData) {
		a.noData = append(a.noData, slo.NoData{Severity: row.Severity, After: row.Long + row.After, Policy: row.Policy})
	}
}

// targets returns the names of a policy's notification targets with a comma
// around each, sorted: a label that alertmanager.yml can route by.
func (c *compiler) targets(d *yamlconf.Doc, at string, uses []targetUse, missing func(*yamlconf.Doc, string, any, string, ...any)) string {
	var names []string
	for i := range uses {
		use, at := &uses[i], at+"["+strconv.Itoa(i)+"]"
		name := use.Ref
		switch {
		case (use.Ref == "") == (use.Spec == nil):
			c.fail(d, at, nil, "want either targetRef or an inline AlertNotificationTarget")
			continue
		case use.Spec != nil:
			c.kind(d, at, use.Kind, "AlertNotificationTarget")
			name = use.Metadata.Name
			c.notificationTarget(d, at+".spec", use.Spec)
		case c.notified[use.Ref] == nil:
			missing(d, at+".targetRef", use.Ref, "no AlertNotificationTarget of this name is among the files")
		default:
			c.usedAlerts["AlertNotificationTarget/"+use.Ref] = true
		}
		if !validName(name) {
			c.fail(d, at, name, "want the name of a notification target")
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "," + strings.Join(slices.Compact(names), ",") + ","
}

func (c *compiler) notificationTarget(d *yamlconf.Doc, at string, s *targetSpec) {
	if s.Target == "" {
		c.fail(d, at+".target", nil, "is required")
	}
}

// condition compiles an AlertCondition to a burn-rate row.
func (c *compiler) condition(d *yamlconf.Doc, at, name string, s *conditionSpec) (slo.BurnRow, bool) {
	before := len(c.errs)
	cond := &s.Condition
	if cond.Kind != "" && cond.Kind != "burnrate" {
		c.fail(d, at+".condition.kind", cond.Kind, "want burnrate")
	}
	if cond.Op != "" && !comparison(cond.Op) {
		c.fail(d, at+".condition.op", cond.Op, "want lte, lt, gte or gt")
	}
	if cond.Threshold == nil {
		c.fail(d, at+".condition.threshold", nil, "is required")
	} else if math.IsNaN(*cond.Threshold) || math.IsInf(*cond.Threshold, 0) {
		c.fail(d, at+".condition.threshold", *cond.Threshold, "want a finite number")
	}
	if cond.LookbackWindow <= 0 || cond.LookbackWindow.D() > 90*24*time.Hour {
		c.fail(d, at+".condition.lookbackWindow", cond.LookbackWindow, "want a length of time above 0, and 90d at most")
	}
	after := int64(0)
	if cond.AlertAfter != nil {
		if after = cond.AlertAfter.Milliseconds(); after < 0 {
			c.fail(d, at+".condition.alertAfter", cond.AlertAfter, "want no negative length of time")
		}
	}
	severity := c.severity(d, at+".severity", s.Severity)
	if len(c.errs) > before {
		return slo.BurnRow{}, false
	}
	op := slo.Op(cond.Op)
	switch op {
	case slo.GT:
		op = ""
	case slo.LT, slo.LTE:
		c.warn(d, at+".condition.op", cond.Op, "fires while the budget burns slowly, which a healthy objective does; gt and gte fire while it burns fast")
	}
	lookback := cond.LookbackWindow.Milliseconds()
	return slo.BurnRow{Severity: severity, Long: lookback, Short: lookback, Factor: *cond.Threshold, Op: op, After: after, Condition: name}, true
}

// severity returns ours for what the document says: OpenSLO leaves it free.
func (c *compiler) severity(d *yamlconf.Doc, at, text string) string {
	switch strings.ToLower(text) {
	case severityPage, severityTicket, severityAdvisory:
		return strings.ToLower(text)
	case "critical":
		return severityPage
	case "info", "notice":
		return severityAdvisory
	case "":
		c.fail(d, at, nil, "is required")
	case "warning", "error":
	default:
		c.warn(d, at, text, "is raised as a ticket; page, ticket and advisory are told apart")
	}
	return severityTicket
}

// unusedAlerts checks the policies, conditions and targets that no SLO leads
// to, and says so.
func (c *compiler) unusedAlerts() {
	for name, p := range c.policies {
		if !c.usedAlerts["AlertPolicy/"+name] {
			c.policy(p.doc, "spec", name, &p.Spec, nil)
			c.warn(p.doc, "metadata.name", name, "no SLO uses this AlertPolicy: it has no effect")
		}
	}
	for name, p := range c.conditions {
		if !c.usedAlerts["AlertCondition/"+name] {
			c.condition(p.doc, "spec", name, &p.Spec)
			c.warn(p.doc, "metadata.name", name, "no AlertPolicy uses this AlertCondition: it has no effect")
		}
	}
	for name, p := range c.notified {
		c.notificationTarget(p.doc, "spec", &p.Spec)
		if !c.usedAlerts["AlertNotificationTarget/"+name] {
			c.warn(p.doc, "metadata.name", name, "no AlertPolicy uses this AlertNotificationTarget: it has no effect")
		}
	}
}

// noDataAfter is how long a group may be silent before its objective says so.
const noDataAfter = 15 * 60_000

// alerting gives the objective its alerts: the rows of its policies or the
// table, the consumed budget, and silence.
func (c *compiler) alerting(a alerts, b *base, o *slo.Objective) {
	switch {
	case a.policies:
		o.Burn = slices.Clone(a.burn)
	case b.spec.BurnRate == nil || *b.spec.BurnRate:
		o.Burn = slo.BurnRows(o.Window)
	}
	if b.spec.BudgetAlerts == nil || *b.spec.BudgetAlerts {
		o.Budget = slo.BudgetRows()
	}
}

// silence gives the objective its alerts on no data.
func (c *compiler) silence(a alerts, b *base, o *slo.Objective) {
	after, ok := c.noData(b)
	switch {
	case a.stated:
		o.NoData = slices.Clone(a.noData)
	case ok:
		o.NoData = []slo.NoData{{Severity: severityTicket, After: after}}
	}
}

// noData reads the length of silence that a metric source declares.
func (c *compiler) noData(b *base) (after int64, ok bool) {
	if b.spec.NoData.IsZero() {
		return noDataAfter, true
	}
	text, ok := b.spec.NoData.Text()
	if ok && text == "false" {
		return 0, false
	}
	length, err := yamlconf.ParseDuration(text)
	if !ok || err != nil || length < time.Minute || length > 7*24*time.Hour {
		c.fail(b.doc, b.at+".noData", fmt.Sprint(text), "want false, or a length from 1m to 7d")
		return 0, false
	}
	return length.Milliseconds(), true
}
