package sla

import "math/big"

// Settle computes the settlement of a period: a pure function of contract,
// period and input. It judges first, then excludes; applies the policy for
// unknown; compares ratios by cross-multiplication; truncates money.
func (c *Contract) Settle(p Period, in Input) Settlement {
	s := Settlement{Contract: c.Name, Period: p.Name, TimeZone: c.TimeZone, Objectives: []Part{}}
	s.step("period", "half-open, in "+c.TimeZone, "start", stamp(p.Start), "end", stamp(p.End), "minutes", number((p.End-p.Start)/60_000))
	if in.Until != 0 && in.Until < p.End {
		s.step("period", "not over: slots that end later are not applicable yet", "until", stamp(in.Until))
	}
	c.listExclusions(&s)
	book := in.Fees
	if book == nil {
		book = c.Fees(in)
	}
	s.Fee = book.total
	s.step("fee", feeFormula(c.Fee), "total", book.total.String(), "resources", number(int64(book.resources)), "currency", c.Fee.Currency)
	var awards [3][]award
	for i := range c.Objectives {
		part, a := c.objective(&s, &c.Objectives[i], p, in, book)
		s.Objectives = append(s.Objectives, part)
		for r := range awards {
			awards[r] = append(awards[r], a[r])
		}
	}
	c.whole(&s, awards, book.total)
	return s
}

// whole fills in the figures of the contract from those of its objectives.
func (c *Contract) whole(s *Settlement, awards [3][]award, fee Money) {
	var total [3]award
	for r := range total {
		total[r] = c.combine(awards[r], fee)
	}
	decisive := -1
	for i := range s.Objectives {
		if decisive < 0 || outranks(&s.Objectives[i].Figures, &s.Objectives[decisive].Figures) {
			decisive = i
		}
	}
	values := []string{"percent", percentOf(total[byPolicy].share), "amount", total[byPolicy].money.String(), "currency", fee.Currency}
	if decisive >= 0 {
		s.Figures = s.Objectives[decisive].Figures
		values = append(values, "decisive", s.Objectives[decisive].Name)
	}
	s.owe(total)
	if c.Cap.Den != 0 {
		values = append(values, "cap", c.Cap.String())
	}
	if c.Minimum > 0 {
		values = append(values, "minimum", Money{Minor: c.Minimum, Currency: fee.Currency}.String())
	}
	s.step("combine", formula(c.Combine), values...)
}

// outranks tells whether a is more decisive than b.
func outranks(a, b *Figures) bool {
	if a.Credit.Minor != b.Credit.Minor {
		return a.Credit.Minor > b.Credit.Minor
	}
	return lower(a.Attainment, b.Attainment)
}

// lower compares attainments; one without a value is above all others.
func lower(a, b *big.Rat) bool {
	if a == nil || b == nil {
		return a != nil
	}
	return a.Cmp(b) < 0
}

// counted is a resource with its count and fee.
type counted struct {
	name  string
	tally tally
	fee   Money
}

// objective settles one objective.
func (c *Contract) objective(s *Settlement, o *Objective, p Period, in Input, book *Fees) (Part, [3]award) {
	length := o.Length()
	applicable := p.Slots(length)
	if in.Until != 0 && in.Until < p.End {
		applicable = max(0, int((in.Until-p.Start)/length))
	}
	m := c.exclusionMask(p, length)
	var list []counted
	var all tally
	var buffer []cell
	for _, r := range resourcesOf(in, o.Name) {
		buffer = o.cells(&r, p, buffer)
		t := o.count(buffer, m, applicable)
		all.add(t)
		list = append(list, counted{r.Name, t, book.Of(&r)})
	}
	s.slotSteps(o, &all, len(list))
	part, a := Part{Figures: figures(&all)}, o.awards(&all, book.total, one())
	if o.Aggregation != Pooled {
		part, a = o.apart(list, book)
	}
	for r := range a {
		a[r] = a[r].atLeast(o.Minimum)
	}
	part.Name = o.Name
	part.owe(a)
	s.creditSteps(o, &part, book)
	return part, a
}

// apart settles resource by resource: either the one with the lowest attainment
// speaks for all, or each earns a credit on its own fee. The lowest is found
// under each reading by itself, so that the bounds hold whichever it is.
func (o *Objective) apart(list []counted, book *Fees) (Part, [3]award) {
	var a [3]award
	var lowest [3]*big.Rat
	shown := 0
	for r := range a {
		a[r] = award{Money{Currency: book.total.Currency}, new(big.Rat)}
		for i := range list {
			if t := list[i].tally.attainment(reading(r)); i == 0 || lower(t, lowest[r]) {
				lowest[r] = t
				if reading(r) == byPolicy {
					shown = i
				}
			}
		}
		if o.Aggregation == Worst {
			a[r] = o.pay(lowest[r], book.total, one())
		}
	}
	part := Part{Figures: figures(&list[shown].tally)}
	part.bound(lowest[allBad], lowest[allGood])
	for i := range list {
		c := &list[i]
		fee := book.total
		if o.Aggregation == PerResource {
			fee = c.fee
			for r, own := range o.awards(&c.tally, fee, book.weight(fee, len(list))) {
				a[r].money.Minor += own.money.Minor
				a[r].share.Add(a[r].share, own.share)
			}
		}
		own := Part{Name: c.name, Figures: figures(&c.tally)}
		own.owe(o.awards(&c.tally, fee, one())) // as a share of the resource's own fee
		part.Resources = append(part.Resources, own)
	}
	return part, a
}

// awards returns what a tally earns under the three readings.
func (o *Objective) awards(t *tally, fee Money, weight *big.Rat) (a [3]award) {
	for r := range a {
		a[r] = o.pay(t.attainment(reading(r)), fee, weight)
	}
	return a
}

func one() *big.Rat { return big.NewRat(1, 1) }
