package evaluate

import "nines/internal/sla"

// restate decides again what the partial changed of closed slots. It is not left
// to the next second: a commit in between would write new counts under the
// version of the old ones.
func (s *State) restate() {
	for g := range s.late {
		for _, sl := range g.slots {
			if sl.late {
				s.decide(g, sl)
			}
		}
	}
	clear(s.late)
}

// decide gives the slot its state, or restates it.
func (s *State) decide(g *group, sl *slot) {
	was := sl.State
	counts := sla.Counts{Good: clamp(sl.Good), Total: sl.Total}
	state, reason := g.stream.Rule.Decide(sl.Start, g.stream.Bin, counts, sl.vantages())
	sl.State = state
	if reason != "" || sl.rest != nil {
		sl.more().Reason = reason
	}
	g.abridge(sl)
	sl.Version++
	sl.late = false
	sl.dirty = true
	if was != sl.State {
		g.sums.add(sl.Start, stateDelta(was, -1))
		g.sums.add(sl.Start, stateDelta(sl.State, +1))
		s.countTiers(g, sl.Start, was, sl.State)
	}
	g.reshare(sl)
	s.change(g)
	if !g.calm || sl.State != sla.Good {
		s.touch(g)
	}
}

// clamp takes a count below zero for none: more bad events than events were
// told of.
func clamp(n uint64) uint64 { return uint64(max(int64(n), 0)) }
