package main

import (
	"fmt"
	"math/rand/v2"

	"nines/internal/telemetry"
)

// hostModel makes the frames of small hosts, the same on every machine: 100
// series in six blocks. A fifth of the values is zero, an eighth are quotients
// with all their digits, the rest counters, sizes, loads and latencies.
type hostModel struct {
	blocks []blockModel
}

type blockModel struct {
	schema *telemetry.Schema
	// draw returns the value of a series; age is its host's, in seconds.
	draw func(rng *rand.Rand, series, age int) float64
}

func newHostModel() *hostModel {
	m := &hostModel{}
	block := func(name string, kind telemetry.Kind, n int, draw func(*rand.Rand, int, int) float64) {
		series := make([]telemetry.Series, n)
		for i := range series {
			series[i] = telemetry.Series{Name: fmt.Sprintf("%s_%d", name, i), Kind: kind}
		}
		m.blocks = append(m.blocks, blockModel{telemetry.NewSchema(series), draw})
	}
	zeroEach := func(every int, v func(rng *rand.Rand, age int) float64) func(*rand.Rand, int, int) float64 {
		return func(rng *rand.Rand, i, age int) float64 {
			if drawn := v(rng, age); i%every != 0 {
				return drawn
			}
			return 0
		}
	}
	block("cpu", telemetry.Gauge, 24, func(rng *rand.Rand, i, _ int) float64 {
		if i%8 < 4 {
			return 0
		}
		return 100 * float64(rng.IntN(101)) / 101
	})
	block("mem", telemetry.Gauge, 30, zeroEach(3, func(rng *rand.Rand, _ int) float64 { return float64(rng.IntN(1<<24)) * 1024 }))
	block("disk", telemetry.Gauge, 14, zeroEach(7, func(rng *rand.Rand, _ int) float64 { return float64(rng.IntN(1 << 30)) }))
	block("net", telemetry.Counter, 16, zeroEach(4, func(rng *rand.Rand, age int) float64 {
		return float64(rng.IntN(1000) + (1_000_000+rng.IntN(1000))*(age+1))
	}))
	block("system", telemetry.Gauge, 6, func(rng *rand.Rand, _, _ int) float64 { return float64(rng.IntN(400)) / 100 })
	block("probe", telemetry.Gauge, 10, func(rng *rand.Rand, _, _ int) float64 { return float64(rng.IntN(200_000_000)) / 1e9 })
	return m
}

// fill puts the rounds of one second each that begin at time first, Unix
// milliseconds, into the frame; the values follow from host and age alone.
func (m *hostModel) fill(f *telemetry.Frame, host, age, rounds int, first int64) {
	f.Blocks = f.Blocks[:0]
	times := make([]int64, rounds)
	for r := range times {
		times[r] = first + int64(r)*1000
	}
	f.SendTime = times[rounds-1] + 50
	for _, b := range m.blocks {
		f.Blocks = append(f.Blocks, telemetry.Block{Fingerprint: b.schema.Fingerprint, Schema: b.schema,
			Columns: len(b.schema.Series), Times: times, Values: make([]float64, rounds*len(b.schema.Series))})
	}
	for r := range rounds {
		rng := rand.New(rand.NewPCG(uint64(host), uint64(age+r)))
		for i := range f.Blocks {
			blk := &f.Blocks[i]
			for col := range blk.Columns {
				blk.Values[col*rounds+r] = m.blocks[i].draw(rng, col, age+r)
			}
		}
	}
}

// hostFrame returns one second of one host.
func hostFrame() *telemetry.Frame {
	f := &telemetry.Frame{
		Agent: "web-1", Boot: 0x9e3779b97f4a7c15, Seq: 1000,
		Host: telemetry.NewLabels(map[string]string{"host": "web-1", "zone": "eu-west-1a", "region": "eu-west"}),
	}
	newHostModel().fill(f, 1, 1000, 1, 1767225600250)
	return f
}
