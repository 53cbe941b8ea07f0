package statement

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

// charge works out what the resources of a contract cost under it.
func charge(list []*member, c *sla.Contract, p sla.Period) error {
	agreed := agreedFees(c, p)
	for _, m := range list {
		costs, err := m.costs(c, agreed, p)
		if err == nil {
			err = m.bear(c, costs)
		}
		if err != nil {
			return fmt.Errorf("fee of resource %s: %w", m.Name, err)
		}
	}
	return nil
}

// feeFrom is what a contract costs for a whole period, by the terms that are
// settled from an instant on.
type feeFrom struct {
	from int64 // Unix milliseconds
	sla.Money
}

// agreedFees returns the fees of a contract over a period: a change holds from
// the part of the period on that it begins.
func agreedFees(c *sla.Contract, p sla.Period) []feeFrom {
	out := []feeFrom{{p.Start, c.Fee.Money}}
	if c.Changes == nil {
		return out
	}
	apart := *c
	apart.Changes = &sla.Changes{Apart: true, At: c.Changes.At}
	changes := slices.SortedStableFunc(slices.Values(c.Changes.At), func(a, b sla.Change) int { return cmp.Compare(a.From, b.From) })
	for at := p.Start; at < p.End; {
		_, part := clauses.InForce(&apart, p, at)
		fee := c.Fee.Money
		for _, ch := range changes {
			if ch.Fee != nil && ch.From <= part.Start {
				fee = ch.Fee.Money
			}
		}
		out = append(out, feeFrom{part.Start, fee})
		at = part.End
	}
	return out
}

// cost is what a resource costs for a whole period, by what holds from an instant
// on.
type cost struct {
	at    int64
	minor int64
	// belongs says that the resource is the contract's, foreign that it is another
	// contract's or customer's, own that it has a fee of its own.
	belongs, foreign, own bool
}

// costs returns what the resource costs over the period. Time under another
// contract or customer costs nothing here. That it is stopped, not started yet or
// under no contract changes no fee: such time costs what the next does in which
// it is this contract's, or else the last before.
func (m *member) costs(c *sla.Contract, agreed []feeFrom, p sla.Period) ([]cost, error) {
	whole := sla.Interval{Start: p.Start, End: p.End}
	cuts := []int64{p.Start}
	for _, a := range []inventory.Attribute{inventory.Fee, inventory.Contract, inventory.Customer} {
		for _, h := range m.Over(a, whole) {
			cuts = append(cuts, h.Start)
		}
	}
	for _, f := range agreed {
		cuts = append(cuts, f.from)
	}
	slices.Sort(cuts)
	var out []cost
	for _, at := range slices.Compact(cuts) {
		f := cost{at: at, belongs: within(m.belongs, at)}
		f.foreign = inventory.Foreign(c, m.Value(inventory.Contract, at), m.Value(inventory.Customer, at))
		if f.belongs {
			fee, own, err := m.price(agreed, at)
			if err == nil && fee.Currency != c.Fee.Currency {
				err = inventory.Refusal(fmt.Sprintf("is in %s, the contract in %s: correct it with nines inventory set", fee.Currency, c.Fee.Currency))
			}
			if err != nil {
				return nil, err
			}
			f.minor, f.own = fee.Minor, own
		}
		out = append(out, f)
	}
	for i := range out {
		if f := &out[i]; !f.belongs && !f.foreign {
			f.minor = nearest(out, i)
		}
	}
	return out, nil
}

// nearest returns the fee of the next time in which a resource is the contract's,
// or else of the last before.
func nearest(list []cost, i int) int64 {
	belongs := func(f cost) bool { return f.belongs }
	if next := slices.IndexFunc(list[i:], belongs); next >= 0 {
		return list[i+next].minor
	}
	for i--; i >= 0; i-- {
		if list[i].belongs {
			return list[i].minor
		}
	}
	return 0
}

func within(list []sla.Interval, at int64) bool {
	return slices.ContainsFunc(list, func(i sla.Interval) bool { return i.Start <= at && at < i.End })
}

// price returns the resource's own fee at an instant, or else the contract's.
func (m *member) price(agreed []feeFrom, at int64) (fee sla.Money, own bool, err error) {
	if text := m.Value(inventory.Fee, at); text != "" {
		fee, err = inventory.ParseFee(text)
		return fee, true, err
	}
	for _, f := range agreed {
		if f.from <= at {
			fee = f.Money
		}
	}
	return fee, false, nil
}

// bear gives the member its fees, where they are not simply the contract's.
func (m *member) bear(c *sla.Contract, costs []cost) error {
	own := slices.ContainsFunc(costs, func(f cost) bool { return f.own })
	foreign := slices.ContainsFunc(costs, func(f cost) bool { return f.foreign })
	without := slices.IndexFunc(costs, func(f cost) bool { return f.belongs && !f.own })
	switch {
	case !own && !(c.Fee.PerResource && foreign):
		return nil // the contract's fee, as it stands there
	case !c.Fee.PerResource && without >= 0:
		return inventory.Refusal(fmt.Sprintf("is not told from %s on, and the contract's fee is for all together: tell it with nines inventory set, or declare the contract's fee per resource",
			time.UnixMilli(costs[without].at).UTC().Format(time.RFC3339)))
	}
	m.fee = &costs[0].minor
	for i := 1; i < len(costs); i++ {
		if costs[i].minor != costs[i-1].minor {
			if m.feeFrom == nil {
				m.feeFrom = map[int64]int64{}
			}
			m.feeFrom[costs[i].at] = costs[i].minor
		}
	}
	return nil
}
