package telegraf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/influxdata/telegraf"

	"nines/internal/telemetry"
)

func gauges() *layout {
	return newLayout(func(string, telegraf.ValueType) telemetry.Kind { return telemetry.Gauge }, defaultMaxSeries)
}

func fill(l *layout, t int64, tags map[string]string, fields ...string) []telemetry.Round {
	l.begin(t)
	g := l.group("m", tags)
	for i, f := range fields {
		l.set(g, f, telegraf.Gauge, float64(i))
	}
	return l.rounds(nil)
}

func TestEqualHostsShareASchema(t *testing.T) {
	a, b := gauges(), gauges()
	tags := map[string]string{"x": "1", "y": "2"}
	ra := fill(a, 1, tags, "one", "two", "three")
	rb := fill(b, 1, tags, "three", "one", "two")
	if ra[0].Schema.Fingerprint != rb[0].Schema.Fingerprint {
		t.Fatal("the order in which a plugin gave its fields made another schema")
	}
}

func TestSeriesThatIsGoneIsAbsentThenForgotten(t *testing.T) {
	l := gauges()
	fill(l, 1, nil, "stays", "goes")
	r := fill(l, 2, nil, "stays")
	b := telemetry.Block{Absent: r[0].Absent}
	if len(r[0].Values) != 2 || !b.IsAbsent(0) || b.IsAbsent(1) {
		t.Fatalf("round %+v", r[0])
	}
	if l.forget(3) {
		t.Fatal("forgot a series that was there two rounds ago")
	}
	fill(l, 3, nil, "stays")
	fill(l, 4, nil, "stays")
	if !l.forget(3) {
		t.Fatal("did not forget a series that is gone")
	}
	if r = fill(l, 5, nil, "stays"); len(r[0].Values) != 1 || r[0].Absent != nil {
		t.Fatalf("round %+v", r[0])
	}
	if r = fill(l, 6, nil, "stays", "goes"); len(r[0].Values) != 2 {
		t.Fatal("a series that came back is missing")
	}
}

func TestNothingMeasuredIsNoRound(t *testing.T) {
	l := gauges()
	fill(l, 1, nil, "a")
	if r := fill(l, 2, nil); len(r) != 0 {
		t.Fatalf("an empty round was made: %+v", r)
	}
}

func TestWideInputsAreCutIntoSchemas(t *testing.T) {
	l := gauges()
	l.begin(1)
	for i := range 3 * maxColumns / 2 {
		l.set(l.group("m", map[string]string{"pid": fmt.Sprint(i)}), "v", telegraf.Gauge, 1)
	}
	rounds := l.rounds(nil)
	if len(rounds) != 2 || len(rounds[0].Values) != maxColumns || len(rounds[1].Values) != maxColumns/2 {
		t.Fatalf("%d rounds", len(rounds))
	}
	l = gauges()
	l.begin(1)
	for i := range 20 {
		l.set(l.group("m", map[string]string{"t": fmt.Sprint(i) + strings.Repeat("x", maxText/10)}), "v", telegraf.Gauge, 1)
	}
	if rounds = l.rounds(nil); len(rounds) < 3 {
		t.Fatalf("%d rounds for %d bytes of labels", len(rounds), 2*maxText)
	}
}

func TestUnboundedLabelsAreRefused(t *testing.T) {
	l := gauges()
	l.begin(1)
	for i := range defaultMaxSeries + 10 {
		l.set(l.group("m", map[string]string{"id": fmt.Sprint(i)}), "v", telegraf.Gauge, 1)
	}
	if len(l.columns) != defaultMaxSeries || l.refused != 10 {
		t.Fatalf("%d series, %d refused", len(l.columns), l.refused)
	}
}

// A steady gather costs the round it hands over and nothing else.
func TestSteadyGatherAllocatesOnlyItsRound(t *testing.T) {
	l := gauges()
	tags := map[string]string{"cpu": "cpu0"}
	fields := map[string]any{"usage_user": 1.0, "usage_system": 2.0, "usage_idle": 97.0}
	dst := make([]telemetry.Round, 0, 4)
	gather := func() {
		l.begin(1)
		g := l.group("cpu", tags)
		for k, v := range fields {
			if f, ok := number(v); ok {
				l.set(g, k, telegraf.Gauge, f)
			}
		}
		dst = l.rounds(dst[:0])
	}
	gather()
	if n := testing.AllocsPerRun(100, gather); n > 1 {
		t.Fatalf("%v allocations a gather", n)
	}
}

func BenchmarkSteadyGather(b *testing.B) {
	l := gauges()
	tags := map[string]string{"name": "netstat"}
	fields := map[string]any{}
	for i := range 100 {
		fields[fmt.Sprintf("TcpExtField%d", i)] = int64(i)
	}
	var dst []telemetry.Round
	b.ReportAllocs()
	for b.Loop() {
		l.begin(1)
		g := l.group("nstat", tags)
		for k, v := range fields {
			if f, ok := number(v); ok {
				l.set(g, k, telegraf.Untyped, f)
			}
		}
		dst = l.rounds(dst[:0])
	}
}
