package hist

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// latencies draws what is measured: seconds from microseconds to minutes, with
// time-outs and the odd zero.
func latencies() *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		switch rapid.IntRange(0, 19).Draw(t, "kind") {
		case 0:
			return math.Inf(1)
		case 1:
			return 0
		case 2:
			return rapid.Float64().Draw(t, "any")
		}
		return math.Exp2(rapid.Float64Range(-20, 7).Draw(t, "log2"))
	})
}

func histogram(t *rapid.T, name string) *Histogram {
	h := &Histogram{}
	for _, v := range rapid.SliceOfN(latencies(), 0, 50).Draw(t, name) {
		h.Observe(v)
	}
	return h
}

// same tells whether both count alike; sums of floats depend on their order in
// the last bits.
func same(a, b *Histogram) bool {
	close := a.Sum == b.Sum || math.Abs(a.Sum-b.Sum) <= 1e-9*(math.Abs(a.Sum)+math.Abs(b.Sum)) ||
		math.IsNaN(a.Sum) || math.IsInf(a.Sum, 0) || math.Abs(a.Sum) > 1e200 || math.Abs(b.Sum) > 1e200
	return close && a.Count == b.Count && a.Zero == b.Zero && a.Inf == b.Inf && slices.Equal(a.Buckets, b.Buckets)
}

func TestBoundsAreCorrectlyRounded(t *testing.T) {
	root := new(big.Float).SetPrec(300).SetInt64(2)
	for range Schema {
		root.Sqrt(root)
	}
	v := new(big.Float).SetPrec(300).SetFloat64(0.5)
	for j, got := range bounds {
		if want, _ := v.Float64(); got != want {
			t.Errorf("bounds[%d] = %v, want %v", j, got, want)
		}
		v.Mul(v, root)
	}
}

func TestIndexOfIsExactAtEveryBound(t *testing.T) {
	var h Histogram
	check := func(v float64, want int32) {
		t.Helper()
		var r Recorder // a new one spans one doubling only
		if got := IndexOf(v); got != want {
			t.Fatalf("IndexOf(%v) = %d, want %d", v, got, want)
		}
		r.Observe(v)
		r.Take(&h)
		if len(h.Buckets) != 1 || h.Buckets[0] != (Bucket{want, 1}) {
			t.Fatalf("Recorder put %v into %v, want bucket %d", v, h.Buckets, want)
		}
	}
	for i := int32(minIndex); i < maxIndex; i++ {
		bound := UpperBound(i)
		check(bound, i)
		check(math.Nextafter(bound, math.Inf(1)), i+1)
		if below := math.Nextafter(bound, 0); below > zeroThreshold {
			check(below, i)
		}
	}
	check(math.MaxFloat64, maxIndex)
	check(math.Nextafter(zeroThreshold, 1), minIndex)
	check(1, 0)
	check(2, perDoubling)
}

func TestObserveSortsSpecialValues(t *testing.T) {
	f := func(v float64, want Histogram) {
		t.Helper()
		var h, taken Histogram
		h.Observe(v)
		var r Recorder
		r.Observe(v)
		r.Take(&taken)
		if !h.Equal(&want) || !taken.Equal(&want) {
			t.Errorf("observe %v: Histogram %+v, Recorder %+v, want %+v", v, h, taken, want)
		}
	}
	f(math.NaN(), Histogram{})
	f(math.Inf(1), Histogram{Count: 1, Inf: 1})
	f(math.Inf(-1), Histogram{Count: 1, Zero: 1})
	f(0, Histogram{Count: 1, Zero: 1})
	f(-3, Histogram{Count: 1, Zero: 1, Sum: -3})
	f(1e-128, Histogram{Count: 1, Zero: 1, Sum: 1e-128})
	f(5e-324, Histogram{Count: 1, Zero: 1, Sum: 5e-324})
	f(1, Histogram{Count: 1, Sum: 1, Buckets: []Bucket{{0, 1}}})
}

func TestQuantileIsNearestRank(t *testing.T) {
	f := func(values []float64, q, want float64) {
		t.Helper()
		var h Histogram
		for _, v := range values {
			h.Observe(v)
		}
		got := h.Quantile(q)
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) && math.Abs(got-want) > 0.011*want {
			t.Errorf("quantile %v of %v = %v, want %v", q, values, got, want)
		}
	}
	inf := math.Inf(1)
	f(nil, 0.5, math.NaN())
	f([]float64{1}, math.NaN(), math.NaN())
	f([]float64{0.010}, 0, 0.010)
	f([]float64{0.010}, 1, 0.010)
	f([]float64{1, 2, 3, 4}, 0.5, 2)
	f([]float64{1, 2, 3, 4}, 0.51, 3)
	f([]float64{1, 2, 3, 4}, -1, 1)
	f([]float64{1, 2, 3, 4}, 7, 4)
	f([]float64{0, 0, 5}, 0.6, 0)
	// One time-out in a hundred attempts: p99 is finite, p99.5 is not.
	hundred := append(slices.Repeat([]float64{0.02}, 99), inf)
	f(hundred, 0.99, 0.02)
	f(hundred, 0.995, inf)
	f(hundred, 0.07, 0.02)
	if got := nearestRank(0.07, 100); got != 7 {
		t.Errorf("rank of 0.07 in 100 = %d, want 7", got)
	}
}

func TestQuantileErrorIsWithinPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(latencies(), 1, 200).Draw(t, "values")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var h Histogram
		for _, v := range values {
			h.Observe(v)
		}
		sort.Float64s(values)
		wantQuantile(t, &h, values, q)
	})
}

// TestPercentilesOfAFleetAreWithinPromise: what hosts recorded and sent is merged
// over hosts, zones and slots, in any order; a percentile of it is off by at most
// 1.1 % from that of all the measurements themselves.
func TestPercentilesOfAFleetAreWithinPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var values []float64
		var slots []*Histogram
		for range rapid.IntRange(1, 4).Draw(t, "slots") {
			slot := &Histogram{}
			for range rapid.IntRange(1, 3).Draw(t, "zones") {
				zone := &Histogram{}
				for range rapid.IntRange(1, 5).Draw(t, "hosts") {
					var r Recorder
					for _, v := range rapid.SliceOfN(latencies(), 0, 30).Draw(t, "values") {
						r.Observe(v)
						values = append(values, v)
					}
					var recorded, received Histogram
					r.Take(&recorded)
					if _, err := received.Decode(recorded.AppendBinary(nil)); err != nil {
						t.Fatal(err)
					}
					zone.Merge(&received)
				}
				slot.Merge(zone)
			}
			slots = append(slots, slot)
		}
		var fleet Histogram
		for _, slot := range rapid.Permutation(slots).Draw(t, "order") {
			fleet.Merge(slot)
		}
		sort.Float64s(values)
		for _, q := range []float64{0, 0.5, 0.95, 0.99, 0.999, rapid.Float64Range(0, 1).Draw(t, "q")} {
			wantQuantile(t, &fleet, values, q)
		}
	})
}

// wantQuantile compares a quantile with the exact order statistic of the values,
// which are sorted.
func wantQuantile(t *rapid.T, h *Histogram, values []float64, q float64) {
	got := h.Quantile(q)
	if len(values) == 0 {
		if !math.IsNaN(got) {
			t.Fatalf("quantile %v of nothing = %v", q, got)
		}
		return
	}
	exact := values[nearestRank(q, uint64(len(values)))-1]
	switch {
	case exact <= zeroThreshold:
		if got != 0 {
			t.Fatalf("quantile %v = %v, want 0", q, got)
		}
	case math.IsInf(exact, 1):
		if !math.IsInf(got, 1) {
			t.Fatalf("quantile %v = %v, want +Inf", q, got)
		}
	case math.Abs(got-exact)/exact > 0.011:
		t.Fatalf("quantile %v = %v, exact %v: off by %v", q, got, exact, math.Abs(got-exact)/exact)
	}
}

func TestMergeIsAssociativeAndCommutative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := histogram(t, "a"), histogram(t, "b"), histogram(t, "c")
		merged := func(hs ...*Histogram) *Histogram {
			sum := &Histogram{}
			for _, h := range hs {
				sum.Merge(h)
			}
			return sum
		}
		want := merged(a, b, c)
		for _, got := range []*Histogram{merged(c, b, a), merged(merged(a, b), c), merged(a, merged(b, c))} {
			if !same(got, want) {
				t.Fatalf("merge gives %+v, in another order %+v", want, got)
			}
		}
	})
}

func TestMergeEqualsObservingBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(latencies()).Draw(t, "values")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		var all, left, right Histogram
		for i, v := range values {
			all.Observe(v)
			if i < cut {
				left.Observe(v)
			} else {
				right.Observe(v)
			}
		}
		keep := right.Clone()
		left.Merge(&right)
		if !same(&left, &all) || !right.Equal(keep) {
			t.Fatalf("merge gives %+v, observing gives %+v", left, all)
		}
	})
}

func TestRecorderEqualsHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Recorder
		var got Histogram
		for range 3 { // a Recorder is used again after Take
			var want Histogram
			for _, v := range rapid.SliceOf(latencies()).Draw(t, "values") {
				want.Observe(v)
				r.Observe(v)
			}
			r.Take(&got)
			if !same(&got, &want) {
				t.Fatalf("Recorder %+v, Histogram %+v", got, want)
			}
		}
	})
}

func TestCloneAndResetShareNothing(t *testing.T) {
	var h Histogram
	h.Observe(1)
	c := h.Clone()
	h.Observe(1)
	h.Reset()
	h.Observe(4)
	if want := (Histogram{Count: 1, Sum: 1, Buckets: []Bucket{{0, 1}}}); !c.Equal(&want) {
		t.Errorf("clone is %+v, want %+v", c, want)
	}
}

func TestDecodeGivesWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := histogram(t, "h")
		b := h.AppendBinary([]byte("before"))[6:]
		var got Histogram
		got.Observe(77)
		rest, err := got.Decode(append(slices.Clone(b), "after"...))
		if err != nil || string(rest) != "after" || !got.Equal(h) {
			t.Fatalf("decode = %+v, rest %q, %v; want %+v", got, rest, err, h)
		}
		for n := range b {
			if _, err := got.Decode(b[:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("decode of %d of %d bytes: %v, want truncated", n, len(b), err)
			}
		}
	})
}

func TestDecodeNamesTheFault(t *testing.T) {
	f := func(b []byte, want error) {
		t.Helper()
		var h Histogram
		if _, err := h.Decode(b); !errors.Is(err, want) {
			t.Errorf("decode % x: %v, want %v", b, err, want)
		}
		if h.Count != 0 || len(h.Buckets) != 0 {
			t.Errorf("decode % x left %+v", b, h)
		}
	}
	long := bytes.Repeat([]byte{0xff}, 11)
	f(nil, ErrTruncated)
	f([]byte{0x20}, ErrVersion)
	f([]byte{0x11}, ErrTruncated)
	f(append([]byte{0x11}, long...), ErrCorrupt)
	f([]byte{0x18, 0}, ErrCorrupt)                                 // no buckets where some are announced
	f([]byte{0x18, 5, 0}, ErrTruncated)                            // five buckets in one byte
	f([]byte{0x18, 1, 0xff, 0xff, 0xff, 0xff, 0xf, 0}, ErrCorrupt) // an index that no value has
	f([]byte{0x18, 2, 0x80, 0x80, 4, 0, 0}, ErrCorrupt)            // a bucket above the last one
}

func FuzzHistDecode(f *testing.F) {
	var h Histogram
	for _, v := range []float64{0, 0.001, 0.0011, 0.2, 3, math.Inf(1)} {
		f.Add(h.AppendBinary(nil))
		h.Observe(v)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again Histogram
		if _, err := h.Decode(b); err != nil {
			return
		}
		n := h.Zero + h.Inf
		for i, bucket := range h.Buckets {
			n += bucket.Count
			if bucket.Count == 0 || i > 0 && bucket.Index <= h.Buckets[i-1].Index {
				t.Fatalf("decoded buckets %v", h.Buckets)
			}
		}
		if n != h.Count {
			t.Fatalf("count %d, parts %d", h.Count, n)
		}
		if _, err := again.Decode(h.AppendBinary(nil)); err != nil || !again.Equal(&h) {
			t.Fatalf("round trip: %+v, %v; want %+v", again, err, h)
		}
	})
}

func BenchmarkRecorderObserve(b *testing.B) {
	var r Recorder
	values := make([]float64, 1024)
	for i := range values {
		values[i] = math.Exp2(float64(i%97)/10 - 12)
	}
	b.ReportAllocs()
	for i := range b.N {
		r.Observe(values[i&1023])
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var r Recorder
	var h Histogram
	r.Observe(0.5)
	r.Take(&h)
	if n := testing.AllocsPerRun(100, func() { r.Observe(0.51); r.Take(&h) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
