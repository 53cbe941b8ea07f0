// Package decode reads what other fleets write to Kafka: Influx line protocol,
// OTLP metrics in protobuf, and Prometheus remote write 1 and 2. It turns a
// record into points, each the values of one set of series at one time, and
// promises that values are those which were sent, bit by bit; docs/formats.md
// says how series are named. Aggregation calls it.
//
// A set of series is known by the bytes that name it on the wire, so that a
// caller describes each set once and looks it up by its key from then on: no
// string is made for a sample. Readers never panic and never allocate more than
// their input justifies, whatever the bytes.
package decode

import (
	"fmt"
	"math"
	"strings"

	"nines/internal/telemetry"
)

// Format is how a foreign record is written.
type Format uint8

// The formats.
const (
	// Influx is Influx line protocol, its times in nanoseconds.
	Influx Format = 1 + iota
	// OTLP is an ExportMetricsServiceRequest of OpenTelemetry in protobuf.
	OTLP
	// RemoteWrite is a request of Prometheus remote write, version 1 or 2, in
	// protobuf and compressed by snappy. The two versions use different fields, so
	// that a request shows its own.
	RemoteWrite
)

// String returns the format's name in configurations, metrics and dead letters.
func (f Format) String() string {
	switch f {
	case Influx:
		return "influx"
	case OTLP:
		return "otlp"
	case RemoteWrite:
		return "remote-write"
	}
	return "unknown"
}

// Formats are the names that ParseFormat knows.
func Formats() []string { return []string{Influx.String(), OTLP.String(), RemoteWrite.String()} }

// ParseFormat returns the format of the name.
func ParseFormat(name string) (Format, error) {
	for f := Influx; f <= RemoteWrite; f++ {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("must be one of %s", strings.Join(Formats(), ", "))
}

// FormatOf returns the format that a record's headers content-type and
// content-encoding name, as HTTP has them: a format's own name is understood
// too. Protobuf that is not said to be compressed or of Prometheus is OTLP.
func FormatOf(contentType, encoding string) (Format, error) {
	media, params, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	if f, err := ParseFormat(media); err == nil {
		return f, nil
	}
	switch media {
	case "text/plain", "application/vnd.influx.line-protocol":
		return Influx, nil
	case "application/x-protobuf", "application/protobuf":
		proto := strings.TrimSpace(params)
		if proto == "proto=prometheus.writerequest" || proto == "proto=io.prometheus.write.v2.request" || strings.EqualFold(encoding, "snappy") {
			return RemoteWrite, nil
		}
		if proto == "" || strings.HasPrefix(proto, "charset") || strings.HasPrefix(proto, "proto=opentelemetry.") {
			return OTLP, nil
		}
	}
	return 0, fmt.Errorf("content-type %q is not known: want text/plain, application/x-protobuf, or one of %s", contentType, strings.Join(Formats(), ", "))
}

// Kind says how the values of a series are to be read.
type Kind uint8

// The kinds of series.
const (
	// Untyped: the format does not say; whoever reads it does.
	Untyped Kind = iota
	// Gauge values stand alone.
	Gauge
	// Counter values are cumulative since their start, until a reset.
	Counter
	// Delta values are what was added since their start.
	Delta
	// Native values are histograms with exponential buckets, cumulative.
	Native
	// NativeDelta values are such histograms of what was added since their start.
	NativeDelta
)

// Form is how a value was written.
type Form uint8

// The forms.
const (
	Float     Form = iota
	Int            // Bits holds an int64
	Uint           // Bits holds an uint64
	Bool           // Num is 0 or 1
	Text           // Text holds the string; no sample
	Histogram      // Hist holds the histogram
)

// Value is one value of a point.
type Value struct {
	// Field is the field's name as it is written, escapes included, in line
	// protocol; else values come in the order of the set's columns.
	Field []byte
	Form  Form
	// Num is the value, of an integer the nearest float64.
	Num  float64
	Bits uint64
	Text []byte
	Hist *NativeHistogram
	// place is one more than that of its column in a set that Sets knows, 0 where
	// it has to be looked up.
	place int
}

// Count returns the value as a cumulative count: its integer part, exact for
// integers. It is not ok where it is negative or no number.
func (v *Value) Count() (n uint64, ok bool) {
	switch v.Form {
	case Uint:
		return v.Bits, true
	case Int:
		return v.Bits, int64(v.Bits) >= 0
	case Float, Bool:
		return uint64(v.Num), v.Num >= 0 && v.Num < 1<<63
	}
	return 0, false
}

// Sample tells whether the value is a number or a histogram.
func (v *Value) Sample() bool { return v.Form != Text }

// NativeHistogram is a histogram with exponential buckets as Prometheus and
// OpenTelemetry have them: bucket i counts values in (b^(i-1), b^i] with
// b = 2^(2^-Schema), of either sign, and Zero those whose size is at most
// ZeroThreshold. Counts are whole numbers unless the sender made them floats.
type NativeHistogram struct {
	Schema        int32
	Count, Sum    float64
	Zero          float64
	ZeroThreshold float64
	Positive      []NativeBucket
	Negative      []NativeBucket
}

// NativeBucket is one bucket of a NativeHistogram; empty ones may be left out.
type NativeBucket struct {
	Index int32
	Count float64
}

// AtMost returns how many of the histogram's values are at most the bound; ok
// says that this is exact, which it is where the bound is a bucket's: a power of
// two, as no other float64 is a bucket's bound.
func (h *NativeHistogram) AtMost(bound float64) (n float64, ok bool) {
	mantissa, exp := math.Frexp(bound)
	if bound <= 0 || mantissa != 0.5 || h.ZeroThreshold > bound {
		return 0, false
	}
	index := int64(exp) - 1 // log2 of the bound
	switch {
	case h.Schema >= 0 && h.Schema <= 32:
		index <<= h.Schema
	case h.Schema < 0 && h.Schema >= -32:
		if index&(1<<-h.Schema-1) != 0 {
			return 0, false
		}
		index >>= -h.Schema
	default:
		return 0, false
	}
	n = h.Zero
	for _, b := range h.Negative {
		n += b.Count
	}
	for _, b := range h.Positive {
		if int64(b.Index) <= index {
			n += b.Count
		}
	}
	return n, true
}

// Point holds the values of one set of series at one time. It is valid until
// the next call of Next.
type Point struct {
	// Key names the set: points of equal keys are of the same set, and of the same
	// columns except in line protocol, where Value.Field names the column.
	Key []byte
	// Time is in Unix nanoseconds. Timed says that the record gave one.
	Time  int64
	Timed bool
	// Start is since when counters count, in Unix nanoseconds, 0 where unknown.
	Start  int64
	Values []Value
	// Unread is how many samples were checked and left out of Values, as Sets was
	// told that nobody needs them.
	Unread int
}

// Set describes the series of a point.
type Set struct {
	// Labels are those that all columns have.
	Labels telemetry.Labels
	// Columns are the series of the point's values, in their order; texts have
	// none in line protocol.
	Columns []Column
}

// Column is one series.
type Column struct {
	// Field is the field's name as it is written, in line protocol.
	Field  string
	Name   string
	Labels telemetry.Labels
	Kind   Kind
}

// Reader reads records, one after the other. It is for one goroutine.
type Reader struct {
	format Format
	lines  lines
	otlp   otlp
	writes writes
}

// Open begins the next record. The reader keeps value until it has been read.
func (r *Reader) Open(f Format, value []byte) {
	switch r.format = f; f {
	case Influx:
		r.lines.open(value)
	case OTLP:
		r.otlp.open(value)
	case RemoteWrite:
		r.writes.open(value)
	}
}

// Next returns the next point, nil after the last. An error is of a part of the
// record that cannot be read: there may be points after it.
func (r *Reader) Next() (*Point, error) {
	switch r.format {
	case Influx:
		return r.lines.next()
	case OTLP:
		return r.otlp.next()
	case RemoteWrite:
		return r.writes.next()
	}
	return nil, nil
}

// Describe returns what the point that Next returned last is of. On error the
// point is to be refused: only here is it known whether its key can be read.
func (r *Reader) Describe() (*Set, error) {
	switch r.format {
	case Influx:
		return r.lines.describe()
	case OTLP:
		return r.otlp.describe()
	case RemoteWrite:
		return r.writes.describe()
	}
	return nil, fmt.Errorf("format %d is not known", r.format)
}
