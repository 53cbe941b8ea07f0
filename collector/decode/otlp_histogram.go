package decode

import (
	"encoding/binary"
	"errors"
	"math"
)

// readHistogram reads a histogram with explicit bounds into the values of a
// classic one. Without buckets, a count and a sum remain.
func (o *otlp) readHistogram(b []byte) error {
	var count, sum float64
	bounds, counts := o.shape.bounds[:0], o.scratch[:0]
	m := message{b: b}
	for m.next() {
		switch {
		case m.is(4, wireFixed64):
			count = float64(m.num)
		case m.is(5, wireFixed64):
			sum = m.float()
		case m.field == 6:
			counts = m.numbers(counts, wireFixed64)
		case m.field == 7:
			o.bits = m.numbers(o.bits[:0], wireFixed64)
			for _, bits := range o.bits {
				bounds = append(bounds, math.Float64frombits(bits))
			}
		}
	}
	o.scratch, o.shape.bounds = counts, bounds
	if m.damaged {
		return errMessage
	}
	if len(counts) == 0 && len(bounds) == 0 {
		counts = append(counts, uint64(count)) // all lie in (-Inf, +Inf]
	}
	if len(counts) != len(bounds)+1 || len(bounds) > maxBuckets {
		return errors.New("a histogram needs one bucket more than it has bounds")
	}
	o.counts = o.counts[:0]
	for _, n := range counts {
		o.counts = append(o.counts, float64(n))
	}
	p := &o.point
	for i, v := range bounds {
		if i > 0 && !(bounds[i-1] < v) {
			return errors.New("a histogram's bounds do not ascend")
		}
	}
	p.Key = appendFloats(p.Key, bounds)
	p.Values = classicValues(p.Values, o.counts, count, sum)
	return nil
}

func (o *otlp) readExponential(b []byte) error {
	h := &o.hist
	*h = NativeHistogram{Positive: h.Positive[:0], Negative: h.Negative[:0]}
	m := message{b: b}
	for m.next() {
		switch {
		case m.is(4, wireFixed64):
			h.Count = float64(m.num)
		case m.is(5, wireFixed64):
			h.Sum = m.float()
		case m.is(6, wireVarint):
			h.Schema = int32(unzigzag(m.num))
		case m.is(7, wireFixed64):
			h.Zero = float64(m.num)
		case m.is(14, wireFixed64):
			h.ZeroThreshold = m.float()
		case m.is(8, wireBytes):
			h.Positive = o.exponentialBuckets(h.Positive[:0], &m)
		case m.is(9, wireBytes):
			h.Negative = o.exponentialBuckets(h.Negative[:0], &m)
		}
	}
	if m.damaged {
		return errMessage
	}
	o.point.Values = append(o.point.Values, Value{Form: Histogram, Hist: h})
	return nil
}

// exponentialBuckets appends the buckets that a field holds. OpenTelemetry's
// bucket i begins where that of Prometheus ends.
func (o *otlp) exponentialBuckets(dst []NativeBucket, m *message) []NativeBucket {
	var offset int64
	counts := o.scratch[:0]
	in := message{b: m.bytes}
	for in.next() {
		switch {
		case in.is(1, wireVarint):
			offset = unzigzag(in.num)
		case in.field == 2:
			counts = in.numbers(counts, wireVarint)
		}
	}
	o.scratch = counts
	if in.damaged || len(counts) > maxBuckets || offset != int64(int32(offset)) || offset+int64(len(counts)) >= math.MaxInt32 {
		m.fail()
		return dst
	}
	for i, n := range counts {
		if n > 0 {
			dst = append(dst, NativeBucket{int32(offset) + int32(i) + 1, float64(n)})
		}
	}
	return dst
}

// readSummary reads a summary: its quantiles, its count and its sum.
func (o *otlp) readSummary(b []byte) error {
	var count, sum float64
	p := &o.point
	quantiles := o.shape.quantiles[:0]
	m := message{b: b}
	for m.next() {
		switch {
		case m.is(4, wireFixed64):
			count = float64(m.num)
		case m.is(5, wireFixed64):
			sum = m.float()
		case m.is(6, wireBytes):
			var q, v float64
			in := message{b: m.bytes}
			for in.next() {
				if in.is(1, wireFixed64) {
					q = in.float()
				} else if in.is(2, wireFixed64) {
					v = in.float()
				}
			}
			if in.damaged {
				return errMessage
			}
			quantiles = append(quantiles, q)
			p.Values = append(p.Values, Value{Form: Float, Num: v})
		}
	}
	if o.shape.quantiles = quantiles; m.damaged {
		return errMessage
	}
	p.Key = appendFloats(p.Key, quantiles)
	p.Values = append(p.Values, Value{Form: Float, Num: count}, Value{Form: Float, Num: sum})
	return nil
}

// appendFloats ends a key with floats and how many they are.
func appendFloats(key []byte, vs []float64) []byte {
	for _, v := range vs {
		key = binary.LittleEndian.AppendUint64(key, math.Float64bits(v))
	}
	return binary.LittleEndian.AppendUint32(key, uint32(len(vs)))
}
