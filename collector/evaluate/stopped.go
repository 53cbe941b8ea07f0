package evaluate

import (
	"nines/internal/inventory"
	"nines/internal/sla"
)

// A group that the inventory says does not run has no slots from the fact's own
// time on, not from when log time came by it or somebody told it: a stop on a
// slot boundary leaves nothing behind.

// past is what resources claimed in the time of slots that are not decided yet.
type past struct {
	from int64
	*inventory.Claimed
}

// idleSince returns since when the group, which does not run now, has been a
// resource's and has not run. Of the time before its slots in memory nothing is
// said: these stay.
func (s *State) idleSince(g *group) int64 {
	e := s.exp
	if g.held() >= g.ceil(e.at) {
		return e.at // no earlier answer would tell
	}
	if e.past == nil || e.past.from > g.held() {
		from := s.oldest(g.held())
		e.past = &past{from, e.view.Claimed(sla.Interval{Start: from, End: e.at + 1})}
	}
	scope, labels := e.scopes[g.Key.Stream], g.Labels.Map()
	var owned []sla.Interval
	ran := int64(0)
	for c := range e.past.About(labels) {
		owns := scope.Admits(c.Labels) && c.Owns(labels, scope.Fixed())
		if owns {
			owned = append(owned, c.Interval)
		}
		named, ok := e.names(g.Key.Stream, c)
		if owns && c.Running || ok && named.Hash() == g.Key.Labels {
			ran = max(ran, c.End)
		}
	}
	owned = sla.Union(owned)
	return max(owned[len(owned)-1].Start, ran) // it is owned now, or it would not be idle
}

// oldest returns the end of the oldest slots that some group has, at least
// before.
func (s *State) oldest(before int64) int64 {
	for g := range s.groups.All() {
		if g.FirstSlot != 0 && g.Retired == 0 && g.stream != nil {
			before = min(before, g.held())
		}
	}
	return before
}
