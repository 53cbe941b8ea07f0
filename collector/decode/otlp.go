package decode

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Fields of the data that a Metric holds.
const (
	dataGauge       = 5
	dataSum         = 7
	dataHistogram   = 9
	dataExponential = 10
	dataSummary     = 11
)

// temporalityDelta is AGGREGATION_TEMPORALITY_DELTA; 0 is unspecified.
const (
	temporalityDelta      = 1
	temporalityCumulative = 2
)

// maxScopes bounds the scopes whose bytes a reader remembers.
const maxScopes = 1 << 14

// otlp reads ExportMetricsServiceRequests: resources hold scopes, these metrics,
// these points.
type otlp struct {
	request, resource, scope, data message
	// What the message that is being read belongs to.
	resourceBytes, scopeBytes []byte
	metric                    metric
	shape                     shape
	point                     Point
	hist                      NativeHistogram
	scratch, bits             []uint64
	counts                    []float64
	// scopes gives each resource and scope a number that stands for its bytes in
	// keys. Numbers are never used twice.
	scopes  map[string]uint64
	last    uint64
	scopeID uint64
	scopeOf []byte
}

// metric is what a Metric says before its points.
type metric struct {
	name, unit  []byte
	kind        uint64 // one of the data fields
	temporality uint64
	monotonic   bool
}

// shape is what one point has columns of.
type shape struct {
	attributes []byte    // the region of the message, see attributesOf
	bounds     []float64 // of a histogram
	quantiles  []float64 // of a summary
}

func (o *otlp) open(value []byte) {
	o.request, o.resource, o.scope, o.data = message{b: value}, message{}, message{}, message{}
	if o.scopes == nil {
		o.scopes = map[string]uint64{}
	}
}

func (o *otlp) next() (*Point, error) {
	for {
		took, err := o.step()
		if err != nil {
			o.request, o.resource, o.scope, o.data = message{}, message{}, message{}, message{}
			return nil, err
		}
		if took == done {
			return nil, nil
		}
		if took == aPoint {
			return &o.point, nil
		}
	}
}

// progress is what one step of a reader led to.
type progress uint8

const (
	done progress = iota
	aPoint
	further
)

// step reads one field of the innermost message that has any left.
func (o *otlp) step() (progress, error) {
	switch {
	case o.data.next():
		if !o.data.is(1, wireBytes) {
			return further, o.data.err()
		}
		return o.read(o.data.bytes)
	case o.scope.next():
		if o.scope.is(2, wireBytes) {
			return further, o.openMetric(o.scope.bytes)
		}
	case o.resource.next():
		if o.resource.is(2, wireBytes) {
			return further, o.openScope(o.resource.bytes)
		}
	case o.request.next():
		if o.request.is(1, wireBytes) {
			return further, o.openResource(o.request.bytes)
		}
	default:
		return done, o.err()
	}
	return further, o.err()
}

func (o *otlp) err() error {
	for _, m := range []*message{&o.data, &o.scope, &o.resource, &o.request} {
		if m.damaged {
			return errMessage
		}
	}
	return nil
}

func (o *otlp) openResource(b []byte) (err error) {
	o.resource = message{b: b}
	o.resourceBytes, err = find(b, 1)
	return err
}

func (o *otlp) openScope(b []byte) (err error) {
	o.scope = message{b: b}
	if o.scopeBytes, err = find(b, 1); err != nil {
		return err
	}
	o.scopeOf = append(binary.AppendUvarint(o.scopeOf[:0], uint64(len(o.resourceBytes))), o.resourceBytes...)
	o.scopeOf = append(o.scopeOf, o.scopeBytes...)
	id, known := o.scopes[string(o.scopeOf)]
	if !known {
		if len(o.scopes) >= maxScopes {
			clear(o.scopes)
		}
		o.last++
		id = o.last
		o.scopes[string(o.scopeOf)] = id
	}
	o.scopeID = id
	return nil
}

func (o *otlp) openMetric(b []byte) error {
	o.metric = metric{}
	var data []byte
	m := message{b: b}
	for m.next() {
		switch m.field {
		case 1, 3, dataGauge, dataSum, dataHistogram, dataExponential, dataSummary:
			if m.typ != wireBytes {
				return errMessage
			}
		}
		switch m.field {
		case 1:
			o.metric.name = m.bytes
		case 3:
			o.metric.unit = m.bytes
		case dataGauge, dataSum, dataHistogram, dataExponential, dataSummary:
			o.metric.kind, data = m.field, m.bytes
		}
	}
	if m.damaged {
		return errMessage
	}
	o.data = message{b: data}
	for d := (message{b: data}); ; {
		if !d.next() {
			return d.err()
		}
		switch {
		case o.metric.kind == dataGauge || o.metric.kind == dataSummary:
		case d.is(2, wireVarint):
			o.metric.temporality = d.num
		case o.metric.kind == dataSum && d.is(3, wireVarint):
			o.metric.monotonic = d.num != 0
		}
	}
}

// column returns the kind of the metric's series.
func (m *metric) column() (Kind, error) {
	delta := m.temporality == temporalityDelta
	switch {
	case m.kind == dataGauge || m.kind == dataSum && !m.monotonic:
		return Gauge, nil
	case m.kind != dataSummary && !delta && m.temporality != temporalityCumulative:
		return Untyped, fmt.Errorf("metric %q says neither that it is cumulative nor that it is a difference", m.name)
	case m.kind == dataExponential && delta:
		return NativeDelta, nil
	case m.kind == dataExponential:
		return Native, nil
	case delta && m.kind != dataSummary:
		return Delta, nil
	}
	return Counter, nil
}

// attributeFields are the fields of a point's attributes, by the metric's kind.
func (m *metric) attributeField() uint64 {
	switch m.kind {
	case dataHistogram:
		return 9
	case dataExponential:
		return 1
	}
	return 7
}

// flagsField are the fields of a point's flags, of which the first says that it
// holds no value.
func (m *metric) flagsField() uint64 {
	switch m.kind {
	case dataHistogram, dataExponential:
		return 10
	}
	return 8
}

const noRecordedValue = 1

// read reads a point.
func (o *otlp) read(b []byte) (progress, error) {
	p := &o.point
	p.Time, p.Timed, p.Start, p.Values = 0, false, 0, p.Values[:0]
	o.shape.attributes = b
	attributes, flags := o.metric.attributeField(), o.metric.flagsField()
	p.Key = binary.AppendUvarint(p.Key[:0], o.scopeID)
	p.Key = append(p.Key, byte(o.metric.kind), byte(o.metric.temporality), truthByte(o.metric.monotonic))
	p.Key = appendBytes(appendBytes(p.Key, o.metric.name), o.metric.unit)
	m := message{b: b}
	skip := false
	for m.next() {
		switch {
		case m.is(attributes, wireBytes):
			p.Key = appendBytes(p.Key, m.bytes)
		case m.is(2, wireFixed64):
			p.Start = int64(min(m.num, math.MaxInt64))
		case m.is(3, wireFixed64):
			p.Time, p.Timed = int64(min(m.num, math.MaxInt64)), m.num != 0
		case m.is(flags, wireVarint):
			skip = m.num&noRecordedValue != 0
		}
	}
	if m.damaged {
		return further, errMessage
	}
	if skip {
		return further, nil
	}
	var err error
	switch o.metric.kind {
	case dataGauge, dataSum:
		err = o.readNumber(b)
	case dataHistogram:
		err = o.readHistogram(b)
	case dataExponential:
		err = o.readExponential(b)
	case dataSummary:
		err = o.readSummary(b)
	}
	if err != nil || len(p.Values) == 0 {
		return further, err
	}
	return aPoint, nil
}

func truthByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (o *otlp) readNumber(b []byte) error {
	m := message{b: b}
	for m.next() {
		var v Value
		switch {
		case m.is(4, wireFixed64):
			v = Value{Form: Float, Num: m.float()}
		case m.is(6, wireFixed64):
			v = Value{Form: Int, Bits: m.num, Num: float64(int64(m.num))}
		default:
			continue
		}
		o.point.Values = append(o.point.Values[:0], v)
	}
	return m.err()
}
