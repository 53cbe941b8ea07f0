package clauses

import (
	"maps"
	"slices"

	"nines/internal/sla"
)

// zone counts the running instances of one zone in one slot.
type zone struct{ good, bad, unknown int }

// overZones makes one resource of the instances of each group.
func overZones(o *sla.Objective, p sla.Period, instances []sla.Resource, fees *sla.Fees) []sla.Resource {
	groups := map[string][]sla.Resource{}
	for _, r := range instances {
		groups[r.Group] = append(groups[r.Group], r)
	}
	var out []sla.Resource
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		r := overZone(o, p, groups[name], fees)
		r.Name = name
		if name == "" {
			r.Name = "all zones"
		}
		out = append(out, r)
	}
	return out
}

func overZone(o *sla.Objective, p sla.Period, instances []sla.Resource, fees *sla.Fees) (out sla.Resource) {
	out.Fee = new(int64)
	paid := map[string]bool{}
	length := o.Length()
	index := map[string]int{}
	for i := range instances {
		if _, ok := index[instances[i].Zone]; !ok {
			index[instances[i].Zone] = len(index)
		}
	}
	zones := make([][]zone, p.Slots(length)) // by slot
	for k := range zones {
		zones[k] = make([]zone, len(index))
	}
	for i := range instances {
		z := index[instances[i].Zone]
		for k, s := range states(&instances[i], p, length) {
			switch s {
			case sla.Good:
				zones[k][z].good++
			case sla.Bad:
				zones[k][z].bad++
			case sla.NotApplicable: // not running
			default:
				zones[k][z].unknown++
			}
		}
		if name := payer(&instances[i]); !paid[name] {
			paid[name] = true
			*out.Fee += fees.Of(&instances[i]).Minor
		}
	}
	for k := range zones {
		start := p.Start + int64(k)*length
		out.Spans = AppendSpan(out.Spans, sla.Span{Start: start, End: start + length, State: verdict(o.Zones, zones[k])})
	}
	return out
}

// states lays the spans of an instance out; slots in which it did not run wholly
// are not applicable.
func states(r *sla.Resource, p sla.Period, length int64) []sla.State {
	out := make([]sla.State, p.Slots(length))
	fill := func(first, last int64, s sla.State) {
		for k := max(first, 0); k < min(last, int64(len(out))); k++ {
			out[k] = s
		}
	}
	fill(0, int64(len(out)), sla.Unknown)
	for _, s := range r.Spans {
		fill(p.Index(s.Start, length), p.Index(s.End, length), s.State)
	}
	for _, i := range r.Stopped {
		if i.End > i.Start {
			fill(p.Index(i.Start+1, length)-1, p.Index(i.End, length), sla.NotApplicable)
		}
	}
	return out
}

// verdict judges one slot. The rules are monotone: it is enough to take every
// unknown instance for good, then every one for bad.
func verdict(rule *sla.Zones, zones []zone) sla.State {
	used := 0
	for _, z := range zones {
		if z != (zone{}) {
			used++
		}
	}
	switch {
	case used < 2:
		return sla.NotApplicable
	case unavailable(rule, zones, used, false):
		return sla.Bad
	case unavailable(rule, zones, used, true):
		return sla.Unknown
	}
	return sla.Good
}

// unavailable applies the rule with unknown instances taken for bad, or for good.
func unavailable(rule *sla.Zones, zones []zone, used int, unknownBad bool) bool {
	failing := func(z zone) bool { return z.bad > 0 || unknownBad && z.unknown > 0 }
	down, hurt := 0, 0
	for _, z := range zones {
		if !failing(z) {
			continue
		}
		hurt++
		if z.good == 0 && (unknownBad || z.unknown == 0) {
			down++
		}
	}
	switch rule.Rule {
	case sla.AllAny: // of those with a bad instance one is down, and another is there
		return down > 0 && hurt > 1
	case sla.AllAll:
		return down >= max(rule.AtLeast, 2)
	}
	return down == used
}
