package truth

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

// tally is what one slot should hold.
type tally struct{ good, bad, total, blind int64 }

// group is one group of a stream: its slots by their start.
type group struct {
	name  string
	slots map[int64]*tally
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
		g = &group{name, map[int64]*tally{}}
		c.groups[name] = g
	}
	return g
}

// feed is one use of a series.
type feed struct {
	role   *role
	group  *group
	length int64
	// Of a counter: the time of its last reading that counted, and what it grew by
	// since.
	last  int64
	grown float64
}

// sample counts a sample in the slot of its time. A counter's growth happened
// before its reading; one that is not later than the last, because the host's
// clock was set back, counts nothing until time has caught up, see
// docs/torture.md.
func (f *feed) sample(at int64, v float64) {
	if f.role.counter {
		if f.grown += v; at <= f.last {
			return
		}
		f.last, v, f.grown = at, f.grown, 0
		at--
	}
	start := at - at%f.length
	t := f.group.slots[start]
	if t == nil {
		t = &tally{}
		f.group.slots[start] = t
	}
	f.role.add(t, v)
}

// Counts are samples of one or more files, counted by the objectives of a rule
// set: a Sink.
type Counts struct {
	streams map[string]*counter
	feeds   [][]feed // by series of the file that is being read
	// Skipped says of streams why they are not compared, by ID.
	Skipped map[string]string
	// Samples were read, of which Fed belong to an objective.
	Samples, Fed uint64
	// Faults that were played.
	Faults []Fault
	// Files were read, of which Incomplete end before their time or with frames
	// that nobody acknowledged.
	Files, Incomplete int
	// From and Until bound the samples' times, Unix milliseconds.
	From, Until int64
}

// NewCounts counts by the streams of a rule set.
func NewCounts(set *slo.RuleSet) (*Counts, error) {
	c := &Counts{streams: map[string]*counter{}, Skipped: map[string]string{}}
	for _, id := range slices.Sorted(maps.Keys(set.Streams)) {
		s, why, err := newCounter(set.Streams[id])
		if err != nil {
			return nil, err
		}
		if why != "" {
			c.Skipped[id] = why
			continue
		}
		c.streams[id] = s
	}
	return c, nil
}

// Head begins a file.
func (c *Counts) Head(Head) {
	c.Files++
	c.Incomplete++ // until its end says otherwise
	c.feeds = nil
}

// Fault is kept once: each shard tells of all.
func (c *Counts) Fault(f Fault) {
	if !slices.Contains(c.Faults, f) {
		c.Faults = append(c.Faults, f)
	}
}

// Series finds the objectives that the series feeds.
func (c *Counts) Series(_ int, s Series) {
	var list []feed
	for _, st := range c.streams {
		if r := st.role(&s); r != nil {
			list = append(list, feed{role: r, group: st.group(s.Labels), length: st.def.Rule.Length})
		}
	}
	c.feeds = append(c.feeds, list)
}

// Sample counts.
func (c *Counts) Sample(n int, at int64, v float64) {
	c.Samples++
	if c.From == 0 || at < c.From {
		c.From = at
	}
	c.Until = max(c.Until, at+1)
	for i := range c.feeds[n] {
		c.feeds[n][i].sample(at, v)
	}
	if len(c.feeds[n]) > 0 {
		c.Fed++
	}
}

// End ends a file.
func (c *Counts) End(e End) {
	if e.Complete {
		c.Incomplete--
	}
}
