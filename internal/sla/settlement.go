package sla

import (
	"math/big"

	"nines/internal/sla/exact"
)

// Settlement is the figures of one contract and period. Its JSON has fixed
// keys; all numbers that are not counts are decimal text, truncated.
type Settlement struct {
	Contract string `json:"contract"`
	Period   string `json:"period"`
	TimeZone string `json:"time_zone"`
	// Figures are those of the decisive objective, the one of the greatest
	// credit (of these the lowest attainment, of these the first); credit and
	// the credit's bounds are those of all objectives combined.
	Figures
	Objectives []Part `json:"objectives"`
	// Steps say how each figure came about, in order.
	Steps []Step `json:"steps"`
	// Fee is what all resources cost together.
	Fee Money `json:"-"`
}

// Part is the settlement of one objective or resource. An objective whose
// resources are not pooled shows the slots of the resource with the lowest
// attainment.
type Part struct {
	Name string `json:"name"`
	Figures
	Resources []Part `json:"resources,omitempty"`
}

// Figures are what a settlement says of its whole and of each part.
type Figures struct {
	Slots Slots `json:"slots"`
	// AttainmentPct is empty where no slot counts.
	AttainmentPct string `json:"attainment_pct"`
	CoveragePct   string `json:"coverage_pct"`
	Bounds        Bounds `json:"bounds"`
	Credit        Credit `json:"credit"`
	// Attainment is exact; nil where no slot counts.
	Attainment *big.Rat `json:"-"`
	// good and all are what it is the quotient of.
	good, all *big.Rat
}

// Bounds are attainment and credit with all unknown slots bad and all good.
type Bounds struct {
	AttainmentLowPct  string `json:"attainment_low_pct"`
	AttainmentHighPct string `json:"attainment_high_pct"`
	CreditLow         string `json:"credit_low"`
	CreditHigh        string `json:"credit_high"`
	// The same, exact.
	Low, High           *big.Rat `json:"-"`
	LowMinor, HighMinor int64    `json:"-"`
}

// Credit is what is owed to the customer.
type Credit struct {
	// Percent of the fee, before the amount is truncated.
	Percent string `json:"percent"`
	// Amount with the currency's decimals, without separators.
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	// Minor is the amount in minor units.
	Minor int64 `json:"-"`
}

// Step is one line of the calculation.
type Step struct {
	// Clause names the part of the contract that is applied.
	Clause string `json:"clause"`
	// Formula says what is computed, in words and signs.
	Formula string `json:"formula"`
	// Values are the figures that went in and came out.
	Values map[string]string `json:"values"`
}

// figures returns what follows from a tally alone.
func figures(t *tally) Figures {
	f := Figures{Slots: t.Slots, Attainment: t.attainment(byPolicy), CoveragePct: t.coverage().Percent()}
	f.good, f.all = t.counted(byPolicy)
	f.AttainmentPct = exact.Percent(f.Attainment)
	f.bound(t.attainment(allBad), t.attainment(allGood))
	return f
}

func (f *Figures) bound(low, high *big.Rat) {
	f.Bounds.Low, f.Bounds.AttainmentLowPct = low, exact.Percent(low)
	f.Bounds.High, f.Bounds.AttainmentHighPct = high, exact.Percent(high)
}

// owe fills in credit and its bounds from the awards under the three readings.
func (f *Figures) owe(a [3]award) {
	own, low, high := a[byPolicy], a[allGood].money, a[allBad].money
	f.Credit = Credit{percentOf(own.share), own.money.String(), own.money.Currency, own.money.Minor}
	f.Bounds.CreditLow, f.Bounds.LowMinor = low.String(), low.Minor
	f.Bounds.CreditHigh, f.Bounds.HighMinor = high.String(), high.Minor
}
