package sla

import (
	"math/big"
)

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
	book := c.fees(in)
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
	s.Credit = total[byPolicy].credit()
	b := &s.Bounds
	b.CreditLow, b.LowMinor = total[allGood].money.String(), total[allGood].money.Minor
	b.CreditHigh, b.HighMinor = total[allBad].money.String(), total[allBad].money.Minor
	if c.Cap.Den != 0 {
		values = append(values, "cap", c.Cap.String())
	}
	if c.Minimum > 0 {
		values = append(values, "minimum", Money{c.Minimum, fee.Currency}.String())
	}
	s.step("combine", combineFormula(c.Combine), values...)
}

// outranks tells whether a is more decisive than b.
func outranks(a, b *Figures) bool {
	if a.Credit.Minor != b.Credit.Minor {
		return a.Credit.Minor > b.Credit.Minor
	}
	return lower(a.Attainment, b.Attainment)
}

// lower compares attainments; one without a value is above all others.
func lower(a, b Ratio) bool {
	if a.Den == 0 || b.Den == 0 {
		return a.Den != 0
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
func (c *Contract) objective(s *Settlement, o *Objective, p Period, in Input, book fees) (Part, [3]award) {
	length := o.Slot.Length
	applicable := p.slots(length)
	if in.Until != 0 && in.Until < p.End {
		applicable = max(0, int((in.Until-p.Start)/length))
	}
	m := c.exclusionMask(p, length)
	var list []counted
	var all tally
	var buffer []State
	for _, r := range book.resourcesOf(in, o.Name) {
		buffer = r.states(p, length, buffer)
		t := count(buffer, m, applicable, o.Unknown)
		all.add(t)
		list = append(list, counted{r.Name, t, book.of(&r)})
	}
	s.slotSteps(o, all, len(list))
	var part Part
	var a [3]award
	switch o.Aggregation {
	case PerResource:
		part, a = o.perResource(list, book)
	case Worst:
		part, a = o.worst(list, book)
	default:
		part, a = o.pooled(all, book)
	}
	for r := range a {
		a[r] = a[r].atLeast(o.Minimum)
	}
	part.Name = o.Name
	shown, attainment := part.Figures, part.Attainment
	part.Figures = figuresWith(shown, a)
	s.creditSteps(o, &part, attainment, book)
	return part, a
}

// figuresWith replaces the credit of the figures by the awards.
func figuresWith(f Figures, a [3]award) Figures {
	f.Credit = a[byPolicy].credit()
	f.Bounds.CreditLow, f.Bounds.LowMinor = a[allGood].money.String(), a[allGood].money.Minor
	f.Bounds.CreditHigh, f.Bounds.HighMinor = a[allBad].money.String(), a[allBad].money.Minor
	return f
}

// pooled settles all slots of all resources together.
func (o *Objective) pooled(all tally, book fees) (Part, [3]award) {
	var a [3]award
	for r := range a {
		a[r] = o.pay(all.attainment(reading(r)), book.total, one())
	}
	return Part{Figures: figures(all, a)}, a
}

// worst settles by the resource with the lowest attainment, separately under
// each reading, so that the bounds hold whichever it is.
func (o *Objective) worst(list []counted, book fees) (Part, [3]award) {
	var a [3]award
	var lowest [3]int
	for r := range a {
		for i := range list {
			if lower(list[i].tally.attainment(reading(r)), list[lowest[r]].tally.attainment(reading(r))) {
				lowest[r] = i
			}
		}
		a[r] = o.pay(list[lowest[r]].tally.attainment(reading(r)), book.total, one())
	}
	part := Part{Figures: figures(list[lowest[byPolicy]].tally, a)}
	part.bound(list[lowest[allBad]].tally.attainment(allBad), list[lowest[allGood]].tally.attainment(allGood))
	for _, c := range list {
		part.Resources = append(part.Resources, Part{Name: c.name, Figures: figures(c.tally, o.awards(c.tally, book.total, one()))})
	}
	return part, a
}

// perResource settles each resource on its own fee and sums the credits up.
func (o *Objective) perResource(list []counted, book fees) (Part, [3]award) {
	var sum [3]award
	for r := range sum {
		sum[r] = award{Money{0, book.total.Currency}, new(big.Rat)}
	}
	part, _ := o.worst(list, book)
	part.Resources = nil
	for _, c := range list {
		a := o.awards(c.tally, c.fee, book.weight(c.fee, len(list)))
		for r := range sum {
			sum[r].money.Minor += a[r].money.Minor
			sum[r].share.Add(sum[r].share, a[r].share)
		}
		own := o.awards(c.tally, c.fee, one()) // shown as a share of its own fee
		part.Resources = append(part.Resources, Part{Name: c.name, Figures: figures(c.tally, own)})
	}
	return part, sum
}

// awards returns what a tally earns under the three readings.
func (o *Objective) awards(t tally, fee Money, weight *big.Rat) (a [3]award) {
	for r := range a {
		a[r] = o.pay(t.attainment(reading(r)), fee, weight)
	}
	return a
}

func (p *Part) bound(low, high Ratio) {
	p.Bounds.Low, p.Bounds.AttainmentLowPct = low, low.Percent()
	p.Bounds.High, p.Bounds.AttainmentHighPct = high, high.Percent()
}

func one() *big.Rat { return big.NewRat(1, 1) }
