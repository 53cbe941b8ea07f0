package decode

import (
	"math"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

type marshaler interface{ Marshal() ([]byte, error) }

func compressed(t testing.TB, m marshaler) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, b)
}

func series1(name, instance string, samples ...prompb.Sample) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: instance}}, Samples: samples}
}

// latencies is a native histogram, and the same with bounds of its own.
func latencies() *histogram.Histogram {
	return &histogram.Histogram{Schema: 1, Count: 11, Sum: 6, ZeroCount: 2, ZeroThreshold: 0.25,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{3, 2, -4},
		NegativeSpans: []histogram.Span{{Offset: 1, Length: 1}}, NegativeBuckets: []int64{1}}
}

func customLatencies() *histogram.Histogram {
	return &histogram.Histogram{Schema: histogram.CustomBucketsSchema, Count: 9, Sum: 6, CustomValues: []float64{0.1, 0.5},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 1}}, PositiveBuckets: []int64{3, 3}}
}

func write1() *prompb.WriteRequest {
	native := series1("latency", "a")
	native.Histograms = []prompb.Histogram{prompb.FromIntHistogram(3000, latencies()), prompb.FromFloatHistogram(4000, latencies().ToFloat(nil))}
	return &prompb.WriteRequest{
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "requests_total"}},
		Timeseries: []prompb.TimeSeries{
			series1("requests_total", "a", prompb.Sample{Value: 1, Timestamp: 1000}, prompb.Sample{Value: 2.5, Timestamp: 2000}, prompb.Sample{Value: math.Float64frombits(value.StaleNaN), Timestamp: 3000}),
			series1("up", "b", prompb.Sample{Value: math.Inf(-1), Timestamp: -5}),
			native,
		},
	}
}

func TestRemoteWrite1(t *testing.T) {
	var r Reader
	const native = `latency{instance="a"} native `
	wantLines(t, flat(&r, RemoteWrite, compressed(t, write1())),
		`requests_total{instance="a"} untyped 1000: 1`,
		`requests_total{instance="a"} untyped 2000: 2.5`,
		`up{instance="b"} untyped -5: -Inf`,
		native+`3000: schema 1 count 11 sum 6 zero 2≤0.25 +[{0 3} {2 5} {3 1}] -[{1 1}]`,
		native+`4000: schema 1 count 11 sum 6 zero 2≤0.25 +[{0 3} {2 5} {3 1}] -[{1 1}]`)
}

func write2() *writev2.Request {
	sym := writev2.NewSymbolTable()
	add := func(typ writev2.Metadata_MetricType, ls ...string) writev2.TimeSeries {
		return writev2.TimeSeries{LabelsRefs: sym.SymbolizeLabels(labels.FromStrings(ls...), nil), Metadata: writev2.Metadata{Type: typ}}
	}
	requests := add(writev2.Metadata_METRIC_TYPE_COUNTER, "__name__", "requests_total", "host", "web-1")
	requests.Samples = []writev2.Sample{{Value: 7, Timestamp: 2000, StartTimestamp: 500}, {Value: 8, Timestamp: 3000, StartTimestamp: 500}}
	bucket := add(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "__name__", "latency_bucket", "host", "web-1", "le", "0.5")
	bucket.Samples = []writev2.Sample{{Value: 3, Timestamp: 2000}}
	quantile := add(writev2.Metadata_METRIC_TYPE_SUMMARY, "__name__", "gc", "host", "web-1", "quantile", "0.5")
	quantile.Samples = []writev2.Sample{{Value: 0.1, Timestamp: 2000}}
	level := add(writev2.Metadata_METRIC_TYPE_GAUGE, "__name__", "level", "host", "web-1")
	level.Samples = []writev2.Sample{{Value: 0.25, Timestamp: 2000}}
	native := add(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "__name__", "size", "host", "web-1")
	native.Histograms = []writev2.Histogram{writev2.FromIntHistogram(500, 2000, latencies())}
	custom := add(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "__name__", "wait", "host", "web-1")
	custom.Histograms = []writev2.Histogram{writev2.FromIntHistogram(500, 2000, customLatencies())}
	return &writev2.Request{Symbols: sym.Symbols(), Timeseries: []writev2.TimeSeries{requests, bucket, quantile, level, native, custom}}
}

func TestRemoteWrite2(t *testing.T) {
	var r Reader
	wantLines(t, flat(&r, RemoteWrite, compressed(t, write2())),
		`requests_total{host="web-1"} counter 2000 since 500: 7`,
		`requests_total{host="web-1"} counter 3000 since 500: 8`,
		`latency_bucket{host="web-1",le="0.5"} counter 2000: 3`,
		`gc{host="web-1",quantile="0.5"} gauge 2000: 0.1`,
		`level{host="web-1"} gauge 2000: 0.25`,
		`size{host="web-1"} native 2000 since 500: schema 1 count 11 sum 6 zero 2≤0.25 +[{0 3} {2 5} {3 1}] -[{1 1}]`,
		`wait_bucket{host="web-1",le="0.1"} counter 2000 since 500: 3`,
		`wait_bucket{host="web-1",le="0.5"} counter 2000 since 500: 3`,
		`wait_bucket{host="web-1",le="+Inf"} counter 2000 since 500: 9`,
		`wait_count{host="web-1"} counter 2000 since 500: 9`,
		`wait_sum{host="web-1"} counter 2000 since 500: 6`)
}

func TestWhatIsNoRemoteWriteIsRefused(t *testing.T) {
	var r Reader
	f := func(value []byte, want string) {
		t.Helper()
		wantLines(t, flat(&r, RemoteWrite, value), "error: "+want)
	}
	whole := compressed(t, write2())
	f([]byte("cpu usage=1"), "decompress by snappy: s2: corrupt input")
	f(whole[:len(whole)/2], "decompress by snappy: s2: corrupt input")
	f(s2.EncodeSnappy(nil, []byte{0xff}), errMessage.Error())
	f(compressed(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Samples: []prompb.Sample{{Value: 1, Timestamp: 1}}}}}), "a series has no label __name__")
	f(compressed(t, &writev2.Request{Symbols: []string{""}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{0, 7}}}}), "a label refers to symbol 7 of 1")
	bomb := []byte{0x80, 0x80, 0x80, 0x80, 0x0f} // says that it grows to 4 GB
	f(bomb, "decompress by snappy: it grows to 4026531840 bytes, more than 33554432")
}

func FuzzRemoteWrite(f *testing.F) {
	for _, m := range []marshaler{write1(), write2()} {
		b, err := m.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	// The bytes are those before compression, or nothing would get through it.
	f.Fuzz(func(t *testing.T, b []byte) { readsSafely(t, RemoteWrite, s2.EncodeSnappy(nil, b)) })
}
