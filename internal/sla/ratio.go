package sla

import (
	"fmt"
	"math/bits"
	"strconv"
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
	switch {
	case h1 != h2 && h1 < h2, h1 == h2 && l1 < l2:
		return -1
	case h1 == h2 && l1 == l2:
		return 0
	}
	return 1
}

// ParseDecimal reads a decimal such as 0.999 or 5 exactly; at most 15 digits.
func ParseDecimal(text string) (Ratio, error) {
	whole, fraction, dot := strings.Cut(text, ".")
	digits := whole + fraction
	if whole == "" || (dot && fraction == "") || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return Ratio{}, fmt.Errorf("want a decimal such as 0.999, of at most 15 digits")
	}
	num, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return Ratio{}, fmt.Errorf("want a decimal such as 0.999: %w", err)
	}
	return Ratio{num, pow10(len(fraction))}.reduced(), nil
}

// ParsePercent reads a percentage such as 99.975, without a sign, exactly.
func ParsePercent(text string) (Ratio, error) {
	r, err := ParseDecimal(text)
	if err != nil {
		return r, err
	}
	return Ratio{r.Num, r.Den * 100}.reduced(), nil
}

// reduced divides numerator and denominator by their greatest common divisor.
func (r Ratio) reduced() Ratio {
	a, b := r.Num, r.Den
	for b != 0 {
		a, b = b, a%b
	}
	if a == 0 {
		return r
	}
	return Ratio{r.Num / a, r.Den / a}
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
	return trimZeros(r.Percent()) + " %"
}

func trimZeros(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
