package decode

import (
	"errors"
	"math"
)

// customSchema is that of histograms whose buckets have bounds of their own.
const customSchema = -53

// maxBuckets bounds the buckets of one histogram, of either sign.
const maxBuckets = 1 << 16

// writeHistogram is a histogram as remote write has it, before its buckets are
// put together.
type writeHistogram struct {
	native   NativeHistogram
	hint     uint64
	floats   bool
	spans    [2][]span   // positive, negative
	deltas   [2][]uint64 // zigzag
	counts   [2][]uint64 // bits of floats
	bounds   []uint64    // bits of floats
	sequence []float64   // counts of custom buckets, by place
}

type span struct {
	offset int64
	length uint64
}

// kind returns the kind of the histogram's series: gauges where it is one.
func (h *writeHistogram) kind(cumulative Kind) Kind {
	if h.hint == resetHintGauge {
		return Gauge
	}
	return cumulative
}

func (h *writeHistogram) reset() {
	h.native = NativeHistogram{Positive: h.native.Positive[:0], Negative: h.native.Negative[:0]}
	h.hint, h.floats = 0, false
	for i := range h.spans {
		h.spans[i], h.deltas[i], h.counts[i] = h.spans[i][:0], h.deltas[i][:0], h.counts[i][:0]
	}
	h.bounds, h.sequence = h.bounds[:0], h.sequence[:0]
}

// histogram reads a histogram's message into the point: as one value or, where
// its bounds are its own, as those of a classic histogram.
func (w *writes) histogram(b []byte) (took bool, err error) {
	h := &w.hist
	h.reset()
	time, start, err := h.read(b, w.second)
	if err != nil {
		return false, err
	}
	if math.Float64bits(h.native.Sum) == staleMarker {
		return false, nil
	}
	if h.native.Schema != customSchema {
		w.begin(time, start, formNative)
		if h.native.Positive, err = h.buckets(h.native.Positive, 0); err == nil {
			h.native.Negative, err = h.buckets(h.native.Negative, 1)
		}
		w.point.Values = append(w.point.Values, Value{Form: Histogram, Hist: &h.native})
		return true, err
	}
	w.begin(time, start, formCustom)
	if h.native.Positive, err = h.buckets(h.native.Positive, 0); err != nil {
		return false, err
	}
	if h.sequence, err = bucketCounts(h.sequence, h.native.Positive, len(w.bounds)+1); err != nil {
		return false, err
	}
	w.point.Values = classicValues(w.point.Values, h.sequence, h.native.Count, h.native.Sum)
	return true, nil
}

// bucketCounts spreads the buckets over n places.
func bucketCounts(dst []float64, buckets []NativeBucket, n int) ([]float64, error) {
	for range n {
		dst = append(dst, 0)
	}
	for _, b := range buckets {
		if b.Index < 0 || int(b.Index) >= n {
			return dst, errors.New("a histogram has a bucket without a bound")
		}
		dst[b.Index] = b.Count
	}
	return dst, nil
}

func (h *writeHistogram) read(b []byte, second bool) (time, start int64, err error) {
	m := message{b: b}
	n := &h.native
	for m.next() {
		switch {
		case m.is(1, wireVarint):
			n.Count = float64(m.num)
		case m.is(2, wireFixed64):
			n.Count, h.floats = m.float(), true
		case m.is(3, wireFixed64):
			n.Sum = m.float()
		case m.is(4, wireVarint):
			n.Schema = int32(unzigzag(m.num))
		case m.is(5, wireFixed64):
			n.ZeroThreshold = m.float()
		case m.is(6, wireVarint):
			n.Zero = float64(m.num)
		case m.is(7, wireFixed64):
			n.Zero = m.float()
		case m.is(14, wireVarint):
			h.hint = m.num
		case m.is(15, wireVarint):
			time = int64(m.num)
		case m.field == 16:
			h.bounds = m.numbers(h.bounds, wireFixed64)
		case second && m.is(17, wireVarint):
			start = int64(m.num)
		default:
			h.readBuckets(&m)
		}
	}
	if len(h.bounds) > maxBuckets {
		return 0, 0, errors.New("a histogram has too many buckets")
	}
	return time, start, m.err()
}

func (h *writeHistogram) readBuckets(m *message) {
	sign := 0
	if m.field <= 10 {
		sign = 1
	}
	switch m.field {
	case 8, 11:
		if m.typ != wireBytes {
			m.fail()
			return
		}
		var s span
		in := message{b: m.bytes}
		for in.next() {
			if in.is(1, wireVarint) {
				s.offset = unzigzag(in.num)
			} else if in.is(2, wireVarint) {
				s.length = in.num
			}
		}
		if in.damaged {
			m.fail()
			return
		}
		h.spans[sign] = append(h.spans[sign], s)
	case 9, 12:
		h.deltas[sign] = m.numbers(h.deltas[sign], wireVarint)
	case 10, 13:
		h.counts[sign] = m.numbers(h.counts[sign], wireFixed64)
	}
}

// buckets appends the buckets of one sign: spans say which there are, and deltas
// or counts how full.
func (h *writeHistogram) buckets(dst []NativeBucket, sign int) ([]NativeBucket, error) {
	deltas, counts := h.deltas[sign], h.counts[sign]
	index, count, at := int64(0), int64(0), 0
	for i, s := range h.spans[sign] {
		index += s.offset
		if s.length > maxBuckets || i > maxBuckets {
			return dst, errors.New("a histogram has too many buckets")
		}
		for range s.length {
			n := 0.0
			switch {
			case h.floats && at < len(counts):
				n = math.Float64frombits(counts[at])
			case !h.floats && at < len(deltas):
				count += unzigzag(deltas[at])
				n = float64(count)
			default:
				return dst, errors.New("a histogram's spans and its counts do not match")
			}
			if index != int64(int32(index)) || !(n >= 0) {
				return dst, errors.New("a histogram's bucket is out of range")
			}
			dst = append(dst, NativeBucket{int32(index), n})
			index++
			at++
		}
	}
	if h.floats && at != len(counts) || !h.floats && at != len(deltas) {
		return dst, errors.New("a histogram's spans and its counts do not match")
	}
	return dst, nil
}
