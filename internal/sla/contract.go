// Package sla is the contract mathematics that an auditor reads: slots, ratios,
// tiers, credits, settlements. It promises a pure function of its arguments: no
// clock, file, network, goroutine or float; ratios are compared by
// cross-multiplication in 128 bits, money is minor units of a currency. Evaluate
// calls SlotRule.Decide for each slot, package statement Contract.Settle.
//
// Read it in this order: slot.go and decide.go (what a slot is), contract.go
// (what is promised), settle.go with tally.go, exclude.go, credit.go and fees.go
// (what is owed), settlement.go and steps.go (how it is written down).
package sla

// Contract is a service level agreement as it is settled. Package rules reads
// it from the contract file, where every choice below is declared.
type Contract struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name,omitempty"`
	Customer    string `json:"customer"`
	Reseller    string `json:"reseller,omitempty"`
	Product     string `json:"product,omitempty"`
	// TimeZone is the IANA zone of its calendar months.
	TimeZone string `json:"time_zone"`
	Fee      Fee    `json:"fee"`
	// Objectives are settled each by itself, then combined.
	Objectives []Objective `json:"objectives"`
	Combine    Combine     `json:"combine"`
	// Cap is the most that all credits together may be, as a share of the fee;
	// no value for no cap.
	Cap Ratio `json:"cap,omitzero"`
	// Minimum, in minor units: a smaller credit is not paid.
	Minimum    int64       `json:"minimum,omitempty"`
	Exclusions []Exclusion `json:"exclusions,omitempty"`
	// ExcludePartly excludes slots that an exclusion covers in part; else only
	// wholly covered slots are excluded.
	ExcludePartly bool `json:"exclude_partly,omitempty"`
}

// Fee is what the customer pays for a period.
type Fee struct {
	Money
	// PerResource says that each resource costs this much, not all together.
	PerResource bool `json:"per_resource,omitempty"`
}

// Objective is one promise of a contract.
type Objective struct {
	Name string `json:"name"`
	// Stream is the identity of the stream whose slots are settled.
	Stream string `json:"stream"`
	// Slot is the stream's rule; Reading says in words when a slot is bad.
	Slot        SlotRule    `json:"slot"`
	Reading     string      `json:"reading"`
	Unknown     Policy      `json:"unknown"`
	Denominator Denominator `json:"denominator"`
	Aggregation Aggregation `json:"aggregation"`
	// Tiers in any order: the lowest bound above the attainment gives the credit.
	Tiers []Tier `json:"tiers"`
	// Cap is the most that this objective pays, as a share of the fee in scope;
	// no value for no cap.
	Cap Ratio `json:"cap,omitzero"`
	// Minimum, in minor units: a smaller credit of this objective is not paid.
	Minimum int64 `json:"minimum,omitempty"`
}

// Tier gives a credit to an attainment below a bound; exactly met pays nothing.
type Tier struct {
	Below  Ratio `json:"below"`
	Credit Ratio `json:"credit"` // share of the fee in scope
}

// Policy says what an unknown slot counts as. The ledger never knows it.
type Policy string

// The policies for unknown slots.
const (
	UnknownExclude Policy = "exclude" // leaves the denominator
	UnknownBad     Policy = "bad"
	UnknownGood    Policy = "good"
	// UnknownCarry repeats the last decided slot, judged before exclusions;
	// without one in the period the slot leaves the denominator.
	UnknownCarry Policy = "carry"
)

// Denominator says which slots are applicable.
type Denominator string

// Calendar makes every slot of the period applicable.
const Calendar Denominator = "calendar"

// Aggregation says how the resources of an objective make one settlement.
type Aggregation string

// The aggregations over resources.
const (
	Pooled      Aggregation = "pooled"       // all slots of all resources together
	PerResource Aggregation = "per-resource" // each resource settles its own fee
	Worst       Aggregation = "worst"        // the lowest attainment speaks for all
)

// Combine says how several objectives make one credit.
type Combine string

// The combinations.
const (
	Highest Combine = "highest" // the greatest credit only
	Sum     Combine = "sum"
)

// Exclusion is time that is judged like any other and then taken out.
type Exclusion struct {
	// Start and End bound it, half-open, Unix milliseconds.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// Effect says whether its slots leave the denominator or count as good.
	Effect   Effect `json:"effect"`
	Category string `json:"category"`
	Reason   string `json:"reason"`
	Author   string `json:"author"`
	Evidence string `json:"evidence,omitempty"`
	// ApprovedBy is empty while it is proposed: then it is listed, not applied.
	ApprovedBy string `json:"approved_by,omitempty"`
}

// Effect is what an exclusion does to its slots.
type Effect string

// The effects; where both cover a slot, Removed holds.
const (
	Removed   Effect = "removed"
	Available Effect = "available"
)

// Period is the half-open interval [Start, End) that is settled, in Unix
// milliseconds; package statement makes it from a calendar month.
type Period struct {
	// Name is how the settlement calls it, 2026-11.
	Name       string
	Start, End int64
}

// slots returns how many whole slots the period has.
func (p Period) slots(length int64) int {
	if length <= 0 || p.End <= p.Start {
		return 0
	}
	return int((p.End - p.Start) / length)
}

// Input is what a settlement is computed from, beside contract and period.
type Input struct {
	// Resources are the slots of each objective, by its name. An objective
	// without resources settles as one resource of which nothing is known.
	Resources map[string][]Resource
	// Until, where not zero, says that the period is not over: slots that end
	// after it are not applicable yet.
	Until int64
}

// Resource is what is known of one resource (one group of the stream).
type Resource struct {
	Name string
	// Fee overrides the contract's fee per resource, in minor units.
	Fee *int64
	// Runs are its slots, run-length, in any order; a later run overrides an
	// earlier one. Slots in no run, and open ones, are unknown. Slots outside
	// the period are left out.
	Runs []Run
}

// Run is a number of consecutive slots of one state.
type Run struct {
	// Start of the first slot, Unix milliseconds.
	Start int64
	Slots int
	State State
}
