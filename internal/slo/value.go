package slo

import (
	"math"
	"math/bits"
)

// Counts in which values that may be fractions are held.
const (
	// RatioUnit is one event of a raw ratio, and one slice of RatioTimeslices
	// is SliceUnit: enough digits that the truncation of a year's slices stays
	// below what any target can tell apart.
	RatioUnit = 1_000_000
	SliceUnit = 1_000_000_000
	// GaugeUnit is one event of a sample that is a number of events.
	GaugeUnit = 1_000
)

// RawRatio returns the good counts, of RatioUnit, that a sample of a raw ratio
// stands for. It is not ok outside of 0 to 1, rounded to a millionth: such a
// value is no ratio and counts nothing.
func RawRatio(v float64, op Op) (good uint64, ok bool) {
	n := math.Round(v * RatioUnit)
	if !(n >= 0 && n <= RatioUnit) {
		return 0, false
	}
	if op == Failure {
		return RatioUnit - uint64(n), true
	}
	return uint64(n), true
}

// GaugeCount returns the counts that a sample which is a number of events
// stands for. It is not ok below 0 or from 2^53 counts on, which a float64 does
// not tell apart.
func GaugeCount(v float64) (n uint64, ok bool) {
	f := math.Round(v * GaugeUnit)
	if !(f >= 0 && f < 1<<53) {
		return 0, false
	}
	return uint64(f), true
}

// SliceShare returns what a decided slot adds to the sum of RatioTimeslices: its
// share of good events in parts of SliceUnit, truncated. A decided slot without
// events is one that idleness makes good.
//
// Source: OpenSLO v1, "RatioTimeslices method uses an average of all time
// slices' success ratios in a budgeting period".
func SliceShare(good, total uint64) uint64 {
	if good >= total {
		return SliceUnit
	}
	hi, lo := bits.Mul64(good, SliceUnit)
	q, _ := bits.Div64(hi, lo, total)
	return q
}
