package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"

	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/wire"
)

const (
	// fetchWait bounds how long a fetch waits for news.
	fetchWait = 500 * time.Millisecond
	// judgeEvery is how often sources are judged.
	judgeEvery = time.Second
)

// active is the active member: a session, and the loops that feed it.
type active struct {
	*session
	n         *Notify
	reader    *bus.Reader
	started   time.Time
	lastFetch atomic.Int64 // Unix milliseconds of the last answer of the broker

	paused bool // guarded by Notify.life

	stop context.CancelFunc
	done sync.WaitGroup
}

// start loads what is saved, reads the whole topic, and only then lets anything
// go out. ctx is the life of the active member, begin that of its start.
func (n *Notify) start(ctx, begin context.Context) (*active, error) {
	s, err := newSession(begin, n)
	if err != nil {
		return nil, err
	}
	a := &active{session: s, n: n}
	if err := a.replay(begin); err != nil {
		s.close()
		return nil, err
	}
	b, err := s.build(n.good())
	if err != nil {
		s.close()
		return nil, err
	}
	s.apply(b)
	a.started = time.Now()
	a.lastFetch.Store(a.started.UnixMilli())
	ctx, a.stop = context.WithCancel(ctx)
	a.done.Go(func() { a.intake(ctx) })
	a.done.Go(func() { a.judge(ctx) })
	a.done.Go(func() { a.clearAway(ctx) })
	if n.cfg.DeadMan.URL != "" {
		a.done.Go(func() { a.feedDeadMan(ctx) })
	}
	return a, nil
}

// close stops the loops first, so that nothing feeds a session that is gone.
func (a *active) close() {
	a.stop()
	a.done.Wait()
	a.session.close()
}

// replay reads the saved alerts of the watchdog and the topic to its end, and
// feeds the last word on each alert.
func (a *active) replay(ctx context.Context) error {
	own, err := a.n.store.List(ctx, kindOwn)
	if err != nil {
		return fmt.Errorf("read own alerts: %w", err)
	}
	now := time.Now()
	for _, b := range own {
		if rec, ok := a.parse(b); ok {
			a.book.apply(rec, now, true)
		}
	}
	first, next, err := a.n.client.Offsets(ctx, wire.TopicAlerts, 0)
	if err != nil {
		return err
	}
	a.reader = a.n.client.Reader(wire.TopicAlerts, 0, first)
	// A compacted log may hold nothing at its end: three empty answers in a row
	// are the end too.
	for empty := 0; a.reader.Offset() < next && empty < 3; empty++ {
		recs, err := a.fetch(ctx)
		if err != nil {
			return err
		}
		if len(recs) > 0 {
			empty = -1
		}
		for i := range recs {
			if rec, ok := a.parse(recs[i].Value); ok {
				a.book.apply(rec, now, true)
			}
		}
	}
	var feed []*amalert.Alert
	for _, e := range a.book.list() {
		feed = append(feed, toAlertmanager(&e, now))
	}
	return a.alerts.Put(ctx, feed...)
}

// fetch reads on; a damaged batch is skipped and counted.
func (a *active) fetch(ctx context.Context) ([]bus.Record, error) {
	recs, err := a.reader.Fetch(ctx, fetchWait)
	var bad *bus.ErrCorrupt
	if errors.As(err, &bad) {
		a.m.undecoded.Inc()
		a.n.log.Error("a batch of nines.alerts is damaged and skipped", "err", err)
		a.reader.SeekTo(bad.Next)
		return nil, nil
	}
	return recs, err
}

// parse reads one record; a deleted key (no value) says nothing.
func (a *active) parse(b []byte) (alert.Alert, bool) {
	var rec alert.Alert
	if len(b) == 0 {
		return rec, false
	}
	if err := json.Unmarshal(b, &rec); err != nil || rec.Status == "" {
		a.m.undecoded.Inc()
		return rec, false
	}
	return rec, true
}

// intake feeds what is published, until ctx ends. A position that the log does
// not hold any more means that the topic was made anew: it is read from the
// start.
func (a *active) intake(ctx context.Context) {
	load := a.n.loads.Own(wire.TopicAlerts, 0)
	defer load.Leave()
	defer a.reader.Measure(load)()
	wait, complained := 100*time.Millisecond, false
	for ctx.Err() == nil {
		recs, err := a.fetch(ctx)
		if err == nil {
			a.lastFetch.Store(time.Now().UnixMilli())
			a.feed(ctx, recs)
			load.Processed(a.upTo(recs))
			if complained {
				a.n.log.Info("reading nines.alerts works again")
			}
			wait, complained = 100*time.Millisecond, false
			continue
		}
		var gone *bus.ErrOutOfRange
		if errors.As(err, &gone) {
			a.n.log.Warn("nines.alerts was truncated or made anew; reading it from the start", "err", err)
			a.reader.SeekTo(gone.First)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if !complained {
			a.n.log.Error("reading nines.alerts failed; trying again", "err", err)
			complained = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// upTo is the time, Unix milliseconds, up to which alerts are taken in: now
// where the topic is read to its end. It has no ticks.
func (a *active) upTo(recs []bus.Record) int64 {
	if len(recs) == 0 || a.reader.Offset() >= a.reader.HighWater() {
		return time.Now().UnixMilli()
	}
	return recs[len(recs)-1].Time
}

func (a *active) feed(ctx context.Context, recs []bus.Record) {
	now := time.Now()
	for i := range recs {
		rec, ok := a.parse(recs[i].Value)
		if !ok {
			continue
		}
		a.m.records.Inc()
		if am := a.book.apply(rec, now, false); am != nil {
			a.put(ctx, am)
		}
	}
}

func (a *active) put(ctx context.Context, alerts ...*amalert.Alert) {
	if err := a.alerts.Put(ctx, alerts...); err != nil {
		a.n.log.Error("take in alert failed", "err", err)
	}
}

// judge runs the watchdog and flags stale alerts, until ctx ends.
func (a *active) judge(ctx context.Context) {
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		for _, v := range watch(a.book.evaluators(), now, a.started, a.cfg, a.ownFiring) {
			a.state(ctx, v, now)
		}
		// Rulers send nothing while no rule fires but heartbeats, as
		// evaluators do: all sources are judged alike.
		a.put(ctx, a.book.markStale(now, a.cfg.StallAfter.D(), a.started)...)
		a.book.forget(now)
	}
}

// ownFiring tells whether the watchdog's alert is firing.
func (a *active) ownFiring(source, reason string) bool {
	rec := verdict{source: source, reason: reason}.record(time.Time{})
	return a.book.firing(rec.Key())
}

// state raises or resolves the verdict's alert if that is news, and saves it, so
// that a crash does not leave it firing at the receiver for ever.
func (a *active) state(ctx context.Context, v verdict, now time.Time) {
	if v.blind == a.ownFiring(v.source, v.reason) {
		return
	}
	rec := v.record(now)
	if prev, ok := a.book.get(rec.Key()); ok && !v.blind {
		rec.StartsAt, rec.Annotations = prev.StartsAt, prev.Annotations
	}
	b, err := json.Marshal(rec)
	if err == nil {
		sctx, cancel := context.WithTimeout(ctx, storeTimeout)
		err = a.n.store.Put(sctx, kindOwn, rec.Key(), b)
		cancel()
	}
	a.health.wrote(err)
	if am := a.book.apply(rec, now, false); am != nil {
		a.put(ctx, am)
	}
}

// clearAway drops what has expired, now and then.
func (a *active) clearAway(ctx context.Context) {
	tick := time.NewTicker(gcInterval)
	defer tick.Stop()
	for {
		if err := prune(ctx, a.n.store, time.Now()); err != nil && ctx.Err() == nil {
			a.n.log.Error("clear away old alert state failed", "err", err)
		}
		_, err := a.plog.inner.GC()
		_, err2 := a.silences.GC()
		if err := errors.Join(err, err2); err != nil {
			a.n.log.Error("clear away old alert state failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// healthy says why the chain is not whole, nil if it is: alerts are read, every
// evaluator is heard and up to date, and state can be saved.
func (a *active) healthy(now time.Time) error {
	if d := now.Sub(time.UnixMilli(a.lastFetch.Load())); d > a.cfg.StallAfter.D() {
		return fmt.Errorf("nines.alerts was not readable for %v", d.Round(time.Second))
	}
	if err := a.health.err(); err != nil {
		return fmt.Errorf("alert state cannot be saved: %w", err)
	}
	sources := a.book.evaluators()
	if len(sources) == 0 {
		return errors.New("no evaluator was heard yet")
	}
	for name, s := range sources {
		if d := now.Sub(s.heard); d > a.cfg.StallAfter.D() {
			return fmt.Errorf("%s was not heard for %v", name, d.Round(time.Second))
		}
		if d := now.Sub(time.UnixMilli(s.logTime)); d > a.cfg.MaxLag.D() {
			return fmt.Errorf("%s lags by %v", name, d.Round(time.Second))
		}
	}
	return nil
}
