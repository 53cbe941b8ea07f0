package web

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/hist"
	"nines/internal/ledger"
)

// TestPercentilesOfManySlotsAreWithinPromise: what hosts and zones measured in
// the slots of a step is off by at most 1.1 % from the exact order statistic.
func TestPercentilesOfManySlotsAreWithinPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.SampledFrom([]int64{minuteMs, 5 * minuteMs, hourMs}).Draw(t, "step")
		values := map[int64][]float64{}
		var sketches []ledger.Sketch
		for slot := range rapid.Int64Range(1, 15).Draw(t, "slots") {
			at := scenarioNow - scenarioNow%hourMs + slot*minuteMs
			sum := hist.Histogram{}
			for range rapid.IntRange(0, 6).Draw(t, "hosts") {
				var host hist.Histogram
				for _, e := range rapid.SliceOfN(rapid.Float64Range(-20, 7), 0, 12).Draw(t, "log2") {
					v := math.Exp2(e)
					if e > 6.5 {
						v = math.Inf(1) // timed out
					}
					host.Observe(v)
					values[floorTo(at, step)] = append(values[floorTo(at, step)], v)
				}
				sum.Merge(&host)
			}
			sketches = append(sketches, ledger.Sketch{Slot: at, Hist: sum})
		}
		points := mergePoints(sketches, step)
		if len(points) != len(values) {
			t.Fatalf("%d points of %d steps with values", len(points), len(values))
		}
		for _, p := range points {
			all := values[p.T]
			slices.Sort(all)
			for i, q := range []float64{0.5, 0.95, 0.99} {
				exact := all[max(int(math.Ceil(q*float64(len(all))-1e-9)), 1)-1]
				switch {
				case p.Count != uint64(len(all)):
					t.Fatalf("%d values of %d", p.Count, len(all))
				case math.IsInf(exact, 1):
					if p.V[i] != nil {
						t.Fatalf("percentile %v is %v, want none: it timed out", q, *p.V[i])
					}
				case p.V[i] == nil || math.Abs(*p.V[i]-exact)/exact > 0.011:
					t.Fatalf("percentile %v is %v, exactly %v", q, p.V[i], exact)
				}
			}
		}
	})
}
