package telegraf

import (
	"math"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
)

// accumulator is what a plugin writes its measurements into. Plugins may call
// it from several goroutines, and after a Gather has returned.
type accumulator struct {
	ri *models.RunningInput
	// plain inputs need none of Telegraf's metric handling: no filter, no tag,
	// no other name.
	plain bool

	mu     sync.Mutex
	layout *layout
	errs   uint64
	last   error // since the last takeError
}

func newAccumulator(ri *models.RunningInput, l *layout) *accumulator {
	c := ri.Config
	plain := !c.Filter.IsActive() && c.NameOverride == "" && c.MeasurementPrefix == "" && c.MeasurementSuffix == "" && len(c.Tags) == 0
	if plain {
		// Global tags are not readable from the input: a metric shows them.
		m := ri.MakeMetric(metric.New("m", nil, map[string]any{"f": 1.0}, time.Time{}))
		plain = m != nil && len(m.TagList()) == 0
	}
	return &accumulator{ri: ri, layout: l, plain: plain}
}

// AddFields implements telegraf.Accumulator, as do the methods below. The
// times that plugins give are not used: a round has one sample time.
func (a *accumulator) AddFields(m string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	a.add(m, fields, tags, telegraf.Untyped)
}

// AddGauge takes states.
func (a *accumulator) AddGauge(m string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	a.add(m, fields, tags, telegraf.Gauge)
}

// AddCounter takes cumulative figures, and what the plugin mixes among them.
func (a *accumulator) AddCounter(m string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	a.add(m, fields, tags, telegraf.Counter)
}

// AddSummary takes a summary's fields as states.
func (a *accumulator) AddSummary(m string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	a.add(m, fields, tags, telegraf.Summary)
}

// AddHistogram takes a histogram's cumulative bucket counts.
func (a *accumulator) AddHistogram(m string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	a.add(m, fields, tags, telegraf.Counter)
}

// AddMetric takes a complete metric.
func (a *accumulator) AddMetric(m telegraf.Metric) {
	a.addMetric(m)
	m.Accept()
}

// SetPrecision does nothing: sample times are the agent's.
func (a *accumulator) SetPrecision(time.Duration) {}

// AddError counts an error of the plugin.
func (a *accumulator) AddError(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs++
	a.last = err
}

// WithTracking returns an accumulator that confirms every metric at once.
func (a *accumulator) WithTracking(maxTracked int) telegraf.TrackingAccumulator {
	return &tracking{accumulator: a, delivered: make(chan telegraf.DeliveryInfo, max(maxTracked, 1))}
}

func (a *accumulator) add(m string, fields map[string]any, tags map[string]string, typ telegraf.ValueType) {
	if !a.plain {
		a.addMetric(metric.New(m, tags, fields, time.Time{}, typ))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.layout.group(m, tags)
	for k, v := range fields {
		if f, ok := number(v); ok {
			a.layout.set(g, k, typ, f)
		}
	}
}

func (a *accumulator) addMetric(m telegraf.Metric) {
	if m = a.ri.MakeMetric(m); m == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.layout.group(m.Name(), m.Tags())
	for _, f := range m.FieldList() {
		if v, ok := number(f.Value); ok {
			a.layout.set(g, f.Key, m.Type(), v)
		}
	}
}

// takeErrors returns how many errors the plugin added so far, and the last one
// since the previous call.
func (a *accumulator) takeErrors() (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.last
	a.last = nil
	return a.errs, err
}

// number returns a field's value as a float64: false and true are 0 and 1,
// strings and values that are not numbers have none.
func number(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, !math.IsNaN(x)
	case int64:
		return float64(x), true
	case uint64:
		// All ones is how drivers say "unknown" (a link's speed).
		return float64(x), x != math.MaxUint64
	case int:
		return float64(x), true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case float32:
		return float64(x), !math.IsNaN(float64(x))
	case int32:
		return float64(x), true
	case uint32:
		return float64(x), true
	case uint:
		return float64(x), true
	case int16:
		return float64(x), true
	case uint16:
		return float64(x), true
	case int8:
		return float64(x), true
	case uint8:
		return float64(x), true
	}
	return 0, false
}

// tracking serves plugins that want to know when their metrics are delivered:
// to them it is when the agent has taken them.
type tracking struct {
	*accumulator
	delivered chan telegraf.DeliveryInfo

	mu   sync.Mutex
	next telegraf.TrackingID
}

// AddTrackingMetric implements telegraf.TrackingAccumulator.
func (t *tracking) AddTrackingMetric(m telegraf.Metric) telegraf.TrackingID {
	return t.AddTrackingMetricGroup([]telegraf.Metric{m})
}

// AddTrackingMetricGroup implements telegraf.TrackingAccumulator.
func (t *tracking) AddTrackingMetricGroup(group []telegraf.Metric) telegraf.TrackingID {
	for _, m := range group {
		t.AddMetric(m)
	}
	t.mu.Lock()
	t.next++
	id := t.next
	t.mu.Unlock()
	select {
	case t.delivered <- deliveryInfo(id):
	default:
	}
	return id
}

// Delivered implements telegraf.TrackingAccumulator.
func (t *tracking) Delivered() <-chan telegraf.DeliveryInfo { return t.delivered }

type deliveryInfo telegraf.TrackingID

// ID implements telegraf.DeliveryInfo.
func (d deliveryInfo) ID() telegraf.TrackingID { return telegraf.TrackingID(d) }

// Delivered implements telegraf.DeliveryInfo.
func (deliveryInfo) Delivered() bool { return true }
