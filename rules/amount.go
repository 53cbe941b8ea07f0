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

// parseMoney reads a non-negative amount such as 10000.00 in the currency, three
// capital letters of ISO 4217. More decimals than the currency has are refused.
func parseMoney(amount, currency string) (sla.Money, error) {
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return sla.Money{}, fmt.Errorf("want a currency of three capital letters (ISO 4217), not %q", currency)
	}
	places := sla.Exponent(currency)
	whole, fraction, dot := strings.Cut(amount, ".")
	if whole == "" || (dot && fraction == "") || strings.Trim(whole+fraction, "0123456789") != "" {
		return sla.Money{}, fmt.Errorf("want an amount such as 10000.00")
	}
	if len(fraction) > places {
		return sla.Money{}, fmt.Errorf("%s has %d decimals", currency, places)
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil || minor > 1e17 {
		return sla.Money{}, fmt.Errorf("want an amount below 10^17 minor units")
	}
	return sla.Money{Minor: minor, Currency: currency}, nil
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
