package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"nines/agent"
	"nines/agent/probe"
	"nines/cmd/gpuworker"
	"nines/internal/bus"
	"nines/internal/service"
)

// localAgent is the agent that `nines up` runs. It takes a changed configuration
// up while it runs. Only what cannot change within a boot (agent.ErrRestart)
// takes a new boot in the same process: the old one sends what it has and ends,
// the new one begins.
type localAgent struct {
	cfg    *Config
	client *bus.Client
	log    *slog.Logger
	set    *metrics.Set // of the agent alone: a new boot empties it

	boot *agent.Agent
	next chan change

	mu  sync.Mutex
	now agentSetup
}

// agentSetup is a configuration, and the text of it and of all files that it
// names, secrets among them.
type agentSetup struct {
	cfg  agent.Config
	text string
}

// change asks for another configuration; done gets its result.
type change struct {
	to   agentSetup
	done chan error
}

// newLocalAgent reads and checks the configuration. start makes the agent.
func newLocalAgent(cfg *Config) (*localAgent, error) {
	l := &localAgent{cfg: cfg, next: make(chan change)}
	var err error
	l.now, err = l.read()
	return l, err
}

func (l *localAgent) start(client *bus.Client, log *slog.Logger, set *metrics.Set) (err error) {
	l.client, l.log, l.set = client, log, set
	l.boot, err = l.make(l.setup())
	return err
}

// setup returns what is in force.
func (l *localAgent) setup() agentSetup {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *localAgent) make(s agentSetup) (*agent.Agent, error) {
	return agent.New(agent.Options{Config: s.cfg, Client: l.client, Version: version, Log: l.log, Metrics: l.set})
}

// part waits for the topic's first ticks, because objectives count from there.
func (l *localAgent) part(partitions int) service.Part {
	return service.Part{Name: "agent", Grace: agentGrace,
		CheckReload: func(context.Context) error { _, err := l.read(); return err },
		Reload:      l.reload,
		Run: func(ctx context.Context) error {
			if err := awaitTicks(ctx, l.client, partitions); err != nil {
				return err
			}
			return l.run(ctx)
		}}
}

// run runs one boot after the other until ctx ends or one fails.
func (l *localAgent) run(ctx context.Context) error {
	for {
		c, err := l.runBoot(ctx)
		if c == nil {
			return err
		}
		if err == nil {
			err = l.replace(c.to)
		}
		c.done <- err
		if err != nil && (ctx.Err() != nil || l.boot == nil) {
			return err
		}
	}
}

// runBoot runs the boot until it ends, or until a change needs another: then it
// returns that change.
func (l *localAgent) runBoot(ctx context.Context) (*change, error) {
	bctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- l.boot.Run(bctx) }()
	for {
		select {
		case err := <-ended:
			return nil, err
		case c := <-l.next:
			if !l.boot.NeedsRestart(c.to.cfg) {
				c.done <- l.take(c.to)
				continue
			}
			stop()
			return &c, <-ended
		}
	}
}

// take takes a changed configuration up within the boot.
func (l *localAgent) take(to agentSetup) error {
	if err := l.boot.Reload(to.cfg); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = to
	return nil
}

// replace makes the next boot, of the old configuration where the new one fails.
func (l *localAgent) replace(to agentSetup) error {
	l.set.UnregisterAllMetrics()
	next, err := l.make(to)
	if err == nil {
		l.mu.Lock()
		l.boot, l.now = next, to
		l.mu.Unlock()
		return nil
	}
	l.set.UnregisterAllMetrics()
	old, again := l.make(l.setup())
	if l.boot = old; again != nil {
		l.boot = nil
		return fmt.Errorf("%w; and the last good configuration fails too: %w", err, again)
	}
	return err
}

// reload takes up a changed configuration. One that is the same changes nothing.
func (l *localAgent) reload(ctx context.Context) error {
	to, err := l.read()
	if err != nil {
		return err
	}
	c := change{to: to, done: make(chan error, 1)}
	if reflect.DeepEqual(to, l.setup()) {
		return nil
	}
	select {
	case l.next <- c:
		return <-c.done
	case <-ctx.Done():
		return fmt.Errorf("the agent does not run yet: %w", ctx.Err())
	}
}

// read reads agent.yaml and the inputs, and checks both. Where it names nothing
// that belongs to nines, the agent probes nines itself, so that there is
// something to see.
func (l *localAgent) read() (agentSetup, error) {
	c := agent.Config{}
	if l.cfg.Agent != "" {
		var err error
		if c, err = agent.Load(l.cfg.Agent); err != nil {
			return agentSetup{}, err
		}
	}
	c.GPUWorker = gpuworker.Command()
	c.StateDir = filepath.Join(l.cfg.DataDir, "agent")
	if err := c.CheckFiles(); err != nil {
		return agentSetup{}, err
	}
	s := agentSetup{cfg: c}
	if l.cfg.Agent != "" {
		s.text = agent.Fingerprint(l.cfg.Agent)
	}
	own := func(j probe.Job) bool { return strings.HasPrefix(j.Name, "nines") }
	if !slices.ContainsFunc(c.Probes.Jobs, own) {
		s.cfg.Probes.Jobs = append(slices.Clone(c.Probes.Jobs),
			probe.Job{Name: "nines", Probe: "http", Targets: []string{"http://" + reachable(l.cfg.Web.Listen) + "/-/healthy"}})
	}
	return s, nil
}
