package aggregate

import (
	"sort"

	"nines/internal/wire"
)

// cut ends the stretch and returns what it added.
func (s *State) cut(sketches bool) *wire.Partial {
	p := &wire.Partial{
		Source: s.source, Sources: s.sources, Incarnation: s.incarnation,
		From: s.from, To: s.pos, LogTime: s.logTime, RuleSet: s.rules.id,
		Gaps: s.gaps, Unplaced: s.unplaced,
	}
	for i := range p.Gaps {
		if g := &p.Gaps[i]; g.Reason == wire.ReasonLog {
			g.To = s.logTime
		}
	}
	s.from, s.sinceCut, s.bins, s.gaps, s.unplaced = s.pos, 0, 0, nil, nil
	for _, c := range s.dirty {
		p.Counts = append(p.Counts, c.bins...)
		c.bins, c.dirty = c.bins[:0], false
	}
	s.dirty = s.dirty[:0]
	sort.Slice(p.Counts, func(i, j int) bool { return lessCount(&p.Counts[i], &p.Counts[j]) })
	for _, r := range s.regions {
		p.Regions = append(p.Regions, *r)
	}
	clear(s.regions)
	sort.Slice(p.Regions, func(i, j int) bool { return p.Regions[i].Region < p.Regions[j].Region })
	if sketches {
		s.sketchMark = s.logTime / sketchEvery
		s.cutSketches(p)
		s.forget()
	}
	s.announce(p)
	return p
}

func (s *State) cutSketches(p *wire.Partial) {
	for k, h := range s.sketches {
		p.Sketches = append(p.Sketches, wire.Sketch{Group: k.group, Slot: k.slot, Hist: *h})
	}
	clear(s.sketches)
	sort.Slice(p.Sketches, func(i, j int) bool {
		a, b := &p.Sketches[i], &p.Sketches[j]
		if a.Group != b.Group {
			return lessGroup(a.Group, b.Group)
		}
		return a.Slot < b.Slot
	})
	for _, a := range s.seen {
		p.Agents = append(p.Agents, *a)
	}
	clear(s.seen)
	sort.Slice(p.Agents, func(i, j int) bool {
		a, b := &p.Agents[i], &p.Agents[j]
		if a.Agent != b.Agent {
			return a.Agent < b.Agent
		}
		return a.Boot < b.Boot
	})
}

// announce adds the labels of the groups that the partial mentions and that
// were not announced in this minute of log time.
func (s *State) announce(p *wire.Partial) {
	minute := s.logTime / 60_000
	mention := func(k wire.GroupKey) {
		if g := s.announced[k]; g != nil && g.minute != minute {
			g.minute = minute
			p.Groups = append(p.Groups, wire.GroupLabels{Key: k, Labels: g.labels})
		}
	}
	for i := range p.Counts {
		mention(p.Counts[i].Group)
	}
	for i := range p.Sketches {
		mention(p.Sketches[i].Group)
	}
	for i := range p.Unplaced {
		mention(p.Unplaced[i].Group)
	}
}

// forget drops what has been silent for so long that nothing can come after.
func (s *State) forget() {
	for k, b := range s.boots {
		if b.used < s.logTime-agentLife {
			delete(s.boots, k)
			if s.newest[k.Agent] == k {
				delete(s.newest, k.Agent)
			}
		}
	}
	for k, c := range s.counters {
		b := bootKey{k.agent, k.boot}
		if k.boot == 0 {
			b = s.newest[k.agent]
		}
		// A boot's feeds point to its counters, which live as long as it.
		if c.used < s.logTime-agentLife && s.boots[b] == nil {
			delete(s.counters, k)
		}
	}
	for fp, sc := range s.schemas {
		if sc.used < s.logTime-agentLife {
			delete(s.schemas, fp)
		}
	}
	if s.logTime >= s.swept+sweepEvery {
		s.sweep()
	}
}

// sweep drops the cells and labels of groups that no boot feeds any more, and
// what boots resolved of schemas that are forgotten.
func (s *State) sweep() {
	s.swept = s.logTime
	for _, b := range s.boots {
		for fp, res := range b.resolved {
			if s.schemas[fp] == nil {
				delete(b.resolved, fp)
				continue
			}
			for i := range res.feeds {
				res.feeds[i].cell.fed = s.swept
			}
		}
	}
	live := make(map[wire.GroupKey]bool, len(s.announced))
	for k, c := range s.cells {
		if c.fed != s.swept {
			delete(s.cells, k)
		} else {
			live[k.group] = true
		}
	}
	for k := range s.announced {
		if !live[k] {
			delete(s.announced, k)
		}
	}
}

func lessGroup(a, b wire.GroupKey) bool {
	if a.Stream != b.Stream {
		return a.Stream < b.Stream
	}
	return a.Labels < b.Labels
}

func lessCount(a, b *wire.BinCount) bool {
	if a.Group != b.Group {
		return lessGroup(a.Group, b.Group)
	}
	if a.Vantage != b.Vantage {
		return a.Vantage < b.Vantage
	}
	return a.Bin < b.Bin
}
