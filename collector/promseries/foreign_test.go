package promseries

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"

	"nines/collector/decode"
)

// reading reads records as a partition's owner, and says what comes out.
type reading struct {
	t   testing.TB
	f   *Foreign[string]
	out []string
}

func newReading(t testing.TB) *reading {
	r := &reading{t: t}
	r.f = NewForeign(func(ls labels.Labels, _ decode.Kind) (string, bool) {
		s := ls.String()
		return s, !strings.Contains(s, "unwanted")
	})
	return r
}

func (r *reading) read(format decode.Format, key string, value []byte, quiet bool) Taken {
	rec := &decode.Record{Format: format, Key: []byte(key), Value: value, Time: 99_000}
	return r.f.Read(rec, Bounds{Now: 99_000, Latest: 699_000, Quiet: quiet}, func(s string, x *Sample) {
		if x.Quiet {
			return
		}
		text := fmt.Sprintf("%s %v@%d", s, x.Number, x.Time)
		if x.Hist != nil {
			text = fmt.Sprintf("%s n=%v sum=%v %s@%d", s, x.Hist.Count, x.Hist.Sum, hints[x.Hist.CounterResetHint], x.Time)
		}
		if x.First {
			text += " first"
		}
		r.out = append(r.out, text)
	})
}

var hints = []string{"", "reset", "no reset", "gauge"}

// want compares what came out since the last call.
func (r *reading) want(lines ...string) {
	r.t.Helper()
	if !slices.Equal(r.out, lines) {
		r.t.Errorf("read\n%s\nwant\n%s", strings.Join(r.out, "\n"), strings.Join(lines, "\n"))
	}
	r.out = nil
}

// Telegraf writes its buffer again after a broker was away.
func TestLinesOfTelegraf(t *testing.T) {
	r := newReading(t)
	batch := []byte("cpu,host=a usage=1.5,cores=8i,on=true,model=\"x\" 1000000000\ncpu,host=a usage=2 2000000000\ncpu,host=a,unwanted=1 usage=9 2000000000\n")
	r.read(decode.Influx, "a", batch, false)
	r.want(`{__name__="cpu_usage", host="a"} 1.5@1000`, `{__name__="cpu_cores", host="a"} 8@1000`, `{__name__="cpu_on", host="a"} 1@1000`,
		`{__name__="cpu_usage", host="a"} 2@2000`)
	if seen := r.read(decode.Influx, "a", batch, false); seen.Repeats != 4 {
		t.Errorf("%d repeats, want 4", seen.Repeats)
	}
	r.want()
	r.read(decode.Influx, "a", []byte("cpu,host=a usage=7 1500000000\ncpu,host=a usage=8 1500000999\ncpu,host=a load=3 1500000000"), false)
	r.want(`{__name__="cpu_usage", host="a"} 7@1500`, `{__name__="cpu_load", host="a"} 3@1500`)
	if seen := r.read(decode.Influx, "a", []byte("cpu,host=a usage=5 3000000000\nthis is no line\n"), false); seen.Bad != 1 {
		t.Errorf("%d bad parts, want 1", seen.Bad)
	}
	r.want(`{__name__="cpu_usage", host="a"} 5@3000`)
}

// Series without a host take the record's key, so that the same line of two hosts
// is of two series; without a time they take the record's.
func TestTheKeyIsTheHost(t *testing.T) {
	r := newReading(t)
	for _, host := range []string{"a", "b", "a"} {
		r.read(decode.Influx, host, []byte("up value=1"), false)
	}
	r.read(decode.Influx, "", []byte("up value=1 5000000000"), false)
	r.want(`{__name__="up", host="a"} 1@99000`, `{__name__="up", host="b"} 1@99000`, `{__name__="up"} 1@5000`)
}

// differences is an OTLP request of a sum and an exponential histogram, sent as
// differences.
func differences(t testing.TB, seconds int64, n int64) []byte {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "shop")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	x := ms.AppendEmpty()
	x.SetName("paid")
	sum := x.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	p := sum.DataPoints().AppendEmpty()
	p.SetIntValue(n)
	p.SetTimestamp(pcommon.Timestamp(seconds * 1e9))
	x = ms.AppendEmpty()
	x.SetName("took")
	h := x.SetEmptyExponentialHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	e := h.DataPoints().AppendEmpty()
	e.SetCount(uint64(n))
	e.SetSum(float64(n))
	e.Positive().SetOffset(-1)
	e.Positive().BucketCounts().FromRaw([]uint64{uint64(n)})
	e.SetTimestamp(pcommon.Timestamp(seconds * 1e9))
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Differences become running sums that say where they begin, so that increase()
// is what was sent; repeats add nothing, and what an earlier life sent is in no
// sum of this one.
func TestDifferencesBecomeSums(t *testing.T) {
	r := newReading(t)
	read := func(seconds, n int64, quiet bool) { r.read(decode.OTLP, "shop", differences(t, seconds, n), quiet) }
	const paid, took = `{__name__="paid_total", host="shop"}`, `{__name__="took", host="shop"}`
	read(10, 4, true)
	read(5, 0, false) // late, and the first of this life: the next one begins
	r.want()
	read(20, 3, false)
	r.want(paid+" 3@20000 first", took+" n=3 sum=3 reset@20000 first")
	read(20, 3, false)
	read(10, 4, false)
	r.want()
	read(15, 2, false) // late: in the next sum
	r.want()
	read(30, 1, false)
	r.want(paid+" 6@30000", took+" n=6 sum=6 @30000")
	r.f.Forget(99_001)
	read(40, 5, false)
	r.want(paid+" 5@40000 first", took+" n=5 sum=5 reset@40000 first")
}

// Prometheus' form of a histogram counts the same below each power of two, where
// schemas agree and where buckets are joined.
func TestHistogramsCountTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := &decode.NativeHistogram{Schema: rapid.Int32Range(-4, 20).Draw(t, "schema"), Zero: 1, ZeroThreshold: 1e-128, Count: 1}
		for _, at := range sorted(rapid.SliceOfNDistinct(rapid.Int32Range(-3000, 3000), 0, 30, rapid.ID[int32]).Draw(t, "buckets")) {
			n := float64(rapid.IntRange(1, 9).Draw(t, "n"))
			in.Positive = append(in.Positive, decode.NativeBucket{Index: at, Count: n})
			in.Count += n
		}
		for _, at := range sorted(rapid.SliceOfNDistinct(rapid.Int32Range(-30, 30), 0, 3, rapid.ID[int32]).Draw(t, "negative")) {
			in.Negative = append(in.Negative, decode.NativeBucket{Index: at, Count: 1})
			in.Count++
		}
		out := native(in)
		if out == nil || out.Count != in.Count {
			t.Fatalf("%+v became %v", in, out)
		}
		for exp := -20; exp <= 20; exp++ {
			bound := math.Ldexp(1, exp)
			want, ok := in.AtMost(bound)
			if !ok {
				continue
			}
			got := out.ZeroCount
			for it := out.NegativeBucketIterator(); it.Next(); {
				got += it.At().Count
			}
			for it := out.PositiveBucketIterator(); it.Next(); {
				if it.At().Upper <= bound {
					got += it.At().Count
				}
			}
			if got != want {
				t.Fatalf("at most %v: %v, want %v\n%+v\n%v", bound, got, want, in, out)
			}
		}
	})
}

func sorted(in []int32) []int32 {
	slices.Sort(in)
	return in
}

func TestHistogramsThatPrometheusCannotKeep(t *testing.T) {
	f := func(in decode.NativeHistogram) {
		t.Helper()
		if out := native(&in); out != nil {
			t.Errorf("%+v became %v", in, out)
		}
	}
	f(decode.NativeHistogram{Schema: -5})
	f(decode.NativeHistogram{Count: 1, Positive: []decode.NativeBucket{{Index: 1, Count: -1}}})
}
