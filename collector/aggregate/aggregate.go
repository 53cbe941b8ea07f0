// Package aggregate is the collector role that turns nines.telemetry into
// nines.partials. For each partition that it owns it writes ticks, drops
// repeats, counts gaps, turns counters into increments, and publishes what each
// stretch of the log added to the bins of the groups that its series feed.
//
// State is the pure core: everything it computes is a function of the
// partition's log, so a new owner repeats identical partials. Role is the thin
// loop around it.
package aggregate

import (
	"fmt"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// cutEvery is how many records after a tick or cut make a cut of their own,
	// and cutBins how many bins do, so that a partial stays small enough for
	// the broker (8 MiB) however densely a spool is replayed. Ten seconds of
	// 30,000 groups stay below it.
	cutEvery = 4096
	cutBins  = 1 << 19
	// sketchEvery is the log time between two cuts that carry sketches and
	// agents; checkpoints are taken at these cuts only.
	sketchEvery = 15_000
	// agentLife is how long a silent boot is remembered, in log time: longer
	// than any spool may replay.
	agentLife = 48 * 3600_000
	// sweepEvery is the log time between two searches for groups that nobody
	// feeds any more.
	sweepEvery = 3600_000
	// futureBound is how far a sample may lie ahead of log time; beyond it the
	// host's clock is wrong and the sample is refused, not believed.
	futureBound = 600_000
	// pastBound is how far it may lie behind: longer than an outage that a spool
	// is to bridge, and short of what a host says whose clock begins in 1970.
	pastBound = 7 * 86_400_000
)

// Rules finds a rule set by its ID.
type Rules func(id string) (*slo.RuleSet, bool)

// ErrRules says that a tick names a rule set that is not known here (yet).
type ErrRules struct{ ID string }

func (e ErrRules) Error() string {
	return fmt.Sprintf("rule set %s is not on %s: was the topic deleted?", e.ID, wire.TopicRules)
}

// State is the aggregation of one telemetry partition up to a position.
type State struct {
	source, sources int32
	rulesOf         Rules

	incarnation uint64
	pos         int64 // next offset
	logTime     int64
	sketchMark  int64 // logTime / sketchEvery at the last sketch cut
	swept       int64 // log time of the last sweep
	rules       *ruleSet
	schemas     map[uint64]*schema
	boots       map[bootKey]*boot
	newest      map[string]bootKey // an agent's newest boot
	counters    map[seriesKey]*cumulative
	pairs       map[counterKey]*pair
	refusals    map[refusal]bool
	foreign     *foreignState

	// What hosts feed, resolved with their first frames.
	classes    map[string]*class
	kin        map[string]*kin     // by the values of the labels that matchers read
	fans       map[fanKey]*fan     // by outline and group
	readers    map[string]*readers // by who they are
	laddersBy  map[string]*ladder  // by the cells and thresholds
	scales     map[string]*scale   // by the thresholds
	groups     wire.GroupTable[*group]
	grouped    telemetry.Labels // of the group made last, which mostly are the next one's, too
	cellSerial uint64
	order      []seat           // of the cells, in the order of a partial's counts
	counted    *wire.CountOrder // the same for the encoder
	unranked   []*cell          // not yet in it

	// The current stretch.
	from         int64
	sinceCut     int
	bins         int
	dirty        []*cell
	climbed      []*ladder
	fanned       []*fan
	unplaced     []wire.Unplaced
	gaps         []wire.Gap
	regions      map[string]*region
	lastRegion   *region // that region returned last
	heardRegions []*region
	// Since the last sketch cut.
	sketches map[sketchKey]*sketch
	heard    []*boot

	packs       bool
	spare       *wire.PackedCounts // memory for the next partial
	spareGroups []wire.GroupLabels
	decoder     wire.Decoder
	frame       telemetry.Frame
	lookup
	// The last answer of binStart.
	binTime, binLength, binFrom int64
	// Of the frame being applied: the newest sample time of its boot's frame
	// before, 0 where there was none, and whether those before it were missed.
	before int64
	missed bool
	// doubted is the log time until which a schema that is new here may have been
	// sent before; see Doubt.
	doubted int64
	// strikes are of the vantage points that find something failing. urgent says
	// that the record being applied brought one that matters.
	strikes map[*cell]strike
	urgent  bool
	// unjudged says that it brought histograms of which nothing was said yet.
	unjudged bool
}

type schema struct {
	def  *telemetry.Schema
	used int64 // log time
	gone bool  // forgotten
}

type bootKey struct {
	Agent string
	Boot  uint64
}

// boot is what is known of one agent process.
type boot struct {
	key     bootKey
	lastSeq uint64
	newest  int64 // newest sample time of the last frame
	used    int64 // log time
	host    telemetry.Labels
	class   *class     // nil where it has to be found anew
	schemas []resolved // that it sent
	region  *region
	heard   bool // since the last sketch cut
	gone    bool // forgotten
	whole   bool // its first frame was read here
	seen    sighting
}

// sighting is a boot's entry in the next list of agents; see wire.AgentSeen.
type sighting struct {
	frames, samples, repeats uint64
	newest, skew             int64
}

// region is an entry of the next list of regions, if it has frames.
type region struct{ seen wire.RegionSeen }

// outdate has the boot's schemas resolved again with their next frame.
func (b *boot) outdate() {
	for i := range b.schemas {
		r := &b.schemas[i]
		r.plan, r.cumulated = nil, nil
	}
}

// unjudge has what is refused of the boot's histograms found out again.
func (b *boot) unjudge() {
	for i := range b.schemas {
		b.schemas[i].judged = false
	}
}

// NewState returns the state of a partition at position pos, before any
// record, of the given incarnation of its log.
func NewState(source, sources int32, incarnation uint64, pos int64, rules Rules) *State {
	s := &State{
		source: source, sources: sources, rulesOf: rules,
		incarnation: incarnation, pos: pos, from: pos,
		rules:     &ruleSet{},
		schemas:   map[uint64]*schema{},
		boots:     map[bootKey]*boot{},
		newest:    map[string]bootKey{},
		counters:  map[seriesKey]*cumulative{},
		pairs:     map[counterKey]*pair{},
		refusals:  map[refusal]bool{},
		foreign:   newForeign(),
		classes:   map[string]*class{},
		kin:       map[string]*kin{},
		fans:      map[fanKey]*fan{},
		readers:   map[string]*readers{},
		laddersBy: map[string]*ladder{},
		scales:    map[string]*scale{},
		sketches:  map[sketchKey]*sketch{},
		regions:   map[string]*region{},
		strikes:   map[*cell]strike{},
		counted:   &wire.CountOrder{},
	}
	s.decoder.Unneeded = s.unneeded
	s.foreign.sets.Make, s.foreign.sets.Idle, s.foreign.sets.Unneeded = s.foreignColumn, s.idleColumn, (*foreignColumn).idle
	return s
}

// Position returns the offset of the next record to apply.
func (s *State) Position() int64 { return s.pos }

// LogTime returns the running maximum of the ticks read, Unix milliseconds.
func (s *State) LogTime() int64 { return s.logTime }

// Incarnation returns the life of the log that the state counts.
func (s *State) Incarnation() uint64 { return s.incarnation }

// RuleSet returns the ID of the rule set in force.
func (s *State) RuleSet() string { return s.rules.id }

// Outcome is what one record led to.
type Outcome struct {
	// Partial is set when the record ended a stretch.
	Partial *wire.Partial
	// Checkpoint says that the state after this record may be checkpointed.
	Checkpoint bool
	// Dead is set when the record could not be used.
	Dead *wire.DeadLetter
	// Urgent says that a vantage point found something failing as often in a row as
	// confirms an outage: the sooner the next tick, the sooner its alert.
	Urgent bool
}

// Apply takes the record at offset. Typ is its type header, or "" where it has
// none. On error nothing has changed and the same record may be applied again.
func (s *State) Apply(offset int64, typ string, value []byte) (Outcome, error) {
	var out Outcome
	if offset < s.pos {
		return out, nil
	}
	switch typ {
	case wire.TypeTick:
		var t wire.Tick
		if err := wire.DecodeTick(value, &t); err != nil {
			out.Dead = &wire.DeadLetter{Reason: "tick", Detail: err.Error()}
			break
		}
		if err := s.tick(&t); err != nil {
			return out, err
		}
		out.Checkpoint = s.logTime/sketchEvery != s.sketchMark
		s.advance(offset)
		out.Partial = s.cut(out.Checkpoint)
		return out, nil
	case wire.TypeFrame:
		out.Dead = s.applyFrame(value)
	default:
		out.Dead = &wire.DeadLetter{Reason: "type", Detail: fmt.Sprintf("record type %q is not known", typ)}
	}
	if out.Dead != nil {
		s.lose(offset)
	}
	s.settle(offset, &out)
	return out, nil
}

// lose records that the record at offset could not be used, or not all of it.
// Those in a row are one gap: a flood of garbage must not become one of gaps.
func (s *State) lose(offset int64) {
	if n := len(s.gaps); n > 0 {
		before := &s.gaps[n-1]
		if *before == (wire.Gap{FirstSeq: before.FirstSeq, LastSeq: uint64(offset - 1), Reason: wire.ReasonUndecoded}) {
			before.LastSeq++
			return
		}
	}
	s.gaps = append(s.gaps, wire.Gap{FirstSeq: uint64(offset), LastSeq: uint64(offset), Reason: wire.ReasonUndecoded})
}

// settle moves on after the record at offset, and cuts where it is time to.
func (s *State) settle(offset int64, out *Outcome) {
	s.advance(offset)
	out.Urgent, s.urgent = s.urgent, false
	if s.sinceCut++; s.sinceCut >= cutEvery || s.bins >= cutBins {
		out.Partial = s.cut(false)
	}
}

// Seen moves on to position next over offsets that hold no record: those that
// compaction or a transaction's markers took.
func (s *State) Seen(next int64) { s.pos = max(s.pos, next) }

// Lost records that the records up to position next left the log unread, and
// goes on there. It returns the partials to publish: what was read before, if
// anything, and one that holds the loss and nothing else. An owner that died may
// have read and published some of what is lost now; a partial that adds nothing
// can be joined to its partials anywhere.
func (s *State) Lost(next int64) []*wire.Partial {
	if next <= s.pos {
		return nil
	}
	var out []*wire.Partial
	if s.pos > s.from {
		out = append(out, s.cut(false))
	}
	s.gaps = append(s.gaps, s.loss(s.pos, next-1))
	s.pos = next
	return append(out, s.cut(false))
}

// loss is a gap of records, dated from the log time before it; the cut dates
// its end.
func (s *State) loss(first, last int64) wire.Gap {
	return wire.Gap{FirstSeq: uint64(first), LastSeq: uint64(max(first, last)), From: s.logTime, Reason: wire.ReasonLog}
}

// Reincarnate begins a new life of the log at position pos: the topic was
// recreated or cut back, and what had not been read is lost. How much of it an
// owner before read nobody knows.
func (s *State) Reincarnate(pos int64) {
	s.Doubt()
	s.gaps = append(s.gaps, s.loss(s.pos, s.pos))
	s.incarnation++
	s.pos, s.from = pos, pos
}

func (s *State) advance(offset int64) { s.pos = offset + 1 }

func (s *State) tick(t *wire.Tick) error {
	now := max(s.logTime, t.Clock)
	if t.RuleSet != "" && t.RuleSet != s.rules.id {
		def, ok := s.rulesOf(t.RuleSet)
		if !ok {
			return ErrRules{t.RuleSet}
		}
		next, err := s.rules.next(t.RuleSet, def, now)
		if err != nil {
			return err
		}
		s.rules = next
		s.outdatePlans()
	}
	if s.logTime == 0 {
		s.beginTime(now)
	}
	s.trust(now)
	s.logTime = now
	// A state that began without a checkpoint learns the life of the log here.
	s.incarnation = max(s.incarnation, t.Incarnation)
	return nil
}

// beginTime dates what was read before the log's first tick.
func (s *State) beginTime(now int64) {
	for _, b := range s.boots {
		b.used = now
	}
	for _, c := range s.counters {
		for n := range c.counters() {
			n.used = now
		}
	}
	for _, p := range s.pairs {
		p.used = now
	}
	for _, sc := range s.schemas {
		sc.used = now
	}
	s.foreign.begin(now)
}
