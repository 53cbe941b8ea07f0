// Package hist holds native histograms: exponential buckets at schema 5 (32
// buckets a doubling), the layout of Prometheus and of OpenTelemetry's
// exponential histograms. Percentiles across hosts, zones and months are
// merges. Bucket i covers (2^((i-1)/32), 2^(i/32)], so a quantile read from the
// bucket's geometric middle is off by at most 1.1 %.
package hist

import "math"

// Schema is the resolution of every histogram that nines records.
const Schema = 5

// Histogram is a sparse native histogram. The zero value is empty and ready.
// Buckets are ascending by Index and hold no zero counts.
type Histogram struct {
	// Count is the number of observations, Inf ones included.
	Count uint64
	// Sum is the sum of the finite observations.
	Sum float64
	// Zero counts observations of at most 1e-128, negative ones included.
	Zero uint64
	// Inf counts observations of +Inf: time-outs, which are above every bound.
	Inf     uint64
	Buckets []Bucket
}

// Bucket counts the observations within one exponential interval.
type Bucket struct {
	Index int32
	Count uint64
}

// IndexOf returns the bucket index of v > 0: the smallest i with
// v <= 2^(i/32).
func IndexOf(v float64) int32 { return indexOf(v) }

// UpperBound returns the inclusive upper bound of bucket i, 2^(i/32).
func UpperBound(i int32) float64 { return math.Exp2(float64(i) / 32) }

func indexOf(v float64) int32 { return int32(math.Ceil(math.Log2(v) * 32)) }
