package inventory

import (
	"fmt"

	"nines/internal/access"
	"nines/internal/sla"
)

// Step is what somebody did about an exclusion.
type Step string

// The steps. A proposal is approved by somebody else, or rejected; both it and
// an approved exclusion can be withdrawn.
const (
	Propose  Step = "propose"
	Approve  Step = "approve"
	Reject   Step = "reject"
	Withdraw Step = "withdraw"
)

// The states that the steps lead to.
const (
	StateProposed  = "proposed"
	StateApproved  = "approved"
	StateRejected  = "rejected"
	StateWithdrawn = "withdrawn"
)

// ExclusionEvent is one step, as it was written down; none is ever changed.
type ExclusionEvent struct {
	// ID rises in the order of writing; that of the proposal names the exclusion.
	ID int64 `json:"id"`
	// Exclusion is the ID of the proposal.
	Exclusion int64  `json:"exclusion"`
	Contract  string `json:"contract"`
	// Customer whose contract it is.
	Customer string `json:"customer"`
	Step     Step   `json:"step"`
	// Recorded is when, Unix milliseconds, later than that of all events before.
	Recorded int64  `json:"recorded"`
	Author   string `json:"author"`
	Reason   string `json:"reason,omitempty"`
	// Proposed is what the proposal says; nil for other steps.
	Proposed *sla.Exclusion `json:"proposed,omitempty"`
}

// Exclusion is one exclusion of a contract with its history.
type Exclusion struct {
	ID       int64  `json:"id"`
	Contract string `json:"contract"`
	Customer string `json:"customer"`
	State    string `json:"state"`
	sla.Exclusion
	History []ExclusionEvent `json:"history"`
}

// Exclusions returns the exclusions as they stood at a recorded instant, Unix
// milliseconds, 0 for all that is known; events are in the order of their IDs.
func Exclusions(events []ExclusionEvent, recorded int64) []Exclusion {
	var out []Exclusion
	at := map[int64]int{}
	for _, e := range events {
		if recorded != 0 && e.Recorded > recorded {
			continue
		}
		i, known := at[e.Exclusion]
		if !known {
			if e.Proposed == nil {
				continue
			}
			i = len(out)
			at[e.Exclusion] = i
			out = append(out, Exclusion{ID: e.ID, Contract: e.Contract, Customer: e.Customer, State: StateProposed, Exclusion: *e.Proposed})
		}
		x := &out[i]
		switch e.Step {
		case Approve:
			x.State, x.ApprovedBy = StateApproved, e.Author
		case Reject:
			x.State = StateRejected
		case Withdraw:
			x.State = StateWithdrawn
		}
		x.History = append(x.History, e)
	}
	return out
}

// Applicable returns the exclusions of a contract that a settlement knows:
// approved ones, which it applies, and proposed ones, which it lists.
func Applicable(list []Exclusion, contract string) []sla.Exclusion {
	var out []sla.Exclusion
	for _, x := range list {
		if x.Contract == contract && (x.State == StateApproved || x.State == StateProposed) {
			out = append(out, x.Exclusion)
		}
	}
	return out
}

// May tells whether somebody may take a step now, and if not why.
func (x *Exclusion) May(step Step, author, reason string) error {
	switch {
	case access.SamePerson(author, ""):
		return Refusal("say who you are: an author is required")
	case step == Approve && x.State == StateProposed && access.SamePerson(author, x.Author):
		return Refusal(fmt.Sprintf("exclusion %d was proposed by %s: somebody else has to approve it", x.ID, author))
	case (step == Reject || step == Withdraw) && reason == "":
		return Refusal(fmt.Sprintf("say why: a reason is required to %s an exclusion", step))
	case step == Approve && x.State == StateProposed, step == Reject && x.State == StateProposed,
		step == Withdraw && (x.State == StateProposed || x.State == StateApproved):
		return nil
	case step != Approve && step != Reject && step != Withdraw:
		return Refusal(fmt.Sprintf("there is no step %q; there are approve, reject and withdraw", step))
	}
	return Refusal(fmt.Sprintf("exclusion %d is %s: it cannot be %s", x.ID, x.State, map[Step]string{Approve: "approved", Reject: "rejected", Withdraw: "withdrawn"}[step]))
}
