package aggregate

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

var awkward = []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64,
	-math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64, 1 + 0x1p-52, 1 - 0x1p-53, 1e-300, 0.2, 0.25}

func anyValue() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.SampledFrom(awkward), rapid.Float64(), rapid.Map(rapid.IntRange(-50, 50), func(i int) float64 { return float64(i) / 100 }))
}

// TestLaddersCountWhatComparisonsCount: however many objectives judge the same
// values by whatever thresholds, each one's counts are those of its comparison.
func TestLaddersCountWhatComparisonsCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ops := rapid.SampledFrom([]slo.Op{slo.LT, slo.LTE, slo.GT, slo.GTE})
		var streams []*slo.Stream
		for range rapid.IntRange(1, 20).Draw(rt, "objectives") {
			st := &slo.Stream{Sample: &slo.Selector{Metric: "m"}, Op: ops.Draw(rt, "op"), Threshold: anyValue().Draw(rt, "threshold"),
				GroupBy: []string{"region"}, Bin: rapid.SampledFrom([]int64{1000, 5000}).Draw(rt, "bin"), Rule: slotRule()}
			if st.Threshold != st.Threshold || math.IsInf(st.Threshold, 0) { // not in JSON: a stream has no such identity
				st.Threshold = 1
			}
			if rapid.Bool().Draw(rt, "by part") {
				st.GroupBy = []string{"target"}
			}
			streams = append(streams, st)
		}
		f := newFixture(rt, streams...)
		schemas := []*telemetry.Schema{telemetry.NewSchema([]telemetry.Series{gauge("m", "a"), gauge("m", "b")}),
			telemetry.NewSchema([]telemetry.Series{gauge("other", "a"), gauge("m", "a"), gauge("m", "b")})}
		f.tick(epoch)
		type key struct {
			stream, target string
			bin            int64
		}
		want := map[key][2]uint64{}
		for i := range rapid.IntRange(1, 60).Draw(rt, "frames") {
			at := epoch + rapid.Int64Range(-3000, 3000).Draw(rt, "at")
			values := []float64{anyValue().Draw(rt, "a"), anyValue().Draw(rt, "b")}
			schema := rapid.SampledFrom(schemas).Draw(rt, "schema")
			row := values
			if schema == schemas[1] {
				row = append([]float64{0}, values...)
			}
			f.frame("h", 7, uint64(i+1), schema, at, row...)
			for _, st := range f.rules[f.set].Streams {
				for j, v := range values {
					k := key{st.ID(), "", at - at%st.Bin}
					if st.GroupBy[0] == "target" {
						k.target = string(rune('a' + j))
					}
					n := want[k]
					if v == v {
						if n[1]++; opOf(st.Op).holds(v, st.Threshold) {
							n[0]++
						}
						want[k] = n
					}
				}
			}
			if rapid.IntRange(0, 9).Draw(rt, "cut") == 0 {
				f.tick(epoch)
			}
		}
		f.tick(epoch)
		got := map[key][2]uint64{}
		for _, p := range f.out {
			for _, c := range p.Counts {
				k := key{c.Group.Stream, f.state.groups.Get(c.Group).labels.Get("target"), c.Bin}
				got[k] = [2]uint64{got[k][0] + c.Good, got[k][1] + c.Total}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func TestScalePlacesValues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &State{scales: map[string]*scale{}}
		thresholds := rapid.SliceOfN(anyValue(), 1, 300).Draw(rt, "thresholds")
		var cuts []int64
		for _, v := range thresholds {
			if cut, _, ok := rung(opLTE, v); ok {
				cuts = append(cuts, cut)
			}
		}
		if len(cuts) == 0 {
			return
		}
		sc := s.scaleOf(cuts)
		for _, v := range append(rapid.SliceOfN(anyValue(), 1, 50).Draw(rt, "values"), thresholds...) {
			if v != v {
				continue
			}
			want := 0
			for _, c := range sc.cuts {
				if c < ordered(v) {
					want++
				}
			}
			if got := sc.place(v); got != want {
				rt.Fatalf("%v has place %d of %v, want %d", v, got, thresholds, want)
			}
		}
	})
}
