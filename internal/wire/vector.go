package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// A vector is a list of floats of which each stands alone. One code of four
// bits per value says how long the value is and how to read it; the values'
// bytes follow the codes. Decoding is a table look-up, eight bytes read and
// masked, one conversion and one division, without a branch that depends on
// the value except for the rare codes at the end.
const (
	codeZero    = 0  // +0, no bytes
	codeInt     = 1  // .. 6: an integer of as many bytes
	codeKibi    = 7  // .. 9: an integer of 2..4 bytes, times 1024
	codeCenti1  = 10 // an integer of 1 byte, divided by 100
	codeCenti2  = 11 // an integer of 2 bytes, divided by 100
	codeNano3   = 12 // an integer of 3 bytes, divided by 10^9
	codeRaw     = 13 // the 8 bytes of the float64
	codeGeneral = 14 // a descriptor byte, then an integer; see appendGeneral
	codeAbsent  = 15 // not measured, no bytes
)

// codeInfo says how the values of a code are read: the integer in the masked
// bytes, times mul, divided by div.
type codeInfo struct {
	mask uint64
	size int
	mul  float64
	div  float64
}

var codes = [16]codeInfo{
	codeZero:     {0, 0, 1, 1},
	codeInt:      {1<<8 - 1, 1, 1, 1},
	codeInt + 1:  {1<<16 - 1, 2, 1, 1},
	codeInt + 2:  {1<<24 - 1, 3, 1, 1},
	codeInt + 3:  {1<<32 - 1, 4, 1, 1},
	codeInt + 4:  {1<<40 - 1, 5, 1, 1},
	codeInt + 5:  {1<<48 - 1, 6, 1, 1},
	codeKibi:     {1<<16 - 1, 2, 1024, 1},
	codeKibi + 1: {1<<24 - 1, 3, 1024, 1},
	codeKibi + 2: {1<<32 - 1, 4, 1024, 1},
	codeCenti1:   {1<<8 - 1, 1, 1, 1e2},
	codeCenti2:   {1<<16 - 1, 2, 1, 1e2},
	codeNano3:    {1<<24 - 1, 3, 1, 1e9},
	codeRaw:      {math.MaxUint64, 8, 1, 1},
}

// maxValueSize is the most that one value takes, its code not counted.
const maxValueSize = 8

// appendVector appends the values' codes and bytes. absent, where not nil, is
// the bit set of values that were not measured, from bit first on.
func appendVector(dst []byte, values []float64, absent []uint64, first int) []byte {
	n := len(values)
	at := len(dst)
	nibbles := (n + 1) / 2
	dst = slices.Grow(dst, nibbles+n*maxValueSize+8)
	out := dst[:cap(dst)]
	p := at + nibbles
	clear(out[at:p])
	for i, v := range values {
		var code byte
		if absent != nil && bit(absent, first+i) {
			code = codeAbsent
		} else {
			code, p = putValue(out, p, v)
		}
		out[at+i>>1] |= code << (i & 1 * 4)
	}
	return out[:p]
}

func bit(set []uint64, i int) bool {
	w := i >> 6
	return w < len(set) && set[w]&(1<<(i&63)) != 0
}

// putValue writes v's bytes at out[p:], which has room for eight more than it
// needs, and returns its code and the next position.
func putValue(out []byte, p int, v float64) (byte, int) {
	i := int64(v)
	if float64(i) != v || i <= 0 || i >= 1<<48 {
		return putRare(out, p, v)
	}
	size := (bits.Len64(uint64(i)) + 7) >> 3
	if i&1023 == 0 {
		if s := (bits.Len64(uint64(i>>10)) + 7) >> 3; s < size && s >= 2 && s <= 4 {
			binary.LittleEndian.PutUint64(out[p:], uint64(i>>10))
			return byte(codeKibi + s - 2), p + s
		}
	}
	binary.LittleEndian.PutUint64(out[p:], uint64(i))
	return byte(codeInt + size - 1), p + size
}

// putRare writes what is no positive integer below 2^48.
func putRare(out []byte, p int, v float64) (byte, int) {
	b := math.Float64bits(v)
	if b == 0 {
		return codeZero, p
	}
	if finite(v) {
		if m, k, ok := decimal(v); ok {
			return putDecimal(out, p, m, k)
		}
	}
	binary.LittleEndian.PutUint64(out[p:], b)
	return codeRaw, p + 8
}

func putDecimal(out []byte, p int, m int64, k int) (byte, int) {
	code := byte(codeGeneral)
	switch {
	case k == 2 && m > 0 && m < 1<<8:
		code = codeCenti1
	case k == 2 && m > 0 && m < 1<<16:
		code = codeCenti2
	case k == 9 && m > 0 && m < 1<<24:
		code = codeNano3
	default:
		return codeGeneral, putGeneral(out, p, m, k)
	}
	binary.LittleEndian.PutUint64(out[p:], uint64(m))
	return code, p + codes[code].size
}

// putGeneral writes the descriptor (bits 0-2: size of the integer in bytes,
// 1..7; bits 3-6: k; bit 7: negative) and the integer's magnitude.
func putGeneral(out []byte, p int, m int64, k int) int {
	descriptor := byte(k << 3)
	if m < 0 {
		descriptor |= 0x80
		m = -m
	}
	size := (bits.Len64(uint64(m)) + 7) >> 3
	out[p] = descriptor | byte(size)
	binary.LittleEndian.PutUint64(out[p+1:], uint64(m))
	return p + 1 + size
}

// decodeVector reads len(values) values from the start of b and returns how
// many bytes they took, or -1 - the number of the value at which b ends or
// that no encoder writes. Absent values become 0, and their bit, from first on,
// is set in *absent, which grows as needed.
func decodeVector(b []byte, values []float64, absent *[]uint64, first int) int {
	nibbles := (len(values) + 1) / 2
	if nibbles > len(b) {
		return -1
	}
	ctrl, data := b[:nibbles], b[nibbles:]
	i, p := decodeFast(ctrl, data, values, absent, first)
	if i == len(values) {
		return nibbles + p
	}
	// The last values may lie closer to the end than the eight bytes that are
	// read at a time: they are decoded from a padded copy.
	var tail [2 * maxRead]byte
	size := copy(tail[:maxRead], data[p:])
	q := 0
	for ; i < len(values); i++ {
		code := ctrl[i>>1] >> (i & 1 * 4) & 15
		v, n := decodeOne(tail[q:], code)
		if n < 0 || q+n > size {
			return -1 - i
		}
		q += n
		values[i] = v
		if code == codeAbsent {
			setBit(absent, first+i)
		}
	}
	return nibbles + p + q
}

// maxRead is how many bytes from a value's start decodeOne may read, and more
// than any value takes.
const maxRead = 16

// decodeFast decodes values while at least maxRead bytes are left, and returns
// how many it did and how many bytes they took.
func decodeFast(ctrl, data []byte, values []float64, absent *[]uint64, first int) (int, int) {
	p, i := 0, 0
	last := len(data) - maxRead
	for ; i < len(values) && p <= last; i++ {
		code := ctrl[i>>1] >> (i & 1 * 4) & 15
		c := &codes[code]
		u := binary.LittleEndian.Uint64(data[p:]) & c.mask
		if code < codeRaw {
			values[i] = float64(int64(u)) * c.mul / c.div
			p += c.size
			continue
		}
		v, n := decodeOne(data[p:], code)
		if n < 0 {
			return i, p
		}
		values[i] = v
		p += n
		if code == codeAbsent {
			setBit(absent, first+i)
		}
	}
	return i, p
}

// decodeOne decodes one value from b, which holds at least maxRead bytes, and
// returns its size, or -1 where no encoder writes it.
func decodeOne(b []byte, code byte) (float64, int) {
	switch code {
	case codeRaw:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), 8
	case codeAbsent:
		return 0, 0
	case codeGeneral:
		return decodeGeneral(b)
	}
	c := &codes[code]
	u := binary.LittleEndian.Uint64(b) & c.mask
	return float64(int64(u)) * c.mul / c.div, c.size
}

func decodeGeneral(b []byte) (float64, int) {
	size := int(b[0] & 7)
	if size == 0 {
		return 0, -1
	}
	u := binary.LittleEndian.Uint64(b[1:]) & (1<<(size*8) - 1)
	v := float64(int64(u)) / pow10[b[0]>>3&15]
	if b[0]&0x80 != 0 {
		v = -v
	}
	return v, 1 + size
}

func setBit(set *[]uint64, i int) {
	w := i >> 6
	for len(*set) <= w {
		*set = append(*set, 0)
	}
	(*set)[w] |= 1 << (i & 63)
}
