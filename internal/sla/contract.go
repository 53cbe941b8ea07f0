// Package sla is the contract mathematics that an auditor reads: what is
// promised and what is owed. It promises a pure function of its arguments: no
// clock, file, network, goroutine or float. Package statement calls
// clauses.Settle, which calls Contract.Settle.
//
// Read exact (numbers) and slot (when a slot is bad) first, then here contract.go
// and terms.go (what is promised), tally.go and exclude.go (what counts),
// settle.go, credit.go and fees.go (what is owed), settlement.go and steps.go
// (how it is written down); then clauses (runs, zones, recurring exclusions,
// changes, restatement).
package sla

import (
	"nines/internal/sla/exact"
	"nines/internal/sla/slot"
)

// What the packages below define is known here by these names.
type (
	Ratio    = exact.Ratio
	Money    = exact.Money
	SlotRule = slot.Rule
	BadWhen  = slot.BadWhen
	State    = slot.State
	Bins     = slot.Bins
	Counts   = slot.Counts
)

// The formulas and states of slots.
const (
	BadUnreachable = slot.BadUnreachable
	BadAnyFailure  = slot.BadAnyFailure
	BadRatio       = slot.BadRatio
	BadAllFailed   = slot.BadAllFailed

	Open          = slot.Open
	Good          = slot.Good
	Bad           = slot.Bad
	Unknown       = slot.Unknown
	NotApplicable = slot.NotApplicable
)

// Contract is a service level agreement as it is settled. Package rules reads
// it from the contract file, where every choice below is declared.
type Contract struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name,omitempty"`
	Customer    string `json:"customer"`
	Reseller    string `json:"reseller,omitempty"`
	Product     string `json:"product,omitempty"`
	// TimeZone is the IANA zone of its calendar months. These begin on FirstDay
	// (0 for the first); or a period is the RollingDays that end with the month.
	TimeZone    string `json:"time_zone"`
	FirstDay    int    `json:"first_day,omitempty"`
	RollingDays int    `json:"rolling_days,omitempty"`
	Fee         Fee    `json:"fee"`
	// Objectives are settled each by itself, then combined.
	Objectives []Objective `json:"objectives"`
	Combine    Combine     `json:"combine"`
	// Cap is the most that all credits together may be, as a share of the fee;
	// no value for no cap.
	Cap Ratio `json:"cap,omitzero"`
	// Minimum, in minor units: a smaller credit is not paid.
	Minimum    int64       `json:"minimum,omitempty"`
	Exclusions []Exclusion `json:"exclusions,omitempty"`
	// ExcludePartly excludes slots that are covered in part, too.
	ExcludePartly bool            `json:"exclude_partly,omitempty"`
	Terms         []ExclusionTerm `json:"exclusion_terms,omitempty"`
	Changes       *Changes        `json:"changes,omitempty"`
	Revision      *Revision       `json:"revision,omitempty"`
	Chronic       *Chronic        `json:"chronic,omitempty"`
	Delays        Delays          `json:"delays,omitzero"`
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
	Slot    SlotRule `json:"slot"`
	Reading string   `json:"reading"`
	// Latency says that an event fails by being slower than a threshold.
	Latency bool `json:"latency,omitempty"`
	// Runs and Zones, where declared, make the settled slots from the stream's.
	Runs        *Runs       `json:"runs,omitempty"`
	Zones       *Zones      `json:"zones,omitempty"`
	Unknown     Policy      `json:"unknown"`
	Denominator Denominator `json:"denominator"`
	Formula     Formula     `json:"formula,omitempty"`
	Aggregation Aggregation `json:"aggregation"`
	// Tiers in any order: the lowest bound above the attainment gives the credit.
	Tiers []Tier `json:"tiers"`
	// Cap is the most that this objective pays, as a share of the fee in scope;
	// no value for no cap.
	Cap Ratio `json:"cap,omitzero"`
	// Minimum, in minor units: a smaller credit of this objective is not paid.
	Minimum int64 `json:"minimum,omitempty"`
}

// Length returns that of the settled slots in milliseconds.
func (o *Objective) Length() int64 {
	if o.Runs != nil {
		return o.Runs.Slot
	}
	return o.Slot.Length
}

// CountsEvents tells whether slots count by their events, not only their state.
func (o *Objective) CountsEvents() bool {
	return o.Formula == ByShare || o.Denominator == Traffic || o.Denominator == Requests
}

// Tier gives a credit to an attainment below a bound; exactly met pays nothing.
type Tier struct {
	Below  Ratio `json:"below"`
	Credit Ratio `json:"credit"` // share of the fee in scope
	// Lost makes the credit the lost share itself: what failed is not billed.
	Lost bool `json:"lost,omitempty"`
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

// The denominators.
const (
	Calendar  Denominator = "calendar"  // every slot of the period; what was stopped was not unavailable
	Lifecycle Denominator = "lifecycle" // slots wholly inside the time that the resource ran
	Traffic   Denominator = "traffic"   // slots with events, and bad ones
	// Requests counts events instead of slots. An unknown slot stands for as
	// many as a decided one had on average.
	Requests Denominator = "requests"
)

// Formula says what a slot of the denominator counts for.
type Formula string

// The formulas; the empty one is BySlot.
const (
	BySlot  Formula = "slots" // good or bad
	ByShare Formula = "share" // the share of its events that succeeded
)

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
	// Start and End bound it, half-open, Unix milliseconds; of a recurring one
	// all occurrences, 0 for no bound.
	Start  int64       `json:"start"`
	End    int64       `json:"end"`
	Recurs *Recurrence `json:"recurs,omitempty"`
	// Announced is when the customer was told, Unix milliseconds; 0 for never.
	Announced int64 `json:"announced,omitempty"`
	// Effect says whether its slots leave the denominator or count as good.
	Effect   Effect `json:"effect"`
	Category string `json:"category"`
	Reason   string `json:"reason"`
	Author   string `json:"author"`
	Evidence string `json:"evidence,omitempty"`
	// ApprovedBy is empty while it is proposed: then it is listed, not applied.
	ApprovedBy string `json:"approved_by,omitempty"`

	// Times is what it takes out of the period, and Note why that is not all of
	// it: package clauses works them out from recurrence, notice and allowance.
	// Without them an exclusion that does not recur is taken as it stands.
	Times []Interval `json:"-"`
	Note  string     `json:"-"`
}

// Interval is half-open, in Unix milliseconds.
type Interval struct{ Start, End int64 }

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

// Slots returns how many whole slots the period has.
func (p Period) Slots(length int64) int {
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
	// Exact says that spans are facts at any instants, not slots of the stream,
	// and that what no span mentions was good. Package clauses makes slots of it.
	Exact bool
	// Until, where not zero, says that the period is not over: slots that end
	// after it are not applicable yet.
	Until int64
	// Fees are those of the resources, where Resources are no longer they: package
	// clauses makes services of instances. Nil takes Contract.Fees.
	Fees *Fees
}

// Resource is what is known of one resource (one group of the stream).
type Resource struct {
	Name string
	// Fee overrides the contract's fee per resource, in minor units.
	Fee     *int64
	FeeFrom map[int64]int64 // what it costs instead from instants on
	Of      string          // the resource that an instance is part of, which pays once for all
	// Group and Zone place it where the objective is settled over zones: the
	// resources of a group are the instances of one service.
	Group, Zone string
	// Spans are its slots, in any order; a later span overrides an earlier one.
	// Slots in no span, and open ones, are unknown.
	Spans []Span
	// Stopped is when it did not run; it may overlap.
	Stopped []Interval
}

// Span is a time of one state, half-open, in Unix milliseconds: the slots that
// start in it.
type Span struct {
	Start, End int64
	State      State
	// Good and Total are the events of each slot; 0 where none are counted.
	Good, Total uint64
}
