// Package replay runs the pipeline without Kafka: frames and ticks go through
// the same aggregate.State and evaluate.State as in a collector, into a ledger,
// as fast as the machine allows. It promises that the ledger and the alerts are
// those that a collector would have written, had it read the same frames at the
// same log times. It reads no clock and starts no goroutine: time is what its
// caller says. `nines replay`, `nines test`, simulations and benchmarks stand on
// it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// Steps of log time.
const (
	// DefaultTick is the longest step that an unconfigured collector takes for
	// one in which it was awake; see evaluate.Config.
	DefaultTick = 10 * time.Second
	// LongestTick is the most that a step may be.
	LongestTick = time.Minute
)

const (
	// commitSlots is how many slot changes make a commit.
	commitSlots = 1 << 14
	// defineEvery is the log time after which a schema's definition is sent
	// again, well before aggregate forgets it.
	defineEvery = 12 * 3600_000
)

// ErrForeign says that a collector has written the ledger: what is replayed into
// it would be taken for records of its Kafka.
var ErrForeign = errors.New("a collector has written this ledger; replay into one of its own")

// Options are what New needs.
type Options struct {
	// Rules are in force from the first tick.
	Rules *slo.RuleSet
	// Ledger takes the slots; Temporary makes one for those who need none.
	Ledger *ledger.Ledger
	// Partitions is how many partitions agents are spread over [1].
	Partitions int
	// Evaluate bounds how long slots stay open, and silence.
	Evaluate evaluate.Config
	// TickEvery is the longest step of log time; Tick divides longer ones. Alerts
	// are judged at ticks, so it is how exactly they are timed, and what is over
	// within one raises none; slots and totals do not depend on it [DefaultTick,
	// at most LongestTick].
	TickEvery time.Duration
	// Alerts, if not nil, is given the alerts of each tick as they are published,
	// firing and resolved, with the log time in Unix milliseconds.
	Alerts func(logTime int64, alerts []alert.Alert)
	// Owner names the writer in the ledger's claims ["replay"].
	Owner string
}

// Pipeline is a collector's path from frames to the ledger. It is for one
// goroutine.
type Pipeline struct {
	ctx    context.Context // of New: ends reads and writes of the ledger
	o      Options
	step   int64
	rules  map[string]*slo.RuleSet
	ruleID string
	now    int64 // log time, Unix milliseconds; 0 before the first tick

	sources []*source
	agents  []*Agent
	due     []*Agent // with samples that were not sent
	offset  int64    // of the next partial

	claim     *ledger.Claim
	eval      *evaluate.State
	pending   pending
	collected int64 // log time of the last look at what has changed
	collectIn int64

	ticks  uint64
	frames uint64
}

// source is one partition of telemetry.
type source struct {
	state   *aggregate.State
	encoder wire.Encoder
	buf     []byte
	defined map[uint64]int64 // log time of a schema's last definition
}

// New claims the ledger and returns a pipeline that goes on where an earlier one
// left it. The context ends what the pipeline does with the ledger.
func New(ctx context.Context, o Options) (*Pipeline, error) {
	if o.Ledger == nil || o.Rules == nil {
		return nil, errors.New("replay: a ledger and rules are needed")
	}
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	if o.Owner == "" {
		o.Owner = "replay"
	}
	if o.TickEvery == 0 {
		o.TickEvery = DefaultTick
	}
	if o.TickEvery < time.Millisecond || o.TickEvery > LongestTick {
		return nil, fmt.Errorf("replay: ticks are from 1ms to %s apart, got %s", LongestTick, o.TickEvery)
	}
	if o.Evaluate.AwayAfter == 0 {
		o.Evaluate.AwayAfter = max(o.TickEvery, DefaultTick).Milliseconds()
	}
	p := &Pipeline{ctx: ctx, o: o, step: o.TickEvery.Milliseconds(), rules: map[string]*slo.RuleSet{}}
	if err := p.SetRules(o.Rules); err != nil {
		return nil, err
	}
	if err := p.restore(); err != nil {
		return nil, err
	}
	for i := range o.Partitions {
		// Incarnation 0: a collector that starts on this ledger later counts its
		// log's lives from 1, so that none of its records is taken for an old one.
		at := int64(0)
		for _, s := range p.claim.Sources {
			if s.Source == int32(i) {
				at = s.To
			}
		}
		state := aggregate.NewState(int32(i), int32(o.Partitions), 0, at, p.find)
		state.Pack() // the evaluator unpacks count by count
		p.sources = append(p.sources, &source{state: state, defined: map[uint64]int64{}})
	}
	return p, nil
}

func (p *Pipeline) find(id string) (*slo.RuleSet, bool) {
	set, ok := p.rules[id]
	return set, ok
}

// SetRules puts rules in force from the next tick; new streams count from their
// next slot boundary, as in a collector.
func (p *Pipeline) SetRules(set *slo.RuleSet) error {
	for id, st := range set.Streams {
		if st == nil || st.Bin <= 0 || st.Rule.Length <= 0 {
			return fmt.Errorf("use rules: stream %s: its bins and slots need a length above zero", id)
		}
	}
	p.ruleID = set.ID()
	p.rules[p.ruleID] = set
	p.collectIn = collectEvery(set)
	return nil
}

// collectEvery is how often what has changed is collected: a few of the shortest
// slots, so that few of them are in memory to be looked at.
func collectEvery(set *slo.RuleSet) int64 {
	every := int64(300_000)
	for _, st := range set.Streams {
		every = min(every, 4*st.Rule.Length)
	}
	return max(every, DefaultTick.Milliseconds())
}

// restore claims the ledger and reads the state that it describes.
func (p *Pipeline) restore() error {
	claim, err := p.o.Ledger.Claim(p.ctx, 0, p.o.Owner)
	if err != nil {
		return err
	}
	if err := p.own(claim); err != nil {
		return err
	}
	loaded, err := p.o.Ledger.Load(p.ctx, 0, evaluate.Since(claim.LogTime))
	if err != nil {
		return err
	}
	alerts, err := p.o.Ledger.LoadAlerts(p.ctx, 0)
	if err != nil {
		return err
	}
	agents, err := p.o.Ledger.Agents(p.ctx, access.Local())
	if err != nil {
		return err
	}
	set, _, err := p.o.Ledger.CurrentRuleSet(p.ctx)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	id := ""
	if set != nil {
		id = set.ID()
		p.rules[id] = set
	}
	p.claim, p.collected = claim, claim.LogTime
	p.eval = evaluate.New(p.o.Evaluate, claim, p.find, p.past)
	p.eval.SetOffset(p.offset)
	p.eval.SetStreams(p.stream)
	exclusions, err := p.o.Ledger.Exclusions(p.ctx, access.Local(), "", 0)
	if err != nil {
		return err
	}
	p.eval.SetExclusions(exclusions)
	facts, err := p.o.Ledger.Inventory(p.ctx, access.Local(), 0)
	if err != nil {
		return err
	}
	p.eval.SetInventory(inventory.At(facts, 0))
	p.eval.SetSlots(func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
		return p.o.Ledger.GroupSlots(p.ctx, access.Local(), key, from, to)
	})
	p.eval.SetHours(func(key wire.GroupKey, from, to int64) ([]ledger.HourTotals, error) {
		return p.o.Ledger.HourTotals(p.ctx, access.Local(), key, from, to)
	})
	if err := p.eval.Restore(id, loaded, alerts, agents); err != nil {
		return err
	}
	return p.Expect()
}

// Expect reads the ledger's inventory: groups of what runs are expected, as in a
// collector, and have unknown slots while they say nothing. New does it; where
// facts are recorded afterwards it is called again.
func (p *Pipeline) Expect() error {
	records, err := p.o.Ledger.Inventory(p.ctx, access.Local(), 0)
	if err != nil || len(records) == 0 {
		return err
	}
	p.eval.Expect(inventory.At(records, 0), func(wire.GroupKey) bool { return true })
	return nil
}

// own refuses a ledger whose positions are not ours.
func (p *Pipeline) own(claim *ledger.Claim) error {
	if claim.Offset != 0 {
		return fmt.Errorf("replay into %s: %w", p.o.Ledger.Where(), ErrForeign)
	}
	for _, s := range claim.Sources {
		if s.Incarnation != 0 {
			return fmt.Errorf("replay into %s: %w", p.o.Ledger.Where(), ErrForeign)
		}
		if int(s.Source) >= p.o.Partitions {
			return fmt.Errorf("replay into %s: it was written with more partitions than %d", p.o.Ledger.Where(), p.o.Partitions)
		}
	}
	return nil
}

// stream finds the definition of a stream that is no longer in force.
func (p *Pipeline) stream(id string) *slo.Stream {
	for _, set := range p.rules {
		if st := set.Streams[id]; st != nil {
			return st
		}
	}
	return nil
}

// past finds a slot that has left memory: in what is not committed yet, else in
// the ledger.
func (p *Pipeline) past(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	if sl, ok := p.pending.slot(key, start); ok {
		return sl, true, nil
	}
	slots, err := p.o.Ledger.GroupSlots(p.ctx, access.Local(), key, start, start+1)
	if err != nil || len(slots) == 0 {
		return ledger.Slot{}, false, err
	}
	return slots[0], true, nil
}

// LogTime returns the log time of the last tick, Unix milliseconds; before the
// first one that of the ledger.
func (p *Pipeline) LogTime() int64 { return max(p.now, p.claim.LogTime) }

// Evaluation returns the evaluator's state, for those who look at it between
// ticks. It is another one after rules have changed.
func (p *Pipeline) Evaluation() *evaluate.State { return p.eval }

// Frame applies what an agent sent, at the present log time. Blocks name their
// Schema; definitions are added where the partition needs them. What cannot be
// used is counted as in a collector and reported in the ledger's gaps.
func (p *Pipeline) Frame(partition int, f *telemetry.Frame) error {
	s := p.sources[partition]
	s.buf = s.encoder.AppendFrame(s.buf[:0], f, func(fp uint64) bool {
		last, known := s.defined[fp]
		if known && p.now < last+defineEvery {
			return false
		}
		s.defined[fp] = p.now
		return true
	})
	p.frames++
	return p.Record(partition, wire.TypeFrame, s.buf)
}

// Record applies a record's bytes to a partition's log. It keeps nothing of
// them.
func (p *Pipeline) Record(partition int, typ string, value []byte) error {
	s := p.sources[partition].state
	out, err := s.Apply(s.Position(), typ, value)
	if err != nil {
		return fmt.Errorf("apply record to partition %d: %w", partition, err)
	}
	if out.Partial == nil {
		return nil
	}
	if err := p.apply(out.Partial); err != nil {
		return err
	}
	s.Recycle(out.Partial)
	return nil
}

// apply hands a partial to the evaluator. Where the rules have changed the
// evaluator is read from the ledger again, as a collector's is: the windows of
// new objectives need their past.
func (p *Pipeline) apply(part *wire.Partial) error {
	if _, err := p.eval.Apply(p.offset, part); err != nil {
		return fmt.Errorf("evaluate log time %s: %w", time.UnixMilli(part.LogTime).UTC().Format(time.RFC3339), err)
	}
	p.offset++
	p.publish(p.eval.Take())
	if !p.eval.Stale() {
		return nil
	}
	if err := p.Commit(); err != nil {
		return err
	}
	return p.restore()
}

func (p *Pipeline) publish(alerts []alert.Alert) {
	if len(alerts) > 0 && p.o.Alerts != nil {
		p.o.Alerts(p.LogTime(), alerts)
	}
}

// Tick moves log time to now, Unix milliseconds, in steps of TickEvery at most:
// agents send what they have sampled by then, bins and slots close, alerts are
// judged. The first tick jumps there, and what was sampled by then is sent with
// the second: begin where the story does.
func (p *Pipeline) Tick(now int64) error {
	if now < p.LogTime() {
		return fmt.Errorf("log time does not go back: it is %d, got %d", p.LogTime(), now)
	}
	if p.now == 0 {
		if err := p.begin(now); err != nil {
			return err
		}
	}
	for p.now < now {
		if err := p.tick(min(p.now+p.step, now)); err != nil {
			return err
		}
	}
	return p.ctx.Err()
}

// Jump moves log time to now in one step, however long. Evaluation takes one that
// is longer than LongestTick for a time in which no collector worked, and calls
// nobody silent for it: it is for such times, and for those in which every agent
// spoke and nothing changed.
func (p *Pipeline) Jump(now int64) error {
	if p.now == 0 || now <= p.now {
		return p.Tick(now)
	}
	if err := p.tick(now); err != nil {
		return err
	}
	return p.ctx.Err()
}

// begin is the first tick: it names the rules, before anything is counted.
func (p *Pipeline) begin(now int64) error {
	if err := p.tick(now); err != nil {
		return err
	}
	// The ledger notes from when on the rules held.
	return p.Commit()
}

func (p *Pipeline) tick(to int64) error {
	if p.now != 0 {
		if err := p.send(to); err != nil {
			return err
		}
	}
	p.now = to
	p.ticks++
	t := wire.Tick{Clock: to, RuleSet: p.ruleID}
	for i, s := range p.sources {
		s.buf = wire.AppendTick(s.buf[:0], &t)
		if err := p.Record(i, wire.TypeTick, s.buf); err != nil {
			return err
		}
	}
	if p.now-p.collected < p.collectIn {
		return nil
	}
	if err := p.collect(); err != nil || p.pending.size() < commitSlots {
		return err
	}
	return p.write()
}

// collect takes over what has changed.
func (p *Pipeline) collect() error {
	p.collected = p.now
	batch, alerts, err := p.eval.Advance()
	if err != nil {
		return err
	}
	p.publish(alerts)
	p.pending.add(&batch)
	return nil
}

// Commit writes to the ledger all that is known at the present log time. Between
// calls the pipeline writes when there is enough.
func (p *Pipeline) Commit() error {
	if err := p.collect(); err != nil {
		return err
	}
	return p.write()
}

func (p *Pipeline) write() error {
	batch := p.pending.batch
	batch.Offset = 0 // there is no topic; a collector's begins there
	if err := p.o.Ledger.Commit(p.ctx, p.claim, &batch); err != nil {
		return err
	}
	p.pending.reset()
	return nil
}
