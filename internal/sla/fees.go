package sla

import "math/big"

// fees are what the resources of a contract cost together and each.
type fees struct {
	fee       Fee
	total     Money
	resources int
}

// fees adds up what the distinct resources of all objectives cost.
func (c *Contract) fees(in Input) fees {
	b := fees{fee: c.Fee, total: c.Fee.Money}
	seen := map[string]bool{}
	sum := Money{Currency: c.Fee.Currency}
	own := false
	for i := range c.Objectives {
		for _, r := range b.resourcesOf(in, c.Objectives[i].Name) {
			if seen[r.Name] {
				continue
			}
			seen[r.Name] = true
			own = own || r.Fee != nil
			sum.Minor += b.of(&r).Minor
		}
	}
	b.resources = len(seen)
	if c.Fee.PerResource || own {
		b.fee.PerResource = true
		b.total = sum
	}
	return b
}

// resourcesOf returns the resources of an objective; where there are none, one
// of which nothing is known, so that blindness shows instead of passing for
// perfection.
func (b fees) resourcesOf(in Input, objective string) []Resource {
	if rs := in.Resources[objective]; len(rs) > 0 {
		return rs
	}
	return []Resource{{Name: "(none seen)"}}
}

// of returns the fee of one resource. A fee for all together is split evenly,
// truncated.
func (b fees) of(r *Resource) Money {
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
func (b fees) weight(fee Money, n int) *big.Rat {
	if b.total.Minor <= 0 {
		return big.NewRat(1, int64(n))
	}
	return big.NewRat(fee.Minor, b.total.Minor)
}
