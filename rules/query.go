package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nines/internal/alert"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// querySpec is the spec of a metricSource of type nines.
type querySpec struct {
	selectorSpec `yaml:",inline"`
	streamSpec   `yaml:",inline"`
	Slot         *slotSpec    `yaml:"slot"`
	Down         yamlconf.Raw `yaml:"down"`
	BurnRate     *bool        `yaml:"burnRate"`
	BudgetAlerts *bool        `yaml:"budgetAlerts"`
	NoData       yamlconf.Raw `yaml:"noData"`
}

// selectorSpec selects series.
type selectorSpec struct {
	Metric   string            `yaml:"metric"`
	Labels   map[string]string `yaml:"labels"`
	Matchers []string          `yaml:"matchers"`
}

// streamSpec says how what was selected is counted.
type streamSpec struct {
	GroupBy   []string           `yaml:"groupBy"`
	Vantage   *string            `yaml:"vantage"`
	Bin       *yamlconf.Duration `yaml:"bin"`
	Histogram bool               `yaml:"histogram"`
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	matcherRE  = regexp.MustCompile(`(?s)^\s*([^\s=!~"]+)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)
)

// selector compiles a selector; at is its path.
func (c *compiler) selector(d *yamlconf.Doc, at string, s selectorSpec) *slo.Selector {
	out := &slo.Selector{Metric: s.Metric}
	if !metricName.MatchString(s.Metric) {
		c.fail(d, at+".metric", s.Metric, "want the name of a metric")
	}
	for name, value := range s.Labels {
		if !labelName.MatchString(name) {
			c.fail(d, at+".labels."+yamlconf.Key(name), name, "want the name of a label")
			continue
		}
		out.Matchers = append(out.Matchers, slo.Matcher{Label: name, Match: slo.Equal, Value: value})
	}
	for i, text := range s.Matchers {
		m, err := parseMatcher(text)
		if err != nil {
			c.fail(d, fmt.Sprintf("%s.matchers[%d]", at, i), text, "%v", err)
			continue
		}
		out.Matchers = append(out.Matchers, m)
	}
	out.Matchers = canonical(out.Matchers)
	return out
}

// canonical sorts matchers and drops doubles, so that equal selections have
// equal identities.
func canonical(ms []slo.Matcher) []slo.Matcher {
	slices.SortFunc(ms, func(a, b slo.Matcher) int {
		return strings.Compare(a.Label+"\x00"+string(a.Match)+"\x00"+a.Value, b.Label+"\x00"+string(b.Match)+"\x00"+b.Value)
	})
	return slices.Compact(ms)
}

// parseMatcher reads one PromQL matcher: label="value", with =, !=, =~ or !~.
func parseMatcher(text string) (slo.Matcher, error) {
	parts := matcherRE.FindStringSubmatch(text)
	if parts == nil || !labelName.MatchString(parts[1]) {
		return slo.Matcher{}, fmt.Errorf(`want a matcher such as target=~"api.*"`)
	}
	value := parts[3]
	if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "`") || strings.HasPrefix(value, "'") {
		q := value
		if q[0] == '\'' {
			q = `"` + strings.ReplaceAll(strings.Trim(q, "'"), `"`, `\"`) + `"`
		}
		unquoted, err := strconv.Unquote(q)
		if err != nil {
			return slo.Matcher{}, fmt.Errorf(`the value's quotes or escapes are broken`)
		}
		value = unquoted
	}
	m := slo.Matcher{Label: parts[1], Match: slo.Match(parts[2]), Value: value}
	if m.Match == slo.Regexp || m.Match == slo.NotRegexp {
		if _, err := regexp.Compile("^(?:" + value + ")$"); err != nil {
			return m, fmt.Errorf("the regular expression is broken (%v)", err)
		}
	}
	return m, nil
}

// apply copies what the spec declares to the stream and fills in the defaults:
// bins of 1 s; series of probes tell vantage points apart by the label host.
func (c *compiler) apply(d *yamlconf.Doc, at string, s streamSpec, metric string, out *slo.Stream) {
	out.GroupBy = slices.Clone(s.GroupBy)
	if out.GroupBy == nil {
		out.GroupBy = []string{}
	}
	for i, name := range out.GroupBy {
		place := fmt.Sprintf("%s.groupBy[%d]", at, i)
		if !labelName.MatchString(name) {
			c.fail(d, place, name, "want the name of a label")
		} else if what, taken := alert.Says(name); taken {
			c.fail(d, place, name, "alerts say by this label %s: give the series' label another name", what)
		}
	}
	slices.Sort(out.GroupBy)
	out.GroupBy = slices.Compact(out.GroupBy)
	if strings.HasPrefix(metric, "probe_") {
		out.Vantage = "host"
	}
	if s.Vantage != nil {
		out.Vantage = *s.Vantage
		if out.Vantage != "" && !labelName.MatchString(out.Vantage) {
			c.fail(d, at+".vantage", out.Vantage, "want the name of a label")
		}
	}
	out.Bin = 1000
	if s.Bin != nil {
		out.Bin = s.Bin.Milliseconds()
	}
	if out.Bin < 100 || out.Bin > 3_600_000 {
		c.fail(d, at+".bin", s.Bin, "want a length from 100ms to 1h")
		out.Bin = 1000
	}
	out.Histogram = s.Histogram
}
