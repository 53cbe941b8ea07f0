package hist

import "math"

// bounds[j] is 2^(j/32)/2, correctly rounded: the upper bounds of the buckets
// of one doubling, as Frexp scales values. They are the bounds that Prometheus
// uses for schema 5.
var bounds = [perDoubling]float64{
	0.5, 0.5109485743270583, 0.5221368912137069, 0.5335702003384118,
	0.5452538663326288, 0.5571933712979462, 0.5693943173783458, 0.5818624293887887,
	0.5946035575013605, 0.6076236799902345, 0.620928906036742, 0.6345254785958666,
	0.6484197773255048, 0.6626183215798707, 0.6771277734684463, 0.691954940981916,
	0.7071067811865476, 0.7225904034885233, 0.7384130729697497, 0.7545822137967114,
	0.7711054127039704, 0.7879904225539432, 0.8052451659746271, 0.8228777390769825,
	0.8408964152537145, 0.859309649061239, 0.8781260801866497, 0.8973545375015536,
	0.9170040432046712, 0.93708381705515, 0.9576032806985737, 0.9785720620877001,
}

// IndexOf returns the bucket index of a finite v > 0: the smallest i with
// v <= UpperBound(i).
func IndexOf(v float64) int32 {
	frac, exp := math.Frexp(v)
	lo, hi := 0, perDoubling
	for lo < hi {
		if mid := (lo + hi) / 2; bounds[mid] < frac {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return int32((exp-1)*perDoubling + lo)
}

// UpperBound returns the inclusive upper bound of bucket i: 2^(i/32), correctly
// rounded; +Inf above the greatest float64.
func UpperBound(i int32) float64 {
	return math.Ldexp(bounds[i&(perDoubling-1)], int(i>>Schema)+1)
}
