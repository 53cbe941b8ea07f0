// Package evaluate is the collector role that turns nines.partials into slots,
// alerts and the ledger. It sums the partitions' partials, closes bins and
// slots as log time passes, keeps burn windows as running sums, and writes what
// changed, with its position in the log, in one fenced ledger transaction.
//
// State is the pure core: a function of the partials it was given. Role is the
// thin loop around it.
package evaluate

import (
	"fmt"
	"maps"
	"slices"

	"nines/internal/alert"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// Config bounds how long slots stay open and how silence is judged. Zero values
// take the defaults in brackets; all are log time.
type Config struct {
	// Lateness is how long after its end a bin waits for late frames once
	// every partition's log time has passed it [5 s].
	Lateness int64
	// HardBound closes a bin although some partition stalls [60 s].
	HardBound int64
	// BlindAfter is how long a region may be silent before the monitor pages
	// that it is blind there [60 s].
	BlindAfter int64
	// PageWindow is the age beyond which bins never page [5 min].
	PageWindow int64
	// RetireAfter is how long a silent group stays expected [7 d].
	RetireAfter int64
	// AwayAfter is the step of log time beyond which the collector itself was
	// away [10 s]: the silence before it is nobody else's.
	AwayAfter int64
}

func (c *Config) defaults() {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Lateness, 5_000)
	def(&c.HardBound, 60_000)
	def(&c.BlindAfter, 60_000)
	def(&c.PageWindow, 300_000)
	def(&c.RetireAfter, 7*86_400_000)
	def(&c.AwayAfter, 10_000)
}

// Rules finds a rule set by its ID.
type Rules func(id string) (*slo.RuleSet, bool)

// Past finds a slot that has left memory, for a restatement.
type Past func(key wire.GroupKey, start int64) (ledger.Slot, bool, error)

// ErrGap says that a source's partials do not join: evaluation stops, because
// going on would lose counts without saying so.
type ErrGap struct {
	Source   int32
	Want     int64
	From, To int64
}

func (e ErrGap) Error() string {
	return fmt.Sprintf("partials of telemetry partition %d do not join: expected a stretch from position %d, got (%d, %d]; records of %s were lost",
		e.Source, e.Want, e.From, e.To, wire.TopicPartials)
}

// State is the evaluation of one partition of nines.partials.
type State struct {
	cfg       Config
	partition int32
	rulesOf   Rules
	past      Past
	streams   func(id string) *slo.Stream
	readSlots func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error)
	readHours func(key wire.GroupKey, from, to int64) ([]ledger.HourTotals, error)

	sources  map[int32]*ledger.Position
	expected int32 // number of telemetry partitions, as the partials say
	skip     map[int32]bool
	offset   int64
	logTime  int64 // greatest of the sources'
	turned   int64 // the second of log time that was last looked at as a whole
	// awake is the log time of the last jump: silence before it is the
	// collector's own. Asleep is the log time before it.
	awake, asleep int64
	// orphansAt is the log time at which alerts that no group stands for any
	// more are resolved; 0 where there can be none.
	orphansAt int64
	// strangers are the alerts that stood when it was set, by objective: a group
	// that appears meanwhile may own one.
	strangers map[string][]*alert.Alert

	ruleID     string
	rulesAt    int64            // log time of the partial that brought it
	named      map[int32]string // what each source named last
	rules      *slo.RuleSet
	objectives map[string][]*slo.Objective // by stream
	layouts    map[string]*layouts         // by stream
	// compositesOver are the composite objectives by the streams of their
	// parts, and parts all objectives by name.
	compositesOver map[string][]*slo.Objective
	parts          map[string]*slo.Objective
	stale          bool
	// promises are the contracts' objectives by stream, standings those of their
	// groups that have something to tell of.
	promises  map[string][]*promise
	standings map[*standing]bool
	parted    bool // other evaluators judge groups, too
	// exclusions are those of the ledger. laid are the standings of groups that
	// were let go.
	exclusions []inventory.Exclusion
	laid       map[wire.GroupKey]*standing
	// view is the inventory that says which slots count against whose promise,
	// claimed whose the groups are by it; nil before it is known.
	view    *inventory.View
	claimed *inventory.Claimed

	groups  wire.GroupTable[*group]
	gone    map[wire.GroupKey]ledger.Group // retired and let go
	order   order
	touched []*group        // since the last look at alerts
	changed []*group        // since the last batch
	late    map[*group]bool // with closed slots that this partial changed
	regions map[string]*region
	boots   *boots
	alerts  map[string]*alert.Alert // firing, by key
	outages map[uint64]*outage      // by the hash of the group's labels

	exp *expectations // nil before the inventory is known

	out     ledger.Batch
	pending []alert.Alert
}

type region struct {
	seen   int64 // log time
	newest int64
	blind  named
}

// New returns the state that the ledger's claim and groups describe.
func New(cfg Config, claim *ledger.Claim, rules Rules, past Past) *State {
	cfg.defaults()
	s := &State{
		cfg: cfg, partition: claim.Partition, rulesOf: rules, past: past,
		offset: claim.Offset, logTime: claim.LogTime, turned: claim.LogTime / 1000,
		sources:    map[int32]*ledger.Position{},
		skip:       map[int32]bool{},
		named:      map[int32]string{},
		objectives: map[string][]*slo.Objective{},
		layouts:    map[string]*layouts{},

		compositesOver: map[string][]*slo.Objective{},
		parts:          map[string]*slo.Objective{},
		boots:          newBoots(),
		gone:           map[wire.GroupKey]ledger.Group{},
		late:           map[*group]bool{},
		regions:        map[string]*region{},
		alerts:         map[string]*alert.Alert{},
		outages:        map[uint64]*outage{},
	}
	s.forgetTiers()
	for _, p := range claim.Sources {
		c := p
		s.sources[p.Source] = &c
	}
	return s
}

// Offset returns the next record of nines.partials to apply.
func (s *State) Offset() int64 { return s.offset }

// LogTime returns the greatest log time applied, Unix milliseconds.
func (s *State) LogTime() int64 { return s.logTime }

// Groups returns how many groups are live.
func (s *State) Groups() int { return s.groups.Len() }

// Stale tells that the rule set has changed since the state was read from the
// ledger: the windows of new objectives lack their past until it is read again.
func (s *State) Stale() bool { return s.stale }

// AcceptJump lets the next partial of every source begin after its cursor: the
// partials topic was recreated or ran out of retention, and what was lost is
// recorded as a gap.
func (s *State) AcceptJump() {
	for source := range s.sources {
		s.skip[source] = true
	}
}

// SetStreams lets Restore find the definition of a stream that is no longer in
// force, nil where it is not known: its last slots are still to be closed.
func (s *State) SetStreams(find func(id string) *slo.Stream) { s.streams = find }

// SetOffset tells the state that the next record is at offset.
func (s *State) SetOffset(offset int64) { s.offset = offset }

// Apply adds the partial read at offset. It reports false for one that was
// applied before. On error the state is to be read from the ledger again: part
// of the partial may have been added.
//
// With each new second of log time it closes what is due and looks at what
// changes by silence, so that slots, versions and alerts are a function of the
// partials alone, not of when they were read or committed.
func (s *State) Apply(offset int64, p *wire.Partial) (bool, error) {
	if offset < s.offset {
		return false, nil
	}
	fresh, err := s.joins(p)
	if err != nil {
		return false, err
	}
	if !fresh {
		s.offset = offset + 1
		return false, nil
	}
	if s.adopts(p) {
		if err := s.useRules(p.RuleSet); err != nil {
			return false, err
		}
	}
	delete(s.skip, p.Source)
	s.offset = offset + 1
	cur := s.sources[p.Source]
	if cur == nil {
		cur = &ledger.Position{Source: p.Source}
		s.sources[p.Source] = cur
	}
	cur.Incarnation, cur.To, cur.LogTime = p.Incarnation, p.To, max(cur.LogTime, p.LogTime)
	s.expected = max(s.expected, p.Sources)
	s.passTime(cur.LogTime)
	if err := s.add(p); err != nil {
		return false, err
	}
	s.judge()
	if second := s.logTime / 1000; second > s.turned {
		s.turned = second
		return true, s.turn()
	}
	return true, nil
}

// joins tells whether the partial is news that follows its source's cursor.
func (s *State) joins(p *wire.Partial) (bool, error) {
	cur := s.sources[p.Source]
	switch {
	case cur == nil || p.Incarnation > cur.Incarnation:
		return true, nil
	case p.Incarnation < cur.Incarnation:
		return false, nil
	case p.To <= cur.To && p.LogTime > cur.LogTime:
		// Log time never falls, so this is no repeat: the log has begun anew, and
		// aggregate could not know, because its checkpoints are gone as well.
		s.lost(cur, p, cur.To)
		return true, nil
	case p.To <= cur.To:
		return false, nil
	case p.From == cur.To:
		return true, nil
	case p.From < cur.To && len(p.Counts)+p.Packed.Len()+len(p.Sketches)+len(p.Unplaced) == 0:
		// A stretch that was lost for the new owner of the source; the one before
		// had read its beginning.
		for i := range p.Gaps {
			if g := &p.Gaps[i]; g.Reason == wire.ReasonLog && g.Agent == "" {
				g.FirstSeq = min(max(g.FirstSeq, uint64(cur.To)), g.LastSeq)
			}
		}
		return true, nil
	case p.From > cur.To && s.skip[p.Source]:
		s.lost(cur, p, p.From-1)
		return true, nil
	}
	return false, ErrGap{Source: p.Source, Want: cur.To, From: p.From, To: p.To}
}

// lost records that the source's records from its cursor to last are counted
// nowhere.
func (s *State) lost(cur *ledger.Position, p *wire.Partial, last int64) {
	s.out.Gaps = append(s.out.Gaps, wire.Gap{FirstSeq: uint64(cur.To), LastSeq: uint64(last),
		From: cur.LogTime, To: p.LogTime, Reason: wire.ReasonLog})
}

// passTime moves log time on. After a jump nobody is called silent at once: the
// collector was away, not the agents.
func (s *State) passTime(t int64) {
	if t <= s.logTime {
		return
	}
	if t > s.logTime+s.cfg.AwayAfter {
		for _, r := range s.regions {
			r.seen = max(r.seen, t)
		}
		s.asleep, s.awake = s.logTime, t
	}
	s.logTime = t
}

func (s *State) useRules(id string) error {
	if id == "" || id == s.ruleID {
		return nil
	}
	def, ok := s.rulesOf(id)
	if !ok {
		return fmt.Errorf("rule set %s is not on %s: was the topic deleted?", id, wire.TopicRules)
	}
	if err := usable(def); err != nil {
		return fmt.Errorf("use rule set %s: %w", id, err)
	}
	if err := s.usePromises(def); err != nil {
		return fmt.Errorf("use rule set %s: %w", id, err)
	}
	s.stale = s.ruleID != ""
	s.ruleID, s.rules = id, def
	s.seekOrphans()
	clear(s.objectives)
	clear(s.layouts)
	clear(s.compositesOver)
	clear(s.parts)
	for _, o := range def.Objectives {
		s.objectives[o.StreamID] = append(s.objectives[o.StreamID], o)
		s.parts[o.Name] = o
		for _, c := range o.Components {
			s.compositesOver[c.StreamID] = append(s.compositesOver[c.StreamID], o)
		}
	}
	for g := range s.groups.All() {
		s.bind(g)
	}
	s.expect()
	s.out.RuleSetID, s.out.RuleSet = id, def
	return nil
}

// usable refuses what would divide by zero; package rules refuses it first, in
// better words.
func usable(def *slo.RuleSet) error {
	for id, st := range def.Streams {
		if st == nil || st.Bin <= 0 || st.Rule.Length <= 0 {
			return fmt.Errorf("stream %s: its bins and slots need a length above zero", id)
		}
	}
	return nil
}

func (s *State) add(p *wire.Partial) error {
	for i := range p.Groups {
		s.announce(&p.Groups[i], p.RuleSet)
	}
	for i := range p.Counts {
		if err := s.count(&p.Counts[i], p.RuleSet); err != nil {
			return err
		}
	}
	var c wire.BinCount
	for i := range p.Packed.Len() {
		p.Packed.At(i, &c)
		if err := s.count(&c, p.RuleSet); err != nil {
			return err
		}
	}
	s.restate()
	for i := range p.Sketches {
		k := &p.Sketches[i]
		s.out.Sketches = append(s.out.Sketches, ledger.Sketch{Group: k.Group, Slot: k.Slot, Hist: k.Hist})
	}
	s.out.Unplaced = append(s.out.Unplaced, p.Unplaced...)
	s.out.Gaps = append(s.out.Gaps, p.Gaps...)
	for i := range p.Gaps {
		s.boots.report(&p.Gaps[i])
	}
	s.out.Agents = append(s.out.Agents, p.Agents...)
	s.out.Gaps = append(s.out.Gaps, s.boots.hearAll(p.Agents)...)
	for _, r := range p.Regions {
		s.hearAt(r.Region, s.logTime, r.Newest)
	}
	return nil
}

// Closed returns the time up to which bins are closed: every partition has
// passed it by the lateness bound, or the foremost by the hard bound. After a
// jump of log time that begins anew: the first partition has caught up, and the
// others are about to; what they bring would restate every slot.
func (s *State) Closed() int64 {
	low := s.logTime
	for _, p := range s.sources {
		low = min(low, p.LogTime)
	}
	if int32(len(s.sources)) < s.expected {
		low = 0
	}
	foremost := s.logTime
	if s.logTime-s.awake <= s.cfg.HardBound {
		foremost = s.asleep
	}
	return max(low-s.cfg.Lateness, foremost-s.cfg.HardBound)
}

// turn does what is due once a second of log time.
func (s *State) turn() error {
	s.expectDue()
	s.order.settle()
	closed := s.Closed()
	for g := range s.order.all() {
		if err := s.close(g, closed); err != nil {
			return err
		}
	}
	s.sweep()
	return nil
}

// Advance returns what has changed since the last call: the batch to commit, and
// the alerts to publish before it.
func (s *State) Advance() (ledger.Batch, []alert.Alert, error) {
	for _, g := range s.changed {
		g.collect(s)
	}
	clear(s.changed)
	s.changed = s.changed[:0]
	b := s.out
	s.out = ledger.Batch{}
	b.Offset, b.LogTime = s.offset, s.logTime
	for _, k := range slices.Sorted(maps.Keys(s.sources)) {
		b.Sources = append(b.Sources, *s.sources[k])
	}
	sortBatch(&b)
	return b, s.Take(), nil
}

// Take returns the alerts to publish now.
func (s *State) Take() []alert.Alert {
	a := s.pending
	s.pending = nil
	return a
}

// decided tells whether the state is final.
func decided(st sla.State) bool { return st != sla.Open }
