package hist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The first byte of an encoded histogram: the version in the high half, and
// which optional parts follow.
const (
	codecVersion = 0x10
	hasZero      = 0x01
	hasInf       = 0x02
	hasSum       = 0x04
	hasBuckets   = 0x08
)

// Errors of Decode, to be tested with errors.Is.
var (
	// ErrTruncated: the bytes end within the histogram.
	ErrTruncated = errors.New("histogram is truncated")
	// ErrVersion: written by another release, in a form that this one does not
	// know.
	ErrVersion = errors.New("histogram has an unknown version")
	// ErrCorrupt: no encoder writes these bytes.
	ErrCorrupt = errors.New("histogram is corrupt")
)

// AppendBinary appends the histogram's bytes to dst; equal histograms give
// equal bytes. Count is not written: it is Zero + Inf + the buckets' counts.
// docs/wire.md has the form.
func (h *Histogram) AppendBinary(dst []byte) []byte {
	flags := byte(codecVersion)
	if h.Zero != 0 {
		flags |= hasZero
	}
	if h.Inf != 0 {
		flags |= hasInf
	}
	if math.Float64bits(h.Sum) != 0 {
		flags |= hasSum
	}
	if len(h.Buckets) > 0 {
		flags |= hasBuckets
	}
	dst = append(dst, flags)
	if h.Zero != 0 {
		dst = binary.AppendUvarint(dst, h.Zero)
	}
	if h.Inf != 0 {
		dst = binary.AppendUvarint(dst, h.Inf)
	}
	if flags&hasSum != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(h.Sum))
	}
	if len(h.Buckets) > 0 {
		dst = appendBuckets(dst, h.Buckets)
	}
	return dst
}

// appendBuckets writes each bucket as its distance to the one before, doubled,
// plus 1 if a count follows: most buckets of a short interval hold one
// observation and take one byte.
func appendBuckets(dst []byte, buckets []Bucket) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(buckets)))
	next := int32(0)
	for i, b := range buckets {
		if i == 0 {
			dst = binary.AppendVarint(dst, int64(b.Index))
			next = b.Index
		}
		tag := uint64(b.Index-next) << 1
		if b.Count == 1 {
			dst = binary.AppendUvarint(dst, tag)
		} else {
			dst = binary.AppendUvarint(dst, tag|1)
			dst = binary.AppendUvarint(dst, b.Count-2)
		}
		next = b.Index + 1
	}
	return dst
}

// Decode replaces what h holds, reusing its memory, by the histogram at the
// start of b, and returns the bytes after it. It allocates at most 16 bytes per
// byte of b. After an error h is empty.
func (h *Histogram) Decode(b []byte) (rest []byte, err error) {
	h.Reset()
	rest, err = h.decode(b)
	if err != nil {
		h.Reset()
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	return rest, nil
}

func (h *Histogram) decode(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, ErrTruncated
	}
	flags := b[0]
	if flags&0xf0 != codecVersion {
		return nil, ErrVersion
	}
	b = b[1:]
	var err error
	if flags&hasZero != 0 {
		if h.Zero, b, err = uvarint(b); err != nil {
			return nil, err
		}
	}
	if flags&hasInf != 0 {
		if h.Inf, b, err = uvarint(b); err != nil {
			return nil, err
		}
	}
	if flags&hasSum != 0 {
		if len(b) < 8 {
			return nil, ErrTruncated
		}
		h.Sum = math.Float64frombits(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	h.Count = h.Zero + h.Inf
	if h.Count < h.Zero {
		return nil, ErrCorrupt
	}
	if flags&hasBuckets != 0 {
		return h.decodeBuckets(b)
	}
	return b, nil
}

func (h *Histogram) decodeBuckets(b []byte) ([]byte, error) {
	n, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, ErrCorrupt
	}
	if n > uint64(len(b)) { // a bucket takes at least one byte
		return nil, ErrTruncated
	}
	first, k := binary.Varint(b)
	if k <= 0 {
		return nil, ErrTruncated
	}
	b = b[k:]
	if first < minIndex || first > maxIndex {
		return nil, ErrCorrupt
	}
	next := first
	for range n {
		var tag, count uint64
		if tag, b, err = uvarint(b); err != nil {
			return nil, err
		}
		count = 1
		if tag&1 != 0 {
			if count, b, err = uvarint(b); err != nil {
				return nil, err
			}
			if count += 2; count < 2 {
				return nil, ErrCorrupt
			}
		}
		gap := tag >> 1
		if next > maxIndex || gap > uint64(maxIndex-next) || h.Count+count < h.Count {
			return nil, ErrCorrupt
		}
		h.Count += count
		h.Buckets = append(h.Buckets, Bucket{int32(next + int64(gap)), count})
		next += int64(gap) + 1
	}
	return b, nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n == 0 {
		return 0, nil, ErrTruncated
	}
	if n < 0 {
		return 0, nil, ErrCorrupt
	}
	return v, b[n:], nil
}
