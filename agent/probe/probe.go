// Package probe measures from outside whether targets answer, how fast, and
// why not: by ICMP echo, TCP connect, TLS handshake, HTTP(S) request, gRPC
// health check, DNS query and a question to a language model. package agent runs
// it.
//
// It promises:
//
//   - Open loop. Each target has a fixed schedule: its phase within the
//     interval follows from a hash of its labels. A due attempt starts on time
//     whatever hangs; a time-out counts with its full wait.
//   - One sample per attempt, timed by its scheduled start, so that a bin as
//     long as the interval holds exactly one. What could not be started near its
//     time, because the process was suspended or starved, is counted as missed
//     and leaves no sample: unknown, neither good nor bad.
//   - A target sees each attempt at most once.
//   - The prober's own trouble is not held against targets. When every control
//     target fails too, or this host itself cannot try (no descriptor, no
//     permission), a failure is recorded as probe_blind.
//
// Series of a target carry its labels with probe, target and job:
// probe_success, probe_latency_seconds (+Inf for a failure),
// probe_duration_seconds, probe_failures_total{reason} and probe_missed_total
// from their first occurrence, probe_rtt_seconds every 10 s, and for http
// probe_phase_seconds{phase}, probe_http_status and
// probe_tls_expiry_timestamp_seconds, and for llm what figures.go names. Per agent: probe_control_success and
// probe_control_duration_seconds of each control target, and probe_offline.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"nines/agent/discovery"
	"nines/internal/telemetry"
)

// Options are what a prober needs.
type Options struct {
	Config Config
	// Dir is where relative paths of the configuration start.
	Dir string
	// Agent seeds the phases, so that several agents do not probe a target at
	// the same moment. May be empty.
	Agent string
	// Boot is the agent's boot; it names attempts in the header Nines-Probe.
	Boot uint64
	// Sink takes the rounds. Rounds of one target may arrive out of order of
	// their times where a timeout exceeds the interval. The first three failures
	// in a row are Urgent.
	Sink telemetry.Sink
	// Clock returns Unix milliseconds, and runs as fast as time.Now.
	Clock func() int64
	// Log takes changes of the prober's own state; nil means none.
	Log *slog.Logger
	// Metrics takes nines_probe_* and nines_discovery_*; nil means none.
	Metrics *metrics.Set
}

// Prober probes targets. It is created by New and runs once.
type Prober struct {
	opt     Options
	env     env
	engine  *engine
	changed chan struct{} // capacity 1: compiled or found changed

	mu       sync.Mutex
	compiled *compiled
	sources  map[string]*source // running discoveries by what they read
	rejected string             // what was logged last
}

// compiled is a configuration made ready.
type compiled struct {
	jobs     []*job
	controls []*spec
	inFlight int32
}

// New checks the configuration and makes it ready. It opens no socket and
// starts nothing.
func New(opt Options) (*Prober, error) {
	if opt.Sink == nil || opt.Clock == nil {
		return nil, errors.New("probe needs a Sink and a Clock")
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opt.Metrics == nil {
		opt.Metrics = metrics.NewSet()
	}
	p := &Prober{
		opt:     opt,
		env:     env{dir: opt.Dir, boot: opt.Boot, agent: opt.Agent, ping: newPinger(opt.Log), budgets: &budgets{}},
		engine:  newEngine(opt.Clock, opt.Sink, opt.Log, newOwnMetrics(opt.Metrics)),
		changed: make(chan struct{}, 1),
		sources: map[string]*source{},
	}
	return p, p.Reload(opt.Config)
}

// Reload replaces the configuration. On an error the old one stays. Targets
// that stay keep their schedule and counters.
func (p *Prober) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	next := &compiled{inFlight: int32(c.inFlight())} //nolint:gosec // validated
	for i, a := range c.Control {
		sp, err := compileControl(c, a, p.env)
		if err != nil {
			return fmt.Errorf("control[%d]: %w", i, err)
		}
		sp.control = i + 1
		next.controls = append(next.controls, sp)
	}
	for i, j := range c.Jobs {
		cj, err := compileJob(c.withDefaults(j), p.env)
		if err != nil {
			return fmt.Errorf("jobs[%d].%w", i, err)
		}
		next.jobs = append(next.jobs, cj)
	}
	p.mu.Lock()
	p.compiled = next
	p.mu.Unlock()
	p.notify()
	return nil
}

func (p *Prober) notify() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Run probes until ctx ends, and returns nil then. Attempts under way at that
// moment are dropped: they failed nobody.
func (p *Prober) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer p.env.ping.close()
		p.engine.run(ctx)
	})
	for {
		p.follow(ctx, &wg)
		p.plan()
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		}
	}
}

// Faults returns what keeps targets from being probed now: broken target
// files, rejected targets, ICMP not permitted. Empty when all is well.
func (p *Prober) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	if err := p.env.ping.fault(); err != nil {
		out = append(out, err.Error())
	}
	for _, s := range p.sources {
		out = append(out, s.discovery.Faults()...)
	}
	if p.rejected != "" {
		out = append(out, p.rejected)
	}
	slices.Sort(out)
	return out
}

// plan hands the targets of all jobs to the engine.
func (p *Prober) plan() {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.compiled
	b := planner{seen: map[string]bool{}}
	for _, sp := range c.controls {
		b.add(sp)
	}
	for _, j := range c.jobs {
		b.addJob(j, p.found(j))
	}
	p.reportRejected(b.rejected)
	p.engine.set(plan{specs: b.specs, inFlight: c.inFlight})
}

// found returns what discovery knows of a job's targets.
func (p *Prober) found(j *job) []discovery.Target {
	if s := p.sources[sourceKey(j)]; s != nil {
		return s.targets
	}
	return nil
}

// planner collects specs, and targets that cannot be probed.
type planner struct {
	specs    []*spec
	seen     map[string]bool
	rejected []string
}

func (b *planner) add(sp *spec) bool {
	if b.seen[sp.key] {
		return false
	}
	b.seen[sp.key] = true
	b.specs = append(b.specs, sp)
	return true
}

func (b *planner) addJob(j *job, found []discovery.Target) {
	for _, a := range j.Targets {
		b.addTarget(j, discovery.Target{Address: a})
	}
	for _, t := range found {
		b.addTarget(j, t)
	}
	j.forgetOthers()
}

func (b *planner) addTarget(j *job, t discovery.Target) {
	sp, err := j.target(t)
	switch {
	case err != nil:
		b.rejected = append(b.rejected, fmt.Sprintf("job %s: %v", j.Name, err))
	case !b.add(sp):
		b.rejected = append(b.rejected, fmt.Sprintf("job %s: target %s has the same labels as another, %s", j.Name, t.Address, sp.labels))
	}
}

func (p *Prober) reportRejected(list []string) {
	p.engine.m.rejected.Set(float64(len(list)))
	text := ""
	if len(list) > 0 {
		text = fmt.Sprintf("%d targets are not probed: %s", len(list), strings.Join(list[:min(3, len(list))], "; "))
	}
	if text != p.rejected && text != "" {
		p.opt.Log.Error("probe targets: " + text)
	}
	p.rejected = text
}
