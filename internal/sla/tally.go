package sla

// Slots counts the slots of a settlement.
type Slots struct {
	// Applicable is the denominator before the policy for unknown: good, bad
	// and unknown slots together.
	Applicable uint64 `json:"applicable"`
	Good       uint64 `json:"good"`
	Bad        uint64 `json:"bad"`
	Unknown    uint64 `json:"unknown"`
	// Excluded counts what exclusions took out; with the effect "available"
	// these slots are among the good ones as well.
	Excluded uint64 `json:"excluded"`
	// NotApplicable counts slots that never were in question.
	NotApplicable uint64 `json:"not_applicable"`
}

// tally is the count of one resource, or of several together.
type tally struct {
	Slots
	// asGood and asBad are the unknown slots that the policy decides.
	asGood, asBad uint64
}

// count judges first, then excludes: the policy for unknown sees every slot,
// the counts only what exclusions leave.
func count(states []State, m mask, applicable int, policy Policy) (t tally) {
	last := Unknown // the last decided state
	for i, s := range states {
		if i >= applicable {
			t.NotApplicable++
			continue
		}
		if s == Good || s == Bad {
			last = s
		}
		switch m[i] {
		case Removed:
			t.Excluded++
			continue
		case Available:
			t.Excluded++
			s = Good
		}
		t.Applicable++
		switch {
		case s == Good:
			t.Good++
		case s == Bad:
			t.Bad++
		case policy == UnknownGood, policy == UnknownCarry && last == Good:
			t.asGood++
		case policy == UnknownBad, policy == UnknownCarry && last == Bad:
			t.asBad++
		}
	}
	t.Unknown = t.Applicable - t.Good - t.Bad
	return t
}

func (t *tally) add(o tally) {
	t.Applicable += o.Applicable
	t.Good += o.Good
	t.Bad += o.Bad
	t.Unknown += o.Unknown
	t.Excluded += o.Excluded
	t.NotApplicable += o.NotApplicable
	t.asGood += o.asGood
	t.asBad += o.asBad
}

// reading is one way to count the unknown slots.
type reading int

const (
	byPolicy reading = iota // as the contract says
	allBad                  // the lower bound
	allGood                 // the upper bound
)

// attainment returns good slots over counted slots; no value where none counts.
func (t tally) attainment(r reading) Ratio {
	switch r {
	case allBad:
		return Ratio{t.Good, t.Applicable}
	case allGood:
		return Ratio{t.Good + t.Unknown, t.Applicable}
	}
	good := t.Good + t.asGood
	return Ratio{good, good + t.Bad + t.asBad}
}

// coverage returns decided over applicable slots.
func (t tally) coverage() Ratio { return Ratio{t.Good + t.Bad, t.Applicable} }

// states lays the runs of a resource out over the slots of the period.
func (r *Resource) states(p Period, length int64, out []State) []State {
	out = out[:0]
	for range p.slots(length) {
		out = append(out, Unknown)
	}
	for _, run := range r.Runs {
		first := (run.Start - p.Start) / length
		if run.Start < p.Start {
			first = -((p.Start - run.Start + length - 1) / length)
		}
		for i := max(first, 0); i < min(first+int64(run.Slots), int64(len(out))); i++ {
			out[i] = run.State
		}
	}
	return out
}
