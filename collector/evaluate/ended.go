package evaluate

import (
	"nines/internal/slo"
	"nines/internal/wire"
)

// Partitions change to a new rule set each at a tick of its own, and spooled
// frames count for the streams of their time. So counts come for streams that
// are not in force here, not any more or not yet, and for groups that were let
// go. They are counted like all others; nothing may begin such a group anew, or
// what the ledger holds of it would be replaced.

// adopts tells whether the partial's rule set is to be the one in force: its
// partition has changed to it, at a log time no other change came after. A
// partition that lags goes on naming the set before.
func (s *State) adopts(p *wire.Partial) bool {
	before := s.named[p.Source]
	s.named[p.Source] = p.RuleSet
	if p.RuleSet == "" || p.RuleSet == s.ruleID || p.RuleSet == before || p.LogTime < s.rulesAt {
		return false
	}
	s.rulesAt = p.LogTime
	return true
}

// groupOf returns the key's group, from those let go or a new one where it is
// not live; nil where nobody knows its stream. told is the rule set that the
// partial names.
func (s *State) groupOf(key wire.GroupKey, told string) *group {
	if g := s.order.next(key); g != nil {
		return g
	}
	if g := s.groups.Get(key); g != nil {
		s.order.found(g)
		return g
	}
	def := s.streamOf(key.Stream)
	ended := def == nil
	if ended {
		if def = s.endedStream(key.Stream, told); def == nil {
			return nil
		}
	}
	g := s.newGroup(key, nil) // its labels follow within a minute
	g.stream = def
	if ended {
		s.end(g, s.outgoing())
	}
	return g
}

// endedStream finds the definition of a stream that is not in force here.
func (s *State) endedStream(id, told string) *slo.Stream {
	if set, ok := s.rulesOf(told); ok && set.Streams[id] != nil {
		return set.Streams[id]
	}
	if s.streams == nil {
		return nil
	}
	return s.streams(id)
}

// end retires a group that is not expected from an instant on: from the first
// slot that begins then or later. What is decided stays as it is, and so does
// what was counted.
func (s *State) end(g *group, at int64) {
	if g.Retired != 0 {
		return
	}
	g.Retired, g.isNew = max(g.ceil(at), g.held()), true
	s.change(g)
}

// outgoing returns from when on a stream that is no longer in force is not
// counted: aggregate goes on to the next slot boundary after its tick.
func (s *State) outgoing() int64 { return s.logTime + 1 }

// held returns the end of the slots that the group has, decided or with data.
func (g *group) held() int64 {
	if n := len(g.slots); n > 0 {
		return max(g.next, g.slots[n-1].Start+g.length())
	}
	return g.next
}

// ceil returns the start of the first slot that begins at an instant or later.
func (g *group) ceil(at int64) int64 {
	last := at - 1
	return last - last%g.length() + g.length()
}

// over tells whether the group has retired and all its slots are decided.
func (g *group) over() bool { return g.Retired != 0 && g.next >= g.Retired && !g.behind }

// recall gives a group back what it was when it was let go.
func (s *State) recall(g *group) {
	old, ok := s.gone[g.Key]
	if !ok {
		return
	}
	delete(s.gone, g.Key)
	if old.Labels == nil {
		old.Labels = g.Labels
	}
	old.Partition = s.partition
	g.Group, g.isNew = old, false
	g.next = max(g.FirstSlot, g.Retired)
}

// revive has a retired group expected again from a slot on, or for as long as it
// is counted where its stream has ended or the inventory says that it does not
// run.
func (s *State) revive(g *group, start int64) {
	over := g.Retired != 0 && start >= g.Retired
	if over && g.next >= g.Retired {
		g.next = max(g.next, start) // it had ended: what lies between was not expected
	}
	switch {
	case g.idle:
		g.spoke(start)
	case over && s.streamOf(g.Key.Stream) == nil:
		g.Retired, g.isNew = start+g.length(), true
	case over:
		g.Retired, g.isNew = 0, true
	}
}

// goOn has a group go on whose stream is in force again before its end: a set
// without it was in force for a moment.
func (s *State) goOn(g *group) {
	if g.Retired > s.logTime && !g.idle {
		g.Retired, g.isNew = 0, true
		s.change(g)
	}
}

// letGo drops a group from memory, and remembers where it ended.
func (s *State) letGo(g *group) {
	s.groups.Delete(g.Key)
	s.order.drop(g)
	if g.FirstSlot != 0 {
		s.gone[g.Key] = g.Group
	}
}

// unplacedCount records a count that no slot can take.
func (s *State) unplacedCount(c *wire.BinCount) {
	s.out.Unplaced = append(s.out.Unplaced, wire.Unplaced{Group: c.Group, From: c.Bin, To: max(c.Bin, c.Newest), Good: c.Good, Total: c.Total})
}
