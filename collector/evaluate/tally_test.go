package evaluate

import (
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
)

// What ticks brought is counted by every window that asks, whether the windows
// hold it already or not: late slots, slots that are restated, agents whose
// clocks are ahead, and minutes, hours and days that pass meanwhile.
func TestTallySumsWhatItHasNotSettled(t *testing.T) {
	const minute = 60_000
	lengths := []int64{5 * minute, 60 * minute, 360 * minute, 1440 * minute, 30 * 1440 * minute}
	rapid.Check(t, func(t *rapid.T) {
		l := &layouts{events: slo.NewLayout(lengths...), slots: slo.NewLayout(), unknown: slo.NewLayout(), slot: minute}
		sums, want := newTally(l, nil), slo.NewWindow(l.events)
		now := rapid.Int64Range(0, 1e12).Draw(t, "start")
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			start := now - rapid.SampledFrom([]int64{0, 0, 0, minute, 10 * minute, 400 * minute, 40 * 1440 * minute, -minute}).Draw(t, "late")
			start -= start % minute
			total := rapid.Int64Range(0, 1000).Draw(t, "total")
			good := total - rapid.SampledFrom([]int64{0, 0, 1, 2000, -5}).Draw(t, "bad")
			switch rapid.SampledFrom([]string{"count", "count", "count", "restate", "advance"}).Draw(t, "what") {
			case "count":
				sums.count(start, good, total)
				want.Add(start, good, total)
			case "restate":
				sums.add(start, delta{good: good, total: total})
				if good|total != 0 { // a restatement that leaves events as they are is not of the window
					want.Add(start, good, total)
				}
			default:
				now += rapid.SampledFrom([]int64{0, 250, 1000, minute, 61 * minute, 1441 * minute}).Draw(t, "pass")
				sums.advance(now, now-5000)
				want.Advance(now)
			}
			if rapid.IntRange(0, 2).Draw(t, "look") > 0 {
				continue
			}
			for _, length := range lengths {
				gotGood, gotTotal := sums.sum(length)
				wantGood, wantTotal := want.Sum(length)
				if gotGood != wantGood || gotTotal != wantTotal {
					t.Fatalf("over %d min: %d/%d, want %d/%d", length/minute, int64(gotGood), int64(gotTotal), int64(wantGood), int64(wantTotal))
				}
			}
		}
	})
}
