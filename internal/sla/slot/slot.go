// Package slot says what a slot is: how long, and when it is good, bad or
// unknown, from what probes and counters saw. It promises a verdict only where
// every completion of what is missing gives the same. Evaluate judges each slot
// by Rule.Decide; package sla settles what comes out.
package slot

import "nines/internal/sla/exact"

// Rule says how long a slot is and when it is bad. All fields are declared
// by the contract or objective; package rules fills in the documented defaults.
type Rule struct {
	// Length is the slot's length in milliseconds (60000 unless declared).
	// Slots are aligned to Unix time; every IANA offset in use is a multiple of
	// 15 minutes, so lengths that divide 15 minutes are aligned to local
	// midnight too. Longer ones need TimeZone.
	Length   int64  `json:"length_ms"`
	TimeZone string `json:"time_zone,omitempty"`
	// Bad is the formula.
	Bad BadWhen `json:"bad_when"`
	// MaxRatio is the greatest error ratio of a good slot, for BadRatio:
	// exactly equal is good.
	MaxRatio exact.Ratio `json:"max_ratio,omitzero"`
	// MinCount is the least number of events that decides a slot from counts.
	MinCount uint64 `json:"min_count,omitempty"`
	// EmptyGood says that a slot with fewer events than MinCount is good
	// instead of unknown: no traffic is availability.
	EmptyGood bool `json:"empty_good,omitempty"`
	// MaxGap is how many milliseconds of missing bins a run of equal results
	// bridges (5000 unless declared), for BadAllFailed over scheduled probes.
	MaxGap int64 `json:"max_gap_ms,omitempty"`
	// K of N vantage points: fail >= K is bad, success >= N-K+1 is good, else
	// unknown. Zero K takes 1 of those seen.
	K int `json:"k,omitempty"`
	N int `json:"n,omitempty"`
}

// BadWhen is the formula by which a slot is bad.
type BadWhen string

// The formulas.
const (
	// BadUnreachable: unreachable for the whole slot (every bin failed), from
	// scheduled probes, by quorum over vantage points.
	BadUnreachable BadWhen = "unreachable"
	// BadAnyFailure: at least one bin of the slot failed, by quorum.
	BadAnyFailure BadWhen = "any_failure"
	// BadRatio: bad events / events > MaxRatio, from exact counts.
	BadRatio BadWhen = "ratio"
	// BadAllFailed: every event in the slot failed, from exact counts.
	BadAllFailed BadWhen = "all_failed"
)

// Bins is what one vantage point saw in a slot: bit i of OK (Fail) is set if
// some attempt scheduled in bin i succeeded (failed). A bin with an OK bit is a
// success, with only a Fail bit a failure, with neither missing.
type Bins struct {
	Vantage string   `json:"vantage,omitempty"`
	OK      []uint64 `json:"ok"`
	Fail    []uint64 `json:"fail"`
	// Missing marks bins with positive evidence that the vantage point was
	// blind (its control targets failed too).
	Missing []uint64 `json:"missing,omitempty"`
}

// Counts are a slot's exact event counts over all vantage points.
type Counts struct{ Good, Total uint64 }

// State is what is known of a slot. The ledger stores these three only;
// policies for unknown and exclusions are applied by a settlement.
type State uint8

// The states of a slot. Open is the zero value: not yet decided.
const (
	Open    State = 0
	Good    State = 1
	Bad     State = 2
	Unknown State = 3
	// NotApplicable is no verdict, and never in the ledger: the slot is not in
	// question, such as one with fewer than two zones in use.
	NotApplicable State = 4
)

// String returns the state's name in lower case.
func (s State) String() string {
	if s > NotApplicable {
		return "invalid"
	}
	return [...]string{"open", "good", "bad", "unknown", "not applicable"}[s]
}
