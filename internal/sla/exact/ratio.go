// Package exact holds the numbers of contracts: ratios, money and sums. It
// promises that nothing is ever rounded: ratios are compared by
// cross-multiplication in 128 bits, sums are whole numbers over each denominator,
// what is printed is truncated. Package sla computes with it.
package exact

import (
	"cmp"
	"fmt"
	"math/big"
	"math/bits"
	"strings"
)

// Ratio is an exact non-negative fraction. A zero Den means "no value".
type Ratio struct {
	Num uint64 `json:"num"`
	Den uint64 `json:"den"`
}

// Cmp compares two ratios whose denominators are not zero: -1, 0 or +1.
func (r Ratio) Cmp(o Ratio) int {
	h1, l1 := bits.Mul64(r.Num, o.Den)
	h2, l2 := bits.Mul64(o.Num, r.Den)
	return cmp.Or(cmp.Compare(h1, h2), cmp.Compare(l1, l2))
}

// Rat returns the ratio as a big one; 0 where there is no value.
func (r Ratio) Rat() *big.Rat {
	if r.Den == 0 {
		return new(big.Rat)
	}
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(r.Num), new(big.Int).SetUint64(r.Den))
}

// Percent returns a share in percent with five decimals, truncated, never
// rounded up; empty where there is no value.
func Percent(share *big.Rat) string {
	if share == nil {
		return ""
	}
	scaled := new(big.Int).Mul(share.Num(), big.NewInt(100*100_000))
	return Ratio{scaled.Quo(scaled, share.Denom()).Uint64(), 100 * 100_000}.Percent()
}

// Percent returns the ratio, which is at most 1, in percent with five decimals,
// truncated, never rounded up; empty where there is no value.
func (r Ratio) Percent() string {
	if r.Den == 0 {
		return ""
	}
	hi, lo := bits.Mul64(min(r.Num, r.Den), 100*100_000)
	q, _ := bits.Div64(hi, lo, r.Den)
	return fmt.Sprintf("%d.%05d", q/100_000, q%100_000)
}

// String returns the ratio in percent without trailing zeros: 99.975 %.
func (r Ratio) String() string {
	if r.Den == 0 {
		return "no value"
	}
	return Trim(r.Percent()) + " %"
}

// Trim takes the zeros after the point off a decimal.
func Trim(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
