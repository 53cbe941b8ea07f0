package evaluate

import (
	"fmt"
	"time"

	"nines/internal/alert"
	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
	"nines/internal/slo"
)

// promise is an objective of a contract whose credit tiers alert.
type promise struct {
	agreed   *sla.Contract // as the rule set has it, with changes to come
	name     string        // of the objective
	index    int           // among the promises to its stream
	severity string
	loc      *time.Location
	pooled   *standing // where the slots of all resources are settled together

	// members are the resources of view that are the contract's in the period
	// that starts at viewed.
	members []*inventory.Resource
	view    *inventory.View
	viewed  int64

	// Of the period that log time lies in; there is none where end is 0.
	start, end        int64
	period            string
	contract          *sla.Contract // as in force
	objective         *sla.Objective
	tiers             []sla.Tier // the highest first
	removed, excluded []sla.Interval
}

// usePromises takes in the contracts of a rule set. Objectives that are not
// settled slot by slot as the stream has them are left to the settlement.
func (s *State) usePromises(def *slo.RuleSet) error {
	s.forgetTiers()
	for name := range def.Contracts {
		rec, err := def.Contract(name)
		if err != nil {
			return err
		}
		loc, err := time.LoadLocation(rec.Contract.TimeZone)
		if err != nil {
			return fmt.Errorf("load time zone %q of contract %q: %w", rec.Contract.TimeZone, name, err)
		}
		if rec.TierAlerts == slo.TierAlertsOff {
			continue
		}
		for i := range rec.Contract.Objectives {
			o := &rec.Contract.Objectives[i]
			if o.Runs != nil || o.Zones != nil || o.CountsEvents() || o.Slot.Length <= 0 {
				continue
			}
			p := &promise{agreed: s.withExclusions(rec.Contract), name: o.Name, index: len(s.promises[o.Stream]), severity: rec.TierAlerts, loc: loc}
			if p.severity == "" {
				p.severity = alert.Ticket
			}
			if o.Aggregation == sla.Pooled {
				p.pooled = &standing{of: p}
			}
			s.promises[o.Stream] = append(s.promises[o.Stream], p)
		}
	}
	return nil
}

// advance moves to the period that now lies in.
func (p *promise) advance(now int64) {
	if p.start <= now && now < p.end {
		return
	}
	p.start, p.end = 0, 0
	whole, ok := clauses.PeriodAt(p.agreed, now, p.loc)
	if !ok {
		return
	}
	contract, part := clauses.InForce(p.agreed, whole, now)
	p.start, p.end, p.period, p.contract = part.Start, part.End, part.Name, contract
	for i := range contract.Objectives {
		if contract.Objectives[i].Name == p.name {
			p.objective = &contract.Objectives[i]
		}
	}
	p.tiers = slo.TiersDown(p.objective.Tiers)
	p.removed, p.excluded = clauses.Excluded(contract, part, p.loc)
}

func (p *promise) length() int64 { return p.objective.Slot.Length }

// without tells whether an exclusion takes the slot out, or may take part of
// the time [from, to) out.
func (p *promise) without(start int64) bool {
	for _, t := range p.excluded {
		if first, last := p.covered(t); first <= start && start < last {
			return true
		}
	}
	return false
}

func (p *promise) meets(from, to int64) bool {
	if from < p.start && p.start < to {
		return true
	}
	for _, t := range p.excluded {
		if t.Start < to && from < t.End {
			return true
		}
	}
	return false
}

// covered returns the time of the slots that an exclusion takes out.
func (p *promise) covered(t sla.Interval) (from, to int64) {
	n := p.length()
	from, to = max(t.Start, p.start)-p.start, min(t.End, p.end)-p.start
	if p.contract.ExcludePartly {
		return p.start + from/n*n, p.start + (to+n-1)/n*n
	}
	return p.start + (from+n-1)/n*n, p.start + to/n*n
}

// slots returns how many slots of [from, to) are applicable.
func (p *promise) slots(from, to int64) uint64 {
	n := p.length()
	count := max(to-from, 0) / n
	done := from
	for _, t := range p.removed {
		first, last := p.covered(t)
		first, last = max(first, done), min(last, to)
		if last > first {
			count -= (last - first) / n
			done = last
		}
	}
	return uint64(max(count, 0))
}
