package main

import (
	"fmt"
	"math/rand/v2"

	"nines/internal/telemetry"
)

// hostFrame returns one second of a small host, the same on every machine: 100
// samples in six blocks. A fifth are zero, an eighth are quotients with all
// their digits, the rest counters, sizes, loads and latencies.
func hostFrame() *telemetry.Frame {
	const now = 1767225600250
	rng := rand.New(rand.NewPCG(1, 2))
	f := &telemetry.Frame{
		Agent: "web-1", Boot: rng.Uint64(), Seq: 1000, SendTime: now + 50,
		Host: telemetry.NewLabels(map[string]string{"host": "web-1", "zone": "eu-west-1a", "region": "eu-west"}),
	}
	block := func(name string, kind telemetry.Kind, n int, value func(i int) float64) {
		series := make([]telemetry.Series, n)
		values := make([]float64, n)
		for i := range series {
			series[i] = telemetry.Series{Name: fmt.Sprintf("%s_%d", name, i), Kind: kind}
			values[i] = value(i)
		}
		s := telemetry.NewSchema(series)
		f.Blocks = append(f.Blocks, telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Columns: n, Times: []int64{now}, Values: values})
	}
	zeroEach := func(every int, v func() float64) func(int) float64 {
		return func(i int) float64 {
			if i%every == 0 {
				return 0
			}
			return v()
		}
	}
	block("cpu", telemetry.Gauge, 24, func(i int) float64 {
		if i%8 < 4 {
			return 0
		}
		return 100 * float64(rng.IntN(101)) / 101
	})
	block("mem", telemetry.Gauge, 30, zeroEach(3, func() float64 { return float64(rng.IntN(1<<24)) * 1024 }))
	block("disk", telemetry.Gauge, 14, zeroEach(7, func() float64 { return float64(rng.IntN(1 << 30)) }))
	block("net", telemetry.Counter, 16, zeroEach(4, func() float64 { return float64(rng.IntN(1 << 38)) }))
	block("system", telemetry.Gauge, 6, func(i int) float64 { return float64(rng.IntN(400)) / 100 })
	block("probe", telemetry.Gauge, 10, func(i int) float64 { return float64(rng.IntN(200_000_000)) / 1e9 })
	return f
}
