package wire

import (
	"testing"

	"pgregory.net/rapid"
)

// Any vector, also a damaged one, ends for who needs no values where it ends for
// who reads them, and has as many absent ones.
func TestPassingAVectorIsReadingIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		raw := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "raw")
		if rapid.Bool().Draw(t, "rare") {
			for i := range raw[:min(len(raw), (n+1)/2)] {
				raw[i] |= 0xd0 // codes that need a closer look
			}
		}
		b := append(raw, make([]byte, vectorPad)...)
		var absent []uint64
		end := decodeVector(b, 0, make([]float64, n), &absent, 0)
		passed, missing := passVector(b, 0, n)
		// Behind its end a vector may be noticed to be damaged or not.
		if end != passed && (min(end, passed) >= 0 || max(end, passed) <= len(raw)) {
			t.Fatalf("read to %d, passed to %d of %d bytes", end, passed, len(raw))
		}
		count := 0
		for i := range n {
			if bit(absent, i) {
				count++
			}
		}
		if end >= 0 && passed >= 0 && missing != count {
			t.Fatalf("%d absent, passing found %d", count, missing)
		}
	})
}
