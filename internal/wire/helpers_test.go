package wire

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

// hostSchema is a small host: gauges, counters and a probe's histogram.
func hostSchema() *telemetry.Schema {
	cpu := telemetry.Labels{{Name: "cpu", Value: "cpu-total"}}
	eth := telemetry.Labels{{Name: "interface", Value: "eth0"}}
	probe := telemetry.Labels{{Name: "probe", Value: "tcp"}, {Name: "target", Value: "10.0.0.7:443"}}
	return telemetry.NewSchema([]telemetry.Series{
		{Name: "cpu_usage_idle", Labels: cpu, Kind: telemetry.Gauge},
		{Name: "cpu_usage_iowait", Labels: cpu, Kind: telemetry.Gauge},
		{Name: "mem_total", Kind: telemetry.Gauge},
		{Name: "net_bytes_recv", Labels: eth, Kind: telemetry.Counter},
		{Name: "net_bytes_sent", Labels: eth, Kind: telemetry.Counter},
		{Name: "probe_failures_total", Labels: probe.With(telemetry.Labels{{Name: "reason", Value: "timeout"}}), Kind: telemetry.Counter, Fresh: true},
		{Name: "probe_latency_seconds", Labels: probe, Kind: telemetry.Gauge},
		{Name: "probe_rtt_seconds", Labels: probe, Kind: telemetry.Histogram},
		{Name: "system_load1", Kind: telemetry.Gauge},
	})
}

var hostLabels = telemetry.Labels{{Name: "host", Value: "web-1"}, {Name: "region", Value: "eu-west"}, {Name: "zone", Value: "eu-west-1a"}}

func observed(values ...float64) *hist.Histogram {
	h := &hist.Histogram{}
	for _, v := range values {
		h.Observe(v)
	}
	return h
}

// hostFrame is one second of that host.
func hostFrame() *telemetry.Frame {
	s := hostSchema()
	b := telemetry.Block{
		Fingerprint: s.Fingerprint, Schema: s, Columns: len(s.Series), Times: []int64{1767225600250},
		Values: []float64{98.98989898989899, 0, 16777216 * 1024, 123456789012, 4295552, 2, 0.001234567, 0, 0.59},
		Hists:  make([]*hist.Histogram, len(s.Series)),
	}
	b.Hists[7] = observed(0.0012, 0.0013, 0.0013, 0.25, math.Inf(1))
	b.SetAbsent(1)
	return &telemetry.Frame{Agent: "web-1", Boot: 0x0123456789abcdef, Seq: 42, SendTime: 1767225600300, Host: hostLabels, Blocks: []telemetry.Block{b}}
}

// minute is three rounds of that host in one frame, as a spool sends.
func minuteFrame() *telemetry.Frame {
	s := hostSchema()
	b := telemetry.Block{
		Fingerprint: s.Fingerprint, Schema: s, Columns: len(s.Series), Times: []int64{1767225600250, 1767225601250, 1767225602251},
		Values: []float64{
			98.5, 99.25, 97,
			0, 0, 0,
			16777216 * 1024, 16777216 * 1024, 16777216 * 1024,
			123456789012, 123456790000, 123456799999,
			4295552, 4295552, 4295600,
			0, 0, 3,
			0.001234567, math.Inf(1), 0.0012,
			0, 0, 0,
			1.0 / 3, 2.0 / 3, 1,
		},
		Hists: make([]*hist.Histogram, 3*len(s.Series)),
	}
	b.Hists[7*3+1] = observed(0.0012)
	b.SetAbsent(5*3 + 0)
	return &telemetry.Frame{Agent: "agent/7", Boot: 1, Seq: 1, SendTime: -1, Host: hostLabels, Blocks: []telemetry.Block{b}}
}

func all(uint64) bool { return true }

func mustDecode(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte, schemas Schemas) *telemetry.Frame {
	t.Helper()
	var d Decoder
	f := &telemetry.Frame{}
	if err := d.DecodeFrame(b, f, schemas); err != nil {
		t.Fatalf("%v", err)
	}
	return f
}

// diff says how two frames differ, or is "". Floats are compared by their bits,
// absent values not at all; a block without schema in got has no values.
func diff(got, want *telemetry.Frame) string {
	if got.Agent != want.Agent || got.Boot != want.Boot || got.Seq != want.Seq || got.SendTime != want.SendTime {
		return fmt.Sprintf("header %q %x %d %d, want %q %x %d %d", got.Agent, got.Boot, got.Seq, got.SendTime, want.Agent, want.Boot, want.Seq, want.SendTime)
	}
	if !equalLabels(got.Host, want.Host) {
		return fmt.Sprintf("host %v, want %v", got.Host, want.Host)
	}
	if len(got.Blocks) != len(want.Blocks) {
		return fmt.Sprintf("%d blocks, want %d", len(got.Blocks), len(want.Blocks))
	}
	for i := range got.Blocks {
		if d := diffBlock(&got.Blocks[i], &want.Blocks[i]); d != "" {
			return fmt.Sprintf("block %d: %s", i, d)
		}
	}
	return ""
}

func diffBlock(got, want *telemetry.Block) string {
	columns := want.Columns
	if want.Schema != nil {
		columns = len(want.Schema.Series)
	}
	if got.Fingerprint != want.Fingerprint || got.Columns != columns {
		return fmt.Sprintf("schema %x of %d, want %x of %d", got.Fingerprint, got.Columns, want.Fingerprint, columns)
	}
	if fmt.Sprint(got.Times) != fmt.Sprint(want.Times) {
		return fmt.Sprintf("times %v, want %v", got.Times, want.Times)
	}
	if got.Schema == nil {
		if len(got.Values) != 0 {
			return fmt.Sprintf("%d values without schema", len(got.Values))
		}
		return ""
	}
	if len(got.Values) != columns*len(want.Times) {
		return fmt.Sprintf("%d values, want %d", len(got.Values), columns*len(want.Times))
	}
	for i := range got.Values {
		if got.IsAbsent(i) != (want.IsAbsent(i) || i >= len(want.Values)) {
			return fmt.Sprintf("absent %d: %v", i, got.IsAbsent(i))
		}
		if !got.IsAbsent(i) && math.Float64bits(got.Values[i]) != math.Float64bits(want.Values[i]) {
			return fmt.Sprintf("value %d: %x (%v), want %x (%v)", i, math.Float64bits(got.Values[i]), got.Values[i], math.Float64bits(want.Values[i]), want.Values[i])
		}
		g, w := histAt(got, i), histAt(want, i)
		if (g == nil) != (w == nil) || g != nil && !g.Equal(w) {
			return fmt.Sprintf("histogram %d: %+v, want %+v", i, g, w)
		}
	}
	return ""
}

// anyValue draws what hosts measure, and what they should not.
func anyValue() *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return 0
		case 1:
			return rapid.SampledFrom(specialValues).Draw(t, "special")
		case 2:
			return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		case 3:
			return float64(rapid.Int64().Draw(t, "integer"))
		case 4:
			return float64(rapid.Uint32().Draw(t, "kibi")) * 1024
		case 5:
			return float64(rapid.Uint32().Draw(t, "nano")) / 1e9
		case 6:
			return float64(rapid.Int32().Draw(t, "decimal")) / pow10[rapid.IntRange(0, maxScale).Draw(t, "scale")]
		case 7:
			return 100 * float64(rapid.IntRange(0, 400).Draw(t, "part")) / 400
		}
		return float64(rapid.IntRange(0, 1<<20).Draw(t, "small"))
	})
}

var specialValues = []float64{
	math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff8dead0000beef), math.Float64frombits(0xfff0000000000002),
	math.Inf(1), math.Inf(-1), 5e-324, -5e-324, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64 * 3,
	1 << 53, 1<<53 - 1, 1<<53 + 2, -(1 << 53), 1 << 63, -(1 << 63), 1 << 48, 1<<48 - 1, 1 << 47, 0.1, -0.1, 0.3, 1e15, 1e-15, 1e-16, 1e22, 1e300,
	255, 256, 1023, 1024, 65536 * 1024, -1, 2.55, 2.56, 655.35, 655.36, 0.016777215, 0.016777216, 1.0 / 3, 123456789.123456789,
}

func anyName() *rapid.Generator[string] { return rapid.StringMatching(`[a-z_]{1,12}`) }

func anyLabels() *rapid.Generator[telemetry.Labels] {
	return rapid.Custom(func(t *rapid.T) telemetry.Labels {
		m := map[string]string{}
		for range rapid.IntRange(0, 3).Draw(t, "labels") {
			name := rapid.OneOf(rapid.SampledFrom(wellKnown[:]), anyName()).Draw(t, "name")
			m[name] = rapid.StringN(1, 10, 40).Draw(t, "value")
		}
		return telemetry.NewLabels(m)
	})
}

func anySchema() *rapid.Generator[*telemetry.Schema] {
	return rapid.Custom(func(t *rapid.T) *telemetry.Schema {
		series := make([]telemetry.Series, rapid.IntRange(0, 40).Draw(t, "series"))
		shared := anyLabels().Draw(t, "shared")
		for i := range series {
			series[i] = telemetry.Series{
				Name:   anyName().Draw(t, "metric"),
				Labels: rapid.OneOf(rapid.Just(shared), anyLabels()).Draw(t, "labels"),
				Kind:   telemetry.Kind(rapid.IntRange(1, 3).Draw(t, "kind")),
				Fresh:  rapid.Bool().Draw(t, "fresh"),
			}
		}
		return telemetry.NewSchema(series)
	})
}

func anyHist() *rapid.Generator[*hist.Histogram] {
	return rapid.Custom(func(t *rapid.T) *hist.Histogram {
		return observed(rapid.SliceOfN(anyValue(), 0, 20).Draw(t, "observations")...)
	})
}

func anyBlock() *rapid.Generator[telemetry.Block] {
	return rapid.Custom(func(t *rapid.T) telemetry.Block {
		s := anySchema().Draw(t, "schema")
		b := telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Columns: len(s.Series)}
		rounds := rapid.SampledFrom([]int{1, 1, 1, 0, 2, 10}).Draw(t, "rounds")
		now := rapid.Int64().Draw(t, "first")
		for range rounds {
			b.Times = append(b.Times, now)
			now += int64(rapid.IntRange(0, 2000).Draw(t, "interval"))
		}
		sparse := rapid.Bool().Draw(t, "sparse")
		var h []*hist.Histogram
		for c := range s.Series {
			steady := rapid.Bool().Draw(t, "steady")
			v := anyValue().Draw(t, "value")
			for range rounds {
				i := len(b.Values)
				if !steady {
					v = anyValue().Draw(t, "value")
				} else if v > 0 && v < 1e12 {
					v += float64(rapid.IntRange(0, 3).Draw(t, "step"))
				}
				h = append(h, nil)
				if s.Series[c].Kind == telemetry.Histogram {
					b.Values = append(b.Values, 0)
					if rapid.Bool().Draw(t, "observed") {
						h[i] = anyHist().Draw(t, "hist")
					}
					continue
				}
				b.Values = append(b.Values, v)
				if sparse && rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
					b.SetAbsent(i)
				}
			}
		}
		if s.Histograms() > 0 {
			b.Hists = h
		}
		return b
	})
}

func anyFrame() *rapid.Generator[*telemetry.Frame] {
	return rapid.Custom(func(t *rapid.T) *telemetry.Frame {
		return &telemetry.Frame{
			Agent:    rapid.StringN(1, 10, 30).Draw(t, "agent"),
			Boot:     rapid.Uint64().Draw(t, "boot"),
			Seq:      rapid.Uint64().Draw(t, "seq"),
			SendTime: rapid.Int64().Draw(t, "sent"),
			Host:     anyLabels().Draw(t, "host"),
			Blocks:   rapid.SliceOfN(anyBlock(), 0, 3).Draw(t, "blocks"),
		}
	})
}
