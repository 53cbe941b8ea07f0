package aggregate

import (
	"encoding/binary"
	"math"
	"slices"
)

// scale orders the thresholds under which one kind of value is judged, so that
// a value's place among them costs one look-up, however many they are. Scales
// of equal thresholds are shared.
type scale struct {
	cuts  []int64  // ordered, ascending, each once
	shift uint     // of a value's order to its place in the table
	first int64    // the place of the lowest cut
	table []uint16 // per place, how many cuts lie before it
}

// scalePlaces bounds the table: 4 KB.
const scalePlaces = 2048

// ordered maps floats to integers of the same order; -0 equals 0. NaN has none.
func ordered(v float64) int64 {
	b := int64(math.Float64bits(v + 0))
	return b ^ b>>63&math.MaxInt64
}

// rung returns the greatest value that the comparison tells apart from what is
// above it, and whether values above it are the good ones: "v < 2" is "v is at
// most the number before 2". Comparisons that no value or every value meets
// have none.
func rung(o op, threshold float64) (cut int64, above, ok bool) {
	if threshold != threshold || math.IsInf(threshold, -1) {
		return 0, false, false
	}
	at := ordered(threshold)
	switch o {
	case opLTE:
		return at, false, true
	case opLT:
		return at - 1, false, true
	case opGTE:
		return at - 1, true, true
	case opGT:
		return at, true, true
	}
	return 0, false, false
}

func newScale(cuts []int64) *scale {
	// With a shift the difference of any two places fits.
	s := &scale{cuts: cuts, shift: 1}
	low, high := cuts[0], cuts[len(cuts)-1]
	for uint64(high>>s.shift-low>>s.shift) >= scalePlaces-1 {
		s.shift++
	}
	s.first = low >> s.shift
	s.table = make([]uint16, high>>s.shift-s.first+2)
	n := 0
	for place := range s.table {
		for n < len(cuts) && cuts[n]>>s.shift < s.first+int64(place) {
			n++
		}
		s.table[place] = uint16(n)
	}
	return s
}

// place returns how many cuts lie below v, which is not NaN: v is at most the
// cut of that index, and above all before it.
func (s *scale) place(v float64) int {
	o := ordered(v)
	at := o>>s.shift - s.first
	at = min(max(at, 0), int64(len(s.table)-1))
	n := int(s.table[at])
	for n < len(s.cuts) && s.cuts[n] < o {
		n++
	}
	return n
}

// scaleOf returns the scale of the cuts, in any order.
func (s *State) scaleOf(cuts []int64) *scale {
	cuts = slices.Compact(slices.Sorted(slices.Values(cuts)))
	key := make([]byte, 0, 8*len(cuts))
	for _, c := range cuts {
		key = binary.LittleEndian.AppendUint64(key, uint64(c))
	}
	sc := s.scales[string(key)]
	if sc == nil {
		sc = newScale(cuts)
		s.scales[string(key)] = sc
	}
	return sc
}
