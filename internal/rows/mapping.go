// Package rows reads tables of measurements, CSV or JSON lines, as a mapping
// file says: columns become series, or each row is one request. It promises that
// points come in the order of their times whatever the order of the rows, within
// the bound that the mapping sets; that a row which cannot be used is counted by
// reason and never ends the reading; and that every row is accounted for. `nines
// replay` reads with it.
package rows

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"nines/internal/telemetry"
	"nines/internal/yamlconf"
)

// Mapping is a mapping file: apiVersion nines/v1, kind Mapping.
type Mapping struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   map[string]string `yaml:"metadata"`
	Spec       Spec              `yaml:"spec"`
}

// Spec says how rows are read.
type Spec struct {
	// Format is csv or jsonl; empty: by the file's name, else csv.
	Format string `yaml:"format"`
	// Delimiter separates columns of csv: one character, or tab. Empty: a comma,
	// and a tab in files that end in .tsv.
	Delimiter string `yaml:"delimiter"`
	// Columns names the columns of csv files without a header line.
	Columns []string `yaml:"columns"`
	Time    TimeSpec `yaml:"time"`
	// Sort is by how much rows may be out of order, or "all" to read each file as
	// a whole and sort it.
	Sort string `yaml:"sort"`
	// Labels of all series, by column; Constants are the same in every row.
	Labels    map[string]string `yaml:"labels"`
	Constants map[string]string `yaml:"constants"`
	Values    []ValueSpec       `yaml:"values"`
	Requests  *RequestSpec      `yaml:"requests"`

	disorder int64 // of Sort, in milliseconds; -1 for all
	zone     *time.Location
}

// TimeSpec says where a row's time is and how it is written.
type TimeSpec struct {
	Column string `yaml:"column"`
	// Format is rfc3339, unix, unix_ms, unix_us, unix_ns, or how Go's reference
	// time, 2006-01-02 15:04:05, would be written.
	Format string `yaml:"format"`
	// Zone is the time zone of times that name none.
	Zone string `yaml:"zone"`
}

// ValueSpec makes a series of a column.
type ValueSpec struct {
	Column string `yaml:"column"`
	// Series is the series' name; SeriesColumn the column that holds it.
	Series       string `yaml:"series"`
	SeriesColumn string `yaml:"seriesColumn"`
	// Kind is gauge, counter (cumulative), or delta (a number of events).
	Kind string `yaml:"kind"`
	// Scale multiplies the value; 0 is 1.
	Scale float64 `yaml:"scale"`
	// Map gives texts a value, such as up: 1.
	Map    map[string]float64 `yaml:"map"`
	Labels map[string]string  `yaml:"labels"`
	Hold   *HoldSpec          `yaml:"hold"`
}

// HoldSpec says that a value holds until the series' next row.
type HoldSpec struct {
	// Every is how often it is repeated meanwhile, For the longest time.
	Every yamlconf.Duration `yaml:"every"`
	For   yamlconf.Duration `yaml:"for"`
}

// RequestSpec makes series of rows of which each is one request: SERIES_success,
// 1 or 0, and SERIES_duration_seconds, +Inf for those that failed.
type RequestSpec struct {
	Series  string            `yaml:"series"`
	Outcome *OutcomeSpec      `yaml:"outcome"`
	Latency *LatencySpec      `yaml:"latency"`
	Labels  map[string]string `yaml:"labels"`
}

// OutcomeSpec tells good requests from bad ones by the text of a column. The
// lists hold texts or patterns such as 5??; the first list that has it decides.
type OutcomeSpec struct {
	Column string   `yaml:"column"`
	Good   []string `yaml:"good"`
	Bad    []string `yaml:"bad"`
	Ignore []string `yaml:"ignore"`
}

// LatencySpec says where a request's duration is, and its unit: s, ms, us, ns.
type LatencySpec struct {
	Column string `yaml:"column"`
	Unit   string `yaml:"unit"`
}

// Kinds of values.
const (
	kindGauge   = "gauge"
	kindCounter = "counter"
	kindDelta   = "delta"
)

// sortAll is the Sort that reads files as a whole.
const sortAll = "all"

// defaultSort is by how much rows may be out of order.
const defaultSort = time.Minute

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// Load reads a mapping file. Mistakes are returned as yamlconf.Errors.
func Load(file string) (*Mapping, error) {
	m := &Mapping{}
	if err := yamlconf.Load(file, m); err != nil {
		return nil, err
	}
	return m, nil
}

// Parse does what Load does with data that is read; file names it in errors.
func Parse(file string, data []byte) (*Mapping, error) {
	m := &Mapping{}
	if err := yamlconf.LoadBytes(file, data, m); err != nil {
		return nil, err
	}
	return m, nil
}

// Zone returns the time zone of times that name none; days begin there.
func (m *Mapping) Zone() *time.Location { return m.Spec.zone }

// Makes returns the names of the series that the mapping makes, with the kind
// they have in frames, and whether rows name further ones.
func (m *Mapping) Makes() (series map[string]telemetry.Kind, more bool) {
	series = map[string]telemetry.Kind{}
	for i := range m.Spec.Values {
		v := &m.Spec.Values[i]
		if v.SeriesColumn != "" {
			more = true
			continue
		}
		series[v.Series] = v.kind()
	}
	if r := m.Spec.Requests; r != nil {
		if r.Outcome != nil {
			series[r.Series+successSuffix] = telemetry.Gauge
		}
		if r.Latency != nil {
			series[r.Series+durationSuffix] = telemetry.Gauge
		}
	}
	return series, more
}

// Names of what a request makes.
const (
	successSuffix  = "_success"
	durationSuffix = "_duration_seconds"
)

// kind returns the kind of the values in frames: a number of events is a sample
// by itself.
func (v *ValueSpec) kind() telemetry.Kind {
	if v.Kind == kindCounter {
		return telemetry.Counter
	}
	return telemetry.Gauge
}

// checker collects mistakes.
type checker struct {
	doc  *yamlconf.Doc
	errs yamlconf.Errors
}

func (c *checker) bad(at string, got any, format string, args ...any) {
	c.errs = append(c.errs, c.doc.Errorf(at, got, format, args...))
}

// Check implements yamlconf.Checker: it reports what cannot work and fills in
// the defaults.
func (m *Mapping) Check(doc *yamlconf.Doc) yamlconf.Errors {
	c := &checker{doc: doc}
	if m.APIVersion != "nines/v1" {
		c.bad("apiVersion", m.APIVersion, "want nines/v1")
	}
	if m.Kind != "Mapping" {
		c.bad("kind", m.Kind, "want Mapping")
	}
	s := &m.Spec
	c.format(s)
	c.time(s)
	c.labels("spec.labels", s.Labels)
	c.labels("spec.constants", s.Constants)
	if len(s.Values) == 0 && s.Requests == nil {
		c.bad("spec", nil, "want values, or requests")
	}
	for i := range s.Values {
		c.value(fmt.Sprintf("spec.values[%d]", i), &s.Values[i])
	}
	if s.Requests != nil {
		c.requests(s.Requests)
	}
	return c.errs
}

func (c *checker) format(s *Spec) {
	switch s.Format {
	case "", formatCSV, formatJSON:
	default:
		c.bad("spec.format", s.Format, "want csv or jsonl")
	}
	if s.Delimiter == "tab" {
		s.Delimiter = "\t"
	}
	if r, n := utf8.DecodeRuneInString(s.Delimiter); s.Delimiter != "" &&
		(n != len(s.Delimiter) || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n') {
		c.bad("spec.delimiter", s.Delimiter, "want one character, or tab")
	}
	if s.Format == formatJSON && (s.Delimiter != "" || s.Columns != nil) {
		c.bad("spec.format", s.Format, "has neither delimiter nor columns")
	}
}

func (c *checker) time(s *Spec) {
	if s.Time.Column == "" {
		c.bad("spec.time.column", nil, "want the column that holds a row's time")
	}
	s.zone = time.UTC
	if s.Time.Zone != "" {
		zone, err := time.LoadLocation(s.Time.Zone)
		if err != nil {
			c.bad("spec.time.zone", s.Time.Zone, "want a time zone such as Asia/Shanghai")
		} else {
			s.zone = zone
		}
	}
	if !knownTime(s.Time.Format) {
		c.bad("spec.time.format", s.Time.Format, "want rfc3339, unix, unix_ms, unix_us, unix_ns, or how 2006-01-02 15:04:05 would be written")
	}
	switch s.Sort {
	case "":
		s.disorder = defaultSort.Milliseconds()
	case sortAll:
		s.disorder = -1
	default:
		d, err := yamlconf.ParseDuration(s.Sort)
		if err != nil || d < 0 {
			c.bad("spec.sort", s.Sort, "want by how much rows may be out of order, such as 10m, or all")
			return
		}
		s.disorder = d.Milliseconds()
	}
}

func (c *checker) labels(at string, labels map[string]string) {
	for name, column := range labels {
		if !labelName.MatchString(name) {
			c.bad(at+"."+yamlconf.Key(name), name, "want the name of a label")
		}
		if column == "" {
			c.bad(at+"."+yamlconf.Key(name), column, "must not be empty")
		}
	}
}

func (c *checker) value(at string, v *ValueSpec) {
	if v.Column == "" {
		c.bad(at+".column", nil, "want the column that holds the value")
	}
	switch {
	case (v.Series == "") == (v.SeriesColumn == ""):
		c.bad(at, nil, "want series, or seriesColumn")
	case v.Series != "" && !metricName.MatchString(v.Series):
		c.bad(at+".series", v.Series, "want the name of a metric")
	}
	switch v.Kind {
	case "":
		v.Kind = kindGauge
	case kindGauge, kindCounter, kindDelta:
	default:
		c.bad(at+".kind", v.Kind, "want gauge, counter or delta")
	}
	if v.Scale == 0 {
		v.Scale = 1
	}
	if !(v.Scale > 0) || math.IsInf(v.Scale, 0) {
		c.bad(at+".scale", v.Scale, "must be above zero")
	}
	for text, n := range v.Map {
		if n != n {
			c.bad(at+".map."+yamlconf.Key(text), n, "want a number")
		}
	}
	c.labels(at+".labels", v.Labels)
	if h := v.Hold; h != nil {
		if v.Kind != kindGauge {
			c.bad(at+".hold", nil, "is for gauges: %s says what happened, not what is", v.Kind)
		}
		if h.Every.D() < time.Second {
			c.bad(at+".hold.every", h.Every, "must be at least 1s")
		}
		if h.For < h.Every {
			c.bad(at+".hold.for", h.For, "must be at least hold.every: beyond it the value is no longer believed")
		}
	}
}

func (c *checker) requests(r *RequestSpec) {
	const at = "spec.requests"
	if !metricName.MatchString(r.Series) {
		c.bad(at+".series", r.Series, "want the name of a metric")
	}
	if r.Outcome == nil && r.Latency == nil {
		c.bad(at, nil, "want outcome, latency, or both")
	}
	c.labels(at+".labels", r.Labels)
	if o := r.Outcome; o != nil {
		if o.Column == "" {
			c.bad(at+".outcome.column", nil, "want the column that holds the outcome")
		}
		if len(o.Good) == 0 {
			c.bad(at+".outcome.good", nil, "want the texts of requests that succeeded")
		}
		for name, list := range map[string][]string{"good": o.Good, "bad": o.Bad, "ignore": o.Ignore} {
			for i, pattern := range list {
				if _, err := path.Match(pattern, ""); err != nil {
					c.bad(fmt.Sprintf("%s.outcome.%s[%d]", at, name, i), pattern, "is no pattern")
				}
			}
		}
	}
	if l := r.Latency; l != nil {
		if l.Column == "" {
			c.bad(at+".latency.column", nil, "want the column that holds the duration")
		}
		if _, ok := unitOf(l.Unit); !ok {
			c.bad(at+".latency.unit", l.Unit, "want s, ms, us or ns")
		}
	}
}

// unitOf returns how many seconds a unit of latency is.
func unitOf(unit string) (float64, bool) {
	i := slices.Index([]string{"s", "ms", "us", "ns"}, unit)
	if i < 0 {
		return 0, false
	}
	return []float64{1, 1e-3, 1e-6, 1e-9}[i], true
}

// matches tells whether the text is in the list, as itself or by a pattern.
func matches(list []string, text string) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		if pattern == text {
			return true
		}
		if !strings.ContainsAny(pattern, `*?[\`) {
			return false
		}
		ok, _ := path.Match(pattern, text) // Check has refused broken ones
		return ok
	})
}
