package exact

import (
	"cmp"
	"maps"
	"math/big"
	"math/bits"
	"slices"
)

// Count is a sum of whole numbers that cannot overflow.
type Count struct{ hi, lo uint64 }

// N returns n as a count.
func N(n uint64) Count { return Count{lo: n} }

// Add adds another count.
func (w *Count) Add(o Count) {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	w.hi, w.lo = w.hi+o.hi+carry, lo
}

// Rat returns the count as a ratio of one.
func (w Count) Rat() *big.Rat { return new(big.Rat).SetInt(w.big()) }

func (w Count) big() *big.Int {
	n := new(big.Int).SetUint64(w.hi)
	return n.Add(n.Lsh(n, 64), new(big.Int).SetUint64(w.lo))
}

// Sum is an exact sum of fractions: numerators by denominator.
type Sum map[uint64]Count

// Add adds num/den.
func (l *Sum) Add(num Count, den uint64) {
	if num == (Count{}) {
		return
	}
	if *l == nil {
		*l = Sum{}
	}
	w := (*l)[den]
	w.Add(num)
	(*l)[den] = w
}

// Merge adds another sum.
func (l *Sum) Merge(o Sum) {
	for den, num := range o {
		l.Add(num, den)
	}
}

// Rat adds the fractions up in halves, so that thousands of different
// denominators stay cheap.
func (l Sum) Rat() *big.Rat {
	dens := slices.SortedFunc(maps.Keys(l), cmp.Compare)
	var add func([]uint64) (num, den *big.Int)
	add = func(dens []uint64) (num, den *big.Int) {
		switch n := len(dens); n {
		case 0:
			return new(big.Int), big.NewInt(1)
		case 1:
			return l[dens[0]].big(), new(big.Int).SetUint64(dens[0])
		default:
			n1, d1 := add(dens[:n/2])
			n2, d2 := add(dens[n/2:])
			n1.Mul(n1, d2)
			return n1.Add(n1, n2.Mul(n2, d1)), d1.Mul(d1, d2)
		}
	}
	num, den := add(dens)
	return new(big.Rat).SetFrac(num, den)
}
