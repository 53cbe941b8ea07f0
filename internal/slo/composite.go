package slo

// Methods of counting, which OpenSLO calls budgetingMethod.
const (
	Occurrences     = "Occurrences"
	Timeslices      = "Timeslices"
	RatioTimeslices = "RatioTimeslices"
)

// Part is how one component of a composite objective stands.
type Part struct {
	// Weight multiplies it.
	Weight float64
	// Value is the part's burn rate, or the share of its budget consumed, or
	// what it misses to 100 %.
	Value float64
}

// Composite returns the weighted sum of the parts: the burn rate of a composite
// from those of its parts, or its consumption from theirs.
//
// Source: OpenSLO v1 specification, "Notes (Composite SLO)": a violation that
// consumes a part's budget consumes the composite's at the same rate, the weight
// multiplies that rate, and RatioTimeslices sum up what is missing to 100 %.
// It is a sum and not a mean: a weight of 0.5 halves a part's impact, whatever
// the other parts are. For Timeslices the specification counts a slice once
// that is bad for several parts; the sum counts it for each of them, and so is
// never less.
func Composite(parts []Part) float64 {
	sum := 0.0
	for _, p := range parts {
		sum += p.Weight * p.Value
	}
	return sum
}
