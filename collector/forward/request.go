package forward

import (
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"nines/collector/decode"
	"nines/internal/telemetry"
)

// sample is one value of one series on its way out.
type sample struct {
	series *series
	time   int64 // Unix milliseconds
	value  float64
	// Of histograms, in place of value.
	hist  *histogram.Histogram
	float *histogram.FloatHistogram
	start int64 // since when the value counts, Unix milliseconds; 0 where unknown
	// offset is that of the record that it came in.
	offset int64
}

// native tells whether the sample is a histogram.
func (s *sample) native() bool { return s.hist != nil || s.float != nil }

// version is that of the remote-write protocol.
type version int

const (
	version1 version = 1
	version2 version = 2
)

// body writes samples as a request, compressed by snappy. Samples of a series
// stay in their order. It keeps memory and is for one goroutine.
type body struct {
	symbols  writev2.SymbolsTable
	seat     map[*series]int
	raw, out []byte
}

func newBody() *body {
	return &body{symbols: writev2.NewSymbolTable(), seat: map[*series]int{}}
}

// encode returns the request's bytes, which are valid until the next call.
func (b *body) encode(v version, samples []sample) ([]byte, error) {
	clear(b.seat)
	var err error
	if v == version2 {
		b.symbols.Reset()
		b.raw, err = b.v2(samples).OptimizedMarshal(b.raw[:0])
	} else {
		b.raw, err = b.v1(samples).Marshal()
	}
	if err != nil {
		return nil, err
	}
	b.out = snappy.Encode(b.out[:cap(b.out)], b.raw)
	return b.out, nil
}

// seatOf returns the series' place in the request, and whether it has it
// already: if not, it takes the next.
func (b *body) seatOf(s *series, next int) (at int, seated bool) {
	if at, seated = b.seat[s]; !seated {
		at, b.seat[s] = next, next
	}
	return at, seated
}

func (b *body) v2(samples []sample) *writev2.Request {
	req := &writev2.Request{}
	for i := range samples {
		s := &samples[i]
		at, seated := b.seatOf(s.series, len(req.Timeseries))
		if !seated {
			req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
				LabelsRefs: b.symbols.SymbolizeLabels(s.series.labels, nil),
				Metadata:   writev2.Metadata{Type: writev2.FromMetadataType(s.series.kind)},
			})
		}
		ts := &req.Timeseries[at]
		switch {
		case s.hist != nil:
			ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(s.start, s.time, s.hist))
		case s.float != nil:
			ts.Histograms = append(ts.Histograms, writev2.FromFloatHistogram(s.start, s.time, s.float))
		default:
			ts.Samples = append(ts.Samples, writev2.Sample{Value: s.value, Timestamp: s.time, StartTimestamp: s.start})
		}
	}
	req.Symbols = b.symbols.Symbols()
	return req
}

// v1 says no kinds: its metadata travels apart and is no part of a sample.
func (b *body) v1(samples []sample) *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for i := range samples {
		s := &samples[i]
		at, seated := b.seatOf(s.series, len(req.Timeseries))
		if !seated {
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: prompb.FromLabels(s.series.labels, nil)})
		}
		ts := &req.Timeseries[at]
		switch {
		case s.hist != nil:
			ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(s.time, s.hist))
		case s.float != nil:
			ts.Histograms = append(ts.Histograms, prompb.FromFloatHistogram(s.time, s.float))
		default:
			ts.Samples = append(ts.Samples, prompb.Sample{Value: s.value, Timestamp: s.time})
		}
	}
	return req
}

// series is one series of one agent as it is sent.
type series struct {
	labels labels.Labels
	kind   model.MetricType
}

func metricType(k telemetry.Kind) model.MetricType {
	switch k {
	case telemetry.Counter:
		return model.MetricTypeCounter
	case telemetry.Histogram:
		return model.MetricTypeHistogram
	}
	return model.MetricTypeGauge
}

func foreignType(k decode.Kind) model.MetricType {
	switch k {
	case decode.Gauge:
		return model.MetricTypeGauge
	case decode.Counter, decode.Delta:
		return model.MetricTypeCounter
	case decode.Native, decode.NativeDelta:
		return model.MetricTypeHistogram
	}
	return model.MetricTypeUnknown
}
