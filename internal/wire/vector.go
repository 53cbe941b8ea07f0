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

// pairSpecial marks pairs of codes of which one takes the slow path.
const pairSpecial = 0xff

// pairs[b] is the size of the two values whose codes are the byte b, computed
// once from codes and never changed.
var pairs = newPairs()

func newPairs() (t [256]uint8) {
	for b := range t {
		lo, hi := b&15, b>>4
		t[b] = uint8(codes[lo].size + codes[hi].size)
		if lo >= codeRaw || hi >= codeRaw {
			t[b] = pairSpecial
		}
	}
	return t
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

// vectorPad is how many bytes must follow a record that decodeVector reads
// from: two values are read at a time, and eight bytes at the start of each and
// behind the last.
const vectorPad = 3 * maxValueSize

// decodeVector reads len(values) values from b[p:], which is followed by
// vectorPad bytes of padding, and returns the position after them, or -1 where
// b ends within them or no encoder writes them. Absent values become 0, and
// their bit, from first on, is set in *absent, which grows as needed.
func decodeVector(b []byte, p int, values []float64, absent *[]uint64, first int) int {
	nibbles := (len(values) + 1) / 2
	if nibbles > len(b)-vectorPad-p {
		return -1
	}
	ctrl := b[p : p+nibbles]
	p += nibbles
	if len(values) == 0 {
		return p
	}
	even := len(values) / 2
	for i := 0; ; i++ {
		n := 0
		n, p = decodePairs(b, p, ctrl[i:even], values[2*i:])
		if i += n; p > len(b)-vectorPad {
			return -1
		}
		if i == even {
			break
		}
		size := decodeSpecial(b[p:p+vectorPad], ctrl[i], values[2*i:2*i+2], absent, first+2*i)
		if size < 0 {
			return -1
		}
		p += size
	}
	if i := 2 * even; i < len(values) {
		size := decodeSpecial(b[p:p+vectorPad], ctrl[even], values[i:], absent, first+i)
		if size < 0 {
			return -1
		}
		p += size
	}
	return p
}

// decodePairs decodes pairs of values up to the first that has an absent value
// or is corrupt, or the end of b, and returns how many pairs these were and the
// position after them. It calls nothing, so that all it needs stays in
// registers.
func decodePairs(b []byte, p int, ctrl []byte, values []float64) (int, int) {
	for i, two := range ctrl {
		if p > len(b)-vectorPad || len(values) < 2 {
			return i, p
		}
		if two == 0 {
			values[0], values[1] = 0, 0
			values = values[2:]
			continue
		}
		lo, hi := &codes[two&15], &codes[two>>4]
		u := binary.LittleEndian.Uint64(b[p:])
		size := int(pairs[two])
		if size != pairSpecial {
			w := binary.LittleEndian.Uint64(b[p+lo.size:])
			values[0] = float64(int64(u&lo.mask)) * lo.mul / lo.div
			values[1] = float64(int64(w&hi.mask)) * hi.mul / hi.div
			values = values[2:]
			p += size
			continue
		}
		q := p
		for k := range 2 {
			switch code := two >> (k * 4) & 15; code {
			case codeRaw:
				values[k] = math.Float64frombits(u)
				q += 8
			case codeGeneral:
				n := u & 7
				if n == 0 {
					return i, p
				}
				v := float64(int64(u>>8&(1<<(n*8)-1))) / pow10[u>>3&15]
				values[k] = math.Float64frombits(math.Float64bits(v) | u&0x80<<56)
				q += 1 + int(n)
			case codeAbsent:
				return i, p
			default:
				c := &codes[code]
				values[k] = float64(int64(u&c.mask)) * c.mul / c.div
				q += c.size
			}
			u = binary.LittleEndian.Uint64(b[q:])
		}
		values = values[2:]
		p = q
	}
	return len(ctrl), p
}

// decodeSpecial reads one value or two, of any codes, and returns their size,
// or -1.
func decodeSpecial(b []byte, two byte, values []float64, absent *[]uint64, first int) int {
	p := 0
	for i := range values {
		code := two >> (i * 4) & 15
		u := binary.LittleEndian.Uint64(b[p:])
		switch code {
		case codeRaw:
			values[i] = math.Float64frombits(u)
			p += 8
		case codeAbsent:
			values[i] = 0
			setBit(absent, first+i)
		case codeGeneral:
			v, n := decodeGeneral(u)
			if n < 0 {
				return -1
			}
			values[i] = v
			p += n
		default:
			c := &codes[code]
			values[i] = float64(int64(u&c.mask)) * c.mul / c.div
			p += c.size
		}
	}
	return p
}

// decodeGeneral reads a descriptor and its integer from the eight bytes u.
func decodeGeneral(u uint64) (float64, int) {
	size := int(u & 7)
	if size == 0 {
		return 0, -1
	}
	v := float64(int64(u>>8&(1<<(size*8)-1))) / pow10[u>>3&15]
	if u&0x80 != 0 {
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
