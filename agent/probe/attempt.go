package probe

import (
	"context"
	"time"
)

// attempt makes one attempt, scheduled at at, and sends its round. An attempt
// that ctx cut short sends nothing.
func (e *engine) attempt(ctx context.Context, t *target, sp *spec, at int64) {
	defer t.inFlight.Add(-1)
	e.m.inFlight.Inc()
	defer e.m.inFlight.Dec()
	if e.clock()-at > sp.interval/2 {
		e.miss(t, 1)
		return
	}
	start := time.Now()
	r := runProbe(ctx, sp, at)
	wait := time.Since(start)
	if ctx.Err() != nil {
		return
	}
	if r.noBudget {
		e.missBudget(t, at, &r)
		return
	}
	if r.starved || !r.ok && wait > sp.timeout+time.Duration(sp.interval/2)*time.Millisecond {
		// The end of the time-out was noticed late: this process was suspended
		// or starved, and an answer may have come in time.
		e.miss(t, 1)
		return
	}
	e.m.attempts[sp.kind].Inc()
	switch {
	case sp.control > 0:
		e.reportControl(sp, at, start, wait, &r)
	case !r.ok && (r.local || e.controls.blind(ctx, start)):
		if ctx.Err() == nil {
			e.emitBlind(t, sp, at, wait, &r)
		}
	default:
		e.emit(t, sp, at, wait, &r)
	}
}

func runProbe(ctx context.Context, sp *spec, at int64) result {
	ctx, cancel := context.WithTimeout(ctx, sp.timeout)
	defer cancel()
	return sp.probe(ctx, at)
}

func (e *engine) emit(t *target, sp *spec, at int64, wait time.Duration, r *result) {
	if !r.ok {
		e.m.failures[r.reason].Inc()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e.noteChange(t, sp, r)
	e.sink(t.series.round(at, wait, r))
	if t.gone {
		if h, ok := t.series.takeRTT(at); ok {
			e.sink(h)
		}
	}
}

func (e *engine) emitBlind(t *target, sp *spec, at int64, wait time.Duration, r *result) {
	e.m.blind.Inc()
	if r.local {
		e.m.local.Inc()
		e.log.Debug("cannot probe from here", "probe", sp.kind, "target", sp.labels.Get("target"), "error", r.err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e.sink(t.series.blindRound(at, wait))
}

// overrun fails an attempt that was due but not started.
func (e *engine) overrun(t *target, sp *spec, at int64) {
	e.m.attempts[sp.kind].Inc()
	if sp.control > 0 {
		return // the attempts under way will tell
	}
	r := newResult()
	r.reason = reasonOverrun
	if e.controls.isOffline() {
		e.emitBlind(t, sp, at, -1, &r)
		return
	}
	e.emit(t, sp, at, -1, &r)
}

func (e *engine) miss(t *target, n int64) {
	e.m.missed.Add(int(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.series.miss(n)
}

// missBudget counts an attempt that was not made because its job has used up
// its budget. It says so in a round of its own: no other may come for a day.
func (e *engine) missBudget(t *target, at int64, r *result) {
	e.m.missed.Inc()
	t.mu.Lock()
	defer t.mu.Unlock()
	e.sink(t.series.noBudgetRound(at, r))
}

// noteChange logs, at debug level, that a target began or ceased to fail.
func (e *engine) noteChange(t *target, sp *spec, r *result) {
	if t.failing == !r.ok {
		return
	}
	t.failing = !r.ok
	if r.ok {
		e.log.Debug("target answers again", "probe", sp.kind, "target", sp.labels.Get("target"))
		return
	}
	e.log.Debug("target fails", "probe", sp.kind, "target", sp.labels.Get("target"), "reason", r.reason, "error", r.err)
}
