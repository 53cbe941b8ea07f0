package sla

import (
	"cmp"
	"math/big"
)

// Fees are what the resources of a contract cost together and each.
type Fees struct {
	fee       Fee
	total     Money
	resources int
}

// Fees adds up what the distinct resources of all objectives cost: instances, not
// the services that a rule over zones makes of them. A fee for the contract is
// theirs in even shares, truncated; where a resource has a fee of its own, that
// takes the place of its share.
func (c *Contract) Fees(in Input) *Fees {
	b := &Fees{fee: c.Fee, total: c.Fee.Money}
	seen, own := map[string]bool{}, false
	var list []*Resource
	for i := range c.Objectives {
		rs := in.Resources[c.Objectives[i].Name]
		for k := range rs {
			if name := cmp.Or(rs[k].Of, rs[k].Name); !seen[name] {
				seen[name] = true
				list = append(list, &rs[k])
				own = own || rs[k].Fee != nil
			}
		}
	}
	if b.resources = len(list); b.resources > 0 && (own || c.Fee.PerResource) {
		b.total.Minor = 0
		for _, r := range list {
			b.total.Minor += b.Of(r).Minor
		}
	}
	return b
}

// Of returns the fee of one resource. One of an objective that has none costs
// what any other does.
func (b *Fees) Of(r *Resource) Money {
	switch {
	case r.Fee != nil:
		return Money{Minor: *r.Fee, Currency: b.fee.Currency}
	case b.fee.PerResource || b.resources == 0:
		return b.fee.Money
	}
	return Money{Minor: b.fee.Minor / int64(b.resources), Currency: b.fee.Currency}
}

// weight returns the fee's share of the total; of n equal parts where the total
// is nothing.
func (b *Fees) weight(fee Money, n int) *big.Rat {
	if b.total.Minor <= 0 {
		return big.NewRat(1, int64(n))
	}
	return big.NewRat(fee.Minor, b.total.Minor)
}

// resourcesOf returns the resources of an objective; where there are none, one
// of which nothing is known, so that blindness shows instead of passing for
// perfection.
func resourcesOf(in Input, objective string) []Resource {
	if rs := in.Resources[objective]; len(rs) > 0 {
		return rs
	}
	return []Resource{{Name: "(none seen)"}}
}
