package sim

import (
	"os"
	"testing"

	"nines/internal/topology"
)

// BenchmarkFleet plays a fleet as nines sim does where nothing else is said: 1,000
// hosts, 100 samples of each in a frame, one vantage point in each zone.
func BenchmarkFleet(b *testing.B) {
	cfg, err := Load("../../configs/examples/fleet/simulation.yaml")
	if err != nil {
		b.Fatal(err)
	}
	entries, err := os.ReadDir("../../configs/topology")
	if err != nil || len(entries) == 0 {
		b.Fatal("no topology", err)
	}
	top, err := topology.Load("../../configs/topology")
	if err != nil {
		b.Fatal(err)
	}
	f, err := New(Options{Config: cfg, Topology: top, Start: start})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.Advance(f.Now() + 2000); err != nil { // schemas have left
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := f.Samples()
	for b.Loop() {
		if _, err := f.Advance(f.Now() + 1000); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(f.Samples()-before), "ns/sample")
}
