package aggregate

import (
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
)

func TestBoundsAreComparedAsNumbers(t *testing.T) {
	f := func(want bool, threshold float64, texts ...string) {
		t.Helper()
		for _, text := range texts {
			b, ok := parseBound(text)
			if !ok || (b == thresholdBound(threshold)) != want {
				t.Errorf("%s equals %v: %v, want %v", text, threshold, !want, want)
			}
		}
	}
	f(true, 0.3, "0.3", "0.30", ".3", "+0.3", "00.3", "3e-1", "3E-01", "30e-2", "0.03e+1", "0.000000000003e11")
	f(false, 0.3, "0.30000000000000004", "0.3000000000000000000001", "0.29999999999999999", "-0.3", "3", "+Inf")
	f(true, 0, "0", "0.0", "-0", "0e5", "+.0")
	f(true, 1, "1", "1.", "1.0", "1e0", "0.1e1", "10e-1")
	f(true, -2.5, "-2.5", "-25e-1")
	f(true, 1e300, "1e300", "1"+strings.Repeat("0", 300))
	f(true, math.SmallestNonzeroFloat64, "5e-324")
	for _, text := range []string{"+Inf", "Inf", "inf", "+inf", "+INF", "Infinity"} {
		if b, ok := parseBound(text); !ok || !b.top() {
			t.Errorf("%s is not the bound above all", text)
		}
	}
	for _, text := range []string{"", "+", ".", "e1", "1e", "1e+", "1e+-1", "0x1p-2", "1_0", "1,5", " 1", "1 ", "NaN", "abc", "--1", "1.2.3", "1e99999999999", "½"} {
		if b, ok := parseBound(text); ok {
			t.Errorf("%q is read as %+v", text, b)
		}
	}
}

// FuzzParseBound compares with exact rationals: what is read is read rightly, and
// two texts are equal bounds exactly if they are equal numbers.
func FuzzParseBound(f *testing.F) {
	for _, text := range []string{"0.3", "3e-1", "+Inf", "-inf", "-0", ".5", "5.", "1e-7", "00.250", "0x10", "1e309", "NaN"} {
		f.Add(text, "0.30")
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		a, ok := parseBound(x)
		if !ok {
			return
		}
		if v, err := strconv.ParseFloat(x, 64); err != nil && !math.IsInf(v, 0) && v != 0 {
			t.Fatalf("%q is no number, and is read as %+v", x, a)
		}
		b, ok := parseBound(y)
		if !ok {
			return
		}
		order := a.compare(b)
		if (order == 0) != (a == b) || order != -b.compare(a) {
			t.Fatalf("%q to %q is %d, backwards %d, equal %v", x, y, order, b.compare(a), a == b)
		}
		if want, ok := compareTexts(a, b, x, y); ok && order != want {
			t.Fatalf("%q to %q is %d, want %d", x, y, order, want)
		}
	})
}

// compareTexts compares as rationals; not ok where these would be too long.
func compareTexts(a, b bound, x, y string) (order int, ok bool) {
	value := func(v bound) float64 { // infinities to both sides of all others
		switch {
		case v.top():
			return 1
		case v.infinite:
			return -1
		}
		return 0
	}
	if a.infinite || b.infinite {
		return cmp.Compare(value(a), value(b)), true
	}
	if max(a.exp, b.exp) > 400 || min(a.exp, b.exp) < -400 || len(x)+len(y) > 200 {
		return 0, false
	}
	p, ok1 := new(big.Rat).SetString(x)
	q, ok2 := new(big.Rat).SetString(y)
	if !ok1 || !ok2 {
		return 0, false
	}
	return p.Cmp(q), true
}
