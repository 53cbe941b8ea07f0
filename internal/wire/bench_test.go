package wire

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"nines/internal/telemetry"
)

// benchFrame is one second of a small host: 100 samples in six blocks, of the
// kinds that hosts have.
func benchFrame() *telemetry.Frame {
	rng := rand.New(rand.NewPCG(1, 2))
	f := &telemetry.Frame{Agent: "web-1", Boot: rng.Uint64(), Seq: 1000, SendTime: 1767225600300, Host: hostLabels}
	block := func(name string, kind telemetry.Kind, values ...float64) {
		series := make([]telemetry.Series, len(values))
		for i := range series {
			series[i] = telemetry.Series{Name: fmt.Sprintf("%s_%d", name, i), Kind: kind}
		}
		s := telemetry.NewSchema(series)
		f.Blocks = append(f.Blocks, telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Columns: len(series), Times: []int64{1767225600250}, Values: values})
	}
	fill := func(n int, next func(i int) float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = next(i)
		}
		return out
	}
	block("cpu", telemetry.Gauge, fill(24, func(i int) float64 {
		if i%8 < 4 {
			return 0
		}
		return 100 * float64(rng.IntN(101)) / 101
	})...)
	block("mem", telemetry.Gauge, fill(30, func(i int) float64 {
		if i%3 == 0 {
			return 0
		}
		return float64(rng.IntN(1<<24)) * 1024
	})...)
	block("disk", telemetry.Gauge, fill(14, func(i int) float64 {
		if i%7 == 0 {
			return rng.Float64() * 100
		}
		return float64(rng.IntN(1 << 30))
	})...)
	block("net", telemetry.Counter, fill(16, func(i int) float64 {
		if i%4 == 0 {
			return 0
		}
		return float64(rng.IntN(1 << 38))
	})...)
	block("system", telemetry.Gauge, 0.59, 1.25, 0.07, 2, 2, 184467)
	block("probe", telemetry.Gauge, 1, 0.001234567, 0.001334569, 1, 0.025012345, 0.025123456, 1, 0.1012, 0.1013, 1)
	return f
}

func BenchmarkDecodeFrame(b *testing.B) {
	var e Encoder
	var d Decoder
	var f telemetry.Frame
	cache := NewSchemaCache(0)
	frame := benchFrame()
	samples := 0
	for i := range frame.Blocks {
		samples += len(frame.Blocks[i].Values)
	}
	if err := d.DecodeFrame(e.AppendFrame(nil, frame, all), &f, cache); err != nil {
		b.Fatal(err)
	}
	raw := e.AppendFrame(nil, frame, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.DecodeFrame(raw, &f, cache); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(samples)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Msamples/s")
	b.ReportMetric(float64(len(raw)), "B/frame")
}

func BenchmarkEncodeFrame(b *testing.B) {
	var e Encoder
	frame := benchFrame()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendFrame(buf[:0], frame, nil)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds()/1e6, "Msamples/s")
}

func BenchmarkDecodeFrameHeader(b *testing.B) {
	var e Encoder
	var d Decoder
	var f telemetry.Frame
	raw := e.AppendFrame(nil, benchFrame(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.DecodeFrameHeader(raw, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPartial(b *testing.B) {
	p := secondPartial()
	for g := range 1000 {
		key := GroupKey{"00112233445566ff", uint64(g) * 0x9e3779b97f4a7c15}
		p.Counts = append(p.Counts, BinCount{Group: key, Vantage: "probe-1", Bin: 1767225600000, Good: 1, Total: 1, Newest: 1767225600123})
	}
	raw := AppendPartial(nil, p)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			raw = AppendPartial(raw[:0], p)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var got Partial
		for b.Loop() {
			if err := DecodePartial(raw, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}
