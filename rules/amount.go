package rules

import (
	"fmt"
	"strconv"
	"strings"

	"nines/internal/sla"
)

// parseDecimal reads a decimal such as 0.999 or 5 exactly; at most 15 digits.
func parseDecimal(text string) (sla.Ratio, error) {
	whole, fraction, dot := strings.Cut(text, ".")
	digits := whole + fraction
	if whole == "" || (dot && fraction == "") || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return sla.Ratio{}, fmt.Errorf("want a decimal such as 0.999, of at most 15 digits")
	}
	num, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return sla.Ratio{}, fmt.Errorf("want a decimal such as 0.999: %w", err)
	}
	return reduced(num, pow10(len(fraction))), nil
}

// parsePercent reads a percentage such as 99.975, without a sign, exactly.
func parsePercent(text string) (sla.Ratio, error) {
	r, err := parseDecimal(text)
	if err != nil {
		return r, err
	}
	return reduced(r.Num, r.Den*100), nil
}

// reduced returns the ratio divided by the greatest common divisor.
func reduced(num, den uint64) sla.Ratio {
	a, b := num, den
	for b != 0 {
		a, b = b, a%b
	}
	return sla.Ratio{Num: num / max(a, 1), Den: den / max(a, 1)}
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
