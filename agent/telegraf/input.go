package telegraf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/models"

	"nines/internal/telemetry"
)

// Stats are the figures of one input since it began.
type Stats struct {
	// Name is the plugin's name, with its alias or number where there are
	// several.
	Name string
	// Interval between gathers.
	Interval time.Duration
	// Replaced says that a cheaper reader gathers in the plugin's place.
	Replaced bool
	// Gathers counts those finished, Errors those that failed or panicked, and
	// Missed the turns that passed while an earlier gather was still running.
	Gathers, Errors, Missed uint64
	// Last is how long the last finished gather took, Running how long the one
	// under way has lasted; 0 where none is.
	Last, Running time.Duration
	// Series is how many series the input gives at present.
	Series int
	// Refused counts values dropped because the input has too many series;
	// RefusedNames are the first metrics that lost some, at most five.
	Refused      uint64
	RefusedNames []string
}

// input is one configured plugin. Its own goroutine gathers; any may read the
// figures.
type input struct {
	name     string
	key      string // see Options.key
	ri       *models.RunningInput
	opt      *Options
	acc      *accumulator
	native   *replaced
	log      *slog.Logger
	started  bool
	failing  bool
	rounds   []telemetry.Round
	forgetIn uint64
	cancel   context.CancelFunc // ends run
	done     chan struct{}      // closed when run has returned

	refusedNames atomic.Pointer[[]string]

	tick atomic.Int64 // the last one measured or counted as missed, Unix milliseconds

	turns   *turns
	refused atomic.Uint64
	series  atomic.Int64
	last    atomic.Int64 // nanoseconds
	since   atomic.Int64 // wall nanoseconds; 0 when idle
}

// turns counts what became of an input's turns. It goes on with the one that
// takes an input's place, whose name it has: a counter does not fall.
type turns struct{ gathers, errs, missed atomic.Uint64 }

func newInput(ri *models.RunningInput, name string, opt *Options) (*input, error) {
	in := &input{name: name, key: opt.key(ri), ri: ri, opt: opt, log: opt.Log.With("input", name),
		cancel: func() {}, done: make(chan struct{}), turns: &turns{}}
	plugin := ri.Config.Name
	kinds := newKindTable()
	in.acc = newAccumulator(ri, newLayout(func(field string, typ telegraf.ValueType) telemetry.Kind {
		return kinds.kindOf(plugin, field, typ)
	}, opt.maxSeries()))
	models.SetLoggerOnPlugin(ri.Input, &pluginLog{log: in.log})
	if err := protect(ri.Init); err != nil {
		return nil, fmt.Errorf("%s: inputs.%s: initialise input: %w", ri.Config.Source, name, err)
	}
	reader, err := in.reader()
	if err != nil {
		return nil, fmt.Errorf("%s: inputs.%s: open reader: %w", ri.Config.Source, name, err)
	}
	if reader != nil {
		in.native = &replaced{ri: ri, reader: reader, max: opt.maxSeries()}
	}
	return in, nil
}

// run gathers at every tick until ctx ends, from the tick after last on, which
// its predecessor measured; 0 where there is none.
func (in *input) run(ctx context.Context, last int64) {
	defer close(in.done)
	defer in.stop()
	interval := millis(in.ri.Config.Interval)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	tick := in.catchUp(ctx, last, interval)
	for ctx.Err() == nil { // else what passed since is its successor's to count
		now := in.opt.Clock()
		next, missed := nextTick(now, tick, interval)
		if missed > 0 {
			in.turns.missed.Add(missed)
			in.tick.Store(next - interval)
		}
		timer.Reset(time.Duration(next-now)*time.Millisecond + in.delay())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		tick = next
		in.gather(tick)
	}
}

// catchUp measures the tick that passed while this input took the place of
// another, so that a reload costs no sample. Of more than one it leaves those that
// passed to be counted as missed. It returns the last tick measured.
func (in *input) catchUp(ctx context.Context, last, interval int64) int64 {
	in.tick.Store(last)
	now := in.opt.Clock()
	due := last - last%interval + interval
	switch {
	case last == 0:
		return 0
	case now < due || now-due >= interval || ctx.Err() != nil:
		return due - interval
	}
	in.gather(due)
	return due
}

func millis(d time.Duration) int64 { return max(d.Milliseconds(), 1) }

// delay is the input's collection_offset and collection_jitter. The sample
// time stays the tick's.
func (in *input) delay() time.Duration {
	d := in.ri.Config.CollectionOffset
	if j := in.ri.Config.CollectionJitter; j > 0 {
		d += rand.N(j)
	}
	return d
}

// nextTick returns the first multiple of interval after now that is not the
// last tick, and how many ticks passed unused. A clock set back starts over.
func nextTick(now, last, interval int64) (next int64, missed uint64) {
	next = now - now%interval + interval
	if last == 0 || last-now > interval {
		return next, 0
	}
	if next <= last {
		return last + interval, 0
	}
	return next, uint64((next-last)/interval - 1)
}

// gather measures once for tick t and hands the rounds to the sink.
func (in *input) gather(t int64) {
	began := time.Now()
	in.tick.Store(t)
	in.since.Store(began.UnixNano())
	err := protect(in.start)
	if err == nil {
		err = protect(func() error { return in.measure(t) })
	}
	took := time.Since(began)
	in.since.Store(0)
	in.last.Store(int64(took))
	in.turns.gathers.Add(1)
	in.report(err)
	// What took longer than the interval was measured at its end rather than
	// at its tick.
	if iv := millis(in.ri.Config.Interval); took.Milliseconds() > iv {
		now := in.opt.Clock()
		for i := range in.rounds {
			in.rounds[i].Time = max(t, now-now%iv)
		}
	}
	for i, r := range in.rounds {
		in.opt.Sink(r)
		in.rounds[i] = telemetry.Round{}
	}
	in.rounds = in.rounds[:0]
}

// measure fills in.rounds.
func (in *input) measure(t int64) error {
	if in.native != nil {
		var err error
		in.rounds, err = in.native.gather(t, in.rounds[:0])
		in.series.Store(int64(in.native.series()))
		in.noteRefused(in.native.refused, in.native.refusedNames)
		return err
	}
	l := in.acc.layout
	in.acc.mu.Lock()
	l.begin(t)
	in.acc.mu.Unlock()
	err := in.ri.Gather(in.acc)
	in.acc.mu.Lock()
	defer in.acc.mu.Unlock()
	in.rounds = l.rounds(in.rounds[:0])
	in.forget(l)
	in.series.Store(int64(len(l.columns)))
	in.noteRefused(l.refused, l.refusedNames)
	return err
}

// noteRefused publishes what the limit of series dropped, and says it once.
func (in *input) noteRefused(values uint64, names []string) {
	in.refused.Store(values)
	known := in.refusedNames.Load()
	if len(names) == 0 || known != nil && len(*known) == len(names) {
		return
	}
	in.refusedNames.Store(&names)
	if known == nil {
		in.log.Warn("input has more series than it may have; those beyond the limit are dropped (limits.series_per_input)",
			"limit", in.opt.maxSeries(), "first_dropped", strings.Join(names, ","))
	}
}

// forget looks for series that are gone, some times in each GoneAfter.
func (in *input) forget(l *layout) {
	if in.forgetIn > 0 {
		in.forgetIn--
		return
	}
	rounds := uint64(max(in.opt.GoneAfter/max(in.ri.Config.Interval, time.Millisecond), 1))
	in.forgetIn = rounds / 8
	l.forget(rounds)
}

// start starts a plugin that wants it, again before each gather until it
// succeeds: gathering from a plugin that has not started may panic.
func (in *input) start() error {
	if in.started || in.native != nil {
		return nil
	}
	if err := in.ri.Start(in.acc); err != nil {
		return fmt.Errorf("start input: %w", err)
	}
	in.started = true
	return nil
}

func (in *input) stop() {
	if in.native != nil {
		if err := in.native.reader.Close(); err != nil {
			in.log.Warn("close reader", "error", err)
		}
		return
	}
	if in.started {
		_ = protect(func() error { in.ri.Stop(); return nil })
	}
}

// report counts errors and logs when an input begins to fail and when it works
// again, not each failure.
func (in *input) report(err error) {
	_, last := in.acc.takeErrors()
	if err != nil {
		in.turns.errs.Add(1)
	} else {
		err = last
	}
	switch failing := err != nil; {
	case failing && !in.failing:
		in.log.Warn("input fails; the others go on", "error", err)
		in.failing = true
	case !failing && in.failing:
		in.log.Info("input works again")
		in.failing = false
	}
}

func (in *input) stats() Stats {
	in.acc.mu.Lock()
	added := in.acc.errs
	in.acc.mu.Unlock()
	st := Stats{
		Name: in.name, Interval: in.ri.Config.Interval, Replaced: in.native != nil,
		Gathers: in.turns.gathers.Load(), Errors: in.turns.errs.Load() + added, Missed: in.turns.missed.Load(),
		Last: time.Duration(in.last.Load()), Series: int(in.series.Load()), Refused: in.refused.Load(),
	}
	if names := in.refusedNames.Load(); names != nil {
		st.RefusedNames = *names
	}
	if since := in.since.Load(); since != 0 {
		st.Running = max(time.Duration(time.Now().UnixNano()-since), 1)
	}
	return st
}

// once gathers twice with pause between and keeps what the second gave.
func (in *input) once(ctx context.Context, pause time.Duration) Result {
	defer in.stop()
	res := Result{Input: in.name}
	for i := range 2 {
		if i > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		began := time.Now()
		err := protect(in.start)
		if err == nil {
			err = protect(func() error { return in.measure(in.opt.Clock()) })
		}
		res.Took = time.Since(began)
		_, last := in.acc.takeErrors()
		res.Err = errors.Join(err, last)
		res.Rounds = append(res.Rounds[:0], in.rounds...)
	}
	return res
}

// protect turns a panic into an error.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
