package decode

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// exactTens are the powers of ten that a float64 holds exactly.
var exactTens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// digits reads decimal digits onto m. It tells how many there are, and whether m
// still holds them all.
func digits(b []byte, m uint64) (n int, sum uint64, whole bool) {
	whole = true
	for len(b)-n >= 8 && m < 1e11 { // m*1e8+99999999 fits
		x := binary.LittleEndian.Uint64(b[n:])
		if noDigits(x) != 0 {
			break
		}
		m = m*1e8 + eightDigits(x)
		n += 8
	}
	for n < len(b) {
		d := uint64(b[n] - '0')
		if d > 9 {
			break
		}
		if m >= 1<<60 { // m*10+9 may not fit
			if m > math.MaxUint64/10 || m*10 > math.MaxUint64-d {
				whole = false
			}
		}
		m = m*10 + d
		n++
	}
	return n, m, whole
}

// integer reads a signed whole number.
func integer(b []byte) (n int, v int64, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		n = 1
	}
	size, m, whole := digits(b[n:], 0)
	v, ok = signed(m, neg)
	return n + size, v, ok && whole && size > 0
}

func signed(m uint64, neg bool) (int64, bool) {
	if neg {
		return -int64(m), m <= 1<<63
	}
	return int64(m), m < 1<<63
}

// number reads an integer (12i), an unsigned integer (12u) or a decimal number.
func number(b []byte, v *Value) (n int, ok bool) {
	neg := b[0] == '-'
	if neg {
		n = 1
	}
	before, m, whole := digits(b[n:], 0)
	n += before
	if before > 0 && n < len(b) && (b[n] == 'i' || b[n] == 'u') {
		if !whole {
			return n, false
		}
		return n + 1, v.whole(m, neg, b[n] == 'u')
	}
	after := 0
	if n < len(b) && b[n] == '.' {
		n++
		var fits bool
		after, m, fits = digits(b[n:], m)
		whole = whole && fits
		n += after
	}
	if before+after == 0 {
		return n, false
	}
	exp := -after
	if n < len(b) && (b[n] == 'e' || b[n] == 'E') {
		size, e, ok := exponent(b[n+1:])
		if !ok {
			return n, false
		}
		n += 1 + size
		exp += e
	}
	v.Form, v.Bits = Float, 0
	if whole && m < 1<<53 && exp >= -22 && exp <= 22 {
		// Both are exact, so that one operation rounds once, and correctly.
		if v.Num = float64(m); exp < 0 {
			v.Num /= exactTens[-exp]
		} else {
			v.Num *= exactTens[exp]
		}
		if neg {
			v.Num = -v.Num
		}
		return n, true
	}
	f, err := strconv.ParseFloat(string(b[:n]), 64)
	v.Num = f
	return n, err == nil
}

func exponent(b []byte) (n, e int, ok bool) {
	neg := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		neg, n = b[0] == '-', 1
	}
	size, m, whole := digits(b[n:], 0)
	if !whole || m > 1<<20 {
		m = 1 << 20 // far beyond any float64
	}
	if neg {
		return n + size, -int(m), size > 0
	}
	return n + size, int(m), size > 0
}

func (v *Value) whole(m uint64, neg, unsigned bool) bool {
	if unsigned {
		v.Form, v.Bits, v.Num = Uint, m, float64(m)
		return !neg
	}
	i, ok := signed(m, neg)
	v.Form, v.Bits, v.Num = Int, uint64(i), float64(i)
	return ok
}

// plainNumber returns the length of the number that b begins with: a decimal one,
// or a whole one with the suffix i, without a sign that is + or an exponent, and
// so short that it is surely within its range; 0 where it is none.
func plainNumber(b []byte) int {
	n := 0
	if b[0] == '-' {
		n = 1
	}
	before, after := digitRun(b[n:]), 0
	n += before
	if n < len(b) && b[n] == '.' {
		n++
		after = digitRun(b[n:])
		n += after
	} else if n < len(b) && b[n] == 'i' && before <= 18 {
		n++
	}
	if before+after == 0 || before > 300 || n < len(b) && b[n] != ',' && b[n] != ' ' {
		return 0
	}
	return n
}

// digitRun returns how many digits b begins with, looking at eight bytes at a
// time.
func digitRun(b []byte) (n int) {
	for len(b)-n >= 8 {
		if odd := noDigits(binary.LittleEndian.Uint64(b[n:])); odd != 0 {
			return n + bits.TrailingZeros64(odd)/8
		}
		n += 8
	}
	for n < len(b) && b[n]-'0' <= 9 {
		n++
	}
	return n
}

// noDigits returns 0 where all of eight bytes are decimal digits, else a word
// whose lowest byte that is not 0 is that of the first that is none.
func noDigits(x uint64) uint64 {
	const (
		high  = 0xf0f0f0f0f0f0f0f0
		three = 0x3030303030303030
		six   = 0x0606060606060606
	)
	// A byte is a digit where its high half is 3, with 6 added, too. A byte that
	// carries into the next is none itself, and the first that is none counts.
	return (x&high ^ three) | ((x+six)&high ^ three)
}

// eightDigits returns the number that eight decimal digits write: pairs of them
// are joined to numbers of two digits, those to numbers of four, and those to
// the whole, each in its part of the word.
func eightDigits(x uint64) uint64 {
	x = x & 0x0f0f0f0f0f0f0f0f * (10<<8 + 1) >> 8
	x = x & 0x00ff00ff00ff00ff * (100<<16 + 1) >> 16
	return x & 0x0000ffff0000ffff * (10_000<<32 + 1) >> 32
}
