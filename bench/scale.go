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
// together, over what it costs one: both aggregate the same log and evaluate it
// into PostgreSQL. What a sample costs is the difference between a long log and
// one that has but its first seconds, in which collectors start and join, hosts and
// groups are met and the first checkpoints are written. That, and what collectors
// take that have nothing to read, are told beside it.
func (suite) ScaleCPURatio2() benchmark { return scaleRatio(2) }

// ScaleCPURatio4 is the same for four collectors.
func (suite) ScaleCPURatio4() benchmark { return scaleRatio(4) }

const (
	// scalePartitions are those of nines.telemetry and of nines.partials: four
	// collectors have one of each.
	scalePartitions = 4
	// scaleHead is how many seconds the short log has: a checkpoint is due after
	// fifteen. scaleWhole is how many the long one has: enough for ten CPU seconds.
	scaleHead, scaleWhole = 20, 120
	// scaleBatch is how many frames a batch has, so that the logs are filled in
	// minutes.
	scaleBatch = 32
)

func scaleRatio(n int) benchmark {
	log := func(seconds int) fleetLog {
		return fleetLog{frames: seconds, rounds: 1, partitions: scalePartitions, sinks: scalePartitions, objectives: 100, judged: true, batch: scaleBatch}
	}
	s := &scaleLogs{head: log(scaleHead), whole: log(scaleWhole)}
	return benchmark{Name: fmt.Sprintf("scale_cpu_ratio_%d", n), Unit: "times", Better: lower, Target: 1.1,
		Prepare: func() (func() (float64, error), error) {
			return func() (float64, error) { return s.ratio(n) }, s.prepare()
		}, Clean: s.remove}
}

// scaleLogs are the logs of a fleet, and a database for what is evaluated of them.
type scaleLogs struct {
	head, whole fleetLog
	server      *postgres.Server
}

func (s *scaleLogs) prepare() (err error) {
	if s.server, err = postgres.Start(); err != nil {
		return err
	}
	return errors.Join(s.head.prepare(), s.whole.prepare())
}

func (s *scaleLogs) remove() {
	if s.server != nil {
		s.server.Stop()
	}
	s.head.remove()
	s.whole.remove()
}

// scaleCost is what some collectors took together, in several turns.
type scaleCost struct {
	head, steady, idle time.Duration
	samples            int // of the steady part
}

// ratio is what a sample costs n collectors over what it costs one. Each takes two
// turns, one collector the outer two, so that a machine that becomes faster or
// slower meanwhile does so for both.
func (s *scaleLogs) ratio(n int) (float64, error) {
	of := map[int]*scaleCost{1: {}, n: {}}
	for _, k := range []int{1, n, n, 1} {
		if err := s.turn(of[k], k); err != nil {
			return 0, err
		}
	}
	one, many := of[1], of[n]
	more := func(of func(*scaleCost) time.Duration) float64 { // each collector but the first, a turn
		return (of(many) - of(one)).Seconds() / 2 / float64(n-1)
	}
	fmt.Fprintf(os.Stderr, "%d collectors instead of one: %.1f ns instead of %.1f a sample; each more collector takes %.2f CPU s to start and %.1f %% of a core idle\n", n, many.each(), one.each(),
		more(func(c *scaleCost) time.Duration { return c.head }), 100*more(func(c *scaleCost) time.Duration { return c.idle })/idling.Seconds())
	return many.each() / one.each(), nil
}

// each is what a sample cost, CPU nanoseconds.
func (c *scaleCost) each() float64 { return c.steady.Seconds() / float64(c.samples) * 1e9 }

// turn lets n collectors read both logs, and adds what they took.
func (s *scaleLogs) turn(c *scaleCost, n int) error {
	head, err := s.cost(&s.head, n)
	if err != nil {
		return err
	}
	whole, err := s.cost(&s.whole, n)
	if err != nil {
		return err
	}
	c.head += head.CPU
	c.steady += whole.CPU - head.CPU
	c.idle += whole.Idle
	c.samples += whole.Samples - head.Samples
	fmt.Fprintf(os.Stderr, "collectors: %d; CPU s to start and to read %d s of the log: %.2f, and %d s more: %.2f; idle %.1f %% of a core\n", n,
		scaleHead, head.CPU.Seconds(), scaleWhole-scaleHead, (whole.CPU - head.CPU).Seconds(), 100*whole.Idle.Seconds()/idling.Seconds())
	return nil
}

// errMoved says that some records were read twice, because partitions changed
// hands amid the run.
var errMoved = errors.New("partitions changed hands amid the run")

// cost returns what n fresh collectors spend together on a copy of the log.
func (s *scaleLogs) cost(log *fleetLog, n int) (r scaledResult, err error) {
	for range 3 {
		if r, err = s.costOnce(log, n); !errors.Is(err, errMoved) {
			break
		}
	}
	return r, err
}

func (s *scaleLogs) costOnce(log *fleetLog, n int) (r scaledResult, err error) {
	err = log.serve(func(ctx context.Context, addr string) error {
		url, err := s.server.Schema()
		if err != nil {
			return err
		}
		r, err = collectors(ctx, log, addr, url, n)
		return err
	})
	return r, err
}

// collectors runs n of them over the log. They join while this process is the
// group's only member, and it leaves once all are there, so that each has its
// share from the first record on: what it costs to take partitions over is
// no cost of a sample.
func collectors(ctx context.Context, log *fleetLog, addr, url string, n int) (r scaledResult, err error) {
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return r, err
	}
	defer client.Close()
	leave, err := holdGroup(ctx, client)
	if err != nil {
		return r, err
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
			return r, err
		}
		all = append(all, c)
	}
	return conduct(ctx, log, all, leave)
}

// conduct leads the collectors through the run, all of them at a time.
func conduct(ctx context.Context, log *fleetLog, all []*scaled, leave func()) (sum scaledResult, err error) {
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
	for _, word := range []string{"read", "evaluated"} { // its partitions to their ends
		each(func(c *scaled) error { return c.hear(word) })
		each((*scaled).say)
	}
	each(func(c *scaled) error {
		var r scaledResult
		err := c.result(&r)
		sum = scaledResult{sum.CPU + r.CPU, sum.Idle + r.Idle, sum.Samples + r.Samples}
		return err
	})
	if want := benchHosts * log.frames * log.rounds * 100; err == nil && sum.Samples != want {
		err = fmt.Errorf("%d samples were read, the log has %d: %w", sum.Samples, want, errMoved)
	}
	return sum, err
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
