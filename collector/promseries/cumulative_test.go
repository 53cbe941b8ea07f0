package promseries

import (
	"testing"

	"pgregory.net/rapid"

	"nines/internal/hist"
)

// A histogram's form for Prometheus is valid and holds what was added, in
// whatever order and shape it comes.
func TestCumulativeAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Cumulative
		want := map[int32]uint64{}
		var count uint64
		for range rapid.IntRange(1, 8).Draw(t, "deltas") {
			var d hist.Histogram
			idx := rapid.SliceOfNDistinct(rapid.Int32Range(-200, 200), 0, 12, rapid.ID[int32]).Draw(t, "buckets")
			for i := -200; i <= 200; i++ {
				for _, v := range idx {
					if v == int32(i) {
						n := rapid.Uint64Range(1, 100).Draw(t, "n")
						d.Buckets = append(d.Buckets, hist.Bucket{Index: v, Count: n})
						want[v] += n
						d.Count += n
					}
				}
			}
			d.Zero, d.Inf = rapid.Uint64Range(0, 3).Draw(t, "zero"), rapid.Uint64Range(0, 3).Draw(t, "inf")
			d.Count += d.Zero + d.Inf
			count += d.Count
			c.Add(&d)
		}
		h := c.Native()
		if err := h.Validate(); err != nil {
			t.Fatal(err)
		}
		if h.Count != count {
			t.Fatalf("count %d, want %d", h.Count, count)
		}
		for it := h.PositiveBucketIterator(); it.Next(); {
			b := it.At()
			if b.Index != InfBucket && b.Count != want[b.Index] {
				t.Fatalf("bucket %d holds %d, want %d", b.Index, b.Count, want[b.Index])
			}
			delete(want, b.Index)
		}
		if len(want) > 0 {
			t.Fatalf("buckets %v are missing", want)
		}
	})
}
