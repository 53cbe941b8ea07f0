package wire

import (
	"math/bits"
)

// Several rounds of a series are written as one column: its first byte says
// how.
const (
	columnVector = 0 // a vector of the rounds' values
	columnSame   = 1 // a vector of one value, which is that of every round
	columnDelta  = 2 // .. 17: integers to be divided by 10^(byte-2), as zigzag varints: the first, then each one's difference from the one before
)

// appendColumns appends column-major values of several rounds.
func (e *Encoder) appendColumns(dst []byte, values []float64, absent []uint64, rounds int) []byte {
	if rounds == 0 {
		return dst
	}
	for first := 0; first+rounds <= len(values); first += rounds {
		dst = e.appendColumn(dst, values[first:first+rounds], absent, first)
	}
	return dst
}

func (e *Encoder) appendColumn(dst []byte, values []float64, absent []uint64, first int) []byte {
	if anyBit(absent, first, len(values)) {
		return appendVector(append(dst, columnVector), values, absent, first)
	}
	if allSame(values) {
		return appendVector(append(dst, columnSame), values[:1], nil, 0)
	}
	scale, ok := e.scale(values)
	if !ok || e.deltaSize() > vectorSize(values) {
		return appendVector(append(dst, columnVector), values, nil, 0)
	}
	dst = append(dst, byte(columnDelta+scale))
	last := int64(0)
	for _, m := range e.integers {
		dst = appendVarint(dst, m-last)
		last = m
	}
	return dst
}

// scale finds the least k at which all values are integers, and leaves these
// in e.integers.
func (e *Encoder) scale(values []float64) (int, bool) {
	scale := 0
	for _, v := range values {
		if !finite(v) {
			return 0, false
		}
		_, k, ok := decimal(v)
		if !ok {
			return 0, false
		}
		scale = max(scale, k)
	}
	e.integers = e.integers[:0]
	for _, v := range values {
		m, k, _ := decimal(v)
		hi, lo := bits.Mul64(uint64(abs(m)), uint64(pow10[scale-k]))
		if hi != 0 || lo >= maxInteger {
			return 0, false
		}
		if m < 0 {
			lo = -lo
		}
		e.integers = append(e.integers, int64(lo))
	}
	return scale, true
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// deltaSize returns the size of e.integers as differences, in bytes.
func (e *Encoder) deltaSize() int {
	n, last := 0, int64(0)
	for _, m := range e.integers {
		n += (bits.Len64(zigzag(m-last)|1) + 6) / 7
		last = m
	}
	return n
}

// vectorSize returns about the size of the values as a vector, in bytes.
func vectorSize(values []float64) int {
	var out [maxValueSize + 8]byte
	n := (len(values) + 1) / 2
	for _, v := range values {
		_, size := putValue(out[:], 0, v)
		n += size
	}
	return n
}

func anyBit(set []uint64, first, n int) bool {
	for i := first; i < first+n && i>>6 < len(set); i++ {
		if bit(set, i) {
			return true
		}
	}
	return false
}

func allSame(values []float64) bool {
	b := floatBits(values[0])
	for _, v := range values[1:] {
		if floatBits(v) != b {
			return false
		}
	}
	return true
}

// columns reads len(values)/rounds columns.
func (r *reader) columns(values []float64, rounds int, absent *[]uint64) {
	for first := 0; first+rounds <= len(values) && r.err == nil; first += rounds {
		r.column(values[first:first+rounds], absent, first)
	}
}

func (r *reader) column(values []float64, absent *[]uint64, first int) {
	at := r.p
	mode := r.byte("column")
	switch {
	case r.err != nil:
	case mode == columnVector:
		r.vector(values, absent, first)
	case mode == columnSame:
		var none []uint64
		r.vector(values[:1], &none, 0)
		if len(none) > 0 {
			r.fail(at, "column", ErrCorrupt)
		}
		for i := range values {
			values[i] = values[0]
		}
	case mode <= columnDelta+maxScale:
		div := pow10[mode-columnDelta]
		m := int64(0)
		for i := range values {
			m += r.varint("column")
			values[i] = float64(m) / div
		}
	default:
		r.fail(at, "column", ErrVersion)
	}
}

func (r *reader) vector(values []float64, absent *[]uint64, first int) {
	p := decodeVector(r.padded, r.p, values, absent, first)
	if p < 0 || p > len(r.b) {
		r.fail(r.p, "values", ErrTruncated)
		return
	}
	r.p = p
}
