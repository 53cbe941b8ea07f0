package rules

import (
	"strconv"

	"nines/internal/yamlconf"
)

// The OpenSLO v1 documents, as https://github.com/OpenSLO/OpenSLO specifies
// them.

type serviceSpec struct {
	Description string `yaml:"description"`
}

type dataSourceSpec struct {
	Description       string       `yaml:"description"`
	Type              string       `yaml:"type"`
	ConnectionDetails yamlconf.Raw `yaml:"connectionDetails"`
}

type sliSpec struct {
	Description     string       `yaml:"description"`
	ThresholdMetric *metric      `yaml:"thresholdMetric"`
	RatioMetric     *ratioMetric `yaml:"ratioMetric"`
}

type ratioMetric struct {
	Counter *bool   `yaml:"counter"`
	Good    *metric `yaml:"good"`
	Bad     *metric `yaml:"bad"`
	Total   *metric `yaml:"total"`
	RawType string  `yaml:"rawType"`
	Raw     *metric `yaml:"raw"`
}

type metric struct {
	MetricSource struct {
		Ref  string       `yaml:"metricSourceRef"`
		Type string       `yaml:"type"`
		Spec yamlconf.Raw `yaml:"spec"`
	} `yaml:"metricSource"`
}

type inlineSLI struct {
	Metadata meta    `yaml:"metadata"`
	Spec     sliSpec `yaml:"spec"`
}

type sloSpec struct {
	Description     string          `yaml:"description"`
	Service         string          `yaml:"service"`
	Indicator       *inlineSLI      `yaml:"indicator"`
	IndicatorRef    string          `yaml:"indicatorRef"`
	TimeWindow      []timeWindow    `yaml:"timeWindow"`
	BudgetingMethod string          `yaml:"budgetingMethod"`
	Objectives      []objectiveSpec `yaml:"objectives"`
	AlertPolicies   []yamlconf.Raw  `yaml:"alertPolicies"`
}

type timeWindow struct {
	Duration  string        `yaml:"duration"`
	IsRolling bool          `yaml:"isRolling"`
	Calendar  *calendarSpec `yaml:"calendar"`
}

type calendarSpec struct {
	StartTime string `yaml:"startTime"`
	TimeZone  string `yaml:"timeZone"`
}

type objectiveSpec struct {
	DisplayName     string       `yaml:"displayName"`
	Op              string       `yaml:"op"`
	Value           *float64     `yaml:"value"`
	Target          string       `yaml:"target"`
	TargetPercent   string       `yaml:"targetPercent"`
	TimeSliceTarget string       `yaml:"timeSliceTarget"`
	TimeSliceWindow string       `yaml:"timeSliceWindow"`
	Indicator       *inlineSLI   `yaml:"indicator"`
	IndicatorRef    string       `yaml:"indicatorRef"`
	CompositeWeight yamlconf.Raw `yaml:"compositeWeight"`
}

type alertPolicySpec struct {
	Description         string         `yaml:"description"`
	AlertWhenBreaching  bool           `yaml:"alertWhenBreaching"`
	AlertWhenResolved   bool           `yaml:"alertWhenResolved"`
	AlertWhenNoData     bool           `yaml:"alertWhenNoData"`
	Conditions          []conditionUse `yaml:"conditions"`
	NotificationTargets []targetUse    `yaml:"notificationTargets"`
}

type conditionUse struct {
	Ref      string         `yaml:"conditionRef"`
	Kind     string         `yaml:"kind"`
	Metadata meta           `yaml:"metadata"`
	Spec     *conditionSpec `yaml:"spec"`
}

type targetUse struct {
	Ref      string      `yaml:"targetRef"`
	Kind     string      `yaml:"kind"`
	Metadata meta        `yaml:"metadata"`
	Spec     *targetSpec `yaml:"spec"`
}

type conditionSpec struct {
	Description string `yaml:"description"`
	Severity    string `yaml:"severity"`
	Condition   struct {
		Kind           string            `yaml:"kind"`
		Op             string            `yaml:"op"`
		Threshold      *float64          `yaml:"threshold"`
		LookbackWindow yamlconf.Duration `yaml:"lookbackWindow"`
		AlertAfter     yamlconf.Duration `yaml:"alertAfter"`
	} `yaml:"condition"`
}

type targetSpec struct {
	Description string `yaml:"description"`
	Target      string `yaml:"target"`
}

// alertPolicy checks an AlertPolicy. It stands alone: an SLO that uses one is
// refused, because its alerts are the burn-rate rows.
func (c *compiler) alertPolicy(d *yamlconf.Doc) {
	p := decode[alertPolicySpec](c, d)
	if p == nil {
		return
	}
	if len(p.Spec.Conditions) == 0 {
		c.fail(d, "spec.conditions", nil, "is required")
	}
	for i, use := range p.Spec.Conditions {
		at := "spec.conditions[" + strconv.Itoa(i) + "]"
		switch {
		case (use.Ref == "") == (use.Spec == nil):
			c.fail(d, at, nil, "want either conditionRef or an inline AlertCondition")
		case use.Spec != nil:
			c.condition(d, at+".spec", use.Spec)
		}
	}
	for i, use := range p.Spec.NotificationTargets {
		if (use.Ref == "") == (use.Spec == nil) {
			c.fail(d, "spec.notificationTargets["+strconv.Itoa(i)+"]", nil, "want either targetRef or an inline AlertNotificationTarget")
		}
	}
	c.warn(d, "kind", p.Kind, "has no effect: objectives alert by the burn-rate rows, routed by alertmanager.yml")
}

func (c *compiler) alertCondition(d *yamlconf.Doc) {
	if p := decode[conditionSpec](c, d); p != nil {
		c.condition(d, "spec", &p.Spec)
		c.warn(d, "kind", p.Kind, "has no effect: objectives alert by the burn-rate rows")
	}
}

func (c *compiler) condition(d *yamlconf.Doc, at string, s *conditionSpec) {
	if s.Condition.Kind != "burnrate" {
		c.fail(d, at+".condition.kind", s.Condition.Kind, "want burnrate")
	}
	if !comparison(s.Condition.Op) {
		c.fail(d, at+".condition.op", s.Condition.Op, "want lte, lt, gte or gt")
	}
	if s.Condition.Threshold == nil {
		c.fail(d, at+".condition.threshold", nil, "is required")
	}
	if s.Condition.LookbackWindow <= 0 {
		c.fail(d, at+".condition.lookbackWindow", s.Condition.LookbackWindow, "want a length of time above 0")
	}
}

func comparison(op string) bool { return op == "lte" || op == "lt" || op == "gte" || op == "gt" }
