package scenario

import (
	"context"
	"errors"
	"slices"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/scenario/script"
	"nines/internal/slo"
)

const (
	// fine is the step of log time near a change, milliseconds; near is how long
	// after one.
	fine, near = 1000, 600_000
	// calm is the longest step while every series has values, and share the part
	// of the time since the last change that it may be; quiet is the step while
	// something is silent, for evaluation takes a longer one for a time in which
	// the collector was away.
	calm, share, quiet = 300_000, 20, 10_000
	// patience is how long after the last change all has followed that comes of
	// silence, and twice as long as alerts on it are declared to wait.
	patience = 3600_000
	// tail is how long after the last sample a scenario goes on that does not
	// say: bins wait so long for late frames.
	tail = 6000
)

// world is a scenario's agents, log and ledger.
type world struct {
	s      *script.Scenario
	agents []*agent
	pipe   *replay.Pipeline
	led    *ledger.Ledger
	close  func()
	now    int64
	end    int64
	// changes are the times at which something changes, ascending.
	changes []int64
	// patient is how long silence is looked at closely.
	patient int64
	firing  map[string]alert.Alert
	said    []alert.Alert // all that was published, in order
}

func newWorld(ctx context.Context, s *script.Scenario, set *slo.RuleSet) (*world, error) {
	w := &world{s: s, end: s.End, firing: map[string]alert.Alert{}}
	led, done, err := replay.Temporary(ctx)
	if err != nil {
		return nil, err
	}
	w.led, w.close = led, func() { _ = done() }
	w.pipe, err = replay.New(ctx, replay.Options{Rules: set, Ledger: led, Alerts: w.hear, Owner: "test"})
	if err != nil {
		return nil, errors.Join(err, done())
	}
	entries, err := given(s)
	if err == nil {
		err = w.record(ctx, entries)
	}
	if err != nil {
		return nil, errors.Join(err, done())
	}
	for i := range s.Agents {
		w.agents = append(w.agents, newAgent(s, &s.Agents[i]))
	}
	w.wait(set)
	w.plan()
	return w, nil
}

// hear takes in published alerts.
func (w *world) hear(_ int64, alerts []alert.Alert) {
	for _, a := range alerts {
		w.said = append(w.said, a)
		if a.Status == alert.Firing {
			w.firing[a.Key()] = a
		} else {
			delete(w.firing, a.Key())
		}
	}
}

// plan lists the times of changes, and the end where the scenario declares none.
func (w *world) plan() {
	w.changes = append(w.changes, w.s.Start)
	last := w.s.Start
	for _, a := range w.agents {
		for _, src := range a.sources {
			times := src.changes()
			w.changes = append(w.changes, times...)
			last = max(last, times[len(times)-1]+tail)
		}
	}
	for i := range w.s.Faults {
		f := &w.s.Faults[i]
		// A frame holds what was sampled since the one before: the last that is
		// still well is sent just before the fault begins.
		w.changes = append(w.changes, f.From-1, f.From, f.To)
		last = max(last, f.To)
	}
	for i := range w.s.Steps {
		step := &w.s.Steps[i]
		if last = max(last, step.At); step.Action == script.UseRules || step.Action == script.Tell {
			w.changes = append(w.changes, step.At)
		}
	}
	if w.end == 0 {
		w.end = last
	}
	w.sortChanges()
}

func (w *world) sortChanges() {
	w.changes = slices.DeleteFunc(w.changes, func(t int64) bool { return t < w.s.Start })
	slices.Sort(w.changes)
	w.changes = slices.Compact(w.changes)
}

func (w *world) setRules(set *slo.RuleSet) error {
	w.wait(set)
	return w.pipe.SetRules(set)
}

// wait notes how long the rules wait for what is silent.
func (w *world) wait(set *slo.RuleSet) {
	w.patient = max(w.patient, patience)
	for _, o := range set.Objectives {
		for _, rule := range o.NoData {
			w.patient = max(w.patient, 2*rule.After)
		}
	}
}

// advance moves log time to the time to and writes what is known then.
func (w *world) advance(to int64) error {
	if w.now == 0 {
		if err := w.begin(); err != nil {
			return err
		}
	}
	for w.now < to {
		if err := w.tick(w.next(to)); err != nil {
			return err
		}
	}
	return w.pipe.Commit()
}

// begin is the first tick: rules are in force before anything is counted.
func (w *world) begin() error {
	w.now = w.s.Start
	if err := w.pipe.Tick(w.now); err != nil {
		return err
	}
	return w.send()
}

// next returns the time of the next tick, at most to. Between two changes
// nothing new happens, so log time moves in longer steps.
func (w *world) next(to int64) int64 {
	i, found := slices.BinarySearch(w.changes, w.now)
	if found {
		i++
	}
	if i < len(w.changes) {
		to = min(to, w.changes[i])
	}
	if w.away(w.now) != nil {
		return to // no collector is there to tick
	}
	step := w.s.Tick
	switch {
	case step != 0:
	case i > 0 && w.now < w.changes[i-1]+near, w.troubled():
		step = fine
	case w.steady(w.since(i)):
		step = min(calm, w.since(i)/share)
	default:
		step = quiet
	}
	return min(to, w.now+step)
}

// since returns the time since the last change before the one of index i.
func (w *world) since(i int) int64 { return w.now - w.changes[max(i, 1)-1] }

// away returns the fault by which no collector works at t, nil for none.
func (w *world) away(t int64) *script.Fault {
	for i := range w.s.Faults {
		if f := &w.s.Faults[i]; f.Kind == script.Collector && f.From <= t && t < f.To {
			return f
		}
	}
	return nil
}

// troubled tells whether some fault holds now that shifts frames in time.
func (w *world) troubled() bool {
	for i := range w.s.Faults {
		if f := &w.s.Faults[i]; f.Kind != script.Silent && f.From <= w.now && w.now < f.To {
			return true
		}
	}
	return slices.ContainsFunc(w.agents, func(a *agent) bool { return len(a.spool) > 0 })
}

// steady tells whether every series has values, often enough. What the inventory
// expects may have no series at all: of its silence all has followed after a
// while, unless a whole region is silent, which a long step would end.
func (w *world) steady(since int64) bool {
	if e := w.pipe.Evaluation(); w.s.Inventoried() && (since < w.patient || e.Blind()) && e.Silent() {
		return false
	}
	for i := range w.s.Faults {
		if f := &w.s.Faults[i]; f.From <= w.now && w.now < f.To {
			return false
		}
	}
	for _, a := range w.agents {
		for _, src := range a.sources {
			if !src.steady() {
				return false
			}
		}
	}
	return true
}

// tick moves log time to t. Agents send what they have sampled by then; where no
// collector works it lies in the log until one does.
func (w *world) tick(t int64) error {
	absent := w.away(w.now) != nil
	w.now = t
	if err := w.send(); err != nil {
		return err
	}
	if absent && w.away(t) != nil {
		return nil
	}
	return w.pipe.Jump(t)
}

func (w *world) send() error {
	for _, a := range w.agents {
		if err := a.send(w); err != nil {
			return err
		}
	}
	return nil
}
