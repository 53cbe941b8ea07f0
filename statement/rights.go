package statement

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
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

// owns tells whether a customer's contract it is, at some time.
func owns(c *sla.Contract, customer string) bool {
	return c.Customer == customer || c.Changes != nil &&
		slices.ContainsFunc(c.Changes.At, func(ch sla.Change) bool { return ch.Customer == customer })
}

// foreign tells whether what the inventory says of a resource makes it another
// contract's or another customer's. What it does not say makes it nobody else's.
func foreign(c *sla.Contract, contract, customer string) bool {
	return contract != "" && contract != c.Name || customer != "" && !owns(c, customer)
}

// claims are those of all resources of the inventory over a time.
type claims struct {
	c     *sla.Contract
	index *inventory.Index
	all   []inventory.Claim
}

func newClaims(v *inventory.View, c *sla.Contract, p sla.Period) *claims {
	out := &claims{c: c, index: inventory.NewIndex()}
	in := wide(c, p)
	for _, r := range v.Resources() {
		for _, claim := range r.Claims(in) {
			out.index.Add(claim.Labels, len(out.all))
			out.all = append(out.all, claim)
		}
	}
	return out
}

// taken returns when a group of a stream is somebody else's: a group belongs to
// those inventory.Owners names, and is not the contract's while another customer
// is among them, or while all are another contract's. A group that no resource
// owns, such as a region's, is nobody's.
func (x *claims) taken(group map[string]string, scope *slo.Scope) []sla.Interval {
	var on []*inventory.Claim
	theirs := false
	for _, id := range x.index.Find(group) {
		if c := &x.all[id]; scope.Admits(c.Labels) && c.Owns(group, scope.Fixed()) {
			on = append(on, c)
			theirs = theirs || foreign(x.c, c.Contract, c.Customer)
		}
	}
	if !theirs {
		return nil
	}
	var cuts []int64
	for _, c := range on {
		cuts = append(cuts, c.Start, c.End)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []sla.Interval
	for i := range cuts[1:] {
		var now []*inventory.Claim
		for _, c := range on {
			if c.Start <= cuts[i] && cuts[i] < c.End {
				now = append(now, c)
			}
		}
		if x.theirs(inventory.Owners(now)) {
			out = append(out, sla.Interval{Start: cuts[i], End: cuts[i+1]})
		}
	}
	return sla.Union(out)
}

// theirs tells whether the owners of a group make it somebody else's.
func (x *claims) theirs(owners []*inventory.Claim) bool {
	ours := len(owners) == 0
	for _, o := range owners {
		mine := !foreign(x.c, o.Contract, o.Customer)
		ours = ours || mine
		if !mine && !owns(x.c, o.Customer) {
			return true // another customer's, or a contract's whose customer is not told
		}
	}
	return !ours
}

// left returns when within [from, to) a group is not somebody else's.
func (x *claims) left(g *ledger.Group, scope *slo.Scope, from, to int64) []sla.Interval {
	return inventory.Without(sla.Interval{Start: from, End: to}, x.taken(g.Labels.Map(), scope))
}
