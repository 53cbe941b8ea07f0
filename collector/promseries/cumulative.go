package promseries

import (
	"github.com/prometheus/prometheus/model/histogram"

	"nines/internal/hist"
)

// InfBucket is where Prometheus keeps observations of +Inf at schema 5: the
// bucket above that of the greatest float, 1024 doublings of 32.
const InfBucket = 1024*(1<<hist.Schema) + 1

// Cumulative turns the deltas that agents send into the running histogram that
// Prometheus' rate() expects.
type Cumulative struct {
	// Written says that a sample of this sum went out: the first says that it
	// starts from zero.
	Written bool
	sum     hist.Histogram
}

// Add merges a delta.
func (c *Cumulative) Add(d *hist.Histogram) {
	s := &c.sum
	s.Count += d.Count
	s.Sum += d.Sum
	s.Zero += d.Zero
	s.Inf += d.Inf
	s.Buckets = mergeBuckets(s.Buckets, d.Buckets)
}

// mergeBuckets adds b to a; both ascend by index. It works in place from the
// end, so that a histogram whose buckets are all known allocates nothing.
func mergeBuckets(a, b []hist.Bucket) []hist.Bucket {
	fresh := 0
	for i, j := 0, 0; j < len(b); {
		switch {
		case i < len(a) && a[i].Index < b[j].Index:
			i++
		case i < len(a) && a[i].Index == b[j].Index:
			i, j = i+1, j+1
		default:
			fresh, j = fresh+1, j+1
		}
	}
	i := len(a) - 1
	for range fresh {
		a = append(a, hist.Bucket{})
	}
	for k, j := len(a)-1, len(b)-1; j >= 0; k-- {
		switch {
		case i >= 0 && a[i].Index > b[j].Index:
			a[k], i = a[i], i-1
		case i >= 0 && a[i].Index == b[j].Index:
			a[k] = hist.Bucket{Index: b[j].Index, Count: a[i].Count + b[j].Count}
			i, j = i-1, j-1
		default:
			a[k], j = b[j], j-1
		}
	}
	return a
}

// Native returns the running histogram in Prometheus' form. The first of a life
// says that it starts from zero.
func (c *Cumulative) Native() *histogram.Histogram {
	h := &histogram.Histogram{
		Schema:        hist.Schema,
		ZeroThreshold: 1e-128,
		ZeroCount:     c.sum.Zero,
		Count:         c.sum.Count,
		Sum:           c.sum.Sum,
	}
	if !c.Written {
		h.CounterResetHint = histogram.CounterReset
	}
	next, last := int32(0), int64(0)
	push := func(index int32, count uint64) {
		if n := len(h.PositiveSpans); n > 0 && index == next {
			h.PositiveSpans[n-1].Length++
		} else {
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: index - next, Length: 1})
		}
		h.PositiveBuckets = append(h.PositiveBuckets, int64(count)-last)
		next, last = index+1, int64(count)
	}
	for _, b := range c.sum.Buckets {
		push(b.Index, b.Count)
	}
	if c.sum.Inf > 0 {
		push(InfBucket, c.sum.Inf)
	}
	return h
}
