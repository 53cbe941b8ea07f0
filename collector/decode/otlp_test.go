package decode

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func marshalOTLP(t testing.TB, m pmetric.Metrics) []byte {
	t.Helper()
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOTLPExamples(t *testing.T) {
	text, err := os.ReadFile("../../../shared/data/otlp-json-examples/metrics.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no recordings: ../shared/data/otlp-json-examples is absent")
	} else if err != nil {
		t.Fatal(err)
	}
	m, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(text)
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	got := flat(&r, OTLP, marshalOTLP(t, m))
	for i := range got {
		got[i] = strings.NewReplacer(`,otel_scope_name="my.library",otel_scope_version="1.0.0",service_name="my.service"`, ",…", `job="my.service",`, "").Replace(got[i])
	}
	const since = "1544712660300 since 1544712660300"
	wantLines(t, got,
		`my_counter_total{my_counter_attr="some value",…} delta `+since+`: 5`,
		`my_gauge_ratio{my_gauge_attr="some value",…} gauge 1544712660300: 10`,
		`my_histogram_bucket{le="1",my_histogram_attr="some value",…} delta `+since+`: 1`,
		`my_histogram_bucket{le="+Inf",my_histogram_attr="some value",…} delta `+since+`: 2`,
		`my_histogram_count{my_histogram_attr="some value",…} delta `+since+`: 2`,
		`my_histogram_sum{my_histogram_attr="some value",…} delta `+since+`: 2`,
		`my_exponential_histogram{my_exponential_histogram_attr="some value",…} native delta `+since+`: schema 0 count 3 sum 10 zero 1≤0 +[{3 2}] -[]`)
}

const second = 1_000_000_000

// fleetMetrics are one host's metrics of every kind.
func fleetMetrics() pmetric.Metrics {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	a := rm.Resource().Attributes()
	a.PutStr("host.name", "web-1")
	a.PutStr("cloud.region", "eu")
	a.PutStr("cloud.availability_zone", "eu-a")
	a.PutStr("service.name", "shop")
	a.PutStr("service.namespace", "retail")
	a.PutInt("process.pid", 7)
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()

	sum := ms.AppendEmpty()
	sum.SetName("requests")
	s := sum.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := s.DataPoints().AppendEmpty()
	p.Attributes().PutStr("http.route", "/pay")
	p.Attributes().PutBool("tls", true)
	p.SetIntValue(math.MaxInt64)
	stamp(p.SetStartTimestamp, p.SetTimestamp, 10, 20)

	level := ms.AppendEmpty()
	level.SetName("queue.length")
	l := level.SetEmptySum()
	l.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p = l.DataPoints().AppendEmpty()
	p.SetDoubleValue(-0.5)
	stamp(p.SetStartTimestamp, p.SetTimestamp, 0, 20)
	l.DataPoints().AppendEmpty().SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))

	hist := ms.AppendEmpty()
	hist.SetName("latency")
	hist.SetUnit("s")
	h := hist.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	hp := h.DataPoints().AppendEmpty()
	hp.ExplicitBounds().FromRaw([]float64{0.1, 0.5, 2.5})
	hp.BucketCounts().FromRaw([]uint64{1, 2, 0, 4})
	hp.SetCount(7)
	hp.SetSum(9.5)
	stamp(hp.SetStartTimestamp, hp.SetTimestamp, 10, 20)

	exp := ms.AppendEmpty()
	exp.SetName("size")
	exp.SetUnit("By")
	e := exp.SetEmptyExponentialHistogram()
	e.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	ep := e.DataPoints().AppendEmpty()
	ep.SetScale(1)
	ep.SetZeroCount(2)
	ep.SetZeroThreshold(0.25)
	ep.Positive().SetOffset(-1)
	ep.Positive().BucketCounts().FromRaw([]uint64{3, 0, 5})
	ep.Negative().BucketCounts().FromRaw([]uint64{1})
	ep.SetCount(11)
	ep.SetSum(6)
	stamp(ep.SetStartTimestamp, ep.SetTimestamp, 10, 20)

	summary := ms.AppendEmpty()
	summary.SetName("gc")
	sp := summary.SetEmptySummary().DataPoints().AppendEmpty()
	q := sp.QuantileValues().AppendEmpty()
	q.SetQuantile(0.99)
	q.SetValue(0.004)
	sp.SetCount(12)
	sp.SetSum(0.03)
	stamp(sp.SetStartTimestamp, sp.SetTimestamp, 10, 20)
	return m
}

func stamp(start, at func(pcommon.Timestamp), from, to pcommon.Timestamp) {
	start(from * second)
	at(to * second)
}

func TestOTLPKinds(t *testing.T) {
	var r Reader
	got := flat(&r, OTLP, marshalOTLP(t, fleetMetrics()))
	for i := range got {
		got[i] = strings.Replace(got[i], `process_pid="7",`, "", 1)
		got[i] = strings.Replace(got[i], `region="eu",service_name="shop",service_namespace="retail"`, "…", 1)
	}
	wantLines(t, got,
		`requests_total{host="web-1",http_route="/pay",job="retail/shop",…,tls="true",zone="eu-a"} counter 20000 since 10000: 9223372036854775807`,
		`queue_length{host="web-1",job="retail/shop",…,zone="eu-a"} gauge 20000: -0.5`,
		`latency_seconds_bucket{host="web-1",job="retail/shop",le="0.1",…,zone="eu-a"} counter 20000 since 10000: 1`,
		`latency_seconds_bucket{host="web-1",job="retail/shop",le="0.5",…,zone="eu-a"} counter 20000 since 10000: 3`,
		`latency_seconds_bucket{host="web-1",job="retail/shop",le="2.5",…,zone="eu-a"} counter 20000 since 10000: 3`,
		`latency_seconds_bucket{host="web-1",job="retail/shop",le="+Inf",…,zone="eu-a"} counter 20000 since 10000: 7`,
		`latency_seconds_count{host="web-1",job="retail/shop",…,zone="eu-a"} counter 20000 since 10000: 7`,
		`latency_seconds_sum{host="web-1",job="retail/shop",…,zone="eu-a"} counter 20000 since 10000: 9.5`,
		`size_bytes{host="web-1",job="retail/shop",…,zone="eu-a"} native 20000 since 10000: schema 1 count 11 sum 6 zero 2≤0.25 +[{0 3} {2 5}] -[{1 1}]`,
		`gc{host="web-1",job="retail/shop",quantile="0.99",…,zone="eu-a"} gauge 20000 since 10000: 0.004`,
		`gc_count{host="web-1",job="retail/shop",…,zone="eu-a"} counter 20000 since 10000: 12`,
		`gc_sum{host="web-1",job="retail/shop",…,zone="eu-a"} counter 20000 since 10000: 0.03`)
}

func TestDamagedOTLP(t *testing.T) {
	var r Reader
	whole := marshalOTLP(t, fleetMetrics())
	for n := range whole {
		got := flat(&r, OTLP, whole[:n])
		if n > 0 && (len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "error: ")) {
			t.Fatalf("the first %d of %d bytes are taken: %q", n, len(whole), got)
		}
	}
	wantLines(t, flat(&r, OTLP, []byte("cpu usage=1 1000")), "error: "+errMessage.Error())
}

func TestAtMostIsExactOrSaysThatItIsNot(t *testing.T) {
	h := &NativeHistogram{Schema: 1, Zero: 2, ZeroThreshold: 0.25, Negative: []NativeBucket{{1, 1}}, Positive: []NativeBucket{{0, 3}, {2, 5}, {3, 7}}}
	f := func(schema int32, bound, want float64, exact bool) {
		t.Helper()
		h.Schema = schema
		if got, ok := h.AtMost(bound); ok != exact || ok && got != want {
			t.Errorf("schema %d, at most %v: %v, %v; want %v, %v", schema, bound, got, ok, want, exact)
		}
	}
	f(1, 1, 6, true)      // bucket 0 ends at 1
	f(1, 2, 11, true)     // bucket 2 ends at 2
	f(1, 0.25, 3, true)   // what counts as zero ends there too
	f(1, 0.125, 0, false) // within what counts as zero
	f(1, 1.5, 0, false)   // no power of two is no bucket's bound
	f(1, 0, 0, false)     // nor is zero
	f(-1, 4, 6, true)     // buckets of a factor of four: 1 ends at 4
	f(-1, 2, 0, false)    // which 2 does not bound
	f(-1, 16, 11, true)   // bucket 2 ends at 16
	f(1, math.Inf(1), 0, false)
}

func FuzzOTLP(f *testing.F) {
	f.Add(marshalOTLP(f, fleetMetrics()))
	f.Fuzz(func(t *testing.T, b []byte) { readsSafely(t, OTLP, b) })
}
