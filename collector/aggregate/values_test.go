package aggregate

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

func rawStream(op slo.Op) *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "ratio"}, Op: op, Unit: slo.RatioUnit, GroupBy: []string{"target"}, Bin: 1000, Rule: slotRule()}
}

func gaugeStream(bad bool) *slo.Stream {
	st := &slo.Stream{Total: &slo.Selector{Metric: "all"}, Gauge: true, Unit: slo.GaugeUnit, GroupBy: []string{"target"}, Bin: 1000, Rule: slotRule()}
	if part := (&slo.Selector{Metric: "part"}); bad {
		st.Bad = part
	} else {
		st.Good = part
	}
	return st
}

// One sample of a raw ratio is one event, good by its share.
func TestRawRatios(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ok, failed := rawStream(slo.Success), rawStream(slo.Failure)
		f := newFixture(rt, ok, failed)
		schema := telemetry.NewSchema([]telemetry.Series{gauge("ratio", "a")})
		f.tick(epoch)
		want, n := 0.0, uint64(0)
		for i := range rapid.IntRange(1, 30).Draw(rt, "samples") {
			v := rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{0, 1, 1.0000000001, -0.1, 1.1, math.NaN(), math.Inf(1), math.Inf(-1)})).Draw(rt, "ratio")
			f.frame("h", 7, uint64(i+1), schema, epoch+int64(i)*1000, v)
			if v >= 0 && v <= 1.0000001 {
				want, n = want+min(v, 1), n+1
			}
		}
		f.tick(epoch + 60_000)
		var good, total [2]uint64
		for _, p := range f.out {
			for _, c := range p.Counts {
				k := 0
				if c.Group.Stream == failed.ID() {
					k = 1
				}
				good[k], total[k] = good[k]+c.Good, total[k]+c.Total
			}
		}
		if total[0] != n*slo.RatioUnit || total[1] != total[0] || good[0]+good[1] != total[0] {
			rt.Fatalf("%v good of %v, of %d samples", good, total, n)
		}
		if got := float64(good[0]) / slo.RatioUnit; math.Abs(got-want) > float64(n)*0.6e-6 {
			rt.Fatalf("good %v, want %v", got, want)
		}
	})
}

// A sample of a gauge is a number of events at its time; both series count,
// whichever comes first.
func TestGaugesOfCounts(t *testing.T) {
	for _, bad := range []bool{false, true} {
		f := newFixture(t, gaugeStream(bad))
		all := telemetry.NewSchema([]telemetry.Series{gauge("all", "a")})
		part := telemetry.NewSchema([]telemetry.Series{gauge("part", "a")})
		f.tick(epoch)
		f.frame("h", 7, 1, part, epoch, 2.5)
		f.frame("h", 7, 2, all, epoch, 10)
		f.frame("h", 7, 3, all, epoch+1000, 4) // it may fall
		f.frame("h", 7, 4, part, epoch+1000, 0)
		f.frame("h", 7, 5, all, epoch+2000, -3)
		f.frame("h", 7, 6, all, epoch+2000, math.Inf(1))
		f.frame("h", 7, 7, telemetry.NewSchema([]telemetry.Series{counterSeries("all", true)}), epoch+2000, 9)
		f.tick(epoch + 60_000)
		good := uint64(2500)
		if bad {
			good = 11_500
		}
		f.wantSum("counts in thousandths", good, 14_000)
	}
}

// The parts of a composite meet in one partition, whatever their number.
func TestPartsOfACompositeShareAPartition(t *testing.T) {
	a, b := probeStream(), latencyStream()
	a.Composite, b.Composite = "shop", "shop"
	apart := 0
	for labels := range uint64(200) {
		for _, n := range []int32{1, 2, 3, 8, 64} {
			x := PartitionOf(wire.GroupKey{Stream: a.ID(), Labels: labels}, n)
			if y := PartitionOf(wire.GroupKey{Stream: b.ID(), Labels: labels}, n); x != y {
				t.Fatalf("group %d of %d partitions: %d and %d", labels, n, x, y)
			}
		}
		if PartitionOf(wire.GroupKey{Stream: probeStream().ID(), Labels: labels}, 64) != PartitionOf(wire.GroupKey{Stream: latencyStream().ID(), Labels: labels}, 64) {
			apart++
		}
	}
	if apart == 0 {
		t.Error("streams that have nothing to do with each other share partitions")
	}
}
