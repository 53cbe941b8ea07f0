// Package sla is the contract mathematics that an auditor reads: slots, ratios,
// tiers, credits, settlements. It has no clock, file, network, goroutine or
// float: ratios are compared by cross-multiplication in 128 bits, money is
// minor units of a currency.
package sla

import "math/bits"

// Ratio is an exact non-negative fraction. A zero Den means "no value".
type Ratio struct {
	Num uint64 `json:"num"`
	Den uint64 `json:"den"`
}

// Cmp compares two ratios whose denominators are not zero: -1, 0 or +1.
func (r Ratio) Cmp(o Ratio) int {
	h1, l1 := bits.Mul64(r.Num, o.Den)
	h2, l2 := bits.Mul64(o.Num, r.Den)
	switch {
	case h1 != h2 && h1 < h2, h1 == h2 && l1 < l2:
		return -1
	case h1 == h2 && l1 == l2:
		return 0
	}
	return 1
}
