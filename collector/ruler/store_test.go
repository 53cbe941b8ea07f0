package ruler

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"nines/collector/promseries"
	"nines/internal/hist"
	"nines/internal/telemetry"
)

// base is a round time in the recent past, so that retention keeps it.
var base = time.Now().Add(-30 * time.Minute).Truncate(time.Minute).UnixMilli()

// bench is a partition over a real store.
type bench struct {
	t   *testing.T
	db  *tsdb.DB
	eng *promql.Engine
	p   *partition
	m   *counters
}

func newBench(t *testing.T, sel ...string) *bench {
	t.Helper()
	reg := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	db, err := openStore(t.TempDir(), 24*time.Hour, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	keep, err := promseries.ParseSelectors("ruler.select", sel)
	if err != nil {
		t.Fatal(err)
	}
	m := newCounters(metrics.NewSet())
	return &bench{t: t, db: db, m: m, eng: newEngine(Config{}.withDefaults(), log, reg),
		p: newPartition(keep, 0, func(string, telemetry.Kind) {}, m)}
}

func (b *bench) write(fs ...*telemetry.Frame) {
	b.t.Helper()
	app := b.db.Appender(context.Background())
	for _, f := range fs {
		b.p.frame(app, f)
	}
	if err := app.Commit(); err != nil {
		b.t.Fatal(err)
	}
}

// tickTo moves log time on and looks for stale series.
func (b *bench) tickTo(ms int64) {
	b.t.Helper()
	for b.p.logTime < ms { // ticks come often; a leap would count as a missing owner
		b.p.tick(min(ms, max(b.p.logTime, base)+1000))
		app := b.db.Appender(context.Background())
		b.p.sweep(app)
		if err := app.Commit(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// at returns the values of a query by a label's value.
func (b *bench) at(expr string, ms int64, label string) map[string]float64 {
	b.t.Helper()
	out, err := instant(context.Background(), b.eng, b.db, expr, time.UnixMilli(ms))
	if err != nil {
		b.t.Fatal(err)
	}
	m := map[string]float64{}
	for _, s := range out {
		m[s.Labels[label]] = s.Value
	}
	return m
}

var host1 = telemetry.NewLabels(map[string]string{"host": "web-1", "zone": "a", "region": "eu"})

func gauge(name string, ls map[string]string) telemetry.Series {
	return telemetry.Series{Name: name, Labels: telemetry.NewLabels(ls), Kind: telemetry.Gauge}
}

// frame makes a frame of one block; values are column-major.
func frame(agent string, seq uint64, sc *telemetry.Schema, times []int64, values ...float64) *telemetry.Frame {
	return &telemetry.Frame{Agent: agent, Boot: 7, Seq: seq, Host: host1, Blocks: []telemetry.Block{{
		Fingerprint: sc.Fingerprint, Schema: sc, Times: times, Values: values}}}
}

func TestSamplesBecomeSeries(t *testing.T) {
	b := newBench(t)
	sc := telemetry.NewSchema([]telemetry.Series{
		gauge("probe_latency_seconds", map[string]string{"target": "api"}),
		gauge("probe_latency_seconds", map[string]string{"target": "db"}),
	})
	f := frame("web-1", 1, sc, []int64{base, base + 1000}, 0.01, 0.02, 0.5, math.Inf(1))
	b.write(f, f) // a repeat counts once
	got := b.at("probe_latency_seconds", base+1000, "target")
	if got["api"] != 0.02 || !math.IsInf(got["db"], 1) {
		t.Errorf("latencies %v, want api 0.02 and db +Inf", got)
	}
	if n := b.at(`count_over_time(probe_latency_seconds{host="web-1",zone="a",region="eu"}[1m])`, base+1000, "target"); n["api"] != 2 {
		t.Errorf("counts %v, want 2 samples with the host's labels", n)
	}
	if b.m.repeats.Get() != 1 {
		t.Errorf("repeats %d, want 1", b.m.repeats.Get())
	}
}

func TestAbsentAndUnselected(t *testing.T) {
	b := newBench(t, `{__name__=~"cpu_.*"}`, `mem_used{host="web-1"}`)
	sc := telemetry.NewSchema([]telemetry.Series{gauge("cpu_a", nil), gauge("mem_used", nil), gauge("disk_free", nil)})
	f := frame("web-1", 1, sc, []int64{base}, 1, 2, 3)
	f.Blocks[0].SetAbsent(0)
	b.write(f)
	if got := b.at(`{host="web-1"}`, base, "__name__"); len(got) != 1 || got["mem_used"] != 2 {
		t.Errorf("got %v, want mem_used alone: cpu_a was absent, disk_free is not selected", got)
	}
}

func TestSpooledHoursLandInTheirOwn(t *testing.T) {
	b := newBench(t)
	sc := telemetry.NewSchema([]telemetry.Series{gauge("load", nil)})
	b.write(frame("web-1", 1, sc, []int64{base}, 1))
	old := base - 8*3_600_000
	late := frame("web-2", 1, sc, []int64{old, old + 1000}, 5, 6)
	late.Host = telemetry.NewLabels(map[string]string{"host": "web-2"})
	b.write(late)
	if got := b.at("load", old+1000, "host"); got["web-2"] != 6 {
		t.Errorf("eight hours ago %v, want web-2 at 6", got)
	}
}

func TestSilentAgentEndsAfter15s(t *testing.T) {
	b := newBench(t)
	sc := telemetry.NewSchema([]telemetry.Series{gauge("load", nil)})
	two := func(seq uint64, at int64) {
		b.tickTo(at)
		for _, a := range []string{"web-1", "web-2"} {
			if a == "web-2" && at > base+20_000 {
				continue
			}
			f := frame(a, seq, sc, []int64{at}, 1)
			f.Host = telemetry.NewLabels(map[string]string{"host": a})
			b.write(f)
		}
	}
	for i := int64(0); i <= 40; i++ {
		two(uint64(i+1), base+i*1000)
	}
	if got := b.at("load", base+34_000, "host"); len(got) != 2 {
		t.Errorf("14 s after web-2's last sample: %v, want both hosts", got)
	}
	if got := b.at("load", base+36_000, "host"); len(got) != 1 || got["web-1"] != 1 {
		t.Errorf("16 s after web-2's last sample: %v, want web-1 alone", got)
	}
	f := frame("web-2", 100, sc, []int64{base + 41_000}, 2)
	f.Host = telemetry.NewLabels(map[string]string{"host": "web-2"})
	b.write(f)
	if got := b.at("load", base+41_000, "host"); got["web-2"] != 2 {
		t.Errorf("after its return: %v, want web-2 again", got)
	}
}

func TestSeriesThatLeavesTheSchemaEnds(t *testing.T) {
	b := newBench(t)
	both := telemetry.NewSchema([]telemetry.Series{gauge("disk_free", map[string]string{"path": "/"}), gauge("disk_free", map[string]string{"path": "/usb"})})
	one := telemetry.NewSchema([]telemetry.Series{gauge("disk_free", map[string]string{"path": "/"})})
	slow := telemetry.NewSchema([]telemetry.Series{gauge("smart_ok", map[string]string{"path": "/"})})
	seq := uint64(0)
	for i := int64(0); i <= 120; i++ {
		at := base + i*1000
		b.tickTo(at)
		seq++
		if i <= 30 {
			b.write(frame("web-1", seq, both, []int64{at}, 1, 1))
		} else {
			b.write(frame("web-1", seq, one, []int64{at}, 1))
		}
		if i%30 == 0 {
			seq++
			b.write(frame("web-1", seq, slow, []int64{at}, 1))
		}
	}
	if got := b.at("disk_free", base+50_000, "path"); len(got) != 1 || got["/"] != 1 {
		t.Errorf("20 s after /usb was removed: %v, want / alone", got)
	}
	if got := b.at("smart_ok", base+119_000, "path"); len(got) != 1 {
		t.Errorf("a series every 30 s, 29 s later: %v, want it", got)
	}
}

func TestMissingOwnerSilencesNobody(t *testing.T) {
	b := newBench(t)
	sc := telemetry.NewSchema([]telemetry.Series{gauge("load", nil)})
	b.tickTo(base)
	b.write(frame("web-1", 1, sc, []int64{base}, 1))
	app := b.db.Appender(context.Background())
	b.p.tick(base + 600_000) // the first tick after ten minutes without an owner
	b.p.sweep(app)
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if b.m.markers.Get() != 0 {
		t.Error("a staleness marker was written for an agent that could not be heard")
	}
}

func TestHistogramDeltasBecomeCumulative(t *testing.T) {
	b := newBench(t)
	sc := telemetry.NewSchema([]telemetry.Series{{Name: "probe_rtt_seconds", Labels: telemetry.NewLabels(map[string]string{"target": "api"}), Kind: telemetry.Histogram}})
	delta := &hist.Histogram{Count: 10, Sum: 1.0, Inf: 1, Buckets: []hist.Bucket{{Index: hist.IndexOf(0.1), Count: 8}, {Index: hist.IndexOf(0.2), Count: 1}}}
	for i := int64(0); i < 12; i++ {
		f := frame("web-1", uint64(i+1), sc, []int64{base + i*10_000}, 0)
		f.Blocks[0].Hists = []*hist.Histogram{delta}
		b.write(f)
	}
	end := base + 110_000
	f := func(expr string, want, tolerance float64) {
		t.Helper()
		if got := b.at(expr, end, "target")["api"]; math.Abs(got-want) > tolerance {
			t.Errorf("%s = %v, want %v", expr, got, want)
		}
	}
	f("histogram_count(probe_rtt_seconds)", 120, 0)
	f("histogram_count(rate(probe_rtt_seconds[1m]))", 1, 0.01)
	f("histogram_quantile(0.5, rate(probe_rtt_seconds[1m]))", 0.1, 0.003)
	f("histogram_fraction(0, 1, rate(probe_rtt_seconds[1m]))", 0.9, 0.001)
}

func BenchmarkAppend(b *testing.B) {
	reg := prometheus.NewRegistry()
	db, err := openStore(b.TempDir(), 24*time.Hour, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var ss []telemetry.Series
	for i := range 100 {
		ss = append(ss, gauge("m", map[string]string{"i": string(rune('a'+i%26)) + string(rune('a'+i/26))}))
	}
	sc := telemetry.NewSchema(ss)
	p := newPartition(nil, 0, func(string, telemetry.Kind) {}, newCounters(metrics.NewSet()))
	f := frame("web-1", 0, sc, []int64{base}, make([]float64, 100)...)
	b.ReportAllocs()
	for i := range b.N {
		f.Seq, f.Blocks[0].Times[0] = uint64(i+1), base+int64(i)*1000
		app := db.Appender(context.Background())
		p.frame(app, f)
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
