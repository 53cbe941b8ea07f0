package aggregate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"

	"nines/collector/decode"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// foreignType marks foreign records in the fixture's log.
func foreignType(format decode.Format, key string) string {
	return "foreign/" + format.String() + "/" + key
}

// applyForeign applies a record that foreignType marks.
func applyForeign(s *State, typ string, value []byte) Outcome {
	parts := strings.SplitN(typ, "/", 3)
	format, err := decode.ParseFormat(parts[1])
	return s.ApplyForeign(s.Position(), &decode.Record{Format: format, Unknown: err, Key: []byte(parts[2]), Value: value, Time: epoch})
}

// applyAny applies a record of the fixture's log.
func applyAny(s *State, typ string, value []byte) (Outcome, error) {
	if strings.HasPrefix(typ, "foreign/") {
		return applyForeign(s, typ, value), nil
	}
	return s.Apply(s.Position(), typ, value)
}

func (f *fixture) foreign(format decode.Format, key string, value []byte) {
	f.t.Helper()
	f.apply(foreignType(format, key), value)
}

func (f *fixture) line(key, format string, args ...any) {
	f.t.Helper()
	f.foreign(decode.Influx, key, fmt.Appendf(nil, format, args...))
}

// measured is what hosts measure in a test: a series, its labels, its kind, and
// the values at times.
type measured struct {
	name   string // as an objective has it
	labels map[string]string
	kind   telemetry.Kind
	at     int64
	value  float64
}

// shopMinutes is a host's measurements over some minutes: probes, requests with
// errors, and a histogram.
func shopMinutes() (out []measured) {
	errors, requests, quick := 0.0, 1000.0, 0.0
	add := func(name string, kind telemetry.Kind, at int64, v float64, labels ...string) {
		m := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			m[labels[i]] = labels[i+1]
		}
		out = append(out, measured{name, m, kind, at, v})
	}
	for i := range int64(30) {
		at := epoch + i*5000
		up := 1.0
		if i%7 == 3 {
			up = 0
		}
		add("probe_success", telemetry.Gauge, at, up, "target", "db")
		add("probe_latency_seconds", telemetry.Gauge, at, 0.05*float64(i%6), "target", "db")
		errors, requests, quick = errors+float64(i%3), requests+17, quick+float64(10+i%5)
		if i == 20 {
			errors, requests, quick = 1, 5, 3 // the shop was restarted
		}
		add("errors_total", telemetry.Counter, at, errors)
		add("requests_total", telemetry.Counter, at, requests)
		add("pay_seconds_bucket", telemetry.Counter, at, quick, "le", "0.2")
		add("pay_seconds_bucket", telemetry.Counter, at, requests, "le", "+Inf")
		add("pay_seconds_count", telemetry.Counter, at, requests)
	}
	return out
}

func payStream() *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "pay_seconds"}, Op: slo.LTE, Threshold: 0.2, GroupBy: []string{"host"}, Bin: 1000, Rule: slotRule()}
}

func shopFixture(t tester) *fixture {
	f := newFixture(t, probeStream(), latencyStream(), requestStream(), payStream())
	f.tick(epoch - 1000)
	return f
}

// perTime calls f with the measurements of each time.
func perTime(ms []measured, f func(at int64, ms []measured)) {
	for len(ms) > 0 {
		n := 1
		for n < len(ms) && ms[n].at == ms[0].at {
			n++
		}
		f(ms[0].at, ms[:n])
		ms = ms[n:]
	}
}

func frameOf(f *fixture, seq uint64, at int64, ms []measured) {
	var series []telemetry.Series
	var values []float64
	for _, m := range ms {
		series = append(series, telemetry.Series{Name: m.name, Kind: m.kind, Labels: telemetry.NewLabels(m.labels)})
		values = append(values, m.value)
	}
	f.frame("shop-1", 7, seq, telemetry.NewSchema(series), at, values...)
}

func linesOf(ms []measured) []byte {
	var b bytes.Buffer
	for _, m := range ms {
		fmt.Fprintf(&b, "%s,host=shop-1,region=r1", m.name)
		for k, v := range m.labels {
			fmt.Fprintf(&b, ",%s=%s", k, v)
		}
		fmt.Fprintf(&b, " value=%v %d\n", m.value, m.at*1e6)
	}
	return b.Bytes()
}

func otlpOf(t tester, ms []measured) []byte {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "shop-1")
	rm.Resource().Attributes().PutStr("cloud.region", "r1")
	out := rm.ScopeMetrics().AppendEmpty().Metrics()
	at := pcommon.Timestamp(ms[0].at * 1e6)
	for i, x := range ms {
		switch {
		case x.kind == telemetry.Gauge:
			g := out.AppendEmpty()
			g.SetName(x.name)
			p := g.SetEmptyGauge().DataPoints().AppendEmpty()
			p.SetTimestamp(at)
			p.SetDoubleValue(x.value)
			for k, v := range x.labels {
				p.Attributes().PutStr(k, v)
			}
		case x.labels["le"] == "0.2":
			g := out.AppendEmpty()
			g.SetName("pay")
			g.SetUnit("s")
			h := g.SetEmptyHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := h.DataPoints().AppendEmpty()
			p.SetTimestamp(at)
			p.ExplicitBounds().FromRaw([]float64{0.2})
			all := uint64(ms[i+1].value)
			p.BucketCounts().FromRaw([]uint64{uint64(x.value), all - uint64(x.value)})
			p.SetCount(all)
		case strings.HasPrefix(x.name, "pay_"):
		default:
			g := out.AppendEmpty()
			g.SetName(strings.TrimSuffix(x.name, "_total"))
			s := g.SetEmptySum()
			s.SetIsMonotonic(true)
			s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := s.DataPoints().AppendEmpty()
			p.SetTimestamp(at)
			p.SetIntValue(int64(x.value))
		}
	}
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func labelPairs(m measured) (out []string) {
	ls := telemetry.NewLabels(m.labels).With(telemetry.Labels{{Name: "__name__", Value: m.name}, {Name: "host", Value: "shop-1"}, {Name: "region", Value: "r1"}})
	for _, l := range ls {
		out = append(out, l.Name, l.Value)
	}
	return out
}

func snappy(t tester, m interface{ Marshal() ([]byte, error) }) []byte {
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, b)
}

func write1Of(t tester, ms []measured) []byte {
	req := &prompb.WriteRequest{}
	for _, m := range ms {
		ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: m.value, Timestamp: m.at}}}
		for i, p := 0, labelPairs(m); i < len(p); i += 2 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: p[i], Value: p[i+1]})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	return snappy(t, req)
}

func write2Of(t tester, ms []measured) []byte {
	sym := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for _, m := range ms {
		typ := writev2.Metadata_METRIC_TYPE_COUNTER
		if m.kind == telemetry.Gauge {
			typ = writev2.Metadata_METRIC_TYPE_GAUGE
		} else if strings.HasPrefix(m.name, "pay_") {
			typ = writev2.Metadata_METRIC_TYPE_HISTOGRAM
		}
		ts := writev2.TimeSeries{Metadata: writev2.Metadata{Type: typ}, Samples: []writev2.Sample{{Value: m.value, Timestamp: m.at}}}
		for _, word := range labelPairs(m) {
			ts.LabelsRefs = append(ts.LabelsRefs, sym.Symbolize(word))
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = sym.Symbols()
	return snappy(t, req)
}

// counts are all counts of the partials, by stream, group, vantage point and bin.
func (f *fixture) counts() map[string][2]uint64 {
	all := map[string][2]uint64{}
	for _, p := range f.out {
		for _, c := range p.Counts {
			k := fmt.Sprint(c.Group, c.Vantage, c.Bin)
			n := all[k]
			all[k] = [2]uint64{n[0] + c.Good, n[1] + c.Total}
		}
	}
	return all
}

// The same measurements give the same counts, however they are written: as
// frames, line protocol, OTLP, or either version of remote write.
func TestForeignSeriesCountAsOurOwn(t *testing.T) {
	ms := shopMinutes()
	own := shopFixture(t)
	seq := uint64(0)
	perTime(ms, func(at int64, ms []measured) {
		seq++
		own.tick(at)
		frameOf(own, seq, at, ms)
	})
	own.tick(epoch + 200_000)
	want := own.counts()
	if len(want) < 80 {
		t.Fatalf("only %d counts: the test shows little", len(want))
	}
	f := func(format decode.Format, what string, write func([]measured) []byte) {
		t.Helper()
		fix := shopFixture(t)
		perTime(ms, func(at int64, ms []measured) {
			fix.tick(at)
			value := write(ms)
			fix.foreign(format, "shop-1", value)
			fix.foreign(format, "shop-1", value) // a retry that was not needed
		})
		fix.tick(epoch + 200_000)
		got := fix.counts()
		for k, n := range want {
			if got[k] != n {
				t.Errorf("%s: %s: %v, want %v", what, k, got[k], n)
			}
		}
		if len(got) != len(want) || len(fix.dead) > 0 {
			t.Errorf("%s: %d counts, want %d; dead letters %v", what, len(got), len(want), fix.dead)
		}
		for _, p := range fix.out {
			if len(p.Gaps)+len(p.Unplaced) > 0 {
				t.Errorf("%s: gaps %v, unplaced %v", what, p.Gaps, p.Unplaced)
			}
		}
	}
	f(decode.Influx, "line protocol", linesOf)
	f(decode.OTLP, "OTLP", func(ms []measured) []byte { return otlpOf(t, ms) })
	f(decode.RemoteWrite, "remote write 1", func(ms []measured) []byte { return write1Of(t, ms) })
	f(decode.RemoteWrite, "remote write 2", func(ms []measured) []byte { return write2Of(t, ms) })
}

func TestForeignRepeatsAndLateSamples(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	send := func(host string, at int64) {
		f.line(host, "probe_success,host=%s,target=a value=1 %d\n", host, at*1e6)
	}
	for i := range int64(100) {
		send("h", epoch+i*1000)
	}
	send("h", epoch+50_000)                                                 // a repeat, however old
	send("h", epoch+50_500)                                                 // between two
	send("h", epoch+50_500)                                                 // and again
	send("g", epoch+50_000)                                                 // another host's
	f.line("h", "probe_success,target=a value=1 %d\n", (epoch+50_000)*1e6)  // the key names the host: the same series
	f.line("g2", "probe_success,target=a value=1 %d\n", (epoch+50_000)*1e6) // and here another
	f.tick(epoch + 100_000)
	f.wantSum("after repeats", 103, 103)
	// Times without any order, until the oldest are forgotten: what cannot be told
	// from a repeat is a gap, not a count.
	for i := range int64(200) {
		send("x", epoch+1000+i*i*7)
	}
	send("x", epoch+1001)
	f.tick(epoch + 115_000)
	f.wantSum("after forgetting", 303, 303)
	late := f.gaps(wire.ReasonLate)
	if len(late) != 1 || late[0].From != epoch+1001 || late[0].Agent != "x" {
		t.Errorf("late samples: %+v", late)
	}
	seen := f.state.TakeForeign()
	if seen.Repeats != 3 || seen.Late != 1 || seen.Records != 307 {
		t.Errorf("seen: %+v", seen)
	}
}

func TestForeignCountersNeedAKey(t *testing.T) {
	f := newFixture(t, requestStream(), probeStream())
	f.tick(epoch)
	at := epoch
	send := func(key string, errors, requests int) {
		at += 1000
		f.line(key, "errors_total,host=h,region=r1 value=%di %d\nrequests_total,host=h,region=r1 value=%di %d\nprobe_success,host=h,target=a value=1 %d\n",
			errors, at*1e6, requests, at*1e6, at*1e6)
	}
	dead := func(what string, n int) {
		t.Helper()
		wantEqual(t, what, len(f.dead), n)
		for _, d := range f.dead {
			wantEqual(t, what, d.Reason, "unkeyed")
		}
	}
	send("", 1, 10)
	send("", 2, 20)
	dead("without a key", 2)
	send("h", 3, 30) // the base
	send("h", 4, 40)
	dead("with a key", 2)
	send("other", 5, 50) // random keys
	dead("under another key", 3)
	send("other", 6, 60) // the base
	send("other", 8, 70)
	dead("from there on", 3)
	f.tick(epoch + 15_000)
	var good, total, probes uint64
	for _, p := range f.out {
		for _, c := range p.Counts {
			if c.Vantage != "" {
				probes += c.Total
			} else {
				good, total = good+c.Good, total+c.Total
			}
		}
	}
	if good != 17 || total != 20 || probes != 7 {
		t.Errorf("%d of %d requests, %d probes; want 17 of 20, 7", good, total, probes)
	}
	wantEqual(t, "lost records", f.undecoded(), 3)
}

// A counter that nothing reads needs no key, but somebody is told once.
func TestUnreadCountersWithoutAKeyAreTold(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	for i := range int64(3) {
		ms := []measured{{"errors_total", nil, telemetry.Counter, epoch + i*1000, float64(i)}}
		f.foreign(decode.OTLP, "", otlpOf(t, ms))
	}
	wantEqual(t, "dead letters", len(f.dead), 1)
	f.tick(epoch + 15_000)
	wantEqual(t, "gaps", len(f.gaps(wire.ReasonUndecoded)), 0)
}

// sums sends an OTLP sum of the shop, from start to at in seconds after epoch.
func (f *fixture) sums(temporality pmetric.AggregationTemporality, start, at int64, bad, all float64) {
	f.t.Helper()
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "shop-1")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	for i, name := range []string{"errors", "requests"} {
		x := ms.AppendEmpty()
		x.SetName(name)
		s := x.SetEmptySum()
		s.SetIsMonotonic(true)
		s.SetAggregationTemporality(temporality)
		p := s.DataPoints().AppendEmpty()
		p.SetDoubleValue([]float64{bad, all}[i])
		if start != 0 {
			p.SetStartTimestamp(pcommon.Timestamp((epoch + start*1000) * 1e6))
		}
		p.SetTimestamp(pcommon.Timestamp((epoch + at*1000) * 1e6))
	}
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		f.t.Fatal(err)
	}
	f.foreign(decode.OTLP, "shop-1", b)
}

func TestStartTimesOfForeignCounters(t *testing.T) {
	const delta, cumulative = pmetric.AggregationTemporalityDelta, pmetric.AggregationTemporalityCumulative
	run := func(what string, good, total, lostGood, lostTotal uint64, send func(f *fixture)) {
		t.Helper()
		f := newFixture(t, requestStream())
		f.tick(epoch)
		send(f)
		f.tick(epoch + 200_000)
		g, n, _ := sum(f.out...)
		ug, un, _ := f.unplaced()
		if g != good || n != total || ug != lostGood || un != lostTotal {
			t.Errorf("%s: %d of %d and %d of %d unplaced, want %d of %d and %d of %d", what, g, n, ug, un, good, total, lostGood, lostTotal)
		}
	}
	run("a counter that began before us has a base", 8, 10, 0, 0, func(f *fixture) {
		f.sums(cumulative, -500, 10, 100, 1000)
		f.sums(cumulative, -500, 20, 102, 1010)
	})
	run("one that began since counts in full", 998, 1010, 0, 0, func(f *fixture) {
		f.sums(cumulative, 5, 10, 10, 1000)
		f.sums(cumulative, 5, 20, 12, 1010)
	})
	run("one whose first value comes after a slot belongs to none", 8, 10, 990, 1000, func(f *fixture) {
		f.sums(cumulative, 5, 80, 10, 1000)
		f.sums(cumulative, 5, 90, 12, 1010)
	})
	run("a start that is the value's own time says nothing", 8, 10, 0, 0, func(f *fixture) {
		f.sums(cumulative, 10, 10, 10, 1000)
		f.sums(cumulative, 10, 20, 12, 1010)
	})
	run("a restart that its value does not show", 1024, 1040, 0, 0, func(f *fixture) {
		f.sums(cumulative, -500, 10, 1, 10)
		f.sums(cumulative, -500, 20, 2, 20)
		f.sums(cumulative, 25, 30, 15, 1030) // greater than before, and all of it new
	})
	run("differences, repeated and out of order", 27, 30, 0, 0, func(f *fixture) {
		f.sums(delta, 10, 20, 1, 10)
		f.sums(delta, 30, 40, 1, 10)
		f.sums(delta, 20, 30, 1, 10)
		f.sums(delta, 30, 40, 1, 10)
	})
	run("a difference over more than a slot", 0, 0, 9, 10, func(f *fixture) { f.sums(delta, 10, 100, 1, 10) })
	run("parts of events add up", 2, 3, 0, 0, func(f *fixture) {
		f.sums(delta, 10, 20, 0.5, 1.5)
		f.sums(delta, 20, 30, 0.5, 1.5)
	})
}

func exponential(at int64, temporality pmetric.AggregationTemporality, counts ...uint64) []byte {
	m := pmetric.NewMetrics()
	rm := m.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "shop-1")
	x := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	x.SetName("pay")
	x.SetUnit("s")
	h := x.SetEmptyExponentialHistogram()
	h.SetAggregationTemporality(temporality)
	p := h.DataPoints().AppendEmpty()
	p.SetScale(0)
	p.Positive().SetOffset(-2) // (0.25, 0.5], (0.5, 1], …
	p.Positive().BucketCounts().FromRaw(counts)
	for _, n := range counts {
		p.SetCount(p.Count() + n)
	}
	p.SetStartTimestamp(pcommon.Timestamp((epoch + 1000) * 1e6))
	p.SetTimestamp(pcommon.Timestamp(at * 1e6))
	b, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	return b
}

// Buckets of exponential histograms end at powers of two: such a threshold is
// counted exactly, another is refused with the reason.
func TestExponentialHistograms(t *testing.T) {
	for _, temporality := range []pmetric.AggregationTemporality{pmetric.AggregationTemporalityCumulative, pmetric.AggregationTemporalityDelta} {
		half := payStream()
		half.Threshold = 0.5
		f := newFixture(t, half, payStream())
		f.tick(epoch)
		f.foreign(decode.OTLP, "shop-1", exponential(epoch+10_000, temporality, 3, 4, 5))
		second := []uint64{5, 8, 10}
		if temporality == pmetric.AggregationTemporalityDelta {
			second = []uint64{2, 4, 5}
		}
		f.foreign(decode.OTLP, "shop-1", exponential(epoch+20_000, temporality, second...))
		f.foreign(decode.OTLP, "shop-1", exponential(epoch+20_000, temporality, second...))
		f.tick(epoch + 30_000)
		f.tick(epoch + 100_000)
		f.wantSum(temporality.String(), 5, 23)
		wantEqual(t, "dead letters", len(f.dead), 0)
		gaps := f.out[len(f.out)-1].Gaps
		if len(gaps) != 1 || gaps[0].Agent != "shop-1" || !strings.Contains(gaps[0].Reason, "native: pay_seconds: a native histogram does not say exactly how many values are lte 0.2") {
			t.Errorf("%s: gaps %+v", temporality, gaps)
		}
	}
}

func TestForeignHistogramsOfDifferences(t *testing.T) {
	f := newFixture(t, payStream())
	f.tick(epoch)
	for i, at := range []int64{10_000, 20_000, 15_000, 20_000} {
		ms := []measured{{"pay_seconds_bucket", map[string]string{"le": "0.2"}, telemetry.Counter, epoch + at, 3}, {"pay_seconds_bucket", nil, telemetry.Counter, 0, 4}}
		m, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(otlpOf(t, ms))
		if err != nil {
			t.Fatal(i, err)
		}
		m.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		b, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
		f.foreign(decode.OTLP, "", b) // differences need no order, and no key
	}
	f.tick(epoch + 30_000)
	f.wantSum("three of four", 9, 12)
	wantEqual(t, "dead letters", len(f.dead), 0)
}

func TestABoundThatIsMissingIsTold(t *testing.T) {
	f := newFixture(t, payStream())
	f.tick(epoch)
	for i := range int64(2) {
		for _, le := range []string{"0.1", "0.5", "+Inf"} { // as Telegraf writes them
			f.line("h", "prometheus,host=h,le=%s pay_seconds_bucket=%d %d\n", le, i, (epoch+i*1000)*1e6)
		}
	}
	f.tick(epoch + 30_000)
	f.tick(epoch + 65_000)
	f.tick(epoch + 150_000)
	var told []string
	for _, p := range f.out {
		for _, g := range p.Gaps {
			told = append(told, g.Reason)
		}
	}
	if !slices.Equal(told, []string{"refused bound: pay_seconds: no bucket bound equals 0.2 (there are 0.1, 0.5)"}) {
		t.Errorf("told: %q", told)
	}
}

func TestWhatIsBadInAForeignRecord(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.line("h", "probe_success,host=h,target=a value=1 %d\nprobe_success,host value=1\nprobe_success,host=h,target=a value= 5\n", epoch*1e6)
	f.foreign(decode.OTLP, "h", []byte("no protobuf"))
	f.foreign(decode.RemoteWrite, "h", []byte("no snappy"))
	f.foreign(decode.Format(9), "h", []byte("who knows"))
	f.line("h", "probe_success,host=h,target=a value=1 %d", (epoch+futureBound+1)*1e6)
	f.line("h", "probe_success,host=h,target=a value=1 %d", (epoch-pastBound-1)*1e6)
	f.line("h", "probe_success,host=h,target=a value=1") // the record's own time, which is epoch
	f.tick(epoch + 15_000)
	f.wantSum("what is good in them", 1, 1)
	var reasons []string
	for _, d := range f.dead {
		reasons = append(reasons, d.Reason+": "+d.Detail)
	}
	want := []string{"influx: line 2: want NAME=VALUE for a tag (and 1 more)", "otlp: the protobuf message is damaged",
		"remote-write: decompress by snappy: s2: corrupt input", "format: must be one of influx, otlp, remote-write"}
	if !slices.Equal(reasons, want) {
		t.Errorf("dead letters %q", reasons)
	}
	wantEqual(t, "lost records", f.undecoded(), 4)
	wantEqual(t, "future", len(f.gaps(wire.ReasonFuture)), 1)
	wantEqual(t, "past", len(f.gaps(wire.ReasonPast)), 1)
}

// A rule set that comes later finds the series that were there before it.
func TestForeignSeriesAfterARuleChange(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	send := func(at int64) {
		f.line("h", "probe_success,host=h,target=a value=1 %d\nprobe_latency_seconds,host=h,target=a value=0.1 %d\n", at*1e6, at*1e6)
	}
	send(epoch + 1000)
	f.set = f.rules.add(probeStream(), latencyStream())
	f.tick(epoch + 2000)
	send(epoch + 3000)
	send(epoch + 61_000)
	send(epoch + 61_000)
	f.tick(epoch + 62_000)
	f.wantSum("three probes and one latency", 4, 4)
}

// randomForeign applies a foreign record as fleets send them: repeated, late, out
// of order, without a key or under another, and damaged.
func randomForeign(f *fixture, dice *rand.Rand, now int64, errors float64) {
	host := string(rune('x' + dice.IntN(2)))
	key := host
	if dice.IntN(10) == 0 {
		key = []string{"", "other"}[dice.IntN(2)]
	}
	at := now - int64(dice.IntN(30))*1000
	switch dice.IntN(6) {
	case 0:
		f.sums(pmetric.AggregationTemporalityCumulative, int64(dice.IntN(2))*20, (at-epoch)/1000, errors, errors*2)
	case 1:
		f.sums(pmetric.AggregationTemporalityDelta, (at-epoch)/1000-10, (at-epoch)/1000, dice.Float64(), 2)
	case 2:
		f.foreign(decode.OTLP, key, exponential(at, pmetric.AggregationTemporalityCumulative, 1, uint64(errors), 2))
	case 3:
		f.foreign(decode.Influx, key, []byte("garbage"))
	default:
		f.line(key, "probe_success,host=%s,target=a value=%d %d\nerrors_total,host=%s,region=r1 value=%v %d\npay_seconds_bucket,host=%s,le=0.%d value=%v %d\npay_seconds_bucket,host=%s,le=+Inf value=%v %d",
			host, dice.IntN(2), at*1e6, host, errors, at*1e6, host, 1+dice.IntN(2), errors, at*1e6, host, errors+1, at*1e6)
	}
}

// A checkpoint keeps all that is remembered of a series' times.
func TestTimesSurviveACheckpoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts decode.Times
		for _, at := range rapid.SliceOfN(rapid.Int64Range(-1e15, 1e15), 1, 60).Draw(t, "times") {
			ts.Add(at)
		}
		r := &bootReader{b: saveTimes(nil, &ts)}
		if got := loadTimes(r); !reflect.DeepEqual(got, ts) || r.bad || len(r.b) > 0 {
			t.Fatalf("%+v came back as %+v", ts, got)
		}
	})
}
