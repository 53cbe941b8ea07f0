package sla

import (
	"math/big"

	"nines/internal/sla/exact"
)

// award is a credit before it is written down.
type award struct {
	money Money
	// share is the credit's share of the contract's fee, exact and before the
	// truncation of money.
	share *big.Rat
}

// tier returns the credit of the lowest tier that the attainment falls below;
// no value of attainment pays nothing.
func (o *Objective) tier(attainment *big.Rat) *big.Rat {
	credit, lowest := new(big.Rat), Ratio{}
	if attainment == nil {
		return credit
	}
	for _, t := range o.Tiers {
		if attainment.Cmp(t.Below.Rat()) < 0 && (lowest.Den == 0 || t.Below.Cmp(lowest) < 0) {
			credit, lowest = t.Credit.Rat(), t.Below
			if t.Lost {
				credit.Sub(one(), attainment)
			}
		}
	}
	if o.Cap.Den != 0 && credit.Cmp(o.Cap.Rat()) > 0 {
		credit = o.Cap.Rat()
	}
	return credit
}

// pay returns the award for an attainment on a fee in scope, which weighs
// weight of the contract's fee.
func (o *Objective) pay(attainment *big.Rat, fee Money, weight *big.Rat) award {
	rate := o.tier(attainment)
	return award{fee.Times(rate), new(big.Rat).Mul(rate, weight)}
}

// atLeast pays nothing where the award is below the minimum.
func (a award) atLeast(minimum int64) award {
	if a.money.Minor < minimum {
		return award{Money{Currency: a.money.Currency}, new(big.Rat)}
	}
	return a
}

// combine makes one credit of those of the objectives and applies the
// contract's cap and minimum.
func (c *Contract) combine(awards []award, fee Money) award {
	total := award{Money{Currency: fee.Currency}, new(big.Rat)}
	for _, a := range awards {
		switch {
		case c.Combine == Sum:
			total.money.Minor += a.money.Minor
			total.share.Add(total.share, a.share)
		case a.money.Minor > total.money.Minor,
			a.money.Minor == total.money.Minor && a.share.Cmp(total.share) > 0:
			total = award{a.money, new(big.Rat).Set(a.share)}
		}
	}
	limit := Ratio{Num: 1, Den: 1} // never more than the fee
	if c.Cap.Den != 0 && c.Cap.Cmp(limit) < 0 {
		limit = c.Cap
	}
	if top := fee.Times(limit.Rat()); total.money.Minor > top.Minor {
		total.money = top
	}
	if l := limit.Rat(); total.share.Cmp(l) > 0 {
		total.share = l
	}
	return total.atLeast(c.Minimum)
}

// percentOf returns a share in percent, truncated to five decimals, without
// trailing zeros.
func percentOf(share *big.Rat) string { return exact.Trim(exact.Percent(share)) }
