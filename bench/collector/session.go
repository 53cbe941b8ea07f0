package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"nines/bench/program"
	"nines/internal/bus"
	"nines/test/kafka"
)

// Options say how much is measured. New fills in what is 0.
type Options struct {
	// Root is the repository's folder.
	Root string
	// Hosts is how many hosts send a hundred series each, every second; 2,000.
	Hosts int
	// Seconds is how long the log is that nines and Telegraf read; 120. Short is
	// how much of it the slower ones read; an eighth.
	Seconds, Short int
	// Fleet is how many hosts there are where detection is timed in front of a
	// fleet; 10,000.
	Fleet int
	// Log is told what goes on; nil for nobody.
	Log io.Writer
}

// Measurement is one contestant's work in one run.
type Measurement struct {
	Contestant string
	// Samples is how many it read and judged.
	Samples int
	// Wall is how long that took.
	Wall time.Duration
	// Processes are its programs, each with what it used.
	Processes []program.Usage
	// Shown are its command lines, each with the files that it was given.
	Shown []string
}

// CPU is the CPU seconds of all processes together.
func (m *Measurement) CPU() (seconds float64) {
	for _, u := range m.Processes {
		seconds += u.CPU.Seconds()
	}
	return seconds
}

// PerMillion is the CPU seconds per million samples.
func (m *Measurement) PerMillion() float64 { return m.CPU() / float64(m.Samples) * 1e6 }

// Session is one run of the comparison on one Kafka: what was built and written
// for it, and what was measured. It is for one goroutine.
type Session struct {
	o     Options
	dir   string
	tools tools
	fleet *fleet
	begin int64 // of the log, Unix milliseconds

	cluster *kafka.Cluster
	client  *bus.Client
	dirty   bool // somebody wrote into the log since it was filled
	n       int  // folders made

	measured map[string][]Measurement
	order    []Contestant // as they were measured first
	detected []Detection
	// detectedFleet are those in front of a fleet, raceErr is how the race ended.
	detectedFleet []Detection
	raced         bool
	raceErr       error
	opened        bool
	err           error // of opening, to be told again
}

// New returns a session and starts nothing.
func New(o Options) *Session {
	or := func(n *int, is int) {
		if *n == 0 {
			*n = is
		}
	}
	or(&o.Hosts, 2000)
	or(&o.Seconds, 120)
	or(&o.Fleet, 10_000)
	or(&o.Short, max(2, o.Seconds/8))
	if o.Log == nil {
		o.Log = io.Discard
	}
	return &Session{o: o, measured: map[string][]Measurement{}}
}

// Measure returns a contestant's n-th measurement, from 0, and makes it where
// nobody asked for it before.
func (s *Session) Measure(ctx context.Context, c Contestant, n int) (*Measurement, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	for len(s.measured[c.Name]) <= n {
		if err := s.restore(ctx); err != nil {
			return nil, err
		}
		began := time.Now()
		m, err := s.once(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", c.Name, err)
		}
		m.Contestant, m.Wall = c.Name, time.Since(began)
		if len(s.measured[c.Name]) == 0 {
			s.order = append(s.order, c)
		}
		s.measured[c.Name] = append(s.measured[c.Name], *m)
		fmt.Fprintf(s.o.Log, "%-32s run %d: %6.2f CPU s for %5.1f M samples, %.4f a million, %s\n",
			c.Name, len(s.measured[c.Name]), m.CPU(), float64(m.Samples)/1e6, m.PerMillion(), m.Wall.Round(time.Second/10))
	}
	return &s.measured[c.Name][n], nil
}

// once runs a contestant in a folder of its own, and no longer than limit.
func (s *Session) once(ctx context.Context, c Contestant) (*Measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := s.folder("contestant")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return c.run(ctx, s, dir)
}

// open builds what is measured, starts Kafka and fills it, once.
func (s *Session) open(ctx context.Context) error {
	if !s.opened {
		s.opened = true
		s.err = s.prepare(ctx)
	}
	return s.err
}

func (s *Session) prepare(ctx context.Context) error {
	if err := s.workshop(ctx); err != nil {
		return err
	}
	var err error
	if s.fleet, err = newFleet(s.o.Root, s.o.Hosts, partitions); err != nil {
		return err
	}
	if err := s.write("objectives.yaml", openSLO(objectives())); err != nil {
		return err
	}
	if err := s.write("recordings.yaml", recordings(objectives())); err != nil {
		return err
	}
	if err := s.write("alerts.yaml", alerts(objectives())); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	s.begin = logBegin(time.Now(), s.o.Seconds)
	began := time.Now()
	f := &filler{client: s.client, fleet: s.fleet, begin: s.begin}
	if err := f.fill(ctx, filepath.Join(s.dir, "objectives.yaml"), s.o.Seconds, min(s.o.Short, s.o.Seconds)); err != nil {
		return fmt.Errorf("fill Kafka: %w", err)
	}
	fmt.Fprintf(s.o.Log, "%s filled in %s: %d hosts of %d series, %d s\n", s.cluster.Version(), time.Since(began).Round(time.Second), s.o.Hosts, s.fleet.series, s.o.Seconds)
	return s.keep()
}

// workshop makes the folder and the programs. These lie in the user's cache, so
// that the next session has less to link.
func (s *Session) workshop(ctx context.Context) (err error) {
	if s.dir != "" {
		return nil
	}
	if s.dir, err = os.MkdirTemp("", "nines-side-"); err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = s.dir
	}
	s.tools, err = build(ctx, s.o.Root, filepath.Join(cache, "nines", "side-by-side"))
	return err
}

// connect starts Kafka and a client.
func (s *Session) connect() (err error) {
	if s.cluster == nil {
		if s.cluster, err = kafka.Launch(kafka.Options{}); err != nil {
			return err
		}
	}
	s.client, err = bus.New(bus.Options{Config: bus.Config{Brokers: s.cluster.Addrs()}})
	return err
}

func (s *Session) brokers() string { return s.cluster.Addrs()[0] }

// keep copies Kafka's data as it was filled.
func (s *Session) keep() error {
	node := s.cluster.Node(0)
	s.client.Close()
	if err := node.Stop(); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(s.dir, "log"), os.DirFS(node.DataDir())); err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	return s.connect()
}

// restore gives Kafka the data that it was filled with, where nines has written
// to it since: each run of it finds a fresh log without positions.
func (s *Session) restore(context.Context) error {
	if !s.dirty {
		return nil
	}
	node := s.cluster.Node(0)
	s.client.Close()
	if err := node.Stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(node.DataDir()); err != nil {
		return err
	}
	if err := os.CopyFS(node.DataDir(), os.DirFS(filepath.Join(s.dir, "log"))); err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	s.dirty = false
	return s.connect()
}

// folder makes a new folder for a contestant's data.
func (s *Session) folder(name string) (string, error) {
	s.n++
	dir := filepath.Join(s.dir, fmt.Sprintf("run-%d-%s", s.n, name))
	return dir, os.MkdirAll(dir, 0o755)
}

func (s *Session) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644)
}

// Close ends what runs and removes all data.
func (s *Session) Close() error {
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
