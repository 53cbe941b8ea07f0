package ledger

import (
	"encoding/binary"
	"fmt"
	"math"

	"nines/internal/hist"
)

// histFormat is the first byte of a stored histogram.
const histFormat = 1

// appendHist encodes a histogram: format, count, sum, zero, inf, number of
// buckets, then per bucket the distance to the one before and its count.
func appendHist(b []byte, h *hist.Histogram) []byte {
	b = append(b, histFormat)
	b = binary.AppendUvarint(b, h.Count)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(h.Sum))
	b = binary.AppendUvarint(b, h.Zero)
	b = binary.AppendUvarint(b, h.Inf)
	b = binary.AppendUvarint(b, uint64(len(h.Buckets)))
	prev := int64(0)
	for _, k := range h.Buckets {
		b = binary.AppendUvarint(b, zigzag(int64(k.Index)-prev))
		b = binary.AppendUvarint(b, k.Count)
		prev = int64(k.Index)
	}
	return b
}

// decodeHist is the inverse of appendHist.
func decodeHist(b []byte) (hist.Histogram, error) {
	var h hist.Histogram
	r := &reader{b: b}
	if f := r.byte(); f != histFormat && r.err == nil {
		return h, fmt.Errorf("%w: histogram of format %d", errBytes, f)
	}
	h.Count = r.uvarint()
	h.Sum = math.Float64frombits(r.uint64())
	h.Zero = r.uvarint()
	h.Inf = r.uvarint()
	n := r.uvarint()
	if n > uint64(len(r.b))/2 { // a bucket takes two bytes at least
		r.fail("too many buckets")
	}
	if r.err != nil {
		return hist.Histogram{}, r.err
	}
	if n > 0 {
		h.Buckets = make([]hist.Bucket, 0, n)
	}
	prev := int64(math.MinInt64)
	at := int64(0)
	for ; n > 0 && r.err == nil; n-- {
		at += r.varint()
		count := r.uvarint()
		if at <= prev || at != int64(int32(at)) || count == 0 {
			r.fail("buckets out of order")
		}
		h.Buckets = append(h.Buckets, hist.Bucket{Index: int32(at), Count: count})
		prev = at
	}
	if err := r.end(); err != nil {
		return hist.Histogram{}, err
	}
	return h, nil
}

// mergeHist adds o to h.
func mergeHist(h, o *hist.Histogram) {
	h.Count += o.Count
	h.Sum += o.Sum
	h.Zero += o.Zero
	h.Inf += o.Inf
	h.Buckets = mergeBuckets(h.Buckets, o.Buckets)
}

// mergeBuckets returns the sum of two ascending lists, in memory of its own.
func mergeBuckets(a, b []hist.Bucket) []hist.Bucket {
	out := make([]hist.Bucket, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x.Index < y.Index:
			out, a = append(out, x), a[1:]
		case x.Index > y.Index:
			out, b = append(out, y), b[1:]
		default:
			out = append(out, hist.Bucket{Index: x.Index, Count: x.Count + y.Count})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}
