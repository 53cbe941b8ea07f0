package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"nines/agent"
	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/telemetry"
)

// childEnv makes the test binary one of the processes: "broker" or "agent".
// confEnv holds its configuration as JSON. A child ends with its standard input.
const (
	childEnv = "NINES_TORTURE_CHILD"
	confEnv  = "NINES_TORTURE_CONF"
)

func runChild(kind string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conf := []byte(os.Getenv(confEnv))
	switch kind {
	case "broker":
		var c broker.Config
		if err := json.Unmarshal(conf, &c); err != nil {
			return err
		}
		return brokerChild(ctx, c)
	case "agent":
		var c agentConf
		if err := json.Unmarshal(conf, &c); err != nil {
			return err
		}
		return agentChild(ctx, c)
	}
	return fmt.Errorf("no child %q", kind)
}

func brokerChild(ctx context.Context, c broker.Config) error {
	b, err := broker.New(broker.Options{Config: c, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return b.Run(ctx)
}

// agentConf is one boot of an agent.
type agentConf struct {
	Name, Zone string
	Brokers    []string
	// Dir takes the truth, one file a boot.
	Dir string
	// Spool is the directory of frames that wait; empty keeps them in memory.
	Spool string
	// Epoch is when the run began and Reset when the host's counters last
	// began at zero: Unix milliseconds by the machine's clock.
	Epoch, Reset int64
	// Seed decides outcomes; Variant is the schema to begin with, and Step how
	// far the agent's clock is set wrong.
	Seed    uint64
	Variant int
	Step    time.Duration
	// Bulk adds so many gauges of noise, so that the spool overflows soon.
	Bulk int
}

// agentChild is the agent that ships, with a generator as its source and a
// system clock that can be set.
func agentChild(ctx context.Context, c agentConf) error {
	g := newGenerator(c)
	wall := &atomic.Int64{}
	wall.Store(int64(c.Step))
	cfg := agent.Config{Agent: c.Name, Labels: map[string]string{"zone": c.Zone, "region": "r1"}, Spool: agent.SpoolConfig{MemoryBytes: 1 << 20, Dir: c.Spool},
		Kafka: bus.Config{Brokers: c.Brokers, DialTimeout: time.Second, RequestTimeout: 3 * time.Second}}
	a, err := agent.New(agent.Options{Config: cfg, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Wall:   func() time.Time { return time.Now().Round(0).Add(time.Duration(wall.Load())) },
		Source: func(ctx context.Context, clock func() int64, sink telemetry.Sink) { g.run(ctx, clock, sink) }})
	if err != nil {
		return err
	}
	if err := g.open(a.Boot()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var word string
			var n int64
			if _, err := fmt.Sscan(in.Text(), &word, &n); err != nil {
				continue
			}
			switch word {
			case "step":
				wall.Store(n * int64(time.Millisecond))
			case "quiet":
				g.quiet.Store(n == 1)
			case "reset":
				g.reset.Store(n)
			case "variant":
				g.variant.Store(n)
			}
		}
	}()
	return errors.Join(a.Run(ctx), g.err)
}
