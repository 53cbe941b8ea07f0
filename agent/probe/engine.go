package probe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nines/internal/telemetry"
)

// engine starts attempts when they are due and turns their results into
// rounds. One goroutine, run, owns the queue and the targets; every attempt has
// a goroutine of its own, so that one that hangs delays no other.
type engine struct {
	clock    func() int64
	sink     telemetry.Sink
	log      *slog.Logger
	m        *ownMetrics
	controls *controls

	mu      sync.Mutex
	pending *plan
	wake    chan struct{} // capacity 1: pending was set

	attempts sync.WaitGroup
}

// plan is what is to be probed from now on.
type plan struct {
	specs    []*spec
	inFlight int32
}

// schedule is the state of run.
type schedule struct {
	queue    queue
	byKey    map[string]*target
	retired  map[string]counts // of targets that are gone
	inFlight int32
	now      int64 // greatest clock seen, Unix ms
}

// backward is how far the clock may step back before due times are reckoned
// anew, in ms. Shorter steps are waited out, so that no bin gets two attempts.
const backward = 2000

// maxRetired bounds the counters kept of targets that are gone, where targets
// come and go all day.
const maxRetired = 100_000

func newEngine(clock func() int64, sink telemetry.Sink, log *slog.Logger, m *ownMetrics) *engine {
	e := &engine{clock: clock, sink: sink, log: log, m: m, wake: make(chan struct{}, 1)}
	e.controls = newControls(e)
	return e
}

// set replaces what is probed. Targets whose key stays go on undisturbed.
func (e *engine) set(p plan) {
	e.mu.Lock()
	e.pending = &p
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *engine) take() *plan {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pending
	e.pending = nil
	return p
}

// run starts due attempts until ctx ends, then waits for those under way,
// whose results are dropped, and sends the histograms not yet sent.
func (e *engine) run(ctx context.Context) {
	s := &schedule{byKey: map[string]*target{}, retired: map[string]counts{}, now: e.clock()}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		if p := e.take(); p != nil {
			e.apply(s, p)
		}
		timer.Reset(e.startDue(ctx, s))
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
	}
	e.attempts.Wait()
	for _, t := range s.byKey {
		e.flushRTT(t, t.due-t.spec.interval)
		t.spec.shut()
	}
}

// startDue starts what is due and returns how long to wait for what is next.
func (e *engine) startDue(ctx context.Context, s *schedule) time.Duration {
	now := e.clock()
	if now < s.now-backward {
		e.log.Warn("clock went back: reckoning due times anew", "ms", s.now-now)
		s.reckon(now)
	}
	s.now = now
	for len(s.queue) > 0 && s.queue[0].due <= now {
		t := s.queue[0]
		e.step(ctx, s, t, now)
		s.queue.down(0)
	}
	if len(s.queue) == 0 {
		return time.Hour
	}
	return time.Duration(s.queue[0].due-now) * time.Millisecond
}

// reckon sets every due time to the first one after now.
func (s *schedule) reckon(now int64) {
	for _, t := range s.queue {
		t.due = firstDue(now, t.spec.interval, t.spec.phase)
	}
	s.queue.init()
}

// step deals with one due target and sets its next due time.
func (e *engine) step(ctx context.Context, s *schedule, t *target, now int64) {
	due := t.due
	start, missed, next := pace(due, t.spec.interval, now)
	t.due = next
	if w := due / rttWindow; w != t.window {
		e.flushRTT(t, due-t.spec.interval)
		t.window = w
	}
	if missed > 0 {
		e.miss(t, missed)
	}
	if !start {
		return
	}
	e.m.delay.Update(float64(now-due) / 1e3)
	if t.inFlight.Load() >= s.inFlight {
		e.overrun(t, t.spec, due)
		return
	}
	t.inFlight.Add(1)
	sp := t.spec
	e.attempts.Go(func() { e.attempt(ctx, t, sp, due) })
}

// apply brings the targets in line with the plan.
func (e *engine) apply(s *schedule, p *plan) {
	s.inFlight = p.inFlight
	s.now = max(s.now, e.clock())
	keep := make(map[string]*target, len(p.specs))
	for _, sp := range p.specs {
		t := s.byKey[sp.key]
		switch {
		case t == nil:
			t = &target{spec: sp, series: newSeries(sp, s.retired[sp.key])}
			delete(s.retired, sp.key)
			t.due = firstDue(s.now, sp.interval, sp.phase)
			t.window = t.due / rttWindow
		default:
			e.replace(t, sp, s.now)
		}
		keep[sp.key] = t
	}
	for key, t := range s.byKey {
		if keep[key] == nil {
			e.retire(s, t)
		}
	}
	s.byKey = keep
	s.queue = s.queue[:0]
	for _, t := range keep {
		s.queue = append(s.queue, t)
	}
	s.queue.init()
	e.controls.set(keep)
	e.m.targets.Set(float64(len(keep) - e.controls.count()))
}

// replace gives a target its new spec. No attempt is started in a bin that had
// one: the next due time lies after the last.
func (e *engine) replace(t *target, sp *spec, now int64) {
	old := t.spec
	t.spec = sp
	if old.interval != sp.interval || old.phase != sp.phase {
		t.due = firstDue(max(now, t.due-old.interval), sp.interval, sp.phase)
	}
	if old.phases != sp.phases || old.figures != sp.figures {
		t.mu.Lock()
		t.series.phases, t.series.figures = sp.phases, sp.figures
		t.series.layout()
		t.mu.Unlock()
	}
	if old != sp {
		old.shut()
	}
}

func (e *engine) retire(s *schedule, t *target) {
	e.flushRTT(t, t.due-t.spec.interval)
	t.spec.shut()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	if len(s.retired) >= maxRetired {
		clear(s.retired)
	}
	if !t.series.counts.empty() {
		s.retired[t.spec.key] = t.series.counts
	}
}

// flushRTT sends what the target's histogram holds, at the sample time at.
func (e *engine) flushRTT(t *target, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.series.takeRTT(at); ok {
		e.sink(r)
	}
}

func (sp *spec) shut() {
	if sp.close != nil {
		sp.close()
	}
}
