package rules

import (
	"math"
	"slices"
	"strings"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// base is an SLI compiled as far as it does not depend on the objective: the
// stream without comparison and slots.
type base struct {
	stream slo.Stream
	spec   querySpec // where slot, down and alerts are declared
	at     string    // path of that spec
	doc    *yamlconf.Doc
}

// indicator compiles an SLI; nil where it is refused. at is the path of its spec.
func (c *compiler) indicator(d *yamlconf.Doc, at string, s *sliSpec) *base {
	switch {
	case (s.ThresholdMetric == nil) == (s.RatioMetric == nil):
		c.fail(d, at, nil, "want either thresholdMetric or ratioMetric")
		return nil
	case s.ThresholdMetric != nil:
		q, qat := c.query(d, at+".thresholdMetric", s.ThresholdMetric)
		if q == nil {
			return nil
		}
		b := &base{spec: *q, at: qat, doc: d}
		b.stream.Sample = c.selector(d, qat, q.selectorSpec)
		if name, ok := strings.CutSuffix(q.Metric, "_bucket"); ok {
			c.warn(d, qat+".metric", q.Metric, "samples of a gauge are counted; if this is a classic histogram, name it %s: its bucket at the threshold is found", name)
		}
		c.apply(d, qat, q.streamSpec, q.Metric, &b.stream)
		return b
	}
	return c.ratio(d, at+".ratioMetric", s.RatioMetric)
}

func (c *compiler) ratio(d *yamlconf.Doc, at string, s *ratioMetric) *base {
	switch {
	case s.Raw != nil || s.RawType != "":
		return c.raw(d, at, s)
	case s.Total == nil || (s.Good == nil) == (s.Bad == nil):
		c.fail(d, at, nil, "want total and either good or bad")
		return nil
	}
	// A data source that is not ours is the first thing to say: without it the
	// rest does not matter.
	total, tat := c.query(d, at+".total", s.Total)
	part, pat, failed := s.Good, at+".good", false
	if s.Bad != nil {
		part, pat = s.Bad, at+".bad"
	}
	other, oat := c.query(d, pat, part)
	if total == nil || other == nil {
		return nil
	}
	b := &base{spec: *total, at: tat, doc: d}
	if s.Counter == nil || !*s.Counter { // OpenSLO's default: a number that goes up and down
		b.stream.Gauge, b.stream.Unit = true, slo.GaugeUnit
	}
	b.stream.Total = c.selector(d, tat, total.selectorSpec)
	c.apply(d, tat, total.streamSpec, total.Metric, &b.stream)
	c.same(d, oat, other, b)
	sel := c.selector(d, oat, other.selectorSpec)
	if s.Bad != nil {
		b.stream.Bad = sel
	} else {
		b.stream.Good = sel
	}
	if total.Histogram {
		c.fail(d, tat+".histogram", true, "belongs to thresholdMetric: counters have no distribution")
		failed = true
	}
	if failed {
		return nil
	}
	return b
}

// raw compiles a ratio that is computed already: each sample of the gauge is one
// event, good by its share.
func (c *compiler) raw(d *yamlconf.Doc, at string, s *ratioMetric) *base {
	op := slo.Op(s.RawType)
	switch {
	case s.Raw == nil:
		c.fail(d, at+".rawType", s.RawType, "belongs to raw")
		return nil
	case s.Good != nil || s.Bad != nil || s.Total != nil:
		c.fail(d, at, nil, "want either raw, or total and either good or bad")
		return nil
	}
	q, qat := c.query(d, at+".raw", s.Raw)
	if q == nil {
		return nil
	}
	if op != slo.Success && op != slo.Failure {
		c.fail(d, at+".rawType", s.RawType, "want success or failure: what the ratio is of")
		return nil
	}
	b := &base{spec: *q, at: qat, doc: d}
	b.stream.Sample, b.stream.Op, b.stream.Unit = c.selector(d, qat, q.selectorSpec), op, slo.RatioUnit
	c.apply(d, qat, q.streamSpec, q.Metric, &b.stream)
	return b
}

// same demands that what good (or bad) declares of the stream agrees with total,
// where it is taken from.
func (c *compiler) same(d *yamlconf.Doc, at string, q *querySpec, b *base) {
	if q.GroupBy != nil {
		groups := slices.Clone(q.GroupBy)
		slices.Sort(groups)
		if !slices.Equal(groups, b.stream.GroupBy) {
			c.fail(d, at+".groupBy", q.GroupBy, "differs from that of total; declare it there only")
		}
	}
	if q.Slot != nil || !q.Down.IsZero() || q.BurnRate != nil || q.BudgetAlerts != nil || !q.NoData.IsZero() || q.Bin != nil || q.Vantage != nil || q.Histogram {
		c.fail(d, at, nil, "slot, down, burnRate, budgetAlerts, noData, bin, vantage and histogram are declared under total only")
	}
}

// query decodes the metric source of one metric, which must be ours.
func (c *compiler) query(d *yamlconf.Doc, at string, m *metric) (*querySpec, string) {
	src, at := m.MetricSource, at+".metricSource"
	kind := src.Type
	if src.Ref != "" {
		switch ds := c.dataSources[src.Ref]; {
		case ds == nil && kind == "":
			c.fail(d, at+".metricSourceRef", src.Ref, "no DataSource of this name is among the files")
			return nil, at
		case ds != nil && kind != "" && kind != ds.Spec.Type:
			c.fail(d, at+".type", kind, "differs from the type of DataSource %s, %s", src.Ref, ds.Spec.Type)
			return nil, at
		case ds != nil:
			kind = ds.Spec.Type
		}
	}
	if kind != "nines" {
		c.fail(d, at+".type", kind, "data sources other than nines are not supported; nines judges what its own pipeline measures")
		return nil, at
	}
	q := &querySpec{}
	if src.Spec.IsZero() {
		c.fail(d, at+".spec", nil, "is required")
		return nil, at
	}
	if err := src.Spec.Decode(q); err != nil {
		c.errs = c.errs.Append(d.File(), err)
		return nil, at
	}
	return q, at + ".spec"
}

// compare adds the comparison of a threshold metric to the stream.
func (c *compiler) compare(d *yamlconf.Doc, at, op string, value *float64, s *slo.Stream) bool {
	switch {
	case !comparison(op):
		c.fail(d, at+".op", op, "want lte, lt, gte or gt")
		return false
	case value == nil:
		c.fail(d, at+".value", nil, "is required: a sample is good if it compares with it")
		return false
	case math.IsInf(*value, 0) || math.IsNaN(*value):
		c.fail(d, at+".value", *value, "want a finite number")
		return false
	}
	s.Op, s.Threshold = slo.Op(op), *value
	return true
}

func comparison(op string) bool { return op == "lte" || op == "lt" || op == "gte" || op == "gt" }

// probes tells whether the stream counts the results of scheduled probes.
func probes(s *slo.Stream) bool { return s.Sample != nil && s.Sample.Metric == "probe_success" }

// down compiles the confirmed-down rule: for the results of scheduled probes a
// majority of the vantage points heard (or the slot's quorum), unless declared.
func (c *compiler) down(b *base, rule sla.SlotRule) *slo.Down {
	var out *slo.Down
	if probes(&b.stream) {
		out = &slo.Down{Failures: 3}
		if rule.K > 1 || rule.N > 1 {
			out.K, out.N = rule.K, rule.N
		}
	}
	raw, at := b.spec.Down, b.at+".down"
	if raw.IsZero() {
		return out
	}
	if text, ok := raw.Text(); ok {
		if text != "false" {
			c.fail(b.doc, at, text, "want false, or failures, k and n")
		}
		return nil
	}
	if b.stream.Sample == nil {
		c.fail(b.doc, at, nil, "needs scheduled probes: a thresholdMetric")
		return nil
	}
	if out == nil {
		out = &slo.Down{Failures: 3}
	}
	spec := struct {
		Failures int `yaml:"failures"`
		K        int `yaml:"k"`
		N        int `yaml:"n"`
	}{out.Failures, out.K, out.N}
	if err := raw.Decode(&spec); err != nil {
		c.errs = c.errs.Append(b.doc.File(), err)
		return nil
	}
	if spec.Failures < 1 || spec.Failures > 300 {
		c.fail(b.doc, at+".failures", spec.Failures, "want from 1 to 300")
	}
	if spec.K != 0 || spec.N != 0 {
		c.quorum(b.doc, at, spec.K, spec.N)
	}
	return &slo.Down{Failures: spec.Failures, K: spec.K, N: spec.N}
}
