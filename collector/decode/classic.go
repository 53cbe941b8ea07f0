package decode

import (
	"math"
	"strconv"

	"nines/internal/telemetry"
)

// classic returns the columns of a classic histogram: a bucket for each bound
// and for +Inf, their count, and their sum.
func classic(metric string, labels telemetry.Labels, bounds []float64, kind Kind) *Set {
	set := &Set{Labels: labels, Columns: make([]Column, 0, len(bounds)+3)}
	for i := 0; i <= len(bounds); i++ {
		le := "+Inf"
		if i < len(bounds) {
			le = boundText(bounds[i])
		}
		set.Columns = append(set.Columns, Column{Name: metric + "_bucket", Kind: kind, Labels: labels.With(telemetry.Labels{{Name: "le", Value: le}})})
	}
	set.Columns = append(set.Columns, Column{Name: metric + "_count", Labels: labels, Kind: kind})
	set.Columns = append(set.Columns, Column{Name: metric + "_sum", Labels: labels, Kind: kind})
	return set
}

// boundText writes a bound as Prometheus does.
func boundText(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// classicValues appends what belongs to the columns that classic returns: counts
// are those of each bucket alone.
func classicValues(dst []Value, counts []float64, count, sum float64) []Value {
	total := 0.0
	for _, n := range counts {
		total += n
		dst = append(dst, Value{Form: Float, Num: total})
	}
	return append(dst, Value{Form: Float, Num: count}, Value{Form: Float, Num: sum})
}
