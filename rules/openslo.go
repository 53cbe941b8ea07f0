package rules

import "nines/internal/yamlconf"

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
	AlertPolicies   []policyUse     `yaml:"alertPolicies"`
}

type timeWindow struct {
	Duration  string        `yaml:"duration"`
	IsRolling *bool         `yaml:"isRolling"`
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
