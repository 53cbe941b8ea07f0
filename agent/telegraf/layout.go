package telegraf

import (
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/influxdata/telegraf"

	"nines/internal/telemetry"
)

// Bounds of one schema. A frame carries its schemas' text, and a frame must
// stay below Kafka's usual record limit.
const (
	maxColumns = 2048
	maxText    = 256 << 10
	// defaultMaxSeries bounds what one input may create: a label that never
	// repeats would otherwise eat the agent's memory.
	defaultMaxSeries = 50_000
	// maxRefusedNames is how many of the metrics that lost series are named.
	maxRefusedNames = 5
)

// layout remembers which series an input has given and where each stands in
// the schemas, so that a steady gather costs one map look-up per field and
// allocates only the values. One goroutine uses it.
type layout struct {
	groups  map[uint64][]*group
	columns []column
	byKey   map[string]int // series key → column
	schemas []chunk
	dirty   bool
	max     int    // series at most
	refused uint64 // values refused because of max
	// refusedNames are the first metrics that lost series.
	refusedNames []string
	kindOf       func(field string, typ telegraf.ValueType) telemetry.Kind
	round        uint64 // number of the round being filled
	time         int64  // its sample time, Unix milliseconds
}

// group is one measurement with one set of tags.
type group struct {
	measurement string
	tags        map[string]string
	labels      telemetry.Labels
	fields      map[string]int // field → column
}

type column struct {
	series telemetry.Series
	value  float64
	// filled is the number of the last round that had a value.
	filled uint64
}

// chunk is one schema and the columns behind it.
type chunk struct {
	schema  *telemetry.Schema
	columns []int
}

func newLayout(kindOf func(field string, typ telegraf.ValueType) telemetry.Kind, maxSeries int) *layout {
	return &layout{groups: map[uint64][]*group{}, byKey: map[string]int{}, kindOf: kindOf, max: maxSeries}
}

// begin starts a round at time t.
func (l *layout) begin(t int64) {
	l.round++
	l.time = t
}

// group returns the group of a measurement with its tags.
func (l *layout) group(measurement string, tags map[string]string) *group {
	h := hashTags(measurement, tags)
	for _, g := range l.groups[h] {
		if g.measurement == measurement && sameTags(g.tags, tags) {
			return g
		}
	}
	own := make(map[string]string, len(tags))
	for k, v := range tags {
		own[k] = v
	}
	g := &group{measurement: measurement, tags: own, labels: labelsOf(tags), fields: map[string]int{}}
	l.groups[h] = append(l.groups[h], g)
	return g
}

// set stores a value of the round. A second value of the same series in one
// round replaces the first.
func (l *layout) set(g *group, field string, typ telegraf.ValueType, v float64) {
	if math.IsNaN(v) {
		return
	}
	id, ok := g.fields[field]
	if !ok {
		if id, ok = l.add(g, field, typ); !ok {
			return
		}
	}
	c := &l.columns[id]
	c.value, c.filled = v, l.round
}

func (l *layout) add(g *group, field string, typ telegraf.ValueType) (int, bool) {
	s := telemetry.Series{Name: telemetry.MetricName(g.measurement, field), Labels: g.labels, Kind: l.kindOf(field, typ)}
	if s.Name == "" {
		return 0, false
	}
	// Two names may become one when they are cleaned: they share the column.
	key := s.Name + s.Labels.String()
	id, known := l.byKey[key]
	if !known {
		if len(l.columns) >= l.max {
			l.refuse(s.Name)
			return 0, false
		}
		id = len(l.columns)
		l.columns = append(l.columns, column{series: s})
		l.byKey[key] = id
		l.dirty = true
	}
	g.fields[field] = id
	return id, true
}

// refuse counts a value that has no room, and names the first of such metrics.
func (l *layout) refuse(metric string) {
	l.refused++
	if len(l.refusedNames) < maxRefusedNames && !slices.Contains(l.refusedNames, metric) {
		l.refusedNames = append(slices.Clone(l.refusedNames), metric) // who was given the old one keeps it
	}
}

// rounds hands the round over, one per schema; empty ones are left out.
func (l *layout) rounds(dst []telemetry.Round) []telemetry.Round {
	if l.dirty {
		l.rebuild()
	}
	for i := range l.schemas {
		if r, ok := l.take(&l.schemas[i]); ok {
			dst = append(dst, r)
		}
	}
	return dst
}

func (l *layout) take(c *chunk) (telemetry.Round, bool) {
	r := telemetry.Round{Schema: c.schema, Time: l.time, Values: make([]float64, len(c.columns))}
	found := false
	for i, id := range c.columns {
		col := &l.columns[id]
		if col.filled == l.round {
			r.Values[i] = col.value
			found = true
			continue
		}
		if r.Absent == nil {
			r.Absent = make([]uint64, (len(c.columns)+63)/64)
		}
		r.Absent[i>>6] |= 1 << (i & 63)
	}
	return r, found
}

// forget drops the series that had no value in the last rounds.
func (l *layout) forget(rounds uint64) bool {
	if l.round < rounds {
		return false
	}
	before, gone := l.round-rounds+1, false
	for i := range l.columns {
		gone = gone || l.columns[i].filled < before
	}
	if !gone {
		return false
	}
	kept := l.columns[:0:0]
	for _, c := range l.columns {
		if c.filled >= before {
			kept = append(kept, c)
		}
	}
	// The groups point at columns by number: they are found anew.
	l.columns = kept
	clear(l.groups)
	clear(l.byKey)
	for id := range kept {
		l.byKey[kept[id].series.Name+kept[id].series.Labels.String()] = id
	}
	l.dirty = true
	return true
}

// rebuild sorts the columns by name and labels, so that equal hosts come to
// equal schemas whatever the order in which plugins hand over their maps.
func (l *layout) rebuild() {
	order := make([]int, len(l.columns))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return compareSeries(&l.columns[a].series, &l.columns[b].series)
	})
	l.schemas = l.schemas[:0]
	for len(order) > 0 {
		n := chunkLen(len(order), func(i int) *telemetry.Series { return &l.columns[order[i]].series })
		c := chunk{columns: order[:n:n]}
		series := make([]telemetry.Series, n)
		for i, id := range c.columns {
			series[i] = l.columns[id].series
		}
		c.schema = telemetry.NewSchema(series)
		l.schemas = append(l.schemas, c)
		order = order[n:]
	}
	l.dirty = false
}

// chunkLen returns how many of n series fit one schema.
func chunkLen(n int, series func(int) *telemetry.Series) int {
	text := 0
	for i := range n {
		s := series(i)
		text += len(s.Name) + 4
		for _, lb := range s.Labels {
			text += len(lb.Name) + len(lb.Value) + 4
		}
		if i > 0 && (i == maxColumns || text > maxText) {
			return i
		}
	}
	return n
}

func compareSeries(a, b *telemetry.Series) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Labels, b.Labels, func(x, y telemetry.Label) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
	}))
}

// hashTags does not depend on the map's order.
func hashTags(measurement string, tags map[string]string) uint64 {
	h := xxhash.Sum64String(measurement)
	for k, v := range tags {
		h += xxhash.Sum64String(k) * (xxhash.Sum64String(v) | 1)
	}
	return h
}

func sameTags(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}
