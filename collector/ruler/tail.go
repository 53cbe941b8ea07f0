package ruler

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"nines/collector/decode"
	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// schemaEvery is how long a frame may travel without its schema; reading
	// starts as far back, so that every schema is known (twice for safety).
	schemaEvery = 2 * 60_000
	// sweepEvery is the log time between two looks for stale series.
	sweepEvery = 5_000
	// fetchWait bounds how long a fetch waits for news.
	fetchWait = 250 * time.Millisecond
	// heartbeatTicks is how many seconds pass between two heartbeats.
	heartbeatTicks = 5
	// catchUpLimit is how long rules wait for the store to catch up.
	catchUpLimit = time.Minute
)

// partitionOf is a partition of a topic of telemetry.
type partitionOf struct {
	topic     string
	partition int32
}

// String returns the name under which its position is kept: its number alone in
// nines.telemetry.
func (p partitionOf) String() string {
	if p.topic == wire.TopicTelemetry {
		return strconv.Itoa(int(p.partition))
	}
	return fmt.Sprintf("%s/%d", p.topic, p.partition)
}

// follow tails every partition, also those that are added later, and keeps
// house, until ctx ends.
func (r *Ruler) follow(ctx context.Context, run *running) {
	var wg sync.WaitGroup
	defer wg.Wait()
	caught := newLatch()
	begun := time.Now()
	started, adopted := map[string]int32{}, false
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	trouble := newComplaint(r.log, "follow telemetry")
	for n := 0; ; n++ {
		if n%30 == 0 || len(started) < len(r.topics) {
			var err error
			for _, topic := range r.topics {
				parts, terr := r.client.Partitions(ctx, topic)
				err = errors.Join(err, terr)
				for ; terr == nil && started[topic] < int32(parts); started[topic]++ {
					of := partitionOf{topic, started[topic]}
					caught.add()
					wg.Go(func() { r.tail(ctx, run, of, sync.OnceFunc(caught.done)) })
				}
			}
			trouble.report(ctx, err)
		}
		if !adopted {
			adopted = r.adopt(ctx) == nil
		}
		if late := time.Since(begun) > catchUpLimit; adopted && (len(started) == len(r.topics) && caught.open() || late) {
			run.rules.start()
			run.rules.reconcile(time.Now().UnixMilli())
		}
		if n%heartbeatTicks == 0 {
			r.box.put(alert.Alert{Status: alert.Heartbeat, Source: source(r.cfg), LogTime: run.pos.logTime()})
		}
		if err := run.pos.save(); err != nil {
			r.log.Error("save positions failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// adopt reads from nines.alerts which alerts an earlier life left firing.
func (r *Ruler) adopt(ctx context.Context) error {
	first, next, err := r.client.Offsets(ctx, wire.TopicAlerts, 0)
	if err != nil || first >= next {
		return err
	}
	rd := r.client.Reader(wire.TopicAlerts, 0, first)
	// A compacted log may hold nothing at its end: three empty answers in a row
	// are the end too.
	for empty := 0; rd.Offset() < next && empty < 3; empty++ {
		recs, err := rd.Fetch(ctx, fetchWait)
		if len(recs) > 0 {
			empty = -1
		}
		if err != nil && !skipDamage(rd, err) {
			return err
		}
		for _, rec := range recs {
			if a, ok := parseAlert(rec.Value, source(r.cfg)); ok {
				r.box.adopt(a)
			}
		}
	}
	return nil
}

// skipDamage moves the reader over a batch that cannot be decoded.
func skipDamage(rd *bus.Reader, err error) bool {
	var bad *bus.ErrCorrupt
	if errors.As(err, &bad) {
		rd.SeekTo(bad.Next)
		return true
	}
	return false
}

// tail writes one partition to the store until ctx ends; trouble is tried again.
func (r *Ruler) tail(ctx context.Context, run *running, of partitionOf, caught func()) {
	trouble := newComplaint(r.log.With("partition", of.partition), "tail "+of.topic)
	load := r.loads.Own(of.topic, of.partition)
	defer load.Leave()
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		err := r.tailOnce(ctx, run, of, load, caught, trouble)
		if ctx.Err() != nil {
			return
		}
		trouble.report(ctx, err)
		if time.Since(began) > time.Minute {
			wait = 200 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *Ruler) tailOnce(ctx context.Context, run *running, of partitionOf, load *bus.Load, caught func(), trouble *complaint) error {
	first, next, err := r.client.Offsets(ctx, of.topic, of.partition)
	if err != nil {
		return err
	}
	read, write, err := r.startAt(ctx, run, of, first, next)
	if err != nil {
		return err
	}
	rd := r.client.Reader(of.topic, of.partition, read)
	defer rd.Measure(load)()
	t := &tailer{
		p:      newPartition(r.keep, run.newest, r.note, r.m),
		format: r.formats[of.topic], write: write, schemas: wire.NewSchemaCache(1 << 16),
	}
	for {
		recs, err := rd.Fetch(ctx, fetchWait)
		if err != nil && !skipDamage(rd, err) {
			return err
		}
		if err != nil {
			r.m.undecoded.Inc()
		}
		trouble.report(ctx, nil)
		if err := r.store(ctx, run, t, recs); err != nil {
			return err
		}
		load.Processed(t.p.logTime)
		if at := rd.Offset(); at >= write {
			run.pos.set(of.String(), position{Next: at, LogTime: t.p.logTime})
		}
		if rd.Offset() >= next {
			caught()
		}
	}
}

// startAt returns where to read from, to learn the schemas, and where to write
// from. What lies between was written by an earlier life.
func (r *Ruler) startAt(ctx context.Context, run *running, of partitionOf, first, next int64) (read, write int64, err error) {
	horizon := time.Now().Add(-r.cfg.Retention.D()).UnixMilli()
	pos, ok := run.pos.get(of.String())
	// A store that ends well before the bookmark lost its tail, by a power cut
	// or because it was moved away; a bookmark past the log belongs to another
	// log.
	lost := run.newest+10_000 < pos.LogTime
	if ok && !lost && pos.Next >= first && pos.Next <= next {
		read, err = r.client.OffsetAt(ctx, of.topic, of.partition, pos.LogTime-schemaEvery)
		return max(first, min(read, pos.Next)), pos.Next, err
	}
	from := horizon
	if ok && lost && pos.Next <= next {
		from = max(horizon, run.newest-schemaEvery)
	}
	read, err = r.client.OffsetAt(ctx, of.topic, of.partition, from)
	return max(first, min(read, next)), first, err
}

// tailer is the state of one tailOnce.
type tailer struct {
	p       *partition
	format  decode.Format // of records without headers; 0: our own
	write   int64
	dec     wire.Decoder
	frame   telemetry.Frame
	other   decode.Record // memory for the record being read, if it is foreign
	schemas *wire.SchemaCache
}

// store writes one fetch, as one transaction.
func (r *Ruler) store(ctx context.Context, run *running, t *tailer, recs []bus.Record) error {
	if len(recs) == 0 {
		return nil
	}
	app := run.db.Appender(ctx)
	for i := range recs {
		rec := &recs[i]
		typ, foreign := decode.TypeOf(rec, t.format, &t.other)
		if foreign {
			t.p.foreign(app, &t.other, rec.Offset < t.write)
			continue
		}
		switch typ {
		case wire.TypeTick:
			// Only ticks tell the time: a record's own is its sender's clock.
			var tick wire.Tick
			if wire.DecodeTick(rec.Value, &tick) == nil {
				t.p.tick(tick.Clock)
			}
			continue
		case wire.TypeFrame:
		default:
			continue
		}
		if err := t.dec.DecodeFrame(rec.Value, &t.frame, t.schemas); err != nil {
			r.m.undecoded.Inc()
			continue
		}
		if rec.Offset < t.write {
			t.p.learn(&t.frame)
			continue
		}
		t.p.frame(app, &t.frame)
	}
	if t.p.logTime-t.p.swept > sweepEvery {
		t.p.sweep(app)
	}
	if err := app.Commit(); err != nil {
		r.m.commitErrors.Inc()
		return fmt.Errorf("write series: %w", explainStore(r.cfg.Dir, err))
	}
	return nil
}
