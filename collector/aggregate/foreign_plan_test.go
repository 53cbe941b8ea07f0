package aggregate

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// Series that share a plan count where each alone would: by the labels that the
// objectives of their metric read, whatever other labels tell them apart.
func TestSeriesThatShareAPlanCountAsEachAlone(t *testing.T) {
	byRegion := &slo.Stream{Sample: &slo.Selector{Metric: "load_one", Matchers: []slo.Matcher{{Label: "tier", Match: slo.Equal, Value: "web"}}},
		Op: slo.LTE, Threshold: 5, GroupBy: []string{"region"}, Bin: 1000, Rule: slotRule()}
	byZone := &slo.Stream{Sample: &slo.Selector{Metric: "load_one"}, Op: slo.GT, Threshold: 2, GroupBy: []string{"region", "zone"}, Bin: 1000, Rule: slotRule()}
	seen := &slo.Stream{Sample: &slo.Selector{Metric: "load_five"}, Op: slo.LTE, Threshold: 5, GroupBy: []string{"region"}, Vantage: "host", Bin: 1000, Rule: slotRule()}
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t, byRegion, byZone, seen)
		f.tick(epoch)
		want := map[string]int{}
		add := func(st *slo.Stream, good bool, vantage string, labels map[string]string) {
			key := fmt.Sprint(wire.GroupKey{Stream: st.ID(), Labels: telemetry.NewLabels(labels).Hash()}, vantage)
			want[key+" total"]++
			if good {
				want[key+" good"]++
			}
		}
		of := func(what string, n int) string { return fmt.Sprint(what, rapid.IntRange(1, n).Draw(t, what)) }
		for i := range rapid.IntRange(1, 60).Draw(t, "lines") {
			host, region, zone, v := of("h", 5), of("r", 2), of("z", 2), rapid.IntRange(0, 9).Draw(t, "load")
			tier := rapid.SampledFrom([]string{"web", "db"}).Draw(t, "tier")
			f.line(host, "load,host=%s,region=%s,tier=%s,zone=%s,part=%d one=%d,five=%di,nine=1 %d", host, region, tier, zone, i, v, v, epoch*1e6)
			if tier == "web" {
				add(byRegion, v <= 5, "", map[string]string{"region": region})
			}
			add(byZone, v > 2, "", map[string]string{"region": region, "zone": zone})
			add(seen, v <= 5, host, map[string]string{"region": region})
		}
		f.tick(epoch + 1000)
		got := map[string]int{}
		for _, p := range f.out {
			for _, c := range p.Counts {
				key := fmt.Sprint(c.Group, c.Vantage)
				got[key+" total"] += int(c.Total)
				if c.Good > 0 {
					got[key+" good"] += int(c.Good)
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		if most := 2*2*2 + 2*5; len(f.state.foreign.plans) > most {
			t.Errorf("%d plans for what %d would do", len(f.state.foreign.plans), most)
		}
	})
}
