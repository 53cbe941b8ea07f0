package evaluate

import (
	"slices"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// keepSlots is how many closed slots stay in memory, so that frames that are
// late by a minute need no read of the ledger.
const keepSlots = 3

// backfill bounds how far before a group's first slot old data may reach.
const backfill = 31 * 86_400_000

// orphanWait is how long after a change of rules an alert waits for the group
// that takes it over, beyond the longest slot.
const orphanWait = 120_000

// group is one label combination of a stream while it is expected.
type group struct {
	ledger.Group
	stream *slo.Stream
	slots  []*slot // ascending by start
	// next is the start of the oldest slot that has not been closed.
	next   int64
	sums   tally
	ties   *ties // nil where there are none
	judged []judged
	// lastSample is the newest sample time; lastData the log time when the last
	// one came; interval the newest distance between two bins of one vantage.
	lastSample, lastData, interval int64

	looked   int64     // log time when it was last judged
	reported int64     // log time of the last status
	tiers    *standing // the first of its own standings
	seat     int32     // in the state's order, -1 before it has one
	at       int32     // of slots, the one last asked for
	isNew    bool
	behind   bool // slots before next may be undecided
	// wanted says that the inventory expects it, and idle that it is known to the
	// inventory and does not run.
	wanted, idle bool
	// calm says that no alert is raised or about to be: until something fails,
	// judging it again changes nothing but by the passing of time.
	calm    bool
	changed bool      // among the state's changed
	touched bool      // among the state's touched
	state   condition // as last reported
}

// GroupKey is the key by which a table finds the group.
func (g *group) GroupKey() wire.GroupKey { return g.Key }

func (s *State) newGroup(key wire.GroupKey, labels telemetry.Labels) *group {
	g := &group{Group: ledger.Group{Key: key, Labels: labels, Partition: s.partition},
		isNew: true, lastData: s.logTime}
	s.groups.Put(g)
	s.order.add(g)
	s.bind(g)
	s.recall(g)
	s.takeUp(g)
	s.assign(g, false)
	s.reckonGroup(g, false)
	return g
}

func (s *State) announce(a *wire.GroupLabels, told string) {
	g := s.groupOf(a.Key, told)
	if g != nil && g.Labels == nil && a.Labels != nil {
		g.Labels, g.isNew, g.calm = a.Labels, true, false
		for i := range g.judged {
			g.judged[i] = s.newJudged(g, g.judged[i].def)
		}
		s.assign(g, false)
		s.reckonGroup(g, true)
		s.change(g)
		s.touch(g)
	}
}

// bind ties the group to the rule set in force. A group whose stream has gone
// is expected no longer than to the next slot boundary. New objectives sum from
// here on until the state is read from the ledger again.
func (s *State) bind(g *group) {
	if s.rules == nil {
		return
	}
	if def := s.rules.Streams[g.Key.Stream]; def != nil {
		g.stream = def
		s.goOn(g)
	} else if g.stream != nil {
		s.end(g, s.outgoing())
	}
	objectives := s.objectives[g.Key.Stream]
	g.sums = newTally(s.layoutOf(g.Key.Stream), objectives)
	g.tiers, g.calm = nil, false
	g.judged = make([]judged, 0, len(objectives))
	for _, o := range objectives {
		g.judged = append(g.judged, s.newJudged(g, o))
	}
}

// streamOf returns the definition of a stream, nil where it is not in the rule
// set in force.
func (s *State) streamOf(id string) *slo.Stream {
	if s.rules == nil {
		return nil
	}
	return s.rules.Streams[id]
}

func (s *State) layoutOf(stream string) *layouts {
	l := s.layouts[stream]
	if l == nil {
		l = layoutsOf(slices.Concat(s.compositesOver[stream], s.objectives[stream]), s.slotOf(stream))
		s.layouts[stream] = l
	}
	return l
}

// slotOf returns how long the stream's slots are, in milliseconds.
func (s *State) slotOf(stream string) int64 {
	if def := s.streamOf(stream); def != nil {
		return def.Rule.Length
	}
	return 60_000 // nothing judges it: any will do
}

// length returns the group's slot length in milliseconds.
func (g *group) length() int64 { return g.stream.Rule.Length }

// byBins tells whether slots are judged, or downs confirmed, from bins.
func (g *group) byBins() bool {
	return g.stream.Vantage != "" || g.stream.Rule.Bad == sla.BadUnreachable || g.stream.Rule.Bad == sla.BadAnyFailure
}

// count adds one bin's increment. told is the rule set that the partial names.
func (s *State) count(c *wire.BinCount, told string) error {
	g := s.groupOf(c.Group, told)
	if g == nil || c.Bin < max(0, s.logTime-backfill) {
		s.unplacedCount(c)
		return nil
	}
	start := g.slotStart(c.Bin)
	s.revive(g, start)
	sl, err := s.slotAt(g, start)
	if err != nil {
		return err
	}
	sl.Good += c.Good
	sl.Total += c.Total
	if c.Blind > 0 {
		sl.more().Blind += c.Blind
	}
	sl.dirty = true
	if decided(sl.State) {
		sl.late, s.late[g] = true, true
	}
	g.sums.count(start, int64(c.Good), int64(c.Total))
	if g.byBins() {
		at := g.vantageOf(c.Vantage)
		g.unfold(sl)
		g.setBin(sl, c, quotient(c.Bin-start, g.stream.Bin), at)
		g.see(g.ties.vantages[at], c)
	}
	g.lastSample = max(g.lastSample, c.Newest)
	g.lastData = s.logTime
	if !g.calm || c.Good != c.Total || c.Blind > 0 {
		s.touch(g)
	}
	s.change(g)
	return nil
}

// slotStart returns the start of the slot that holds the time: mostly the slot
// that was asked for last, which saves a division.
func (g *group) slotStart(t int64) int64 {
	if sl := g.last(); sl != nil && t >= sl.Start && t < sl.Start+g.length() {
		return sl.Start
	}
	return t - t%g.length()
}

// quotient divides times that are not below zero: in 32 bits where they fit,
// which takes half the time.
func quotient(a, b int64) int {
	if (a|b)>>32 == 0 {
		return int(uint32(a) / uint32(b))
	}
	return int(a / b)
}

// change has the group's news handed to the next batch.
func (s *State) change(g *group) {
	if !g.changed {
		g.changed = true
		s.changed = append(s.changed, g)
	}
}

func (g *group) bins() int { return int((g.length() + g.stream.Bin - 1) / g.stream.Bin) }

// results tells whether some event of the bin succeeded, and whether some failed.
// Counts of bad events come as good ones taken back: numbers below zero, modulo
// 2^64.
func results(c *wire.BinCount) (ok, fail bool) {
	return int64(c.Good) > 0, int64(c.Total-c.Good) > 0
}

// slotAt returns the slot, from memory, from the ledger, or new.
func (s *State) slotAt(g *group, start int64) (*slot, error) {
	if sl := g.last(); sl != nil && sl.Start == start {
		return sl, nil
	}
	return s.findSlot(g, start)
}

func (s *State) findSlot(g *group, start int64) (*slot, error) {
	if sl := g.slot(start); sl != nil {
		return sl, nil
	}
	if g.FirstSlot == 0 {
		g.FirstSlot, g.next, g.isNew = start, start, true
	}
	if start < g.FirstSlot {
		s.extend(g, start)
	} else if start < g.next {
		old, ok, err := s.past(g.Key, start)
		if err != nil {
			return nil, err
		}
		if ok {
			sl := recalled(&old, g.sums.sliced())
			g.keep(sl)
			return sl, nil
		}
	}
	if sl := g.slot(start); sl != nil {
		return sl, nil
	}
	return g.addSlot(start), nil
}

// addSlot makes an empty slot of the group.
func (g *group) addSlot(start int64) *slot {
	sl := &slot{Start: start}
	g.keep(sl)
	sl.dirty = true
	g.behind = g.behind || start < g.next
	return sl
}

// extend makes the group expected from an earlier slot on: old data arrived.
// What lies between and was never seen is unknown.
func (s *State) extend(g *group, start int64) {
	if g.FirstSlot-start > backfill {
		return
	}
	for t := start; t < g.FirstSlot; t += g.length() {
		if g.slot(t) == nil {
			g.addSlot(t)
		}
	}
	g.FirstSlot, g.isNew = start, true
}

// close decides every slot that has ended by the time closed.
func (s *State) close(g *group, closed int64) error {
	if g.stream == nil || g.FirstSlot == 0 {
		return nil
	}
	end := closed
	if g.Retired != 0 {
		end = min(end, g.Retired)
	}
	if s.logTime-g.lastData > s.cfg.RetireAfter && g.Retired == 0 && !g.wanted {
		g.Retired, g.isNew = g.next, true
		s.change(g)
		end = g.next
	}
	for ; g.next+g.length() <= end; g.next += g.length() {
		sl, err := s.slotAt(g, g.next)
		if err != nil {
			return err
		}
		s.decide(g, sl)
	}
	if g.behind {
		for _, sl := range g.slots {
			if sl.Start < g.next && !decided(sl.State) {
				s.decide(g, sl)
			}
		}
		g.behind = false
	}
	if g.over() {
		s.change(g) // the next batch lets it go
	}
	return nil
}

// collect hands what changed in the group to the next batch.
func (g *group) collect(s *State) {
	if g.isNew && g.FirstSlot != 0 {
		s.out.Groups = append(s.out.Groups, g.Group)
		g.isNew = false
	}
	g.changed = false
	for _, sl := range g.slots {
		if !sl.dirty {
			continue
		}
		s.out.Slots = append(s.out.Slots, ledger.SlotChange{Group: g.Key, Slot: sl.stored()})
		sl.dirty = false
	}
	if len(g.slots) > keepSlots+2 {
		g.forget()
	}
	g.report(s)
	if g.over() {
		s.letGo(g)
		s.layAside(g)
		s.orphan()
	}
}

// forget drops slots that were closed a while ago.
func (g *group) forget() {
	oldest := g.next - keepSlots*g.lengthOr(60_000)
	kept := slices.DeleteFunc(g.slots, func(sl *slot) bool { return sl.Start < oldest && decided(sl.State) })
	if cap(kept) > 4*keepSlots {
		kept = slices.Clone(kept) // of a long past that came late
	}
	g.slots = kept
}

func (g *group) lengthOr(d int64) int64 {
	if g.stream == nil {
		return d
	}
	return g.length()
}
