package statement

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"nines/internal/access"
	"nines/internal/sla"
)

// ErrNotTheirs says that a statement is not for whoever asks. Rights decide
// whether somebody gets a statement, and nothing of what it says.
var ErrNotTheirs = errors.New("the statement is another customer's")

// Parties returns the customers whose contract it is in a period: one, unless the
// contract changes hands within it. They are the ones whom its settlement is
// about.
func Parties(c *sla.Contract, p sla.Period) []string {
	out := []string{c.Customer}
	if c.Changes == nil {
		return out
	}
	for _, ch := range slices.SortedStableFunc(slices.Values(c.Changes.At), func(a, b sla.Change) int { return cmp.Compare(a.From, b.From) }) {
		switch {
		case ch.Customer == "" || ch.From >= p.End:
		case ch.From <= p.Start:
			out = []string{ch.Customer}
		default:
			out = append(out, ch.Customer)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// maySee refuses a statement to who does not see all of its parties: a period in
// which the contract changed hands is settled as one, and is no single party's.
func maySee(who access.Principal, c *sla.Contract, p sla.Period) error {
	for _, customer := range Parties(c, p) {
		if !who.Sees(customer) {
			return fmt.Errorf("%w: %q may not see customer %s", ErrNotTheirs, who.Name, customer)
		}
	}
	return nil
}

// reader is who reads for somebody who may see the contract. What the statement
// says is the same whoever asks, and the inventory decides it: a resource may have
// gone to another customer since, and the one before still gets the statement of
// its time.
func reader(q *Request) access.Principal {
	return access.Principal{Name: q.Principal.Name, Operator: true}
}
