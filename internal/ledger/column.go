package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// errBytes is the one error of the decoders here: where the bytes came from is
// known to the caller, which wraps it.
var errBytes = errors.New("malformed bytes")

// minRun is the shortest run of equal values that is shorter as a run than as
// literals.
const minRun = 3

// appendColumn encodes values as runs and stretches of literals: a header
// n<<1|1 is followed by one value that stands n times, a header n<<1 by n
// values. How many values there are is not written.
func appendColumn(b []byte, vs []uint64) []byte {
	for i := 0; i < len(vs); {
		if n := runLength(vs[i:]); n >= minRun || i+n == len(vs) {
			b = binary.AppendUvarint(b, uint64(n)<<1|1)
			b = binary.AppendUvarint(b, vs[i])
			i += n
			continue
		}
		j := i + 1
		for j < len(vs) && runLength(vs[j:]) < minRun {
			j++
		}
		b = binary.AppendUvarint(b, uint64(j-i)<<1)
		for ; i < j; i++ {
			b = binary.AppendUvarint(b, vs[i])
		}
	}
	return b
}

func runLength(vs []uint64) int {
	n := 1
	for n < len(vs) && vs[n] == vs[0] {
		n++
	}
	return n
}

// reader consumes bytes; after the first error every read returns zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errBytes, what)
	}
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("number cut short")
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 { return unzigzag(r.uvarint()) }

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail("word cut short")
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("byte missing")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("string cut short")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// column reads n values into dst, which it returns.
func (r *reader) column(dst []uint64, n int) []uint64 {
	dst = dst[:0]
	for len(dst) < n && r.err == nil {
		h := r.uvarint()
		k := h >> 1
		if k == 0 || k > uint64(n-len(dst)) {
			r.fail("column of a wrong length")
			break
		}
		if h&1 == 1 {
			v := r.uvarint()
			for ; k > 0; k-- {
				dst = append(dst, v)
			}
			continue
		}
		for ; k > 0 && r.err == nil; k-- {
			dst = append(dst, r.uvarint())
		}
	}
	for len(dst) < n { // only after an error: spares the callers every check
		dst = append(dst, 0)
	}
	return dst
}

// end reports bytes that nobody asked for.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the end")
	}
	return r.err
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendBitmap encodes a bitmap: a header words<<1|1 is followed by the lengths
// of alternating runs of zeros and ones that cover all bits, a header words<<1
// by the words. The shorter form is taken: an outage is a run, a flapping
// target is noise.
func appendBitmap(b []byte, words []uint64) []byte {
	start := len(b)
	b = binary.AppendUvarint(b, uint64(len(words))<<1|1)
	if len(words) == 0 {
		return b
	}
	for pos, one, end := 0, false, len(words)*64; pos < end; one = !one {
		next := nextChange(words, pos, one)
		b = binary.AppendUvarint(b, uint64(next-pos))
		pos = next
	}
	if raw := 1 + len(words)*8; len(b)-start > raw {
		b = binary.AppendUvarint(b[:start], uint64(len(words))<<1)
		for _, w := range words {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b
}

// nextChange returns the first position from pos on whose bit is not one.
func nextChange(words []uint64, pos int, one bool) int {
	for pos < len(words)*64 {
		w := words[pos>>6]
		if one {
			w = ^w
		}
		w >>= pos & 63
		if w != 0 {
			return pos + bits.TrailingZeros64(w)
		}
		pos = (pos>>6 + 1) * 64
	}
	return pos
}

// bitmap reads a bitmap of at most *budget words and takes them off it, so
// that few bytes cannot claim much memory. An empty one is nil.
func (r *reader) bitmap(budget *int) []uint64 {
	h := r.uvarint()
	n := h >> 1
	if n > uint64(*budget) {
		r.fail("bitmaps too long")
	}
	if n == 0 || r.err != nil {
		return nil
	}
	*budget -= int(n)
	if h&1 == 0 {
		return r.words(int(n))
	}
	words := make([]uint64, n)
	for pos, one, end := 0, false, len(words)*64; pos < end && r.err == nil; one = !one {
		k := r.uvarint()
		if k > uint64(end-pos) || (k == 0 && pos > 0) {
			r.fail("bitmap of a wrong length")
			return nil
		}
		if one {
			setBits(words, pos, pos+int(k))
		}
		pos += int(k)
	}
	return words
}

func (r *reader) words(n int) []uint64 {
	if n*8 > len(r.b) {
		r.fail("bitmap cut short")
		return nil
	}
	words := make([]uint64, n)
	for i := range words {
		words[i] = r.uint64()
	}
	return words
}

// setBits sets the bits [from, to).
func setBits(words []uint64, from, to int) {
	for from < to {
		n := min(64-from&63, to-from)
		words[from>>6] |= (^uint64(0) >> (64 - n)) << (from & 63)
		from += n
	}
}
