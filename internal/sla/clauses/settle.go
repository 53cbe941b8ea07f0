package clauses

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/exact"
)

// Settle settles a period of a contract with all its clauses; loc is the
// contract's time zone.
func Settle(c *sla.Contract, p sla.Period, loc *time.Location, in sla.Input) sla.Settlement {
	fees := feeChanges(c, in)
	if c.Changes != nil && c.Changes.Apart {
		return settle(c, p, loc, in, split(c, p, fees))
	}
	out := settle(c, p, loc, averaged(in, p), split(c, p, nil))
	out.Steps = append(out.Steps, feeSteps(fees)...)
	return out
}

// settle settles a period in its parts.
func settle(c *sla.Contract, p sla.Period, loc *time.Location, in sla.Input, parts []part) sla.Settlement {
	if len(parts) == 1 {
		laid, in := lay(parts[0].contract, p, loc, averaged(in, p))
		return laid.Settle(p, in)
	}
	fee := prorate(c, p, parts)
	var out sla.Settlement
	if c.Changes.Apart {
		out = apart(c, p, loc, in, parts)
	} else {
		last := parts[len(parts)-1].contract
		last.Fee.Money = fee
		laid, in := lay(last, p, loc, in)
		out = laid.Settle(p, in)
	}
	how := "all slots pooled, under the terms last in force, fees by the time that each was in force"
	if c.Changes.Apart {
		how = "each part settled by itself, on its share of the fee; credits added up"
	}
	values := map[string]string{"fee": fee.String()}
	for _, part := range parts {
		values[stamp(part.period.Start)] = part.reason + "; customer " + part.contract.Customer + ", fee " + part.contract.Fee.String()
	}
	out.Steps = append(out.Steps, sla.Step{Clause: "changes", Formula: how, Values: values})
	return out
}

// part is a part of the period under one version of the contract.
type part struct {
	contract *sla.Contract
	period   sla.Period
	reason   string
	share    sla.Ratio // of the period
}

// split cuts the period where the contract or, as told besides, a fee changes: at
// the next instant at which slots of all objectives begin.
func split(c *sla.Contract, p sla.Period, fees []sla.Change) []part {
	base := *c
	parts := []part{{contract: &base, period: p, reason: "as agreed"}}
	common := int64(1)
	for i := range c.Objectives {
		common = multiple(common, c.Objectives[i].Length())
	}
	all := fees
	if c.Changes != nil {
		all = slices.Concat(c.Changes.At, fees)
	}
	changes := slices.SortedStableFunc(slices.Values(all), func(a, b sla.Change) int { return int(min(1, max(-1, a.From-b.From))) })
	for _, ch := range changes {
		from := p.Start + p.Index(ch.From, common)*common
		if from >= p.End {
			break
		}
		last := &parts[len(parts)-1]
		next := part{contract: applied(last.contract, ch), period: p, reason: ch.Reason}
		if from <= last.period.Start {
			next.period.Start = last.period.Start
			*last = next
			continue
		}
		next.period.Start = from
		last.period.End = from
		parts = append(parts, next)
	}
	return parts
}

// multiple returns the least common multiple of two lengths.
func multiple(a, b int64) int64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// prorate gives each part its share of the period and of its fee, and returns
// the sum of these fees.
func prorate(c *sla.Contract, p sla.Period, parts []part) sla.Money {
	fee := sla.Money{Currency: c.Fee.Currency}
	for i := range parts {
		part := &parts[i]
		part.share = sla.Ratio{Num: uint64(part.period.End - part.period.Start), Den: uint64(p.End - p.Start)}
		part.contract.Fee.Money = part.contract.Fee.Times(part.share.Rat())
		fee.Minor += part.contract.Fee.Minor
	}
	return fee
}

// applied returns the contract with a change.
func applied(c *sla.Contract, ch sla.Change) *sla.Contract {
	out := *c
	out.Objectives = slices.Clone(c.Objectives)
	if ch.Customer != "" {
		out.Customer = ch.Customer
	}
	if ch.Fee != nil {
		out.Fee = *ch.Fee
	}
	for i := range out.Objectives {
		if tiers, ok := ch.Tiers[out.Objectives[i].Name]; ok {
			out.Objectives[i].Tiers = tiers
		}
	}
	return &out
}

// apart settles each part and adds the credits up. The figures on top are those
// of the part that pays most, of these the one with the lowest attainment.
func apart(c *sla.Contract, p sla.Period, loc *time.Location, in sla.Input, parts []part) (out sla.Settlement) {
	var minor, low, high int64
	for i, part := range parts {
		laid, in := lay(part.contract, part.period, loc, prorated(in, part))
		s := laid.Settle(part.period, in)
		out.Fee = sla.Money{Minor: out.Fee.Minor + s.Fee.Minor, Currency: s.Fee.Currency}
		minor, low, high = minor+s.Credit.Minor, low+s.Bounds.LowMinor, high+s.Bounds.HighMinor
		if i == 0 || s.Credit.Minor > out.Credit.Minor ||
			s.Credit.Minor == out.Credit.Minor && s.Attainment != nil && (out.Attainment == nil || s.Attainment.Cmp(out.Attainment) < 0) {
			out.Figures = s.Figures
		}
		from := stamp(part.period.Start)
		for _, o := range s.Objectives {
			o.Name += "@" + from
			out.Objectives = append(out.Objectives, o)
		}
		for _, step := range s.Steps {
			step.Clause = from + " " + step.Clause
			out.Steps = append(out.Steps, step)
		}
	}
	out.Contract, out.Period, out.TimeZone = c.Name, p.Name, c.TimeZone
	credit := func(n int64) sla.Money { return sla.Money{Minor: n, Currency: out.Fee.Currency} }
	out.Credit.Minor, out.Credit.Amount = minor, credit(minor).String()
	out.Credit.Percent = exact.Trim(exact.Percent(big.NewRat(minor, max(out.Fee.Minor, 1))))
	out.Bounds.LowMinor, out.Bounds.CreditLow = low, credit(low).String()
	out.Bounds.HighMinor, out.Bounds.CreditHigh = high, credit(high).String()
	return out
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// Failed counts the months, newest last, of the last ones that chronic failure
// looks at, whose attainment was below its bound; a month without attainment was
// not. It tells whether they are enough for the right to leave.
func Failed(ch sla.Chronic, months []*big.Rat) (failed int, chronic bool) {
	for _, m := range months[max(0, len(months)-ch.Of):] {
		if m != nil && m.Cmp(ch.Below.Rat()) < 0 {
			failed++
		}
	}
	return failed, failed >= ch.Months
}

// Request asks for a closed period to be settled again.
type Request struct {
	// Replaces names the settlement that is replaced.
	Replaces string `json:"replaces"`
	// At is when, Unix milliseconds.
	At         int64  `json:"at"`
	Reason     string `json:"reason"`
	Author     string `json:"author"`
	ApprovedBy string `json:"approved_by"`
}

// Restated is a settlement that replaces another.
type Restated struct {
	Request
	// Direction is customer-favour or both.
	Direction string `json:"direction"`
	// Paid is the credit of the settlement that is replaced, Delta what is owed
	// beyond it; negative where the customer owes it back.
	Paid  string `json:"paid"`
	Delta string `json:"delta"`
	// Owed is the credit that stands in the end, in minor units.
	Owed       int64          `json:"-"`
	Settlement sla.Settlement `json:"settlement"`
}

// Restate replaces a settlement, which left paid minor units of credit, by
// another of the same contract and period. It refuses what the contract does.
func Restate(c *sla.Contract, p sla.Period, paid int64, s sla.Settlement, q Request) (*Restated, error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("restate %s of contract %s: "+format, append([]any{p.Name, c.Name}, args...)...)
	}
	switch {
	case c.Revision == nil:
		return nil, refuse("the contract declares no restatement")
	case s.Contract != c.Name || s.Period != p.Name:
		return nil, refuse("the settlement is that of %s, %s", s.Contract, s.Period)
	case q.Replaces == "":
		return nil, refuse("name the settlement that it replaces")
	case q.At < p.End:
		return nil, refuse("the period is not over")
	case q.At > p.End+c.Revision.Cutoff:
		return nil, refuse("it is past the contract's cut-off, %s after the period", hours(c.Revision.Cutoff))
	case q.Author == "" || q.Reason == "":
		return nil, refuse("name author and reason")
	case q.ApprovedBy == "" || q.ApprovedBy == q.Author:
		return nil, refuse("it needs the approval of a second person")
	}
	r := &Restated{Request: q, Direction: "both", Owed: s.Credit.Minor, Settlement: s}
	if c.Revision.CustomerFavour {
		r.Direction, r.Owed = "customer-favour", max(s.Credit.Minor, paid)
	}
	amount := func(n int64) string { return sla.Money{Minor: n, Currency: c.Fee.Currency}.String() }
	r.Paid, r.Delta = amount(paid), amount(r.Owed-paid)
	return r, nil
}
