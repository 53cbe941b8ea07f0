package aggregate

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

// metricBlind is the series that a prober sends instead of a result when its
// control targets fail too.
const metricBlind = "probe_blind"

// role says what a series' value means to a stream.
type role uint8

const (
	roleSample role = iota // each sample is an event
	roleBlind              // each sample is an attempt that says nothing
	roleGood               // increments count good events
	roleBad                // increments count bad events
	roleTotal              // increments count all events
)

// span bounds the bins that a stream counts, [from, until) in Unix
// milliseconds: a changed objective takes over at a slot boundary.
type span struct{ From, Until int64 }

const forever = int64(1) << 62

// stream is a compiled slo.Stream.
type stream struct {
	id  string
	def *slo.Stream
	op  op
	// bound is the threshold as buckets of classic histograms write theirs.
	bound bound
	span
	selectors []selector
}

type selector struct {
	role     role
	metric   string
	matchers []matcher
}

type matcher struct {
	label string
	kind  slo.Match
	value string
	re    *regexp.Regexp
}

func compileStream(id string, def *slo.Stream, sp span) (*stream, error) {
	if def == nil || def.Bin <= 0 || def.Rule.Length <= 0 {
		return nil, fmt.Errorf("compile stream %s: its bins and slots need a length above zero", id)
	}
	s := &stream{id: id, def: def, op: opOf(def.Op), bound: thresholdBound(def.Threshold), span: sp}
	add := func(r role, sel *slo.Selector) error {
		if sel == nil {
			return nil
		}
		c := selector{role: r, metric: sel.Metric}
		for _, m := range sel.Matchers {
			cm := matcher{label: m.Label, kind: m.Match, value: m.Value}
			if m.Match == slo.Regexp || m.Match == slo.NotRegexp {
				re, err := regexp.Compile("^(?:" + m.Value + ")$")
				if err != nil {
					return fmt.Errorf("compile matcher %s%s%q of stream %s: %w", m.Label, m.Match, m.Value, id, err)
				}
				cm.re = re
			}
			c.matchers = append(c.matchers, cm)
		}
		s.selectors = append(s.selectors, c)
		return nil
	}
	parts := []struct {
		r   role
		sel *slo.Selector
	}{{roleSample, def.Sample}, {roleGood, def.Good}, {roleBad, def.Bad}, {roleTotal, def.Total}}
	for _, p := range parts {
		if err := add(p.r, p.sel); err != nil {
			return nil, err
		}
	}
	if def.Sample != nil && def.Vantage != "" {
		blind := *def.Sample
		blind.Metric = metricBlind
		if err := add(roleBlind, &blind); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (m *matcher) ok(v string) bool {
	switch m.kind {
	case slo.Equal:
		return v == m.value
	case slo.NotEqual:
		return v != m.value
	case slo.Regexp:
		return m.re.MatchString(v)
	case slo.NotRegexp:
		return !m.re.MatchString(v)
	}
	return false
}

// get reads a label of the series, else of its host.
func get(series, host telemetry.Labels, name string) string {
	if v := series.Get(name); v != "" {
		return v
	}
	return host.Get(name)
}

// match returns the role of the series in the stream.
func (s *stream) match(series *telemetry.Series, host telemetry.Labels) (role, bool) {
	for i := range s.selectors {
		sel := &s.selectors[i]
		if sel.metric == series.Name && s.takes(sel.role, series.Kind) && sel.matches(series.Labels, host) {
			return sel.role, true
		}
	}
	return 0, false
}

// matches tells whether the labels meet all matchers.
func (sel *selector) matches(series, host telemetry.Labels) bool {
	for i := range sel.matchers {
		m := &sel.matchers[i]
		if !m.ok(get(series, host, m.label)) {
			return false
		}
	}
	return true
}

// takes says whether a series of the kind can play the role: events are
// samples of gauges, counts are increments of counters, or samples of gauges
// where the stream says so.
func (s *stream) takes(r role, k telemetry.Kind) bool {
	if r == roleSample || r == roleBlind || s.def.Gauge {
		return k == telemetry.Gauge
	}
	return k == telemetry.Counter
}

// group returns the labels of the group that a series of the labels belongs to.
func (s *stream) group(series, host telemetry.Labels) telemetry.Labels {
	return groupLabels(s.def.GroupBy, series, host)
}

func groupLabels(by []string, series, host telemetry.Labels) telemetry.Labels {
	m := make(map[string]string, len(by))
	for _, name := range by {
		m[name] = get(series, host, name)
	}
	return telemetry.NewLabels(m)
}

// ruleSet is the list of streams that count, by the ticks read so far.
type ruleSet struct {
	id      string
	streams []*stream // sorted by id, then From
	// byMetric holds, in the same order, the streams that a metric can feed, so
	// that a new owner resolves a fleet in less than a take-over's time.
	byMetric map[string][]*stream
	// byHistogram holds those that buckets of a histogram of the name could feed.
	byHistogram map[string][]*stream
	// labelsBy holds the labels that the streams of byMetric read, sorted.
	labelsBy map[string][]string
	labels   []string // that any stream reads, sorted
	matched  []string // of which those that matchers read
}

func (r *ruleSet) index() {
	r.byMetric, r.byHistogram, r.labelsBy = map[string][]*stream{}, map[string][]*stream{}, map[string][]string{}
	for _, s := range r.streams {
		if s.def.Sample != nil && s.op >= opLTE {
			r.byHistogram[s.def.Sample.Metric] = append(r.byHistogram[s.def.Sample.Metric], s)
		}
		labels := s.labels()
		r.labels, r.matched = append(r.labels, labels...), append(r.matched, s.matchedBy()...)
		for i := range s.selectors {
			m := s.selectors[i].metric
			if have := r.byMetric[m]; len(have) == 0 || have[len(have)-1] != s {
				r.byMetric[m], r.labelsBy[m] = append(have, s), append(r.labelsBy[m], labels...)
			}
		}
	}
	r.labels, r.matched = once(r.labels), once(r.matched)
	for m := range r.labelsBy {
		r.labelsBy[m] = once(r.labelsBy[m])
	}
}

func once(names []string) []string {
	slices.Sort(names)
	return slices.Clip(slices.Compact(names))
}

// labels returns the labels that the stream reads of a series; some may be there
// twice.
func (s *stream) labels() []string {
	out := slices.Clone(s.def.GroupBy)
	if s.def.Vantage != "" {
		out = append(out, s.def.Vantage)
	}
	return append(out, s.matchedBy()...)
}

// reads tells whether a series of the name could feed any stream.
func (r *ruleSet) reads(name string) bool {
	return r.byMetric[name] != nil || r.byHistogram[name] != nil || r.readsClassic(name)
}

// readsClassic tells whether a series of the name could be part of a classic
// histogram that a stream reads.
func (r *ruleSet) readsClassic(name string) bool {
	metric, ok := strings.CutSuffix(name, bucketSuffix)
	if !ok {
		metric, ok = strings.CutSuffix(name, countSuffix)
	}
	return ok && r.byHistogram[metric] != nil
}

// next returns the streams in force after a tick at log time now names the set
// def. Streams of both sets go on; new ones begin at, and old ones end before,
// their next slot boundary. Streams that ended a day ago are forgotten.
func (r *ruleSet) next(id string, def *slo.RuleSet, now int64) (*ruleSet, error) {
	out := &ruleSet{id: id}
	first := r.id == ""
	live := map[string]bool{}
	for _, s := range r.streams {
		c := *s
		_, still := def.Streams[s.id]
		switch {
		case still && c.Until == forever:
			live[s.id] = true
		case c.Until == forever:
			c.Until = boundary(now, c.def.Rule.Length)
		case c.Until < now-86_400_000:
			continue
		}
		if c.Until <= c.From {
			continue // it was taken back before it began, and may begin again then
		}
		out.streams = append(out.streams, &c)
	}
	for sid, d := range def.Streams {
		if live[sid] {
			continue
		}
		sp := span{From: boundary(now, d.Rule.Length), Until: forever}
		if first {
			sp.From = 0
		}
		s, err := compileStream(sid, d, sp)
		if err != nil {
			return nil, err
		}
		out.streams = append(out.streams, s)
	}
	sort.Slice(out.streams, func(i, j int) bool {
		a, b := out.streams[i], out.streams[j]
		if a.id != b.id {
			return a.id < b.id
		}
		return a.From < b.From
	})
	out.index()
	return out, nil
}

// boundary returns the first slot start after now.
func boundary(now, length int64) int64 { return now - now%length + length }
