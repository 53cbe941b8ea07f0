package quiet

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkNight simulates half an hour of a part of the night, and says how many
// samples a CPU second takes from the simulated agents to the verdicts.
func BenchmarkNight(b *testing.B) {
	f := func(name string, latency bool) {
		b.Run(name, func(b *testing.B) {
			set := shipped(b)
			samples := uint64(0)
			began, err := spent()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				n := &night{targets: partWidth, length: 30 * time.Minute, loss: 0.01, seed: given.seed, latency: latency}
				out, err := n.run(b.Context(), set, func(time.Duration) {})
				if err != nil {
					b.Fatal(err)
				}
				samples += out.Samples
			}
			ended, err := spent()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(samples)/(ended-began).Seconds(), "samples/CPU-s")
		})
	}
	f("successes", false)
	f("successes and latencies", true)
}

// spent returns the CPU time of the process.
func spent() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the process' CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
