package ruler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"nines/collector/decode"
	"nines/internal/telemetry"
)

// foreign writes other fleets' records, as one transaction.
func (b *bench) foreign(format decode.Format, key string, quiet bool, values ...[]byte) {
	b.t.Helper()
	app := b.db.Appender(context.Background())
	for _, v := range values {
		b.p.foreign(app, &decode.Record{Format: format, Key: []byte(key), Value: v, Time: b.p.logTime}, quiet)
	}
	if err := app.Commit(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) lines(key, format string, args ...any) {
	b.t.Helper()
	b.foreign(decode.Influx, key, false, fmt.Appendf(nil, format, args...))
}

// is checks the only value of a query.
func (b *bench) is(expr string, ms int64, want float64) {
	b.t.Helper()
	got, err := instant(context.Background(), b.eng, b.db, expr, time.UnixMilli(ms))
	if err != nil || len(got) != 1 || got[0].Value != want {
		b.t.Errorf("%s: got %v, %v; want %v", expr, got, err, want)
	}
}

func (b *bench) none(expr string, ms int64) {
	b.t.Helper()
	if got, err := instant(context.Background(), b.eng, b.db, expr, time.UnixMilli(ms)); err != nil || len(got) != 0 {
		b.t.Errorf("%s: got %v, %v; want nothing", expr, got, err)
	}
}

func TestTelegrafsSeriesAreFoundAsOurOwn(t *testing.T) {
	b := newBench(t)
	b.tickTo(base)
	b.lines("web-1", "cpu,cpu=cpu0,host=web-1 usage_idle=98.25,usage_user=1i %d\nup,region=eu value=t\n", base*1e6)
	b.is(`cpu_usage_idle{host="web-1",cpu="cpu0"}`, base, 98.25)
	b.is(`cpu_usage_user{host="web-1"}`, base, 1)
	b.is(`up{host="web-1",region="eu"}`, base, 1) // the key names the host, the record the time
}

func TestForeignRepeatsAndWhatComesLate(t *testing.T) {
	b := newBench(t)
	b.tickTo(base + 60_000)
	send := func(at int64, v float64) { b.lines("h", "m,host=h value=%v %d\n", v, at*1e6) }
	for i := range int64(10) {
		send(base+i*5000, float64(i))
	}
	send(base+20_000, 77) // a repeat, whatever it says
	b.is(`count_over_time(m[5m])`, base+60_000, 10)
	b.is(`max_over_time(m[5m])`, base+60_000, 9)
	send(base+22_500, 100) // overtaken
	b.is(`count_over_time(m[5m])`, base+60_000, 11)
	send(base+60_000+maxAhead+1, 1) // of a clock that is wrong
	send(base+60_000, 1)
	b.is(`m`, base+60_000, 1)
	if d, l, f := b.m.duplicate.Get(), b.m.late.Get(), b.m.future.Get(); d != 1 || l != 1 || f != 1 {
		t.Errorf("%d repeats, %d late, %d of the future, want 1 each", d, l, f)
	}
}

func TestForeignSeriesEnd(t *testing.T) {
	b := newBench(t)
	b.tickTo(base)
	for i := range int64(4) {
		b.lines("h", "slow,host=h value=1 %d\n", (base+i*60_000)*1e6)
		b.lines("h", "quick,host=h value=1 %d\n", (base+i*60_000)*1e6)
		b.lines("h", "quick,host=h value=1 %d\n", (base+i*60_000+1000)*1e6)
		b.tickTo(base + i*60_000 + 30_000)
	}
	last := base + 180_000
	b.is(`slow`, last+30_000, 1) // its interval is a minute
	b.none(`quick`, last+30_000) // and this one's a second
	b.tickTo(last + 200_000)
	b.is(`slow`, last+179_000, 1)
	b.none(`slow`, last+181_000)
	b.tickTo(last + foreignLife + 10_000)
	n := 0
	b.p.fleet.Each(func(*foreignSeries) { n++ })
	if n != 0 {
		t.Errorf("%d series are remembered after an hour", n)
	}
}

// otlp returns a request of one resource, to which f adds metrics.
func otlp(t *testing.T, f func(pmetric.MetricSlice)) []byte {
	t.Helper()
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "shop-1")
	f(rm.ScopeMetrics().AppendEmpty().Metrics())
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func nanos(ms int64) pcommon.Timestamp { return pcommon.Timestamp(ms * 1e6) }

// shop is a shop's requests and their durations from start to at.
func shop(t *testing.T, temporality pmetric.AggregationTemporality, scale int32, start, at int64, n int64) []byte {
	return otlp(t, func(ms pmetric.MetricSlice) {
		x := ms.AppendEmpty()
		x.SetName("requests")
		s := x.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(temporality)
		p := s.DataPoints().AppendEmpty()
		p.SetIntValue(n)
		p.SetStartTimestamp(nanos(start))
		p.SetTimestamp(nanos(at))
		x = ms.AppendEmpty()
		x.SetName("pay")
		x.SetUnit("s")
		h := x.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(temporality)
		hp := h.DataPoints().AppendEmpty()
		hp.SetScale(scale)
		hp.Positive().SetOffset(-1 << scale) // half of the values in (0.5, 1], half in (1, 2]
		counts := make([]uint64, 2<<scale)
		counts[0], counts[1<<scale] = uint64(n/2), uint64(n-n/2)
		hp.Positive().BucketCounts().FromRaw(counts)
		hp.SetCount(uint64(n))
		hp.SetSum(float64(n))
		hp.SetStartTimestamp(nanos(start))
		hp.SetTimestamp(nanos(at))
	})
}

func TestForeignDifferencesBecomeRunningSums(t *testing.T) {
	const delta, cumulative = pmetric.AggregationTemporalityDelta, pmetric.AggregationTemporalityCumulative
	for _, scale := range []int32{0, 8, 10} { // of 10, Prometheus has none: its buckets are joined
		for _, temporality := range []pmetric.AggregationTemporality{delta, cumulative} {
			b := newBench(t)
			b.tickTo(base)
			sum, lower := int64(0), 0.0
			for i := range int64(12) {
				start, at := base+i*10_000, base+(i+1)*10_000
				n := 10 + i
				if sum += n; temporality == cumulative {
					start, n = base, sum
				}
				if lower += float64(n / 2); temporality == cumulative {
					lower = float64(n / 2)
				}
				rec := shop(t, temporality, scale, start, at, n)
				b.foreign(decode.OTLP, "shop-1", false, rec, rec) // sent twice
			}
			end := base + 120_000
			b.is(`requests_total{host="shop-1"}`, end, float64(sum))
			b.is(`histogram_count(pay_seconds)`, end, float64(sum))
			b.is(`histogram_sum(pay_seconds)`, end, float64(sum))
			b.is(`histogram_fraction(0, 1, pay_seconds) * histogram_count(pay_seconds)`, end, lower)
			b.is(`resets(requests_total[5m])`, end, 0)
			if temporality == delta {
				b.is(`requests_total`, base+1, 0) // it rises from zero
			}
			if n := b.m.duplicate.Get(); n != 24 {
				t.Errorf("%v: %d repeats, want 24", temporality, n)
			}
			if n := b.m.rejected.Get() + b.m.tooOld.Get() + b.m.undecoded.Get(); n != 0 {
				t.Errorf("%v: %d were refused", temporality, n)
			}
		}
	}
}

// A ruler that starts again learns from what an earlier life wrote, and goes on
// with a sum that rate() understands.
func TestForeignSumsAfterARestart(t *testing.T) {
	const delta = pmetric.AggregationTemporalityDelta
	b := newBench(t)
	b.tickTo(base)
	var log [][]byte
	for i := range int64(12) {
		log = append(log, shop(t, delta, 0, base+i*10_000, base+(i+1)*10_000, 10))
	}
	b.foreign(decode.OTLP, "shop-1", false, log[:6]...)
	b.p = newPartition(nil, newestSample(b.db), func(string, telemetry.Kind) {}, b.m)
	b.tickTo(base)
	b.foreign(decode.OTLP, "shop-1", true, log[:5]...)  // known to be written
	b.foreign(decode.OTLP, "shop-1", false, log[5:]...) // of which the store has one
	b.foreign(decode.OTLP, "shop-1", false, log[3:]...) // sent again
	end := base + 120_000
	b.is(`resets(requests_total[5m])`, end, 1)
	b.is(`requests_total`, end, 60)
	b.is(`requests_total offset 60s`, end, 60)
	b.is(`histogram_count(pay_seconds)`, end, 60)
	b.is(`count_over_time(pay_seconds[5m])`, end, 12)
}

func TestWhatTheRulerCannotReadOfOthers(t *testing.T) {
	b := newBench(t, `{__name__="kept"}`)
	b.tickTo(base)
	b.lines("h", "kept,host=h value=1 %d\nkept,host value=2\nother,host=h value=1 %d\n", base*1e6, base*1e6)
	b.foreign(decode.OTLP, "h", false, []byte("no protobuf"))
	b.p.foreign(b.db.Appender(context.Background()), &decode.Record{Unknown: fmt.Errorf("who knows")}, false)
	b.is(`kept`, base, 1)
	b.none(`other`, base)
	if n := b.m.undecoded.Get(); n != 3 {
		t.Errorf("%d records could not be read, want 3", n)
	}
}
