package sla

import (
	"math/big"

	"nines/internal/sla/exact"
)

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
	// weight sums what the decided slots weigh: 1 each, or their requests. lost
	// sums the lost share of each times its weight.
	weight exact.Count
	lost   exact.Sum
	// asGood and asBad are the unknown slots that the policy decides, guessed
	// their lost shares.
	asGood, asBad uint64
	guessed       exact.Sum
	total         *big.Rat // of lost, once it is asked for
}

// cell is what is known of one slot.
type cell struct {
	state       State
	good, total uint64
}

// share returns the lost share of a decided slot, and what it weighs.
func (o *Objective) share(c cell) (num, den, weight uint64) {
	den, weight = 1, 1
	if c.state == Bad {
		num = 1
	}
	if o.Denominator == Requests {
		weight = c.total
	}
	if c.total > 0 && (o.Formula == ByShare || o.Denominator == Requests) {
		num, den = c.total-min(c.good, c.total), c.total
	}
	return num, den, weight
}

// count judges first, then excludes: the policy for unknown sees every slot,
// the counts only what exclusions leave.
func (o *Objective) count(cells []cell, m mask, applicable int) (t tally) {
	last := cell{state: Unknown} // the last decided slot
	for i, c := range cells {
		if i >= applicable || c.state == NotApplicable {
			t.NotApplicable++
			continue
		}
		if c.state == Good || c.state == Bad {
			last = c
		}
		switch m[i] {
		case Removed:
			t.Excluded++
			continue
		case Available:
			t.Excluded++
			c.state, c.good = Good, c.total
		}
		t.Applicable++
		t.take(o, c, last)
	}
	t.Unknown = t.Applicable - t.Good - t.Bad
	return t
}

// take counts one applicable slot.
func (t *tally) take(o *Objective, c, last cell) {
	decided := c.state == Good || c.state == Bad
	switch {
	case decided && c.state == Good:
		t.Good++
	case decided:
		t.Bad++
	case o.Unknown == UnknownGood:
		c = cell{state: Good}
	case o.Unknown == UnknownBad:
		c = cell{state: Bad}
	case o.Unknown == UnknownCarry && last.state != Unknown:
		c = last
	default:
		return
	}
	num, den, weight := o.share(c)
	switch {
	case decided:
		t.weight.Add(exact.N(weight))
		if weight == den { // by request: their number itself
			den = 1
		}
		t.lost.Add(exact.N(num), den)
		return
	case c.state == Good:
		t.asGood++
	default:
		t.asBad++
	}
	t.guessed.Add(exact.N(num), den)
}

// add merges two counts; it is associative and commutative.
func (t *tally) add(o tally) {
	t.Applicable += o.Applicable
	t.Good += o.Good
	t.Bad += o.Bad
	t.Unknown += o.Unknown
	t.Excluded += o.Excluded
	t.NotApplicable += o.NotApplicable
	t.asGood += o.asGood
	t.asBad += o.asBad
	t.weight.Add(o.weight)
	t.total = nil
	t.lost.Merge(o.lost)
	t.guessed.Merge(o.guessed)
}

// reading is one way to count the unknown slots.
type reading int

const (
	byPolicy reading = iota // as the contract says
	allBad                  // the lower bound
	allGood                 // the upper bound
)

// counted returns the good and all of what is counted: slots, or requests. An
// unknown slot weighs as much as a decided one on average, or 1 where these have
// no requests.
func (t *tally) counted(r reading) (good, all *big.Rat) {
	each, decided := big.NewRat(1, 1), t.Good+t.Bad
	all = t.weight.Rat()
	if t.total == nil {
		t.total = t.lost.Rat()
	}
	if decided > 0 && all.Sign() > 0 {
		each.Quo(all, rat(decided))
	}
	lost, slots := new(big.Rat), t.Unknown
	switch r {
	case allBad:
		lost.Set(rat(t.Unknown))
	case byPolicy:
		lost, slots = t.guessed.Rat(), t.asGood+t.asBad
	}
	all.Add(all, new(big.Rat).Mul(each, rat(slots)))
	lost.Add(lost.Mul(lost, each), t.total)
	return new(big.Rat).Sub(all, lost), all
}

// attainment returns good over all; nil where nothing counts.
func (t *tally) attainment(r reading) *big.Rat {
	good, all := t.counted(r)
	if all.Sign() == 0 {
		return nil
	}
	return good.Quo(good, all)
}

// coverage returns decided over applicable slots.
func (t *tally) coverage() Ratio { return Ratio{Num: t.Good + t.Bad, Den: t.Applicable} }

func rat(n uint64) *big.Rat { return exact.N(n).Rat() }

// cells lays the spans of a resource out over the slots of the period, and takes
// out those that the denominator does not count.
func (o *Objective) cells(r *Resource, p Period, out []cell) []cell {
	length := o.Length()
	out = out[:0]
	for range p.Slots(length) {
		out = append(out, cell{state: Unknown})
	}
	for _, s := range r.Spans {
		first, last := p.Index(s.Start, length), p.Index(s.End, length)
		for i := max(first, 0); i < min(last, int64(len(out))); i++ {
			out[i] = cell{s.State, s.Good, s.Total}
		}
	}
	ran := make(mask, len(out))
	ran.mark(p, length, r.Stopped, Removed, o.Denominator != Calendar)
	for i, c := range out {
		idle := c.total == 0 && (c.state == Good || c.state == Bad && o.Denominator == Requests)
		switch {
		case o.Denominator == Calendar:
			if ran[i] != "" && c.state != Bad && c.state != NotApplicable {
				out[i].state = Good
			}
		case ran[i] != "", idle && o.Denominator != Lifecycle:
			out[i] = cell{state: NotApplicable}
		}
	}
	return out
}

// Index returns the first slot that starts at or after an instant.
func (p Period) Index(at, length int64) int64 {
	d := at - p.Start
	i := d / length
	if d > i*length {
		i++
	}
	return i
}
