package wire

import "math"

// pow10 holds the powers of ten that a value may be scaled by. All are exact,
// and so is the correctly rounded quotient m/10^k of an integer m < 2^53: the
// scaling loses nothing.
var pow10 = [maxScale + 1]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

const (
	maxScale = 15
	// maxInteger bounds integers that every float64 around them can tell apart.
	maxInteger = 1 << 53
	// maxDecimal bounds the integer of a decimal fraction: above it, the eight
	// bytes of the float are as short.
	maxDecimalBits = 48
)

// decimal returns the m and the least k with v == m/10^k bit by bit, or false
// where v has no short decimal form. v is finite and not -0.
func decimal(v float64) (m int64, k int, ok bool) {
	if i := int64(v); float64(i) == v && i < maxInteger && i > -maxInteger {
		return i, 0, true
	}
	a := math.Abs(v)
	e := int(math.Float64bits(a)>>52) - 1023
	// The greatest k that keeps a*10^k below 2^48; 1233/4096 is just above
	// log10(2). A value with any shorter decimal form has one at this k too, so
	// that one test decides.
	k = (maxDecimalBits - 1 - e) * 1233 >> 12
	if k <= 0 {
		return 0, 0, false
	}
	k = min(k, maxScale)
	m = int64(a*pow10[k] + 0.5)
	if float64(m)/pow10[k] != a || m >= maxInteger {
		return 0, 0, false
	}
	m, k = strip(m, k)
	if v < 0 {
		m = -m
	}
	return m, k, true
}

// strip removes trailing zeros from the decimal m/10^k.
func strip(m int64, k int) (int64, int) {
	for k >= 4 && m%1e4 == 0 {
		m /= 1e4
		k -= 4
	}
	for k > 0 && m%10 == 0 {
		m /= 10
		k--
	}
	return m, k
}

// finite tells whether a decimal form is possible: not NaN, ±Inf or -0.
func finite(v float64) bool {
	b := math.Float64bits(v)
	return b&(0x7ff<<52) != 0x7ff<<52 && b != 1<<63
}
