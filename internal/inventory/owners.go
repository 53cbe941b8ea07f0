package inventory

import (
	"iter"
	"slices"

	"nines/internal/sla"
)

// Scope tells what a stream counts, as slo.Scope does.
type Scope interface {
	// Admits tells whether the stream may count what is known by labels.
	Admits(known map[string]string) bool
	// Fixed returns the labels that all that it counts have one value of.
	Fixed() map[string]string
}

// Claimed are the claims of all resources over a time. It is asked by one
// goroutine.
type Claimed struct {
	index *Index
	all   []Claim
}

// Claimed returns what all resources claim over an interval.
func (v *View) Claimed(in sla.Interval) *Claimed {
	out := &Claimed{index: NewIndex()}
	for _, r := range v.Resources() {
		for _, c := range r.Claims(in) {
			out.index.Add(c.Labels, len(out.all))
			out.all = append(out.all, c)
		}
	}
	return out
}

// About returns the claims whose labels a group may have, over its time.
func (x *Claimed) About(group map[string]string) iter.Seq[*Claim] {
	return func(yield func(*Claim) bool) {
		for _, id := range x.index.Find(group) {
			if !yield(&x.all[id]) {
				return
			}
		}
	}
}

// Owned is a time in which a group is the same resources'.
type Owned struct {
	sla.Interval
	Owners []*Claim // whose it is, by the function Owners
	Others []*Claim // that own it, too, and step back behind those
}

// Of returns whose a group of a stream is, ascending; the time in which no
// resource owns it, as it is with a region's, is left out.
func (x *Claimed) Of(group map[string]string, scope Scope) (out []Owned) {
	var on []*Claim
	var cuts []int64
	for c := range x.About(group) {
		if scope.Admits(c.Labels) && c.Owns(group, scope.Fixed()) {
			on, cuts = append(on, c), append(cuts, c.Start, c.End)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 1; i < len(cuts); i++ {
		var now []*Claim
		for _, c := range on {
			if c.Start <= cuts[i-1] && cuts[i-1] < c.End {
				now = append(now, c)
			}
		}
		if len(now) > 0 {
			own := Owners(slices.Clone(now))
			others := slices.DeleteFunc(now, func(c *Claim) bool { return slices.Contains(own, c) })
			out = append(out, Owned{sla.Interval{Start: cuts[i-1], End: cuts[i]}, own, others})
		}
	}
	return out
}

// Taken returns when a group, by whose it is, is somebody else's than a
// contract's.
func Taken(c *sla.Contract, owned []Owned) (out []sla.Interval) {
	for _, o := range owned {
		if theirs(c, o.Owners) {
			out = append(out, o.Interval)
		}
	}
	return sla.Union(out)
}

// theirs tells whether the owners of a group make it somebody else's: while
// another customer is among them, or while all are another contract's.
func theirs(c *sla.Contract, owners []*Claim) bool {
	ours := len(owners) == 0
	for _, o := range owners {
		mine := !Foreign(c, o.Contract, o.Customer)
		ours = ours || mine
		if !mine && !Signed(c, o.Customer) {
			return true // another customer's, or a contract's whose customer is not told
		}
	}
	return !ours
}

// Foreign tells whether what the inventory says of a resource makes it another
// contract's or another customer's. What it does not say makes it nobody else's.
func Foreign(c *sla.Contract, contract, customer string) bool {
	return contract != "" && contract != c.Name || customer != "" && !Signed(c, customer)
}

// Signed tells whether a customer's contract it is, at some time.
func Signed(c *sla.Contract, customer string) bool {
	return c.Customer == customer || c.Changes != nil &&
		slices.ContainsFunc(c.Changes.At, func(ch sla.Change) bool { return ch.Customer == customer })
}

// Belongs returns when in an interval a resource is the contract's: it names the
// contract, and no other customer than those whose contract it is.
func (r *Resource) Belongs(c *sla.Contract, in sla.Interval) []sla.Interval {
	named := r.During(Contract, in, func(name string) bool { return name == c.Name })
	owned := r.During(Customer, in, func(customer string) bool { return customer == "" || Signed(c, customer) })
	return Intersect(named, owned)
}
