package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"nines/bench/program"
	"nines/internal/bus"
	"nines/test/kafka"
	"nines/test/module"
)

// Options say how agents are compared.
type Options struct {
	// Root is the repository's folder.
	Root string
	// Window is the least that a window lasts; 30 s. Windows hold six intervals at
	// least.
	Window time.Duration
	// Log is told what goes on; nil for nobody.
	Log io.Writer
}

// Session is one comparison on one Kafka. It is for one goroutine.
type Session struct {
	o                       Options
	dir                     string
	nines, telegraf, inputs string // programs, and the inputs of both
	cluster                 *kafka.Cluster
	client                  *bus.Client
	pair                    *pair // the one that runs
	windows                 map[time.Duration][]Window
	order                   []time.Duration // as they were measured first
	shown                   []string
	left                    []string // inputs that this host lacks
	opened                  bool
	err                     error // of opening, to be told again
}

// New returns a session and starts nothing.
func New(o Options) *Session {
	if o.Window == 0 {
		o.Window = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return &Session{o: o, windows: map[time.Duration][]Window{}}
}

// Window returns the n-th window at an interval, from 0, and measures it where
// nobody asked for it before. Both programs run through all windows of an
// interval; only those of the interval that is asked for run.
func (s *Session) Window(ctx context.Context, interval time.Duration, n int) (*Window, error) {
	if !s.opened {
		s.opened = true
		s.err = s.open(ctx)
	}
	if s.err != nil {
		return nil, s.err
	}
	for len(s.windows[interval]) <= n {
		if err := s.run(ctx, interval); err != nil {
			return nil, err
		}
		w, err := s.pair.window(ctx, max(s.o.Window, 6*interval))
		if err != nil {
			return nil, err
		}
		if len(s.windows[interval]) == 0 {
			s.order = append(s.order, interval)
		}
		s.windows[interval] = append(s.windows[interval], *w)
		fmt.Fprintf(s.o.Log, "each %-4s window %d: CPU s an hour %6.2f and %6.2f, RSS MB %5.1f and %5.1f, bytes a sample %5.2f and %5.2f, %d and %d samples, load %s\n",
			interval, len(s.windows[interval]), w.CPU(&w.Nines), w.CPU(&w.Telegraf), mb(w.Nines.RSS), mb(w.Telegraf.RSS),
			w.Nines.PerSample(), w.Telegraf.PerSample(), w.Nines.Samples, w.Telegraf.Samples, w.Load)
	}
	return &s.windows[interval][n], nil
}

// run sees to it that the pair of an interval runs, and no other.
func (s *Session) run(ctx context.Context, interval time.Duration) error {
	if s.pair != nil && s.pair.interval == interval {
		return nil
	}
	s.pair.stop()
	var err error
	if s.pair, err = s.start(ctx, interval); err != nil {
		return fmt.Errorf("start agents: %w", err)
	}
	return nil
}

// open builds both programs and starts Kafka.
func (s *Session) open(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "nines-footprint-"); err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = s.dir
	}
	if err := s.build(ctx, filepath.Join(cache, "nines", "footprint")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.o.Root, "configs", "agent", "inputs.toml"))
	if err != nil {
		return err
	}
	s.inputs = string(text)
	if s.cluster, err = kafka.Launch(kafka.Options{}); err != nil {
		return err
	}
	s.client, err = bus.New(bus.Options{Config: bus.Config{Brokers: s.cluster.Addrs()}})
	return err
}

// build builds nines-agent from the repository, and Telegraf from the module
// that pins it, with the plugins that it runs.
func (s *Session) build(ctx context.Context, into string) (err error) {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	s.nines = filepath.Join(into, "nines-agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", into, "./cmd/nines-agent")
	cmd.Dir = s.o.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build nines-agent: %w\n%s", err, out)
	}
	s.telegraf, err = module.Into(into, filepath.Join(s.o.Root, "test", "telegraf"), telegrafPkg, tags()...)
	return err
}

const (
	telegrafModule = "github.com/influxdata/telegraf"
	telegrafPkg    = telegrafModule + "/cmd/telegraf"
)

// tags are what Telegraf is built with.
func tags() []string {
	out := []string{"custom", "outputs.kafka", "serializers.influx"}
	for _, name := range compared() {
		out = append(out, "inputs."+name)
	}
	return out
}

// Versions are what the programs say they are.
func (s *Session) Versions() []string {
	out := []string{
		"nines-agent " + program.Says(s.o.Root, "git", "describe", "--tags", "--always"),
		"Telegraf " + module.Version(filepath.Join(s.o.Root, "test", "telegraf"), telegrafModule) + " (built with the plugins that it runs)",
		program.Says(s.o.Root, "go", "version"),
	}
	if s.cluster != nil {
		out = append(out, s.cluster.Version()+", one node")
	}
	return out
}

// Close ends what runs and removes all data.
func (s *Session) Close() error {
	s.pair.stop()
	var errs []error
	if s.client != nil {
		s.client.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
