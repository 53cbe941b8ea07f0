package aggregate

import (
	"cmp"
	"strconv"
	"strings"
)

// bound is a number as its decimal text says it, not as a float64 rounds it, so
// that 0.3, 0.30 and 3e-1 are one bound and 0.30000000000000004 is another. Equal
// numbers are equal values of the type.
type bound struct {
	// The number is 0.digits × 10^exp; digits neither begin nor end with a zero,
	// and zero has none.
	digits   string
	exp      int64
	negative bool
	infinite bool
}

// maxExponent bounds what is read: no float64 comes near.
const maxExponent = 1_000_000

// parseBound reads the value of a label le; it is not ok where that is no
// decimal number and not an infinity.
func parseBound(text string) (b bound, ok bool) {
	rest := text
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		b.negative, rest = rest[0] == '-', rest[1:]
	}
	if strings.EqualFold(rest, "inf") || strings.EqualFold(rest, "infinity") {
		b.infinite = true
		return b, true
	}
	mantissa, exponent := rest, int64(0)
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		mantissa = rest[:at]
		if exponent, ok = parseExponent(rest[at+1:]); !ok {
			return bound{}, false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return bound{}, false
	}
	significant := strings.TrimLeft(digits, "0")
	b.exp = int64(len(whole)-(len(digits)-len(significant))) + exponent
	if b.digits = strings.TrimRight(significant, "0"); b.digits == "" {
		return bound{}, true // -0 is 0
	}
	return b, true
}

func parseExponent(text string) (int64, bool) {
	digits := strings.TrimLeft(text, "+-")
	if digits == "" || len(text)-len(digits) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && -maxExponent <= n && n <= maxExponent
}

// thresholdBound is the bound that equals the threshold as it is written.
func thresholdBound(v float64) bound {
	b, _ := parseBound(thresholdText(v))
	return b
}

func thresholdText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// top tells whether the bound is that of the bucket which counts everything.
func (b bound) top() bool { return b.infinite && !b.negative }

// compare orders bounds as numbers.
func (b bound) compare(o bound) int {
	if b.sign() != o.sign() {
		return cmp.Compare(b.sign(), o.sign())
	}
	size := cmp.Compare(b.rank(), o.rank())
	if size == 0 && b.rank() == 1 {
		size = cmp.Or(cmp.Compare(b.exp, o.exp), strings.Compare(b.digits, o.digits))
	}
	return size * b.sign()
}

func (b bound) sign() int {
	switch {
	case b.negative:
		return -1
	case b == bound{}:
		return 0
	}
	return 1
}

// rank is 0 for zero, 2 for infinities and 1 for all others.
func (b bound) rank() int {
	switch {
	case b.infinite:
		return 2
	case b.digits == "":
		return 0
	}
	return 1
}
