package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/rulelog"
	"nines/internal/slo"
	"nines/internal/wire"
)

// Group is the consumer group of the role.
const Group = "nines-evaluate"

const (
	fetchWait   = 500 * time.Millisecond
	commitEvery = time.Second
	// While log time is behind by more than commitBehind, nobody waits for the
	// ledger, and a transaction holds more.
	commitBehind   = 30 * time.Second
	commitSeldom   = 5 * time.Second
	heartbeatEvery = 5 * time.Second
	retryWait      = time.Second
	// fencedWait is how long an owner that another one fenced off keeps away
	// from the ledger: by then the group has ended one of the two.
	fencedWait = 15 * time.Second
	// failingBound is how long reading goes on without a ledger.
	failingBound = 5 * time.Minute
)

// Options are what the role needs.
type Options struct {
	Config Config
	Client *bus.Client
	Ledger *ledger.Ledger
	Rules  *rulelog.Log
	// Owner names this process in the ledger's claims.
	Owner   string
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Role owns partitions of nines.partials as a member of its consumer group.
type Role struct {
	o        Options
	m        *meters
	loads    *bus.Loads
	problems sync.Map // partition -> error
}

// NewRole returns the role; it starts nothing.
func NewRole(o Options) (*Role, error) {
	if o.Client == nil || o.Ledger == nil || o.Rules == nil {
		return nil, errors.New("evaluate: a client, a ledger and rules are needed")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Role{o: o, m: newMeters(o.Metrics), loads: bus.NewLoads("evaluate", wire.TopicPartials, o.Metrics)}, nil
}

// Loads returns how the loops of the partitions stand at a time.
func (r *Role) Loads(now time.Time) []bus.LoadView { return r.loads.View(now) }

// Health returns what keeps a partition from being evaluated.
func (r *Role) Health() error {
	var errs []error
	r.problems.Range(func(p, err any) bool {
		errs = append(errs, fmt.Errorf("partials partition %v: %w", p, err.(error)))
		return true
	})
	return errors.Join(errs...)
}

// Run evaluates the partitions that the group assigns, until the context ends.
func (r *Role) Run(ctx context.Context) error {
	g := r.o.Client.Group(bus.GroupOptions{ID: Group, Topics: []string{wire.TopicPartials}, OnGeneration: r.generation})
	return g.Run(ctx)
}

func (r *Role) generation(ctx context.Context, gen *bus.Generation) error {
	var wg sync.WaitGroup
	for _, p := range gen.Assigned[wire.TopicPartials] {
		wg.Go(func() {
			o := &owner{Role: r, gen: gen, partition: p, log: r.o.Log.With("partition", p),
				alerts: r.o.Client.Producer(wire.TopicAlerts, 0), load: r.loads.Own(wire.TopicPartials, p)}
			defer o.load.Leave()
			o.keep(ctx)
			r.problems.Delete(p)
		})
	}
	wg.Wait()
	return nil
}

// owner is one partition in one generation.
type owner struct {
	*Role
	gen       *bus.Generation
	partition int32
	alerts    *bus.Producer
	load      *bus.Load
	log       *slog.Logger
	claim     *ledger.Claim
	state     *State
	recalls   *recalls
	decoder   wire.PartialDecoder
	partial   wire.Partial // the one that is applied
	// letters are the dead ones of the last fetch, which are stored before the
	// ledger's position passes them.
	letters   *deadletter.Batch
	committed time.Time
	beaten    time.Time
	// facts is the version of the inventory that the state has, asked when it was
	// last looked for, and blindfold that this failed.
	facts     int64
	asked     time.Time
	blindfold bool
	// excluded is when the exclusions were last asked for.
	excluded time.Time
	// pending is a batch that the ledger would not take yet, since failing.
	pending *ledger.Batch
	failing time.Time
	// reread asks run to begin at the log's first record, because of missing.
	// accept says that they are known to be gone.
	reread, accept bool
	missing        *ErrGap
}

// keep evaluates until the generation ends; after trouble it starts again from
// the ledger's offset.
func (o *owner) keep(ctx context.Context) {
	for ctx.Err() == nil {
		err := o.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		o.problems.Store(o.partition, err)
		o.log.Error("evaluation stopped; trying again from the ledger", "err", err)
		wait := retryWait
		if errors.Is(err, ledger.ErrFenced) {
			wait = fencedWait
		}
		o.noteGap(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// noteGap has the log read from its first record after a gap: the topic may
// have been recreated and have grown past the ledger's position. Where that
// does not find the stretch either, it is gone, and the next run records it.
func (o *owner) noteGap(err error) {
	var gap ErrGap
	if !errors.As(err, &gap) {
		return
	}
	again := o.missing != nil && o.missing.Source == gap.Source && o.missing.Want == gap.Want
	if again && gap.From > gap.Want {
		o.log.Warn("the missing partials are not in the log; they are recorded as a gap", "source", gap.Source, "from", gap.Want, "to", gap.From)
	}
	o.reread, o.missing = true, &gap
	o.accept = again
}

// run evaluates until an error, or until the state must be read again because
// the rule set changed (nil).
func (o *owner) run(ctx context.Context) error {
	if err := o.restore(ctx); err != nil {
		return err
	}
	reader, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer reader.Measure(o.load)()
	o.letters = deadletter.NewBatch(o.o.Client)
	for {
		o.inventoryDue(ctx)
		if o.exclusionsDue(ctx) {
			return o.flush(ctx) // what they leave out is counted anew
		}
		recs, err := reader.Fetch(ctx, fetchWait)
		if err != nil {
			return err
		}
		for i := range recs {
			if err := o.apply(ctx, &recs[i]); err != nil {
				return err
			}
			if o.state.Stale() {
				return o.flush(ctx)
			}
			if err := o.commitDue(ctx); err != nil {
				return err
			}
		}
		if err := o.letters.Send(ctx); err != nil {
			return err
		}
		if err := o.commitDue(ctx); err != nil {
			return err
		}
		o.load.Processed(o.state.LogTime())
	}
}

// restore claims the partition and reads its state from the ledger.
func (o *owner) restore(ctx context.Context) error {
	claim, err := o.o.Ledger.Claim(ctx, o.partition, o.o.Owner)
	if err != nil {
		return err
	}
	loaded, err := o.o.Ledger.Load(ctx, o.partition, Since(claim.LogTime))
	if err != nil {
		return err
	}
	alerts, err := o.o.Ledger.LoadAlerts(ctx, o.partition)
	if err != nil {
		return err
	}
	recent, err := o.o.Ledger.Alerts(ctx, access.Local(), claim.LogTime-86_400_000)
	if err != nil {
		return err
	}
	for i := range recent {
		if recent[i].Status == alert.Resolved {
			alerts = append(alerts, recent[i])
		}
	}
	agents, err := o.o.Ledger.Agents(ctx, access.Local())
	if err != nil {
		return err
	}
	if err := o.o.Rules.Load(ctx); err != nil {
		return err
	}
	set, _, err := o.o.Ledger.CurrentRuleSet(ctx)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	id := ""
	if set != nil {
		id = set.ID()
	}
	o.claim, o.pending, o.failing = claim, nil, time.Time{}
	o.facts, o.asked, o.excluded = -1, time.Time{}, time.Now()
	slots := func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
		return o.o.Ledger.GroupSlots(ctx, access.Local(), key, from, to)
	}
	o.recalls = newRecalls(slots)
	o.state = New(o.o.Config, claim, o.rules(ctx, id, set), o.past)
	o.state.SetStreams(o.o.Rules.Stream)
	exclusions, err := o.o.Ledger.Exclusions(ctx, access.Local(), "", 0)
	if err != nil {
		return err
	}
	o.state.SetExclusions(exclusions)
	facts, err := o.o.Ledger.Inventory(ctx, access.Local(), 0)
	if err != nil {
		return err
	}
	o.state.SetInventory(inventory.At(facts, 0))
	o.state.SetSlots(slots)
	o.state.SetHours(func(key wire.GroupKey, from, to int64) ([]ledger.HourTotals, error) {
		return o.o.Ledger.HourTotals(ctx, access.Local(), key, from, to)
	})
	n, err := o.o.Client.Partitions(ctx, wire.TopicPartials)
	if err != nil {
		return err
	}
	o.state.SetParted(n > 1)
	o.committed = time.Now()
	return o.state.Restore(id, loaded, alerts, agents)
}

// open returns a reader at the ledger's offset. Where that has left the log, it
// starts at the log's beginning, and the cursors record what was lost.
func (o *owner) open(ctx context.Context) (*bus.Reader, error) {
	first, next, err := o.o.Client.Offsets(ctx, wire.TopicPartials, o.partition)
	if err != nil {
		return nil, err
	}
	at := o.state.Offset()
	switch {
	case o.reread:
		o.reread = false
		o.state.SetOffset(first)
		if o.accept {
			o.state.AcceptJump()
		}
	case at < first || at > next:
		o.log.Warn("the ledger's position is not in the log; what was lost is recorded as gaps", "offset", at, "first", first, "next", next)
		o.state.AcceptJump()
		o.state.SetOffset(first)
	}
	return o.o.Client.Reader(wire.TopicPartials, o.partition, o.state.Offset()), nil
}

func (o *owner) apply(ctx context.Context, rec *bus.Record) error {
	switch err := o.decoder.Decode(rec.Value, &o.partial); {
	case errors.Is(err, wire.ErrVersion):
		// A newer aggregate wrote it: passing over it would lose what it counted.
		return fmt.Errorf("read offset %d of %s, partition %d: %w", rec.Offset, wire.TopicPartials, o.partition, err)
	case err != nil:
		return o.bury(ctx, rec, err)
	}
	fresh, err := o.state.Apply(rec.Offset, &o.partial)
	if err != nil {
		return err
	}
	o.m.count(fresh)
	return o.publish(ctx, o.state.Take())
}

// bury adds a record that is no partial to the letters and goes on behind it. If
// it was one once, the next of its source does not join, and evaluation stops
// there.
func (o *owner) bury(ctx context.Context, rec *bus.Record, why error) error {
	o.log.Error("a record of "+wire.TopicPartials+" cannot be decoded; it goes to "+wire.TopicDeadLetter, "offset", rec.Offset, "err", why)
	dead := wire.DeadLetter{Topic: wire.TopicPartials, Partition: o.partition, Offset: rec.Offset, Reason: "partial", Detail: why.Error()}
	if err := o.letters.Add(ctx, rec, dead); err != nil {
		return err
	}
	o.state.SetOffset(rec.Offset + 1)
	return nil
}

// rules finds rule sets: the ledger's own first, then those on nines.rules,
// which may be ahead of what this process has read.
func (o *owner) rules(ctx context.Context, known string, set *slo.RuleSet) Rules {
	return func(id string) (*slo.RuleSet, bool) {
		if id == known && set != nil {
			return set, true
		}
		if s, ok := o.o.Rules.Get(id); ok {
			return s, true
		}
		if err := o.o.Rules.Load(ctx); err != nil {
			return nil, false
		}
		return o.o.Rules.Get(id)
	}
}

// past finds slots in the batch that the ledger has yet to take, then in the
// ledger.
func (o *owner) past(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	if o.pending != nil {
		if sl, ok := slotIn(o.pending, key, start); ok {
			return sl, true, nil
		}
	}
	return o.recalls.slot(key, start)
}

// publish sends alerts before the ledger commits them: after a crash they are
// repeated, never forgotten.
func (o *owner) publish(ctx context.Context, alerts []alert.Alert) error {
	if time.Since(o.beaten) >= heartbeatEvery {
		o.beaten = time.Now()
		alerts = append(alerts, o.state.Heartbeat())
	}
	if len(alerts) == 0 {
		return nil
	}
	recs := make([]bus.Record, 0, len(alerts))
	for i := range alerts {
		key, value, err := wire.EncodeAlert(&alerts[i])
		if err != nil {
			return err
		}
		recs = append(recs, bus.Record{Key: key, Value: value,
			Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeAlert)}}})
	}
	_, err := o.alerts.ProduceRetry(ctx, func() []bus.Record { return recs })
	return err
}

// commitDue commits once a second, and less often while it catches up. While the ledger cannot be written (a full
// disk), reading and alerting go on for failingBound; then reading waits, so
// that what is kept in memory has a bound. Nothing is lost either way.
func (o *owner) commitDue(ctx context.Context) error {
	every := commitEvery
	if o.pending == nil && time.Now().UnixMilli()-o.state.LogTime() > commitBehind.Milliseconds() {
		every = commitSeldom
	}
	if time.Since(o.committed) < every || o.pending == nil && o.state.Offset() == o.claim.Offset {
		return nil
	}
	if o.pending != nil && time.Since(o.failing) > failingBound {
		return o.flush(ctx)
	}
	return o.commit(ctx)
}

// flush commits all there is, however long it takes.
func (o *owner) flush(ctx context.Context) error {
	for {
		if err := o.commit(ctx); err != nil {
			return err
		}
		if o.pending == nil && o.state.Offset() == o.claim.Offset {
			return nil
		}
		if o.pending == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryWait):
		}
	}
}

// commit makes one attempt to write what has changed, or what could not be
// written before. Only errors that another attempt cannot mend are returned.
func (o *owner) commit(ctx context.Context) error {
	o.committed = time.Now()
	if o.pending == nil {
		if err := o.letters.Send(ctx); err != nil {
			return err
		}
		batch, alerts, err := o.state.Advance()
		if err != nil {
			return err
		}
		if err := o.publish(ctx, alerts); err != nil {
			return err
		}
		o.pending = &batch
	}
	start := time.Now()
	if err := o.o.Ledger.Commit(ctx, o.claim, o.pending); err != nil {
		return o.postpone(err)
	}
	if !o.failing.IsZero() {
		o.log.Info("the ledger can be written again", "after", time.Since(o.failing).Round(time.Second))
	}
	batch := o.pending
	o.pending, o.failing = nil, time.Time{}
	o.recalls.committed(batch)
	o.m.commit(time.Since(start), batch)
	o.problems.Delete(o.partition)
	// The ledger's offset is the one that counts; Kafka's is for lag monitors.
	if err := o.gen.Commit(ctx, wire.TopicPartials, o.partition, batch.Offset, ""); err != nil && ctx.Err() == nil {
		o.log.Debug("committing the offset to Kafka failed", "err", err)
	}
	return nil
}

// postpone keeps the batch for another attempt, unless that is no use.
func (o *owner) postpone(err error) error {
	for _, final := range []error{ledger.ErrFenced, ledger.ErrConflict, ledger.ErrDamaged, ledger.ErrReused, context.Canceled} {
		if errors.Is(err, final) {
			return err
		}
	}
	if o.failing.IsZero() {
		o.failing = time.Now()
		o.log.Error("the ledger cannot be written; trying again", "err", err)
	}
	o.problems.Store(o.partition, err)
	return nil
}
