package aggregate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nines/internal/wire"
)

// BenchmarkFailureToPartial measures how long it takes from a failed probe's frame
// until nines.partials has it, at any time between two ticks.
func BenchmarkFailureToPartial(b *testing.B) {
	w := newWorld(b)
	_, stop := w.start("one", w.client)
	defer stop()
	parts, results := []*tail{w.tail(0), w.tail(1)}, 0
	failed := func() (n uint64) {
		for _, tl := range parts {
			for _, p := range tl.partials {
				for _, c := range p.Counts {
					n += c.Total - c.Good
				}
			}
		}
		return n
	}
	fetch := func() {
		for _, tl := range parts {
			from := tl.r.Offset()
			tl.until("news", 20*time.Second, func() bool { return tl.r.Offset() > from })
		}
	}
	fetch()
	var took []float64
	for b.Loop() {
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		results++
		now := time.Now()
		frame := w.fix.encode(fmt.Sprintf("h%d", results), 7, 1, success, true, []int64{now.UnixMilli()}, 0, 1)
		w.produce(0, wire.TypeFrame, frame)
		for failed() < uint64(results) {
			fetch()
		}
		took = append(took, float64(time.Since(now).Microseconds())/1e3)
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-p50")
	b.ReportMetric(took[len(took)*99/100], "ms-p99")
}
