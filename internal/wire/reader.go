package wire

import (
	"encoding/binary"
	"math"
	"strconv"
)

// reader takes a record apart. After the first error it returns zeros; callers
// look at err once per part, and before anything is sized by what was read.
type reader struct {
	b      []byte
	p      int
	record string
	err    error
	// padded is the whole record and vectorPad bytes behind it; only frames
	// have it.
	padded []byte
}

func (r *reader) fail(at int, element string, err error) {
	if r.err == nil {
		r.err = &Error{Record: r.record, Offset: at, Element: element, Err: err}
		r.p = len(r.b)
	}
}

// begin checks the magic byte and the version.
func (r *reader) begin(magic, version byte) {
	switch {
	case len(r.b) < 2:
		r.fail(0, "magic", ErrTruncated)
	case r.b[0] != magic:
		r.fail(0, "magic", ErrMagic)
	case r.b[1] > version:
		r.fail(1, unlike(r.b[1], version), ErrVersion)
	case r.b[1] < version:
		r.fail(1, unlike(r.b[1], version), ErrRetired)
	default:
		r.p = 2
	}
}

// unlike names a version that is not the one that is read.
func unlike(got, want byte) string {
	return "version " + strconv.Itoa(int(got)) + " (this release reads " + strconv.Itoa(int(want)) + ")"
}

// end checks that nothing is left.
func (r *reader) end() {
	if r.err == nil && r.p != len(r.b) {
		r.fail(r.p, "end", ErrCorrupt)
	}
}

func (r *reader) left() int { return len(r.b) - r.p }

func (r *reader) byte(element string) byte {
	if r.p >= len(r.b) {
		r.fail(r.p, element, ErrTruncated)
		return 0
	}
	v := r.b[r.p]
	r.p++
	return v
}

func (r *reader) fixed64(element string) uint64 {
	if r.left() < 8 {
		r.fail(r.p, element, ErrTruncated)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b[r.p:])
	r.p += 8
	return v
}

func (r *reader) uvarint(element string) uint64 {
	if r.p < len(r.b) && r.b[r.p] < 0x80 {
		r.p++
		return uint64(r.b[r.p-1])
	}
	return r.longUvarint(element)
}

// short reads a uvarint of one byte, which most are; false where it is longer,
// and the caller goes on with longUvarint. The compiler puts it in place of its
// calls.
func (r *reader) short() (uint64, bool) {
	if r.p < len(r.b) && r.b[r.p] < 0x80 {
		r.p++
		return uint64(r.b[r.p-1]), true
	}
	return 0, false
}

func (r *reader) longUvarint(element string) uint64 {
	v, n := binary.Uvarint(r.b[r.p:])
	switch {
	case n > 0:
		r.p += n
		return v
	case n == 0:
		r.fail(r.p, element, ErrTruncated)
	default:
		r.fail(r.p, element, ErrCorrupt)
	}
	return 0
}

// varint reads a zigzag varint.
func (r *reader) varint(element string) int64 { return unzigzag(r.uvarint(element)) }

// uint32 reads a uvarint that must fit 32 bits.
func (r *reader) uint32(element string) uint32 {
	at := r.p
	v := r.uvarint(element)
	if v > math.MaxUint32 {
		r.fail(at, element, ErrCorrupt)
		return 0
	}
	return uint32(v)
}

// count reads how many elements follow, each of at least size bytes. What it
// returns may be allocated.
func (r *reader) count(element string, size int) int {
	at := r.p
	v := r.uvarint(element)
	left := uint64(r.left())
	if v > left || v*uint64(size) > left {
		r.fail(at, element, ErrTruncated)
		return 0
	}
	return int(v)
}

// bytes reads a length and as many bytes; they alias the record.
func (r *reader) bytes(element string) []byte {
	n := r.count(element, 1)
	r.p += n
	return r.b[r.p-n : r.p : r.p]
}

func (r *reader) string(element string) string { return string(r.bytes(element)) }

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }
func appendVarint(dst []byte, v int64) []byte   { return binary.AppendVarint(dst, v) }

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBytes(dst, s []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
