package evaluate

import (
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/wire"
)

// part is one component of a composite objective as it stands for one group.
type part struct {
	group  *group
	def    *slo.Objective
	weight float64
}

// partsOf returns the components that have data for the group's labels: one
// that has none has consumed nothing. The group is that of the first component.
func (s *State) partsOf(g *group, o *slo.Objective) []part {
	var out []part
	for _, c := range o.Components {
		of := s.groups.Get(wire.GroupKey{Stream: c.StreamID, Labels: g.Key.Labels})
		def := s.parts[c.Objective]
		if of == nil || def == nil || of.stream == nil || of.FirstSlot == 0 {
			continue
		}
		of.advance(s)
		out = append(out, part{of, def, c.Weight})
	}
	return out
}

// compositeRate returns the rate of a composite from what of says of its parts.
func (s *State) compositeRate(g *group, o *slo.Objective, of func(*group, *slo.Objective) slo.Rate) slo.Rate {
	var rates []slo.Rate
	var weights []float64
	for _, p := range s.partsOf(g, o) {
		rates, weights = append(rates, of(p.group, p.def)), append(weights, p.weight)
	}
	return slo.CompositeRate(rates, weights)
}

// consumed returns the share of the error budget that the group has consumed in
// the objective's window or period: 1 is all of it. What the objective has
// attained comes with it, in good of total; of a composite in parts of
// slo.SliceUnit.
func (g *group) consumed(s *State, o *slo.Objective) (used float64, good, total uint64) {
	if len(o.Components) == 0 {
		good, total, length := g.sums.attained(o)
		from := int64(0)
		if p := g.sums.periods[o]; p != nil {
			from = p.events.Start
		}
		return o.Rate(good, total, g.extent(s, length, from)).Burn, good, total
	}
	var uses, misses []slo.Part
	for _, p := range s.partsOf(g, o) {
		used, good, all := p.group.consumed(s, p.def)
		uses = append(uses, slo.Part{Weight: p.weight, Value: used})
		if all > 0 {
			total = slo.SliceUnit
			misses = append(misses, slo.Part{Weight: p.weight, Value: 1 - float64(good)/float64(all)})
		}
	}
	missing := min(slo.Composite(misses), 1)
	return slo.Composite(uses), uint64((1 - missing) * float64(total)), total
}

// window sums up the objective's window; of a composite, its parts' together.
func (g *group) window(s *State, o *slo.Objective) (w ledger.Totals) {
	if len(o.Components) == 0 {
		return g.sums.window(o)
	}
	for _, p := range s.partsOf(g, o) {
		t := p.group.sums.window(p.def)
		w.Good += t.Good
		w.Total += t.Total
		w.GoodSlots += t.GoodSlots
		w.BadSlots += t.BadSlots
		w.UnknownSlots += t.UnknownSlots
	}
	return w
}

// newest returns the newest sample time of what the objective judges.
func (s *State) newest(g *group, o *slo.Objective) int64 {
	newest := g.lastSample
	for _, p := range s.partsOf(g, o) {
		newest = max(newest, p.group.lastSample)
	}
	return newest
}

// touchComposites has composites judged whose parts were touched.
func (s *State) touchComposites() {
	if len(s.compositesOver) == 0 {
		return
	}
	var holders []*group
	for _, g := range s.touched {
		for _, o := range s.compositesOver[g.Key.Stream] {
			if h := s.groups.Get(wire.GroupKey{Stream: o.StreamID, Labels: g.Key.Labels}); h != nil && h != g {
				holders = append(holders, h)
			}
		}
	}
	for _, h := range holders {
		s.touch(h)
		s.change(h)
	}
}
