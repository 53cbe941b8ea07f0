// Package hist holds native histograms: exponential buckets at schema 5 (32
// buckets a doubling), the layout of Prometheus and of OpenTelemetry's
// exponential histograms. Percentiles across hosts, zones and months are
// merges. Bucket i covers (2^((i-1)/32), 2^(i/32)], so a quantile read from the
// bucket's geometric middle is off by at most 1.1 %. Bucket indexes are exact,
// bounds included, so that two builds of nines never disagree about a bucket.
package hist

import (
	"math"
	"slices"
)

// Schema is the resolution of every histogram that nines records.
const Schema = 5

// perDoubling is how many buckets cover one doubling.
const perDoubling = 1 << Schema

// zeroThreshold is the greatest value that is counted as zero.
const zeroThreshold = 1e-128

// The least and the greatest index of a bucket: those of the values next to
// zeroThreshold and of the greatest finite float64.
const (
	minIndex = -13606
	maxIndex = 1024 * perDoubling
)

// Histogram is a sparse native histogram. The zero value is empty and ready.
// Buckets are ascending by Index and hold no zero counts.
type Histogram struct {
	// Count is the number of observations, Inf ones included.
	Count uint64
	// Sum is the sum of the finite observations.
	Sum float64
	// Zero counts observations of at most 1e-128, negative ones included.
	Zero uint64
	// Inf counts observations of +Inf: time-outs, which are above every bound.
	Inf     uint64
	Buckets []Bucket
}

// Bucket counts the observations within one exponential interval.
type Bucket struct {
	Index int32
	Count uint64
}

// Observe counts v. NaN is no observation and is not counted. It costs a binary
// search; a Recorder is for hot paths.
func (h *Histogram) Observe(v float64) {
	if math.IsNaN(v) {
		return
	}
	h.Count++
	if !math.IsInf(v, 0) {
		h.Sum += v
	}
	switch {
	case v <= zeroThreshold:
		h.Zero++
	case math.IsInf(v, 1):
		h.Inf++
	default:
		h.add(IndexOf(v), 1)
	}
}

func (h *Histogram) add(index int32, n uint64) {
	i, ok := slices.BinarySearchFunc(h.Buckets, index, func(b Bucket, x int32) int { return int(b.Index) - int(x) })
	if !ok {
		h.Buckets = slices.Insert(h.Buckets, i, Bucket{Index: index})
	}
	h.Buckets[i].Count += n
}

// Merge adds what o counted. o is not changed and shares nothing with h
// afterwards.
func (h *Histogram) Merge(o *Histogram) {
	h.Count += o.Count
	h.Sum += o.Sum
	h.Zero += o.Zero
	h.Inf += o.Inf
	i, j := len(h.Buckets)-1, len(o.Buckets)-1
	fresh := missing(h.Buckets, o.Buckets)
	if fresh == 0 && j < 0 {
		return
	}
	// Merging from the end needs no second slice: what is written lies behind
	// what is still to be read.
	h.Buckets = slices.Grow(h.Buckets, fresh)[:len(h.Buckets)+fresh]
	for k := len(h.Buckets) - 1; j >= 0; k-- {
		switch {
		case i < 0 || h.Buckets[i].Index < o.Buckets[j].Index:
			h.Buckets[k] = o.Buckets[j]
			j--
		case h.Buckets[i].Index > o.Buckets[j].Index:
			h.Buckets[k] = h.Buckets[i]
			i--
		default:
			h.Buckets[k] = Bucket{o.Buckets[j].Index, h.Buckets[i].Count + o.Buckets[j].Count}
			i--
			j--
		}
	}
}

// missing returns how many buckets of b are not in a.
func missing(a, b []Bucket) int {
	n, i := 0, 0
	for j := range b {
		for i < len(a) && a[i].Index < b[j].Index {
			i++
		}
		if i == len(a) || a[i].Index != b[j].Index {
			n++
		}
	}
	return n
}

// Quantile returns the q-quantile by nearest rank: the value of the observation
// number ceil(q*n) in ascending order, q clamped to [0,1]. Observations of +Inf
// sort last and are returned as +Inf; those counted as zero are returned as 0;
// others as the geometric middle of their bucket. It is NaN for an empty
// histogram or a q of NaN.
func (h *Histogram) Quantile(q float64) float64 {
	if h.Count == 0 || math.IsNaN(q) {
		return math.NaN()
	}
	rank := nearestRank(q, h.Count)
	if rank <= h.Zero {
		return 0
	}
	seen := h.Zero
	for _, b := range h.Buckets {
		seen += b.Count
		if rank <= seen {
			return middle(b.Index)
		}
	}
	return math.Inf(1)
}

// nearestRank returns ceil(q*n) within [1,n]. Products that miss a whole number
// only by rounding, like 0.07*100, count as that number.
func nearestRank(q float64, n uint64) uint64 {
	x := q * float64(n)
	if r := math.Round(x); math.Abs(x-r) <= r*1e-15*4 {
		x = r
	}
	switch x = math.Ceil(x); {
	case x <= 1:
		return 1
	case x >= float64(n):
		return n
	}
	return uint64(x)
}

// middle returns the geometric middle of bucket i.
func middle(i int32) float64 { return math.Exp2((float64(i) - 0.5) / perDoubling) }

// Reset empties the histogram and keeps its memory.
func (h *Histogram) Reset() { *h = Histogram{Buckets: h.Buckets[:0]} }

// Clone returns a copy that shares nothing with h.
func (h *Histogram) Clone() *Histogram {
	c := *h
	c.Buckets = slices.Clone(h.Buckets)
	return &c
}

// Equal tells whether both count the same observations, sums bit by bit.
func (h *Histogram) Equal(o *Histogram) bool {
	return h.Count == o.Count && h.Zero == o.Zero && h.Inf == o.Inf &&
		math.Float64bits(h.Sum) == math.Float64bits(o.Sum) && slices.Equal(h.Buckets, o.Buckets)
}
