// Package ledger is the book of slots: what was good, bad or unknown, for whom,
// with versions and evidence, and the positions in the log that it accounts
// for. One transaction writes both, so a total never counts a record twice.
package ledger

import (
	"nines/internal/alert"
	"nines/internal/hist"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// Claim is the right to write one partition of nines.partials' groups. Every
// commit is conditional on its epoch and offset.
type Claim struct {
	Partition int32
	// Epoch rises with every claim; a commit under an older one fails with
	// ErrFenced.
	Epoch uint64
	// Offset is the next record of the partials partition to read.
	Offset int64
	// LogTime is the log time of the last commit, Unix milliseconds.
	LogTime int64
	// Sources are the cursors of the telemetry partitions.
	Sources []Position
}

// Position is how far a telemetry partition is accounted for.
type Position struct {
	Source      int32
	Incarnation uint64
	To          int64
	LogTime     int64
}

// Group is one label combination of a stream.
type Group struct {
	Key    wire.GroupKey
	Labels telemetry.Labels
	// Partition of nines.partials that carries it.
	Partition int32
	// Customer owns it; "" is the operator's own.
	Customer string
	// FirstSlot is the start of the first slot with data; from there on the
	// group is expected, and silence is unknown.
	FirstSlot int64
	// Retired is the start of the first slot no longer expected; 0 while live.
	Retired int64
}

// Slot is one slot of one group as the ledger holds it.
type Slot struct {
	// Start is the slot's start in Unix milliseconds.
	Start int64
	// State is Open until the slot is final.
	State sla.State
	// Version is 1 when first closed and rises with each restatement; the older
	// versions are kept.
	Version uint32
	Good    uint64
	Total   uint64
	// Owed are the bad events beyond those of Total, with Good 0: counts of bad
	// events may come before those of all.
	Owed uint64
	// Blind counts attempts discarded because the vantage point was offline.
	Blind uint64
	// Reason says in a word why the slot is bad or unknown.
	Reason string
	// Vantages is the evidence: what each vantage point saw, by name. Nil for
	// good slots that are complete.
	Vantages []sla.Bins
	// Complete is the evidence of a good slot that is complete: the vantage
	// points, by name, of which each had a success in every bin. Slots share it:
	// it is not to be changed.
	Complete []string
}

// SlotChange is a slot to be written.
type SlotChange struct {
	Group wire.GroupKey
	Slot  Slot
}

// Sketch is a group's histogram of one slot, to be merged with what is there.
type Sketch struct {
	Group wire.GroupKey
	Slot  int64
	Hist  hist.Histogram
}

// Totals are sums over slots.
type Totals struct {
	// Good and Total count events; the others count slots by state.
	Good, Total                       uint64
	GoodSlots, BadSlots, UnknownSlots uint64
}

// Status is where one group of an objective stands, as of the last commit.
type Status struct {
	Objective string        `json:"objective"`
	Group     wire.GroupKey `json:"-"`
	// LogTime is when, Unix milliseconds.
	LogTime int64 `json:"log_time"`
	// Window sums up the objective's window.
	Window Totals `json:"window"`
	// Attainment is good/total events or slots over the window; Den 0 without
	// data.
	Attainment sla.Ratio `json:"attainment"`
	// BudgetLeft is the share of the error budget left, 1 is whole, negative is
	// overspent. For display.
	BudgetLeft float64 `json:"budget_left"`
	// Burn are the burn rates of the objective's rows, in their order.
	Burn []BurnRate `json:"burn,omitempty"`
	// Down is "", "advisory" or "down".
	Down string `json:"down,omitempty"`
	// State is the condition of the newest open bins: "up", "failing", "down",
	// "silent".
	State string `json:"state"`
	// LastSample is the newest sample time, Unix milliseconds.
	LastSample int64 `json:"last_sample"`
}

// BurnRate is the burn over a row's two windows.
type BurnRate struct {
	Long   float64 `json:"long"`
	Short  float64 `json:"short"`
	Firing bool    `json:"firing"`
}

// Agent is what is known of one agent.
type Agent struct {
	wire.AgentSeen
	// FirstSeen and LastSeen are log times, Unix milliseconds.
	FirstSeen, LastSeen int64
	// GapFrames counts frames lost before they reached the log.
	GapFrames uint64
}

// Batch is what one commit writes.
type Batch struct {
	// Offset is the next partials record to read, and LogTime the log time,
	// after this commit.
	Offset  int64
	LogTime int64
	Sources []Position
	// RuleSet is set when a rule set is first used, under RuleSetID.
	RuleSetID string
	RuleSet   *slo.RuleSet
	Groups    []Group
	Slots     []SlotChange
	Sketches  []Sketch
	Statuses  []Status
	// Alerts are the alert records published since the last commit.
	Alerts   []alert.Alert
	Gaps     []wire.Gap
	Unplaced []wire.Unplaced
	Agents   []wire.AgentSeen
}
