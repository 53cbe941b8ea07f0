package wire

// What a pair of codes takes, in one byte: the size of its values but for those
// of a general code, how many of the two are absent, and whether one is general.
const (
	spanSize    = 0x1f
	spanAbsent  = 0x20 // .. 0x40: their number
	spanGeneral = 0x80
)

// spans[b] is what the two values take whose codes are the byte b, computed once
// from codes and never changed.
var spans = newSpans()

func newSpans() (t [256]uint8) {
	for b := range t {
		for _, code := range [2]int{b & 15, b >> 4} {
			switch code {
			case codeAbsent:
				t[b] += spanAbsent
			case codeGeneral:
				t[b] |= spanGeneral
			default:
				t[b] += uint8(codes[code].size)
			}
		}
	}
	return t
}

// pass goes beyond a vector of n values without reading them, and returns how
// many were measured. It fails where reading them would fail.
func (r *reader) pass(n int) (present int) {
	p, absent := passVector(r.padded, r.p, n)
	if p < 0 || p > len(r.b) {
		r.fail(r.p, "values", ErrTruncated)
		return 0
	}
	r.p = p
	return n - absent
}

// passVector is decodeVector for who needs no values: it returns the position
// after them, or -1, and how many are absent.
func passVector(b []byte, p, n int) (end, absent int) {
	nibbles := (n + 1) / 2
	if nibbles > len(b)-vectorPad-p {
		return -1, 0
	}
	ctrl := b[p : p+nibbles]
	p += nibbles
	even := n / 2
	for _, two := range ctrl[:even] {
		t := spans[two]
		if t&spanGeneral == 0 {
			p += int(t & spanSize)
			absent += int(t / spanAbsent)
			continue
		}
		for _, code := range [2]byte{two & 15, two >> 4} {
			size := passValue(b, p, code)
			if size < 0 {
				return -1, 0
			}
			if p += size; code == codeAbsent {
				absent++
			}
		}
	}
	if even < nibbles {
		code := ctrl[even] & 15
		size := passValue(b, p, code)
		if size < 0 {
			return -1, 0
		}
		if p += size; code == codeAbsent {
			absent++
		}
	}
	if p > len(b)-vectorPad {
		return -1, 0
	}
	return p, absent
}

// passValue returns the size of the value of that code at b[p:], or -1.
func passValue(b []byte, p int, code byte) int {
	switch {
	case code == codeAbsent:
		return 0
	case code != codeGeneral:
		return codes[code].size
	case p >= len(b) || b[p]&7 == 0:
		return -1
	}
	return 1 + int(b[p]&7)
}
