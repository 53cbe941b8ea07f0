// Package agent measures a host and its probe targets and sends what it
// measured to nines.telemetry. It promises that frames are numbered from 1
// without holes, leave strictly in order, each after the one before is
// acknowledged, and that what is lost because Kafka stayed away too long is
// missing numbers, never a silence. Sample times come from a monotonic clock.
// No source can hold up another, and none can hold up sending.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/agent/framing"
	"nines/agent/gpu"
	"nines/agent/mesh"
	"nines/agent/probe"
	"nines/agent/spool"
	"nines/agent/telegraf"
	"nines/internal/bus"
	"nines/internal/telemetry"
)

const (
	// metadataTTL is how often the cluster is asked for at least. An agent writes to
	// one partition, and hears from its broker when that has moved.
	metadataTTL = 5 * time.Minute
	// urgentPause is the least time between two flushes on demand.
	urgentPause = 50 * time.Millisecond
	// ackWait is how long a stopping agent waits for what it sent last.
	ackWait = time.Second
)

// Options configure an Agent.
type Options struct {
	Config Config
	// Client is where frames go; nil lets the agent make one of Config.Kafka,
	// which it then closes.
	Client *bus.Client
	// Sender takes the frames instead of a client, where given.
	Sender Sender
	// Source is one more source of rounds, beside inputs and probes, where given.
	// Its rounds carry the time of clock, Unix milliseconds; it returns when ctx
	// ends.
	Source func(ctx context.Context, clock func() int64, sink telemetry.Sink)
	// Wall is the system clock that sample times follow; nil is the machine's.
	Wall func() time.Time
	// Turned is called by the goroutine that makes frames, at each of its turns and
	// every TurnEvery at least, from when the sources run; nil is not called.
	Turned func()
	// TurnEvery is the most that passes between two turns of that goroutine where
	// there is nothing to do; 6 s, and no more.
	TurnEvery time.Duration
	// Version is reported in nines_agent_info.
	Version string
	// Log is where the agent says what changes; nil discards it.
	Log *slog.Logger
	// Metrics is the set that gets the agent's own figures; nil has none.
	Metrics *metrics.Set
}

// Agent is one host's agent. Its boot begins with New.
type Agent struct {
	opt    Options
	live   atomic.Pointer[Config] // with defaults; a reload replaces it
	boot   uint64
	log    *slog.Logger
	clock  *Clock
	framer *framing.Framer
	due    *time.Timer // the next regular flush, armed while rounds wait for it
	spool  *spool.Spool
	pacer  spool.Pacer // of the sending goroutine
	losses *losses
	inputs *telegraf.Inputs
	prober *probe.Prober
	xids   *gpu.Xids // nil without NVIDIA's driver
	self   *self
	sender Sender
	client *bus.Client // nil where frames go to a Sender that was given
	own    *bus.Client // to be closed by Run

	secrets  atomic.Pointer[[]string] // what the log hides
	began    time.Time
	lastTurn atomic.Int64 // of the frame loop, nanoseconds since began; 0 before Run

	meshFigures mesh.Figures
	nextMesh    chan *mesh.Mesh // of one place: what is to run from now on, nil for none

	reloading sync.Mutex // one reload at a time
	mesh      *mesh.Mesh // in force, nil for none; of whoever reloads
	mu        sync.Mutex
	reloads   reloads
}

// New checks the configuration, prepares the inputs and probes and starts
// nothing. Errors in the configuration name file, line and path.
func New(opt Options) (*Agent, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if err := opt.Config.Validate(); err != nil {
		return nil, fmt.Errorf("configure agent: %w", err)
	}
	cfg, err := opt.Config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure agent: %w", err)
	}
	a := &Agent{opt: opt, boot: newBoot(), clock: NewClock(), began: time.Now(), nextMesh: make(chan *mesh.Mesh, 1)}
	a.reloads.last = a.began
	a.live.Store(&cfg)
	sec := cfg.Secrets()
	a.secrets.Store(&sec)
	a.opt.Log = hiding(opt.Log, &a.secrets)
	opt.Log, a.log = a.opt.Log, a.opt.Log
	if opt.Wall != nil {
		start := time.Now()
		a.clock = newClock(opt.Wall, func() time.Duration { return time.Since(start) })
	}
	a.framer = framing.New(cfg.Agent, a.boot, cfg.hostLabels())
	a.due = time.NewTimer(time.Hour)
	a.due.Stop()
	a.framer.OnFirst(func() { a.due.Reset(a.untilFlush()) })
	a.losses = newLosses(a.framer.Schema, opt.Log)
	a.pacer = spool.Pacer{Speed: cfg.Spool.ReplaySpeed, Draw: float64(a.boot>>11) / (1 << 53)}
	if a.spool, err = spool.New(a.spoolOptions()); err != nil {
		return nil, err
	}
	if a.inputs, err = newInputs(cfg, a.clock.Now, a.framer.Sink, opt.Log); err != nil {
		return nil, err
	}
	a.prober, err = probe.New(probe.Options{
		Config: cfg.Probes, Dir: cfg.Dir, Agent: cfg.Agent, Boot: a.boot, Sink: a.framer.Sink, Clock: a.clock.Now,
		Log: opt.Log, Metrics: opt.Metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("configure probes: %w", err)
	}
	if gpu.Present() {
		a.xids, err = gpu.New(gpu.Options{Clock: a.clock.Now, Sink: a.framer.Sink, Log: opt.Log})
		if err != nil {
			return nil, err
		}
	}
	if err := a.connect(); err != nil {
		return nil, err
	}
	m, err := a.newMesh(&cfg)
	if err != nil {
		a.closeOwn()
		return nil, fmt.Errorf("configure agent: %w", err)
	}
	a.setMesh(m)
	a.self = newSelf(a)
	a.self.export(opt.Metrics)
	a.meshFigures.Export(opt.Metrics)
	return a, nil
}

// connect decides where frames go.
func (a *Agent) connect() error {
	if a.sender = a.opt.Sender; a.sender != nil {
		return nil
	}
	client := a.opt.Client
	if client == nil {
		var err error
		client, err = bus.New(bus.Options{Config: a.cfg().Kafka, Log: a.log, Metrics: a.opt.Metrics, MetadataTTL: metadataTTL})
		if err != nil {
			return err
		}
		a.own = client
	}
	a.client = client
	a.sender = newBusSender(client, a)
	return nil
}

func (a *Agent) closeOwn() {
	if a.own != nil {
		a.own.Close()
	}
}

func (a *Agent) spoolOptions() spool.Options {
	c := a.cfg().Spool
	return spool.Options{
		MemoryBytes: c.MemoryBytes, Dir: c.Dir, DiskBytes: c.DiskBytes, MaxAge: c.MaxAge, Log: a.log,
		Dropped: func(d spool.Drop) { a.self.dropped(d) },
	}
}

// cfg is the configuration in force, with defaults. Nobody changes it in place.
func (a *Agent) cfg() *Config { return a.live.Load() }

// Boot returns the random number of this run, part of every frame's identity.
func (a *Agent) Boot() uint64 { return a.boot }

// Name returns the agent's name.
func (a *Agent) Name() string { return a.cfg().Agent }

// Inputs returns the names of the inputs that run, and of those configured
// whose hardware this host lacks.
func (a *Agent) Inputs() (running, absent []string) {
	for _, st := range a.inputs.Stats() {
		running = append(running, st.Name)
	}
	return running, a.inputs.Absent()
}

// Run measures and sends until ctx ends. Then it stops the sources, flushes
// once more and waits up to a second for the acknowledgement.
func (a *Agent) Run(ctx context.Context) error {
	defer a.closeOwn()
	defer a.self.close()
	sendCtx, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var sending sync.WaitGroup
	var sendErr error
	stopped := make(chan struct{}) // closed when the last frame is in the spool
	failed := make(chan struct{})
	sending.Go(func() {
		sendErr = a.deliver(sendCtx, stopped, failed)
	})

	srcCtx, stopSources := context.WithCancel(ctx)
	defer stopSources()
	sources, srcErrs := a.startSources(srcCtx)
	a.frame(ctx, failed)
	stopSources()
	sources.Wait()
	a.flush()
	close(stopped)
	timer := time.AfterFunc(ackWait, stopSending)
	sending.Wait()
	timer.Stop()
	a.losses.report(time.Now())
	a.sayUnsent(a.spool.Stats())
	return errors.Join(sendErr, srcErrs())
}

// sayUnsent says what becomes of frames that were not sent.
func (a *Agent) sayUnsent(st spool.Stats) {
	if st.DiskFrames > 0 {
		a.log.Info("agent stops with frames unsent; the next process sends them", "frames", st.DiskFrames)
	}
	if n := st.Frames - st.DiskFrames; n > 0 {
		a.log.Warn("agent stops with frames unsent; they are missing from the log and will show as a gap", "frames", n)
	}
}

// startSources starts everything that measures. errs is valid once they have
// ended.
func (a *Agent) startSources(ctx context.Context) (wg *sync.WaitGroup, errs func() error) {
	wg = &sync.WaitGroup{}
	var inputErr, probeErr error
	wg.Go(func() { inputErr = a.inputs.Run(ctx) })
	wg.Go(func() { probeErr = a.prober.Run(ctx) })
	wg.Go(func() { a.self.run(ctx) })
	wg.Go(func() { a.runMesh(ctx) })
	if a.xids != nil {
		wg.Go(func() { _ = a.xids.Run(ctx) }) // it only ever ends with ctx
	}
	if a.opt.Source != nil {
		wg.Go(func() { a.opt.Source(ctx, a.clock.Now, a.framer.Sink) })
	}
	return wg, func() error {
		if errors.Is(probeErr, context.Canceled) {
			probeErr = nil
		}
		return errors.Join(inputErr, probeErr)
	}
}

// frame flushes at every interval in which there is something to flush, and soon
// after an urgent round, until ctx ends or sending is impossible. Flushes come a
// little after the aligned second, so that what is measured on the second leaves
// with it. An agent that measures every ten seconds sleeps in between, but for a
// turn each TurnEvery.
func (a *Agent) frame(ctx context.Context, failed <-chan struct{}) {
	defer a.due.Stop()
	turnEvery := a.turnEvery()
	beat := time.NewTimer(turnEvery)
	defer beat.Stop()
	var last time.Time
	for {
		a.turned()
		beat.Reset(turnEvery)
		select {
		case <-ctx.Done():
			return
		case <-failed:
			return
		case <-beat.C:
		case <-a.due.C:
			a.flush()
			a.syncClock()
		case <-a.framer.Urgent():
			if !pause(ctx, urgentPause-time.Since(last)) {
				return
			}
			a.flush()
			last = time.Now()
		}
	}
}

// pause waits; it returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (a *Agent) untilFlush() time.Duration {
	every, now := a.cfg().Flush.Milliseconds(), a.clock.Now()
	l := min(every/5, 200)
	next := (now-l)/every*every + every + l
	return time.Duration(next-now) * time.Millisecond
}

// flush moves what was measured into the spool.
func (a *Agent) flush() {
	for _, it := range a.framer.Flush(a.clock.Now()) {
		lost := a.spool.Put(it)
		a.self.framed(len(it.Bytes))
		if lost.Frames > 0 {
			a.self.dropped(lost)
			a.framer.RepeatSchemas()
		}
	}
}

// syncClock follows the system clock at a frame boundary.
func (a *Agent) syncClock() {
	if step := a.clock.Sync(); step != 0 {
		a.self.stepped(step)
		a.log.Warn("system clock was set; sample times follow it from here on", "step", step.Round(time.Millisecond))
	}
}

// newBoot returns a random number other than zero.
func newBoot() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}
