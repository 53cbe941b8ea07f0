package probe

import (
	"context"
	"slices"
	"sync"
	"time"

	"nines/internal/telemetry"
)

// controls tell an offline prober from a failing target. A target's failure
// counts against it only if a control target answered an attempt that started
// no earlier than the failed one; where there is no such answer yet, the
// control targets are probed at once, and the failure waits for the first of
// them. So an answer from before a link broke blames no target. Nor does one
// from after it healed: an attempt that started while the prober was offline
// counts against nobody.
type controls struct {
	e *engine

	mu      sync.Mutex
	states  []controlState
	changed chan struct{} // closed when a result arrives
	asked   time.Time     // when control targets were last probed at once
	offline bool
	// onlineAt is when the answer was asked for that ended the last offline
	// stretch; zero before.
	onlineAt time.Time
}

// controlState is a control target and its newest result.
type controlState struct {
	target *target
	spec   *spec
	start  time.Time // of the newest attempt that has a result; zero before
	ok     bool
	// unusable says that this host could not even try, so that the result tells
	// nothing; a control target that may never be tried vouches for nobody.
	unusable bool
}

// askEvery bounds how often failures of targets cause extra attempts at the
// control targets.
const askEvery = 200 * time.Millisecond

func newControls(e *engine) *controls { return &controls{e: e, changed: make(chan struct{})} }

func (c *controls) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.states)
}

// set takes the control targets out of targets, keeping results of those that
// stay.
func (c *controls) set(targets map[string]*target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[*target]controlState{}
	for _, s := range c.states {
		known[s.target] = s
	}
	n := 0
	for _, t := range targets {
		n = max(n, t.spec.control)
	}
	c.states = make([]controlState, n)
	for _, t := range targets {
		if i := t.spec.control; i > 0 {
			s := known[t]
			s.target, s.spec = t, t.spec
			c.states[i-1] = s
		}
	}
	c.notifyLocked()
}

func (c *controls) isOffline() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offline
}

func (c *controls) notifyLocked() {
	c.offline = c.offlineLocked()
	c.e.m.offline.Set(b2f(c.offline))
	close(c.changed)
	c.changed = make(chan struct{})
}

// offlineLocked tells whether the newest result of every control target that
// can be tried is a failure.
func (c *controls) offlineLocked() bool {
	failed := 0
	for _, s := range c.states {
		switch {
		case s.unusable:
		case s.ok || s.start.IsZero():
			return false
		default:
			failed++
		}
	}
	return failed > 0
}

// report takes the result of an attempt that started at start.
func (c *controls) report(i int, start time.Time, r *result) (offline, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < len(c.states) && !start.Before(c.states[i].start) {
		s := &c.states[i]
		s.start, s.ok, s.unusable = start, r.ok, !r.ok && r.local
	}
	was := c.offline
	c.notifyLocked()
	if was && !c.offline {
		c.onlineAt = start
	}
	return c.offline, c.offline != was
}

// blind tells whether a failure of an attempt that started at since is the
// prober's own. It may wait for control targets as long as their timeout.
func (c *controls) blind(ctx context.Context, since time.Time) bool {
	var limit <-chan time.Time
	for {
		blind, decided, changed, retry := c.judge(ctx, since)
		if decided {
			return blind
		}
		if limit == nil {
			limit = time.After(c.patience())
		}
		select {
		case <-ctx.Done():
			return true
		case <-limit:
			// No answer and no failure either: what is known is the newest
			// results, and by them the prober is online.
			return false
		case <-changed:
		case <-time.After(retry):
		}
	}
}

// judge decides by the results so far. Without a decision it has the control
// targets probed, unless that was done a moment ago, and returns what to wait
// for.
func (c *controls) judge(ctx context.Context, since time.Time) (blind, decided bool, changed chan struct{}, retry time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.states, func(s controlState) bool { return !s.unusable }) {
		return false, true, nil, 0
	}
	if c.offline || since.Before(c.onlineAt) {
		return true, true, nil, 0
	}
	for _, s := range c.states {
		if s.ok && !s.start.Before(since) {
			return false, true, nil, 0
		}
	}
	if wait := askEvery - time.Since(c.asked); wait > 0 && !c.asked.IsZero() {
		if !c.asked.Before(since) {
			wait = time.Hour // the attempts under way will decide
		}
		return false, false, c.changed, wait
	}
	c.asked = time.Now()
	for _, s := range c.states {
		c.e.attempts.Go(func() { c.e.askControl(ctx, s.spec) })
	}
	return false, false, c.changed, time.Hour
}

// patience is how long to wait for control targets.
func (c *controls) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var d time.Duration
	for _, s := range c.states {
		d = max(d, s.spec.timeout)
	}
	return d + 2*askEvery
}

// askControl probes a control target out of turn.
func (e *engine) askControl(ctx context.Context, sp *spec) {
	start := time.Now()
	r := runProbe(ctx, sp, e.clock())
	if ctx.Err() == nil {
		e.noteOffline(e.controls.report(sp.control-1, start, &r))
	}
}

// reportControl takes the result of a scheduled attempt at a control target and
// sends its rounds.
func (e *engine) reportControl(sp *spec, at int64, start time.Time, wait time.Duration, r *result) {
	offline, changed := e.controls.report(sp.control-1, start, r)
	e.noteOffline(offline, changed)
	if r.ok || !r.local { // else nothing was measured
		b := newRoundBuilder(telemetry.NewSchema([]telemetry.Series{
			{Name: "probe_control_success", Labels: sp.labels, Kind: telemetry.Gauge},
			{Name: "probe_control_duration_seconds", Labels: sp.labels, Kind: telemetry.Gauge},
		}), at)
		b.set(0, b2f(r.ok))
		b.setDuration(1, wait)
		e.sink(b.finish())
	}
	if sp.control == 1 {
		b := newRoundBuilder(telemetry.NewSchema([]telemetry.Series{{Name: "probe_offline", Kind: telemetry.Gauge}}), at)
		b.set(0, b2f(offline))
		e.sink(b.finish())
	}
}

func (e *engine) noteOffline(offline, changed bool) {
	switch {
	case changed && offline:
		e.log.Warn("prober is offline: all control targets fail; failures of targets are recorded as blindness")
	case changed:
		e.log.Info("prober is online again")
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
