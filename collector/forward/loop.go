package forward

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	// growthWatch is how soon a partition that was added finds an owner.
	growthWatch = 10 * time.Second
	// schemaEvery is how long a frame may travel without its schema; reading
	// starts as far back, so that every schema is known (twice for safety).
	schemaEvery = 2 * 60_000
	// commitEvery bounds how often a position is committed.
	commitEvery = time.Second
	// leaveTimeout bounds the last commit of a loop.
	leaveTimeout = 2 * time.Second
	retryWait    = time.Second
)

// source is a partition of a topic.
type source struct {
	topic     string
	partition int32
}

// generation owns the partitions that the group gave this process.
func (t *target) generation(ctx context.Context, gen *bus.Generation) error {
	var wg sync.WaitGroup
	for topic, parts := range gen.Assigned {
		for _, p := range parts {
			wg.Go(func() { t.own(ctx, gen, source{topic, p}) })
		}
	}
	wg.Wait()
	return nil
}

// own sends one partition until ctx ends; trouble is tried again.
func (t *target) own(ctx context.Context, gen *bus.Generation, from source) {
	load := t.loads.Own(from.topic, from.partition)
	defer load.Leave()
	said := ""
	for ctx.Err() == nil {
		err := t.once(ctx, gen, from, load)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			t.log.Error("forward telemetry failed; trying again", "topic", from.topic, "partition", from.partition, "err", err)
		}
		if sleep(ctx, retryWait) != nil {
			return
		}
	}
}

// once sends from the committed position on.
func (t *target) once(ctx context.Context, gen *bus.Generation, from source, load *bus.Load) error {
	read, write, err := t.startAt(ctx, gen, from)
	if err != nil {
		return err
	}
	tr, err := newTranslator(&t.Target, t.m)
	if err != nil {
		return err
	}
	l := &loop{target: t, gen: gen, from: from, tr: tr, body: newBody(), schemas: wire.NewSchemaCache(wire.DefaultSchemas),
		lost: refusals{log: t.log.With("topic", from.topic, "partition", from.partition)}, write: write, done: write, committed: write}
	defer l.leave()
	rd := t.client.Reader(from.topic, from.partition, read)
	defer rd.Measure(load)()
	for {
		recs, err := rd.Fetch(ctx, l.patience())
		var bad *bus.ErrCorrupt
		if errors.As(err, &bad) {
			t.m.undecoded.Inc()
			t.log.Error("records cannot be read and are passed over", "err", err)
			rd.SeekTo(bad.Next)
		} else if err != nil {
			return err
		}
		l.take(recs)
		l.next = max(rd.Offset(), write)
		if err := l.flush(ctx); err != nil {
			return err
		}
		load.Processed(l.logTime)
	}
}

// startAt returns where to read from, to learn the schemas, and where to send
// from. A target that is new begins at the end of the log.
func (t *target) startAt(ctx context.Context, gen *bus.Generation, from source) (read, write int64, err error) {
	first, next, err := t.client.Offsets(ctx, from.topic, from.partition)
	if err != nil {
		return 0, 0, err
	}
	at, metadata, err := gen.Committed(ctx, from.topic, from.partition)
	if err != nil {
		return 0, 0, err
	}
	since, _ := strconv.ParseInt(metadata, 10, 64) // 0, from the start, where it says nothing
	log := t.log.With("topic", from.topic, "partition", from.partition)
	was, lost := at, int64(0)
	switch {
	case at < 0: // new
		at, since = next, time.Now().UnixMilli()
	case at > next:
		log.Error("the log is shorter than what was sent of it: the topic was made anew; beginning at its start", "sent", at, "log_ends", next)
		at, since = first, 0
	case at < first:
		log.Error("records were deleted from the log before they were sent", "records", first-at, "first", at, "last", first-1,
			"sent_until", time.UnixMilli(since).UTC(), "kept_from", t.oldest(ctx, from, first))
		at, lost = first, first-at
	}
	if at != was { // stored, so that a loss is told and counted once
		if err := gen.Commit(ctx, from.topic, from.partition, at, strconv.FormatInt(since, 10)); err != nil {
			return 0, 0, err
		}
	}
	t.m.lost.Add(int(lost))
	read, err = t.client.OffsetAt(ctx, from.topic, from.partition, since-schemaEvery)
	return max(first, min(read, at)), at, err
}

// oldest tells when the first record that the log still has was written; it is
// "unknown" where the log says nothing at once: it is for people.
func (t *target) oldest(ctx context.Context, from source, first int64) string {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	recs, err := t.client.Reader(from.topic, from.partition, first).Fetch(ctx, leaveTimeout)
	if err != nil || len(recs) == 0 {
		return "unknown"
	}
	return time.UnixMilli(recs[0].Time).UTC().Format(time.RFC3339)
}

// loop is the state of one partition.
type loop struct {
	*target
	gen     *bus.Generation
	from    source
	tr      *translator
	body    *body
	dec     wire.Decoder
	frame   telemetry.Frame
	other   decode.Record // memory for the record being read, if it is foreign
	schemas *wire.SchemaCache
	lost    refusals

	write   int64 // records before it were sent by an earlier life
	batch   []sample
	oldest  time.Time // when the batch's first sample was read
	next    int64     // the offset after the last record read
	done    int64     // the offset up to which the receiver has everything
	logTime int64     // the last record's time, Unix milliseconds
	sentTo  int64     // the last record's time before done
	swept   int64

	committed int64
	commitAt  time.Time
}

// take adds what the records hold to the batch.
func (l *loop) take(recs []bus.Record) {
	now := time.Now().UnixMilli()
	for i := range recs {
		rec := &recs[i]
		l.logTime = max(l.logTime, min(rec.Time, now)) // a sender's clock may be years ahead
		n := len(l.batch)
		l.record(rec)
		for k := n; k < len(l.batch); k++ {
			l.batch[k].offset = rec.Offset
		}
		if n == 0 && len(l.batch) > 0 {
			l.oldest = time.Now()
		}
	}
	if l.logTime-l.swept > silentFor/10 {
		l.swept = l.logTime
		l.tr.forget(l.logTime)
	}
}

func (l *loop) record(rec *bus.Record) {
	quiet := rec.Offset < l.write
	typ, foreign := decode.TypeOf(rec, l.formats[l.from.topic], &l.other)
	if foreign {
		l.batch = l.tr.foreign(l.batch, &l.other, l.logTime, quiet)
		return
	}
	if typ != wire.TypeFrame {
		return
	}
	if err := l.dec.DecodeFrame(rec.Value, &l.frame, l.schemas); err != nil {
		if !quiet {
			l.m.undecoded.Inc()
		}
		return
	}
	l.batch = l.tr.frame(l.batch, &l.frame, l.logTime, quiet)
}

// patience is how long a fetch may wait for news.
func (l *loop) patience() time.Duration {
	if len(l.batch) == 0 {
		return l.MaxAge.D()
	}
	return max(l.MaxAge.D()-time.Since(l.oldest), time.Millisecond)
}

// flush sends the batch when it is large or old enough, and commits.
func (l *loop) flush(ctx context.Context) error {
	if n := len(l.batch); n > 0 && n < l.MaxSamples && time.Since(l.oldest) < l.MaxAge.D() {
		return nil
	}
	if err := l.send.deliver(ctx, l.body, l.batch, &l.lost); err != nil {
		return err
	}
	l.lost.say(time.Now())
	clear(l.batch) // what it points to may go
	l.batch = l.batch[:0]
	l.done, l.sentTo = l.next, l.logTime
	if time.Since(l.commitAt) < commitEvery {
		return nil
	}
	return l.commit(ctx)
}

func (l *loop) commit(ctx context.Context) error {
	if l.done <= l.committed {
		return nil
	}
	if err := l.gen.Commit(ctx, l.from.topic, l.from.partition, l.done, strconv.FormatInt(l.sentTo, 10)); err != nil {
		return err
	}
	l.committed, l.commitAt = l.done, time.Now()
	return nil
}

// leave commits what was sent: the coordinator still takes it from a generation
// that has just ended.
func (l *loop) leave() {
	l.lost.said = time.Time{}
	l.lost.say(time.Now())
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := l.commit(ctx); err != nil && !errors.Is(err, bus.ErrFenced) {
		l.log.Warn("the position was not stored; what was sent since goes out again", "topic", l.from.topic, "partition", l.from.partition, "err", err)
	}
}
