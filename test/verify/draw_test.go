package verify

import (
	"fmt"
	"math/rand/v2"
	"time"

	"nines/internal/sla"
	"nines/statement"
)

const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

// dice draws contracts and facts.
type dice struct{ *rand.Rand }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between returns a number in [low, high].
func (d dice) between(low, high int64) int64 { return low + d.Int64N(high-low+1) }

func ratio(num, den uint64) sla.Ratio { return sla.Ratio{Num: num, Den: den} }

// settlement draws a contract, a period and its facts.
func (d dice) settlement(i int) (*statement.Facts, error) {
	zone := pick(d, "UTC", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York", "Asia/Riyadh", "America/Havana")
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	f := &statement.Facts{Location: loc, Period: d.period(loc)}
	c := &sla.Contract{Name: fmt.Sprintf("contract %d", i), Customer: "bank", TimeZone: zone, Combine: pick(d, sla.Highest, sla.Sum),
		Fee: d.fee(), ExcludePartly: d.chance(20)}
	for k := range pick(d, 1, 1, 2, 3) {
		c.Objectives = append(c.Objectives, d.objective(fmt.Sprintf("objective %d", k)))
	}
	if d.chance(20) {
		c.Cap = ratio(uint64(d.between(1, 100)), 100)
	}
	if d.chance(15) {
		c.Minimum = d.between(1, 20_000)
	}
	d.exclude(c, f.Period)
	if d.chance(20) {
		c.Changes = d.changes(c, f.Period)
	}
	f.Contract = c
	f.Input = d.facts(c, f.Period)
	return f, nil
}

// period draws some days, often about a change of the clock, or a month.
func (d dice) period(loc *time.Location) sla.Period {
	start := pick(d, time.Date(2026, 11, 1, 0, 0, 0, 0, loc), time.Date(2026, 3, 28, 0, 0, 0, 0, loc), time.Date(2026, 10, 24, 0, 0, 0, 0, loc),
		time.Date(2026, 10, 3, 0, 0, 0, 0, loc), time.Date(2026, 3, 7, 0, 0, 0, 0, loc), time.Date(2028, 2, 27, 0, 0, 0, 0, loc))
	end := start.AddDate(0, 0, int(d.between(1, 3)))
	if d.chance(3) {
		start = time.Date(2026, time.Month(d.between(1, 12)), 1, 0, 0, 0, 0, loc)
		end = start.AddDate(0, 1, 0)
	}
	return sla.Period{Name: start.Format("2006-01"), Start: start.UnixMilli(), End: end.UnixMilli()}
}

func (d dice) fee() sla.Fee {
	return sla.Fee{Money: sla.Money{Minor: d.between(0, 10_000_000), Currency: pick(d, "USD", "EUR", "KWD", "JPY", "CLF")}, PerResource: d.chance(30)}
}

func (d dice) objective(name string) sla.Objective {
	o := sla.Objective{Name: name, Stream: "00000000000000aa", Reading: "drawn",
		Slot: sla.SlotRule{Length: pick(d, minute, minute, 5*minute, 15*minute), Bad: pick(d, sla.BadUnreachable, sla.BadAnyFailure, sla.BadRatio, sla.BadAllFailed),
			MinCount: pick(d, uint64(1), 1, 10), EmptyGood: d.chance(30), MaxGap: 5000},
		Unknown:     pick(d, sla.UnknownExclude, sla.UnknownBad, sla.UnknownGood, sla.UnknownCarry),
		Denominator: pick(d, sla.Calendar, sla.Calendar, sla.Lifecycle, sla.Traffic, sla.Requests),
		Formula:     pick(d, sla.BySlot, sla.BySlot, sla.ByShare), Aggregation: pick(d, sla.Pooled, sla.PerResource, sla.Worst), Latency: d.chance(20)}
	if o.Slot.Bad == sla.BadRatio {
		o.Slot.MaxRatio = ratio(uint64(d.between(0, 30)), 100)
	}
	if d.chance(30) && !o.CountsEvents() {
		o.Runs = d.runs(o.Slot.Length)
	}
	if d.chance(25) && !o.CountsEvents() {
		o.Zones = &sla.Zones{Rule: pick(d, sla.AllAny, sla.AllAll, sla.RegionWide), AtLeast: pick(d, 0, 2, 3), Label: "zone"}
	}
	o.Tiers = d.tiers()
	if d.chance(20) {
		o.Cap = ratio(uint64(d.between(1, 60)), 100)
	}
	if d.chance(15) {
		o.Minimum = d.between(1, 20_000)
	}
	return o
}

func (d dice) runs(slot int64) *sla.Runs {
	r := &sla.Runs{Slot: slot * pick(d, int64(1), 2, 4), MinRun: pick(d, 0, slot, slot, 90_000, 2*slot), Longer: d.chance(50)}
	switch d.IntN(4) {
	case 0:
		r.Touched = true
	case 1:
		r.RunAligned = true
	case 2:
		r.Over = d.between(1, r.Slot-1)
	}
	return r
}

// tiers draws bounds that fall and credits that do not, as a contract's must.
func (d dice) tiers() (out []sla.Tier) {
	if d.chance(10) {
		return []sla.Tier{{Below: ratio(uint64(d.between(95_000, 100_000)), 100_000), Lost: true}}
	}
	below, credit := uint64(100_000), uint64(0)
	for range d.between(1, 4) {
		below -= uint64(d.between(1, 2_000))
		credit = uint64(d.between(int64(credit), 100))
		out = append(out, sla.Tier{Below: ratio(below, 100_000), Credit: ratio(credit, 100)})
	}
	return out
}

func (d dice) exclude(c *sla.Contract, p sla.Period) {
	for range pick(d, 0, 0, 1, 2, 4) {
		start := d.between(p.Start-6*hour, p.End)
		e := sla.Exclusion{Start: start, End: start + d.between(1, 5*hour), Effect: pick(d, sla.Removed, sla.Available), Category: pick(d, "maintenance", "customer"),
			Reason: "drawn", Author: "lee", ApprovedBy: pick(d, "kim", "kim", "")}
		if d.chance(60) {
			e.Announced = start - pick(d, hour, 24*hour, 24*hour+1, 200*hour)
		}
		if d.chance(40) {
			e.Recurs = &sla.Recurrence{TimeZone: c.TimeZone, From: d.between(0, 23) * hour, To: d.between(0, 24) * hour}
			for w := range 7 {
				if d.chance(30) {
					e.Recurs.Days = append(e.Recurs.Days, w)
				}
			}
			e.Start, e.End = pick(d, 0, p.Start+d.between(0, day)), pick(d, 0, p.End-d.between(0, day))
		}
		c.Exclusions = append(c.Exclusions, e)
	}
	if d.chance(40) {
		c.Terms = append(c.Terms, sla.ExclusionTerm{Category: "maintenance", Notice: pick(d, 0, 24*hour), Allowance: pick(d, 0, 4*hour, 90*minute)})
	}
}

func (d dice) changes(c *sla.Contract, p sla.Period) *sla.Changes {
	out := &sla.Changes{Apart: d.chance(50)}
	for range d.between(1, 3) {
		ch := sla.Change{From: d.between(p.Start-hour, p.End+hour), Reason: "drawn"}
		if d.chance(50) {
			ch.Fee = &sla.Fee{Money: sla.Money{Minor: d.between(0, 20_000_000), Currency: c.Fee.Currency}, PerResource: c.Fee.PerResource}
		}
		if d.chance(50) {
			ch.Tiers = map[string][]sla.Tier{c.Objectives[0].Name: d.tiers()}
		}
		if d.chance(30) {
			ch.Customer = "other"
		}
		out.At = append(out.At, ch)
	}
	return out
}
