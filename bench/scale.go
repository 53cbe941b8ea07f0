package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"nines/collector/aggregate"
	"nines/internal/bus"
	"nines/internal/wire"
	"nines/test/postgres"
)

// ScaleCPURatio2 is what a sample costs two collectors, all their CPU time
// together, over what it costs one: both read the same log from its beginning to
// its end, aggregate it and evaluate it into PostgreSQL.
func (suite) ScaleCPURatio2() benchmark { return scaleRatio(2) }

// ScaleCPURatio4 is the same for four collectors.
func (suite) ScaleCPURatio4() benchmark { return scaleRatio(4) }

// scalePartitions are those of nines.telemetry and of nines.partials: four
// collectors have one of each.
const scalePartitions = 4

func scaleRatio(n int) benchmark {
	s := &scaleLog{fleetLog: fleetLog{frames: 30, rounds: 1, partitions: scalePartitions, sinks: scalePartitions, objectives: 100, judged: true}}
	return benchmark{Name: fmt.Sprintf("scale_cpu_ratio_%d", n), Unit: "times", Better: lower, Target: 1.1,
		Prepare: func() (func() (float64, error), error) {
			return func() (float64, error) { return s.ratio(n) }, s.prepare()
		}, Clean: s.remove}
}

// scaleLog is the log of a fleet, and a database for what is evaluated of it.
type scaleLog struct {
	fleetLog
	server *postgres.Server
}

func (s *scaleLog) prepare() (err error) {
	if s.server, err = postgres.Start(); err != nil {
		return err
	}
	return s.fleetLog.prepare()
}

func (s *scaleLog) remove() {
	if s.server != nil {
		s.server.Stop()
	}
	s.fleetLog.remove()
}

// ratio is the CPU time of n collectors over that of one, in one run each.
func (s *scaleLog) ratio(n int) (float64, error) {
	one, err := s.cost(1)
	if err != nil {
		return 0, err
	}
	many, err := s.cost(n)
	fmt.Fprintf(os.Stderr, "CPU seconds of 1 collector %.2f, of %d together %.2f\n", one.Seconds(), n, many.Seconds())
	return many.Seconds() / one.Seconds(), err
}

// errMoved says that some records were read twice, because partitions changed
// hands amid the run.
var errMoved = errors.New("partitions changed hands amid the run")

// cost returns the CPU time that n fresh collectors take for a copy of the log.
func (s *scaleLog) cost(n int) (cpu time.Duration, err error) {
	for range 3 {
		if cpu, err = s.costOnce(n); !errors.Is(err, errMoved) {
			break
		}
	}
	return cpu, err
}

func (s *scaleLog) costOnce(n int) (cpu time.Duration, err error) {
	err = s.serve(func(ctx context.Context, addr string) error {
		url, err := s.server.Schema()
		if err != nil {
			return err
		}
		cpu, err = s.collect(ctx, addr, url, n)
		return err
	})
	return cpu, err
}

// collect runs n collectors over the log. They join while this process is the
// group's only member, and it leaves once all are there, so that each has its
// share from the first record on: what it costs to take partitions over is
// no cost of a sample.
func (s *scaleLog) collect(ctx context.Context, addr, url string, n int) (cpu time.Duration, err error) {
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	leave, err := holdGroup(ctx, client)
	if err != nil {
		return 0, err
	}
	defer leave()
	var all []*scaled
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.end())
		}
	}()
	for i := range n {
		c, err := startScaled(ctx, scaledConf{Addr: addr, URL: url, Owner: fmt.Sprintf("bench-%d-of-%d", i+1, n), Sinks: scalePartitions / n})
		if err != nil {
			return 0, err
		}
		all = append(all, c)
	}
	return s.conduct(ctx, all, leave)
}

// conduct leads the collectors through the run, all of them at a time.
func (s *scaleLog) conduct(ctx context.Context, all []*scaled, leave func()) (cpu time.Duration, err error) {
	each := func(f func(*scaled) error) {
		for _, c := range all {
			if err == nil {
				err = f(c)
			}
		}
	}
	each(func(c *scaled) error { return c.hear("evaluates") })
	each((*scaled).say)
	each(func(c *scaled) error { return c.hear("aggregates") }) // is about to join
	select {                                                    // its request is under way by then, or else the sum of samples tells
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	leave()
	each(func(c *scaled) error { return c.hear("read") }) // its partitions to their ends
	each((*scaled).say)
	samples := 0
	each(func(c *scaled) error {
		var part scaledResult
		err := c.result(&part)
		samples += part.Samples
		cpu += part.CPU
		return err
	})
	if want := benchHosts * s.frames * s.rounds * 100; err == nil && samples != want {
		err = fmt.Errorf("%d samples were read, the log has %d: %w", samples, want, errMoved)
	}
	return cpu, err
}

// holdGroup joins the aggregators' group and keeps those who join after it
// waiting until leave is called.
func holdGroup(ctx context.Context, client *bus.Client) (leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	joined, done := make(chan struct{}), make(chan error, 1)
	g := client.Group(bus.GroupOptions{ID: aggregate.Group, Topics: []string{wire.TopicTelemetry},
		SessionTimeout: 30 * time.Second, RebalanceTimeout: 30 * time.Second,
		OnGeneration: func(context.Context, *bus.Generation) error {
			close(joined)
			<-ctx.Done()
			return nil
		}})
	go func() { done <- g.Run(ctx) }()
	leave = func() {
		cancel()
		<-done
		done <- nil // for the next call
	}
	select {
	case <-joined:
		return leave, nil
	case err := <-done:
		cancel()
		return nil, errors.Join(errors.New("join the group"), err)
	}
}
