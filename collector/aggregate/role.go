package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/rulelog"
	"nines/internal/wire"
)

// Group is the consumer group of the role.
const Group = "nines-aggregate"

const (
	fetchWait = 500 * time.Millisecond
	retryWait = time.Second
	// portion is how many bytes of records are unpacked at a time, three per cent
	// of the CPU time less than with four times of them.
	portion = 64 << 10
	// growthWatch is how soon a partition that was added finds an owner.
	growthWatch = 2 * time.Second
	// checkpointPause is the least time between two checkpoints. It matters to
	// whoever catches up, and passes in a second what took the log a minute.
	checkpointPause = 5 * time.Second
)

// Options are what the role needs.
type Options struct {
	Client *bus.Client
	Rules  *rulelog.Log
	// Owner names this process in ticks.
	Owner string
	// Formats are how records without headers are written, by topic. Topics that
	// stand here are aggregated besides nines.telemetry; ticks are written to them.
	// All collectors must have the same.
	Formats map[string]decode.Format
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Role owns telemetry partitions as a member of its consumer group.
type Role struct {
	o           Options
	m           *meters
	loads       *bus.Loads
	checkpoints *bus.Table
	problems    sync.Map // source -> error; source{} where the clock is the problem
	owned       atomic.Int32
	leave       atomic.Pointer[context.CancelFunc]
}

// New returns the role; it starts nothing.
func New(o Options) (*Role, error) {
	if o.Client == nil || o.Rules == nil {
		return nil, errors.New("aggregate: a client and rules are needed")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Role{o: o, m: newMeters(o.Metrics), loads: bus.NewLoads("aggregate", wire.TopicTelemetry, o.Metrics), checkpoints: bus.NewTable(o.Client, wire.TopicCheckpoints, 0)}, nil
}

// Loads returns how the loops of the partitions stand at a time.
func (r *Role) Loads(now time.Time) []bus.LoadView { return r.loads.View(now) }

// Health returns what keeps a partition from being aggregated.
func (r *Role) Health() error {
	var errs []error
	r.problems.Range(func(p, err any) bool {
		if p == (source{}) {
			errs = append(errs, err.(error))
			return true
		}
		errs = append(errs, fmt.Errorf("telemetry partition %s: %w", p.(source), err.(error)))
		return true
	})
	return errors.Join(errs...)
}

// Run aggregates the partitions that the group assigns, until the context ends.
// While this host's clock disagrees with the ticks it stays out of the group, so
// that others own the partitions.
func (r *Role) Run(ctx context.Context) error {
	for {
		if r.awaitClock(ctx) != nil {
			return nil
		}
		member, leave := context.WithCancel(ctx)
		r.leave.Store(&leave)
		g := r.o.Client.Group(bus.GroupOptions{ID: Group, Topics: decode.Topics(r.o.Formats), OnGeneration: r.generation,
			WatchPartitionChanges: growthWatch})
		err := g.Run(member)
		left := member.Err() != nil && ctx.Err() == nil
		leave()
		if !left {
			return err
		}
	}
}

func (r *Role) generation(ctx context.Context, gen *bus.Generation) error {
	if err := r.checkpoints.Load(ctx); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	sources := 0
	for _, topic := range decode.Topics(r.o.Formats) {
		n, err := r.o.Client.Partitions(ctx, topic)
		if err != nil {
			return err
		}
		if n > maxTopicPartitions {
			return fmt.Errorf("topic %s has %d partitions, more than %d", topic, n, maxTopicPartitions)
		}
		sources += n
	}
	sinks, err := r.o.Client.Partitions(ctx, wire.TopicPartials)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, topic := range decode.Topics(r.o.Formats) {
		for _, p := range gen.Assigned[topic] {
			wg.Go(func() { r.own(ctx, gen, source{topic, p}, sources, sinks) })
		}
	}
	wg.Wait()
	return nil
}

// own keeps one partition until the generation ends.
func (r *Role) own(ctx context.Context, gen *bus.Generation, of source, sources, sinks int) {
	r.owned.Add(1)
	defer r.owned.Add(-1)
	o := &owner{Role: r, gen: gen, source: of, number: of.number(), sources: int32(sources), format: r.o.Formats[of.topic], load: r.loads.Own(of.topic, of.partition), log: r.o.Log.With("partition", of.partition)}
	defer o.load.Leave()
	if of.topic != wire.TopicTelemetry {
		o.log = o.log.With("topic", of.topic)
	}
	for i := range sinks {
		o.sinks = append(o.sinks, &sink{Producer: r.o.Client.Producer(wire.TopicPartials, int32(i)).Packed()})
	}
	o.keep(ctx)
	r.problems.Delete(of)
}

// owner is one partition in one generation.
type owner struct {
	*Role
	gen *bus.Generation
	source
	number  int32 // of the source
	sources int32
	format  decode.Format // of the topic's records without headers; 0: our own
	other   decode.Record // memory for the record being applied, if it is foreign
	load    *bus.Load
	sinks   []*sink
	state   *State
	// letters are the dead ones of the last fetch, which are stored before the
	// position passes them.
	letters *deadletter.Batch
	// urgent asks for a tick now.
	urgent chan struct{}
	log    *slog.Logger
	set    uint64 // number of the next checkpoint
	// checkpointed is when the last one was written.
	checkpointed time.Time
	warned       map[string]bool
}

// keep aggregates until the generation ends; after trouble it starts again from
// the last checkpoint, which repeats identical partials.
func (o *owner) keep(ctx context.Context) {
	for ctx.Err() == nil {
		err := o.run(ctx)
		if ctx.Err() != nil {
			return
		}
		o.problems.Store(o.source, err)
		o.log.Error("aggregation stopped; trying again from the last checkpoint", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryWait):
		}
		if err := o.checkpoints.Load(ctx); err != nil && ctx.Err() == nil {
			o.log.Error("reading checkpoints failed", "err", err)
		}
	}
}

func (o *owner) run(ctx context.Context) error {
	for _, s := range o.sinks {
		s.drop() // of what failed; it comes again
	}
	if err := o.restore(ctx); err != nil {
		return err
	}
	o.letters, o.urgent = deadletter.NewBatch(o.o.Client), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	incarnation := o.state.Incarnation()
	wg.Go(func() { o.tick(ctx, incarnation) })
	reader := o.o.Client.Reader(o.topic, o.partition, o.state.Position())
	reader.Portion(portion)
	defer reader.Measure(o.load)()
	for {
		recs, err := reader.Fetch(ctx, fetchWait)
		if err != nil {
			var damaged *bus.ErrCorrupt
			if errors.As(err, &damaged) {
				o.log.Error("a damaged batch is skipped; it is recorded as a gap", "err", err)
				if err := o.lost(ctx, damaged.Next); err != nil {
					return err
				}
				reader.SeekTo(damaged.Next)
				continue
			}
			return err // out of range too: restore finds out what was lost
		}
		for i := range recs {
			if err := o.apply(ctx, &recs[i]); err != nil {
				return err
			}
		}
		if err := o.letters.Send(ctx); err != nil {
			return err
		}
		if !reader.More() { // at once where nothing is behind
			if err := o.flush(ctx); err != nil {
				return err
			}
		}
		o.state.Seen(reader.Offset())
		o.watch()
	}
}

// lost publishes that the records up to position next were lost.
func (o *owner) lost(ctx context.Context, next int64) error {
	for _, p := range o.state.Lost(next) {
		o.m.count(p)
		if err := o.publish(ctx, p); err != nil {
			return err
		}
	}
	return o.flush(ctx)
}

// watch keeps the log time of the partition, and says when clocks disagree.
func (o *owner) watch() {
	o.load.Processed(o.state.LogTime())
	if lead := o.state.LogTime() - time.Now().UnixMilli(); lead > clockBound.Milliseconds() {
		(*o.leave.Load())() // awaitClock says why
		return
	}
	o.problems.Delete(o.source)
}

func (o *owner) apply(ctx context.Context, rec *bus.Record) error {
	out, err := o.take(ctx, rec)
	if err != nil {
		return err
	}
	if out.Urgent {
		o.hurry(time.Now().UnixMilli())
	}
	if out.Dead != nil {
		if err := o.bury(ctx, rec, out.Dead); err != nil {
			return err
		}
	}
	if out.Partial == nil {
		return nil
	}
	o.m.count(out.Partial)
	o.m.foreign(o.state.TakeForeign())
	o.warn(out.Partial)
	if err := o.publish(ctx, out.Partial); err != nil {
		return err
	}
	if out.Checkpoint && time.Since(o.checkpointed) >= checkpointPause {
		return o.checkpoint(ctx, CRC(rec.Value))
	}
	return nil
}

// take applies the record to the state.
func (o *owner) take(ctx context.Context, rec *bus.Record) (Outcome, error) {
	typ, foreign := decode.TypeOf(rec, o.format, &o.other)
	if foreign {
		return o.state.ApplyForeign(rec.Offset, &o.other), nil
	}
	out, err := o.state.Apply(rec.Offset, typ, rec.Value)
	for err != nil {
		var unknown ErrRules
		if !errors.As(err, &unknown) {
			return out, err
		}
		// The tick may be ahead of what this process has read of nines.rules.
		if err := o.o.Rules.Load(ctx); err != nil {
			return out, err
		}
		if _, ok := o.o.Rules.Get(unknown.ID); !ok {
			return out, err
		}
		out, err = o.state.Apply(rec.Offset, typ, rec.Value)
	}
	return out, nil
}

// bury adds a record that could not be used to the letters.
func (o *owner) bury(ctx context.Context, rec *bus.Record, why *wire.DeadLetter) error {
	why.Topic, why.Partition, why.Offset = o.topic, o.partition, rec.Offset
	o.m.dead(why.Reason)
	return o.letters.Add(ctx, rec, *why)
}

// checkpoint writes the state over the checkpoint before the last, then commits
// the position.
func (o *owner) checkpoint(ctx context.Context, last uint32) error {
	if err := errors.Join(o.flush(ctx), o.letters.Send(ctx)); err != nil {
		return err
	}
	data, err := o.state.Checkpoint(last)
	if err != nil {
		return err
	}
	for i, part := range wire.SplitCheckpoint(o.number, o.set, data) {
		if err := o.checkpoints.Put(ctx, string(wire.CheckpointKey(o.number, o.set, i)), part); err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
	}
	o.set++
	o.checkpointed = time.Now()
	return o.gen.Commit(ctx, o.topic, o.partition, o.state.Position(), "set="+strconv.FormatUint(o.set-1, 10))
}
