package clauses

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"nines/internal/sla"
)

// feeChanges returns the changes that cut a period where the own fee of some
// resource changes.
func feeChanges(c *sla.Contract, in sla.Input) []sla.Change {
	names := map[int64][]string{}
	for i := range c.Objectives {
		for _, r := range in.Resources[c.Objectives[i].Name] {
			for at, minor := range r.FeeFrom {
				what := fmt.Sprintf("fee of %s is %s", r.Name, sla.Money{Minor: minor, Currency: c.Fee.Currency})
				if !slices.Contains(names[at], what) {
					names[at] = append(names[at], what)
				}
			}
		}
	}
	var out []sla.Change
	for _, at := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[at])
		reason := names[at][0]
		if n := len(names[at]); n > 1 {
			reason += fmt.Sprintf(" and %d more", n-1)
		}
		out = append(out, sla.Change{From: at, Reason: reason})
	}
	return out
}

// feeSteps says which fees were averaged, where some were.
func feeSteps(fees []sla.Change) []sla.Step {
	if len(fees) == 0 {
		return nil
	}
	values := map[string]string{}
	for _, ch := range fees {
		values[stamp(ch.From)] = ch.Reason
	}
	return []sla.Step{{Clause: "changes.fees", Formula: "a resource's fees, each by the time that it was in force, added up and truncated", Values: values}}
}

// feeAt returns what a resource costs at an instant; nil where it has no fee of
// its own.
func feeAt(r *sla.Resource, at int64) *int64 {
	fee := r.Fee
	for _, from := range slices.Sorted(maps.Keys(r.FeeFrom)) {
		if from <= at {
			minor := r.FeeFrom[from]
			fee = &minor
		}
	}
	return fee
}

// averaged returns the input with the fees of the whole period: each by the time
// that it was in force, added up and then truncated.
func averaged(in sla.Input, p sla.Period) sla.Input {
	return withFees(in, func(r *sla.Resource) *int64 {
		if len(r.FeeFrom) == 0 {
			return r.Fee
		}
		sum, at := new(big.Int), p.Start
		for _, from := range append(slices.Sorted(maps.Keys(r.FeeFrom)), p.End) {
			if end := min(from, p.End); end > at {
				if fee := feeAt(r, at); fee != nil {
					sum.Add(sum, new(big.Int).Mul(big.NewInt(*fee), big.NewInt(end-at)))
				}
				at = end
			}
		}
		minor := sum.Quo(sum, big.NewInt(p.End-p.Start)).Int64()
		return &minor
	})
}

// prorated returns the input with the share that a part of the period has of the
// resources' own fees, as they are at its start.
func prorated(in sla.Input, part part) sla.Input {
	return withFees(in, func(r *sla.Resource) *int64 {
		fee := feeAt(r, part.period.Start)
		if fee == nil {
			return nil
		}
		minor := sla.Money{Minor: *fee}.Times(part.share.Rat()).Minor
		return &minor
	})
}

// withFees returns the input with other fees of the resources.
func withFees(in sla.Input, fee func(*sla.Resource) *int64) sla.Input {
	resources := map[string][]sla.Resource{}
	for name, list := range in.Resources {
		list = slices.Clone(list)
		for i := range list {
			list[i].Fee, list[i].FeeFrom = fee(&list[i]), nil
		}
		resources[name] = list
	}
	in.Resources = resources
	return in
}

// share gives the parts of one resource even shares of its fee, truncated: each
// settles its own.
func share(list []sla.Resource, fees *sla.Fees) {
	parts := map[string]int64{}
	for i := range list {
		parts[payer(&list[i])]++
	}
	for i := range list {
		if n := parts[payer(&list[i])]; n > 1 {
			minor := fees.Of(&list[i]).Minor / n
			list[i].Fee = &minor
		}
	}
}

// payer names the resource whose fee it is.
func payer(r *sla.Resource) string { return cmp.Or(r.Of, r.Name) }
