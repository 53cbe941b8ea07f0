package telegraf

import (
	"math"
	"strings"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"

	"nines/internal/telemetry"
)

// replaced gathers an input through a Reader. The input's names, tags and
// filters are applied once per layout, to one sample metric per series, and
// then hold for every round.
type replaced struct {
	ri     *models.RunningInput
	reader Reader
	seen   []telemetry.Series // the layout that chunks belongs to
	chunks []chunk            // columns index the reader's values
	max    int                // series at most
	// over is how many series of the layout have no room; refused counts their
	// values so far.
	over, refused uint64
	refusedNames  []string
}

// gather reads once and appends the rounds of time t.
func (n *replaced) gather(t int64, dst []telemetry.Round) ([]telemetry.Round, error) {
	series, values, err := n.reader.Read()
	if err != nil {
		return dst, err
	}
	if !sameLayout(series, n.seen) {
		n.layOut(series)
	}
	n.refused += n.over
	for i := range n.chunks {
		c := &n.chunks[i]
		r := telemetry.Round{Schema: c.schema, Time: t, Values: make([]float64, len(c.columns))}
		found := false
		for i, id := range c.columns {
			if v := values[id]; !math.IsNaN(v) {
				r.Values[i] = v
				found = true
				continue
			}
			if r.Absent == nil {
				r.Absent = make([]uint64, (len(c.columns)+63)/64)
			}
			r.Absent[i>>6] |= 1 << (i & 63)
		}
		if found {
			dst = append(dst, r)
		}
	}
	return dst, nil
}

func (n *replaced) series() int {
	sum := 0
	for _, c := range n.chunks {
		sum += len(c.columns)
	}
	return sum
}

func sameLayout(a, b []telemetry.Series) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// layOut decides names, labels and order of the reader's series by the rules of
// the plugin's own metrics. It borrows a layout, whose columns are then the
// reader's values.
func (n *replaced) layOut(series []telemetry.Series) {
	kind := telemetry.Gauge
	l := newLayout(func(string, telegraf.ValueType) telemetry.Kind { return kind }, n.max)
	var source []int // column of l → index of the reader
	for i := range series {
		s := &series[i]
		m := n.ri.MakeMetric(sampleMetric(n.ri.Config.Name, s))
		if m == nil {
			continue
		}
		kind = s.Kind
		g := l.group(m.Name(), m.Tags())
		l.set(g, m.FieldList()[0].Key, telegraf.Untyped, 1)
		if len(l.columns) > len(source) {
			source = append(source, i)
		}
	}
	l.rebuild()
	for _, c := range l.schemas {
		for i, id := range c.columns {
			c.columns[i] = source[id]
		}
	}
	n.chunks, n.seen = l.schemas, series
	n.over, n.refusedNames = l.refused, l.refusedNames
}

// sampleMetric is the metric that the plugin would have made for one series.
func sampleMetric(plugin string, s *telemetry.Series) telegraf.Metric {
	typ := telegraf.Gauge
	if s.Kind == telemetry.Counter {
		typ = telegraf.Counter
	}
	measurement := plugin
	field, ok := strings.CutPrefix(s.Name, plugin+"_")
	if !ok {
		// A plugin's second measurement, such as pressure_avg10 of kernel.
		measurement, field, _ = strings.Cut(s.Name, "_")
	}
	return metric.New(measurement, s.Labels.Map(), map[string]any{field: 1.0}, time.Time{}, typ)
}
