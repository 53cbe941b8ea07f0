package hist

import "math"

// Layout of a float64, and the part of the mantissa that picks an entry of
// mantissas: 128 parts of a doubling are narrower than any of its 32 buckets,
// so that at most one bound lies within each.
const (
	mantissaBits = 52
	mantissaMask = 1<<mantissaBits - 1
	partBits     = 7
	partShift    = mantissaBits - partBits
	exponentBias = 1023
)

// part says, for one part of a doubling, the index within the doubling of the
// bucket that its least mantissa falls into, and that bucket's bound: greater
// mantissas belong to the next bucket.
type part struct {
	bound uint64
	index int
}

// mantissas is computed once from bounds and never changed.
var mantissas = newMantissas()

func newMantissas() (t [1 << partBits]part) {
	for p := range t {
		least := math.Float64frombits(exponentBias<<mantissaBits | uint64(p)<<partShift)
		i := IndexOf(least)
		bound := uint64(mantissaMask)
		if i < perDoubling {
			bound = math.Float64bits(UpperBound(i)) & mantissaMask
		}
		t[p] = part{bound: bound, index: int(i) - exponentBias*perDoubling}
	}
	return t
}

// The bits of the values next below and next above those that have a bucket.
var (
	zeroBits = math.Float64bits(zeroThreshold)
	infBits  = math.Float64bits(math.Inf(1))
)

// Recorder counts observations at a few nanoseconds each, by indexing an array
// with the bits of the value, and publishes them as Histograms. It fills the
// same buckets as Histogram.Observe. The zero value is empty and ready. It is
// for one goroutine.
type Recorder struct {
	// counts[i] counts bucket base+i; it spans whole doublings, those seen since
	// the Recorder was made.
	counts []uint64
	base   int
	sum    float64
	zero   uint64
	inf    uint64
}

// Observe counts v. NaN is no observation and is not counted.
func (r *Recorder) Observe(v float64) {
	b := math.Float64bits(v)
	// One comparison finds zeros, negative values, +Inf and NaN.
	if b-zeroBits-1 >= infBits-zeroBits-1 {
		r.observeSpecial(v)
		return
	}
	m := b & mantissaMask
	p := &mantissas[m>>partShift]
	// The borrow of the difference adds 1 above the bound, without a branch that
	// the processor cannot foresee.
	i := int(b>>mantissaBits)*perDoubling + p.index - r.base + int((p.bound-m)>>63)
	if uint(i) >= uint(len(r.counts)) {
		i = r.grow(i)
	}
	r.counts[i]++
	r.sum += v
}

func (r *Recorder) observeSpecial(v float64) {
	switch {
	case math.IsNaN(v):
	case math.IsInf(v, 1):
		r.inf++
	default:
		r.zero++
		if !math.IsInf(v, -1) {
			r.sum += v
		}
	}
}

// grow makes room for the doubling around position i and returns the new
// position.
func (r *Recorder) grow(i int) int {
	index := i + r.base
	lo := index &^ (perDoubling - 1)
	hi := lo + perDoubling
	if len(r.counts) > 0 {
		lo, hi = min(lo, r.base), max(hi, r.base+len(r.counts))
	}
	counts := make([]uint64, hi-lo)
	if len(r.counts) > 0 {
		copy(counts[r.base-lo:], r.counts)
	}
	r.counts, r.base = counts, lo
	return index - lo
}

// Take replaces what into holds, reusing its memory, by what was observed since
// the last Take, and starts anew.
func (r *Recorder) Take(into *Histogram) {
	into.Reset()
	into.Sum, into.Zero, into.Inf = r.sum, r.zero, r.inf
	into.Count = r.zero + r.inf
	for i, n := range r.counts {
		if n > 0 {
			into.Count += n
			into.Buckets = append(into.Buckets, Bucket{int32(r.base + i), n})
			r.counts[i] = 0
		}
	}
	r.sum, r.zero, r.inf = 0, 0, 0
}
