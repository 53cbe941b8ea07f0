// Package script is the scenario language: what happened to a fleet or to a
// contract's resources, and what must follow from it, one statement a line. It
// promises that every mistake of a file is reported at once as file:line:col,
// that it never panics and never expands to more than fits in memory, and that
// it reads no clock and no other file. Package scenario runs what it returns;
// docs/scenarios.md is its description for users.
package script

import (
	"slices"
	"time"

	"nines/internal/telemetry"
)

// Pos is where a statement stands in its file; lines and columns count from 1.
type Pos struct {
	File      string
	Line, Col int
}

// Scenario is one case: what is given, what happens, what is expected. Times are
// Unix milliseconds.
type Scenario struct {
	Pos
	Name string
	// Rules are the files of objectives and contracts, as they are written.
	Rules []Path
	// Zone is the time zone of local times; UTC unless declared.
	Zone *time.Location
	// Start is when log time begins; End when it stops, 0 for the last
	// statement's time or the last sample's, whichever is later.
	Start, End int64
	// Tick is the step of log time in milliseconds, 0 for the adaptive one.
	Tick   int64
	Agents []Agent
	Loads  []Load
	Faults []Fault
	// Inventory are files that say what runs, and Told what the scenario says
	// itself; both are known from the start on.
	Inventory []Path
	Told      []Told
	// Facts settle a contract without samples; FactsFile is a CSV file of them.
	Facts     []Fact
	FactsFile Path
	// Steps are actions and expectations in order of time; those without a time
	// of their own come last.
	Steps []Step
}

// Path is a file as a statement names it, relative to the scenario's folder.
type Path struct {
	Pos
	Name string
}

// Inventoried tells whether the scenario says what runs.
func (s *Scenario) Inventoried() bool {
	return len(s.Inventory)+len(s.Told) > 0 || slices.ContainsFunc(s.Steps, func(t Step) bool { return t.Action == Tell })
}

// Told is what holds of a resource of the inventory from an instant on.
type Told struct {
	Pos
	Resource string
	From     int64
	// Values are its attributes, as nines inventory set takes them.
	Values []Attribute
}

// Attribute is one fact about a resource, as it is written: state, customer,
// contract, fee, match.LABEL, …
type Attribute struct {
	Pos
	Name, Value string
}

// Agent is a sender of frames.
type Agent struct {
	Pos
	Name string
	// Host are the labels of its host; host is its name unless declared.
	Host telemetry.Labels
}

// Load is samples that some agents send at an interval.
type Load struct {
	Pos
	// Agents are their names.
	Agents []string
	// Every is the interval, From the time of the first sample; milliseconds.
	Every, From int64
	Series      []Series
}

// Series is one series of a load.
type Series struct {
	Pos
	telemetry.Series
	Values Values
}

// FaultKind is what goes wrong with agents.
type FaultKind string

// The faults.
const (
	// Silent agents make no samples and send nothing: their hosts are off.
	Silent FaultKind = "silent"
	// Offline agents spool, and send all of it when the broker is back.
	Offline FaultKind = "offline"
	// Lossy agents lose their frames; the sequence goes on.
	Lossy FaultKind = "lossy"
	// Slow agents' frames take By milliseconds to arrive.
	Slow FaultKind = "slow"
	// Clock faults move the agents' clocks by By milliseconds.
	Clock FaultKind = "clock"
	// Restart begins a new boot of the agents at From.
	Restart FaultKind = "restart"
	// Repeat sends each frame twice.
	Repeat FaultKind = "repeat"
	// Collector faults have no agents: no collector writes ticks.
	Collector FaultKind = "collector"
)

// Fault is something that goes wrong in [From, To).
type Fault struct {
	Pos
	Kind FaultKind
	// Agents are their names; empty for all.
	Agents   []string
	By       int64
	From, To int64
}

// Up is the state of a fact that only says that the resource exists.
const Up = "up"

// Fact is what happened to resources: as a row of nines settle's facts, Count
// times, one beginning every Every milliseconds.
type Fact struct {
	Pos
	Resources    []string
	Zone         string
	State, Value string
	Start, End   int64
	Every        int64
	Count        int
}

// Exclusion is time that a contract takes out, beside those of its file.
type Exclusion struct {
	Pos
	Name             string
	Start, End       int64
	Announced        int64 // 0 for never
	Effect, Category string
	Reason, Author   string
	ApprovedBy       string // empty while it is proposed
}

// Action is what a step does.
type Action string

// The actions and expectations.
const (
	UseRules   Action = "rules"   // replaces the rules by Files
	Exclude    Action = "exclude" // proposes or enters Exclusion
	Approve    Action = "approve" // approves the exclusion Name by By
	Quiet      Action = "quiet"   // no alert fires; Name may be a severity
	Never      Action = "never"   // no such alert has fired so far
	Alert      Action = "alert"   // such an alert fires
	NoAlert    Action = "no"      // no such alert fires
	Resolved   Action = "resolved"
	State      Action = "state"
	Slots      Action = "slots"
	Slot       Action = "slot"
	Attainment Action = "attainment"
	Budget     Action = "budget"
	Burn       Action = "burn"
	Gaps       Action = "gaps"
	Settle     Action = "settle"
	Restate    Action = "restate"  // settles again, against the settlement before
	Correct    Action = "correct"  // Facts take the place of those before
	Tell       Action = "resource" // Told is recorded in the inventory
)

// Step is an action or an expectation at a time.
type Step struct {
	Pos
	// At is its time, -1 for the end of the scenario.
	At     int64
	Action Action
	// Name and Labels choose objectives' groups, or alerts.
	Name   string
	Labels map[string]string
	// Since is when an alert began or ended, -1 where that is not expected; or
	// the first slot.
	Since int64
	// Want is the expected text: a state, a number, a share.
	Want string
	// Window is the long window of a burn rate, milliseconds.
	Window int64
	// States are the expected slots in order.
	States []SlotState
	// Keys are the expected keys of a slot or of a settlement, in order.
	Keys []Key
	// Files are those of UseRules, Exclusion that of Exclude.
	Files     []Path
	Exclusion *Exclusion
	// Author and ApprovedBy are those of a restatement, Facts those of Correct.
	Author, ApprovedBy string
	Facts              []Fact
	// Told is that of Tell.
	Told Told
}

// Expects tells whether the step expects something, rather than do something.
func (s *Step) Expects() bool {
	switch s.Action {
	case UseRules, Exclude, Approve, Correct, Tell:
		return false
	}
	return true
}

// SlotState is a letter of a strip of slots: G good, B bad, U unknown, - none.
type SlotState struct {
	Pos
	Letter byte
}

// Key is one expected figure.
type Key struct {
	Pos
	Name, Want string
}
