package truth

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

// tally is what one slot should hold.
type tally struct{ good, bad, total, blind int64 }

// group is one group of a stream: its slots by their start, and what belongs to
// no slot.
type group struct {
	name     string
	slots    map[int64]*tally
	unplaced tally
}

func (g *group) slot(start int64) *tally {
	t := g.slots[start]
	if t == nil {
		t = &tally{}
		g.slots[start] = t
	}
	return t
}

// counter counts the samples of one stream.
type counter struct {
	def    *slo.Stream
	roles  []role
	groups map[string]*group
}

// role is how a stream reads a metric.
type role struct {
	metric  string
	match   []func(telemetry.Labels) bool
	counter bool
	add     func(t *tally, v float64)
}

// metricBlind is what probers send in the place of a result while they cannot
// tell whose fault it is; docs/objectives.md.
const metricBlind = "probe_blind"

// newCounter reads a stream by the words of docs/objectives.md. why is not empty
// where the truth says nothing of it.
func newCounter(def *slo.Stream) (c *counter, why string, err error) {
	c = &counter{def: def, groups: map[string]*group{}}
	if def.Gauge || def.Unit != 0 {
		return nil, "raw ratios and gauges of counts are not simulated", nil
	}
	add := func(s *slo.Selector, metric string, isCounter bool, f func(t *tally, v float64)) {
		if s == nil || err != nil {
			return
		}
		r := role{metric: metric, counter: isCounter, add: f}
		for _, m := range s.Matchers {
			var match func(telemetry.Labels) bool
			if match, err = matcher(m); err != nil {
				return
			}
			r.match = append(r.match, match)
		}
		c.roles = append(c.roles, r)
	}
	if s := def.Sample; s != nil {
		add(s, s.Metric, false, func(t *tally, v float64) {
			t.total++
			if !meets(def.Op, v, def.Threshold) {
				t.bad++
			} else {
				t.good++
			}
		})
		if def.Vantage != "" {
			add(s, metricBlind, false, func(t *tally, _ float64) { t.blind++ })
		}
	}
	for s, f := range map[*slo.Selector]func(*tally, float64){
		def.Good:  func(t *tally, v float64) { t.good += int64(v) },
		def.Bad:   func(t *tally, v float64) { t.bad += int64(v) },
		def.Total: func(t *tally, v float64) { t.total += int64(v) },
	} {
		if s != nil {
			add(s, s.Metric, true, f)
		}
	}
	return c, "", err
}

func matcher(m slo.Matcher) (func(telemetry.Labels) bool, error) {
	is := func(v string) bool { return v == m.Value }
	if m.Match == slo.Regexp || m.Match == slo.NotRegexp {
		re, err := regexp.Compile("^(?:" + m.Value + ")$")
		if err != nil {
			return nil, fmt.Errorf("read matcher %s%s%q: %w", m.Label, m.Match, m.Value, err)
		}
		is = re.MatchString
	}
	not := m.Match == slo.NotEqual || m.Match == slo.NotRegexp
	return func(ls telemetry.Labels) bool { return is(ls.Get(m.Label)) != not }, nil
}

func meets(op slo.Op, v, threshold float64) bool {
	switch op {
	case slo.LTE:
		return v <= threshold
	case slo.LT:
		return v < threshold
	case slo.GTE:
		return v >= threshold
	case slo.GT:
		return v > threshold
	}
	return false
}

// role returns how the stream reads a series; nil where it does not.
func (c *counter) role(s *Series) *role {
	for i := range c.roles {
		r := &c.roles[i]
		if r.metric != s.Name || r.counter != s.Counter {
			continue
		}
		if !slices.ContainsFunc(r.match, func(ok func(telemetry.Labels) bool) bool { return !ok(s.Labels) }) {
			return r
		}
	}
	return nil
}

// groupName writes the labels by which a stream groups.
func (c *counter) groupName(ls telemetry.Labels) string {
	var parts []string
	for _, name := range c.def.GroupBy {
		parts = append(parts, fmt.Sprintf("%s=%q", name, ls.Get(name)))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func (c *counter) group(ls telemetry.Labels) *group {
	name := c.groupName(ls)
	g := c.groups[name]
	if g == nil {
		g = &group{name: name, slots: map[int64]*tally{}}
		c.groups[name] = g
	}
	return g
}
