package sla

// State is what is known of a slot. The ledger stores these three only;
// policies for unknown and exclusions are applied by a settlement.
type State uint8

// The states of a slot. Open is the zero value: not yet decided.
const (
	Open    State = 0
	Good    State = 1
	Bad     State = 2
	Unknown State = 3
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Good:
		return "good"
	case Bad:
		return "bad"
	case Unknown:
		return "unknown"
	}
	return "invalid"
}
