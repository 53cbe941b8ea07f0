package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/rulelog"
)

// scaledConf tells a collector what it is.
type scaledConf struct {
	Addr, URL, Owner string
	Sinks            int // its share of nines.partials
}

// scaledResult is what a collector used and did.
type scaledResult struct {
	// CPU is from exec until all was evaluated, Idle what was used in idling after it:
	// live, with nothing to read but ticks.
	CPU, Idle time.Duration
	Samples   int
}

// scaled is a collector in a process of its own.
type scaled struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startScaled(ctx context.Context, conf scaledConf) (*scaled, error) {
	b, err := json.Marshal(conf)
	if err != nil {
		return nil, err
	}
	c := &scaled{cmd: exec.CommandContext(ctx, os.Args[0])}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), scaleEnv+"="+string(b)), os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a collector: %w", err)
	}
	return c, nil
}

// hear waits for a word of the collector.
func (c *scaled) hear(word string) error {
	line, err := c.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != word {
		return fmt.Errorf("wait until a collector %s: it said %q: %w", word, line, err)
	}
	return nil
}

// say tells the collector to go on.
func (c *scaled) say() error {
	_, err := io.WriteString(c.in, "\n")
	return err
}

func (c *scaled) result(r *scaledResult) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("wait for a collector's result: %w", err)
	}
	return json.Unmarshal(line, r)
}

func (c *scaled) end() error {
	c.in.Close()
	return c.cmd.Wait()
}

// serveScaled is the collector.
func serveScaled(conf string) error {
	var c scaledConf
	if err := json.Unmarshal([]byte(conf), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{c.Addr}}})
	if err != nil {
		return err
	}
	defer client.Close()
	led, err := ledger.Open(ctx, ledger.Options{Postgres: c.URL})
	if err != nil {
		return err
	}
	defer led.Close()
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	set := metrics.NewSet()
	// The partitions are read at speeds of their own, and one that is at its end is
	// minutes ahead of the others. Bins wait for them: what came after their end
	// would have its slots read from the ledger, which a sample does not cost else.
	eval, err := evaluate.NewRole(evaluate.Options{Config: evaluate.Config{HardBound: 3600_000}, Client: client, Ledger: led, Rules: rules, Owner: c.Owner, Log: log, Metrics: set})
	if err != nil {
		return err
	}
	agg, err := aggregate.New(aggregate.Options{Client: client, Rules: rules, Owner: c.Owner, Log: log, Metrics: set})
	if err != nil {
		return err
	}
	stopProfile, err := profile("." + c.Owner)
	if err != nil {
		return err
	}
	defer stopProfile()
	result, err := (&scaledRun{agg, eval, c, bufio.NewReader(os.Stdin)}).run(ctx)
	if err != nil {
		return err
	}
	result.Samples = int(set.GetOrCreateCounter("nines_aggregate_samples_total").Get())
	return json.NewEncoder(os.Stdout).Encode(result)
}

// scaledRun are the roles of a collector.
type scaledRun struct {
	agg  *aggregate.Role
	eval *evaluate.Role
	conf scaledConf
	in   *bufio.Reader
}

const (
	// settling is how long collectors are left alone that have read everything: they
	// write what the log's end has closed.
	settling = 10 * time.Second
	// idling is how long they are watched then.
	idling = 5 * time.Second
)

// run evaluates, and once it is told to aggregates; once it is told that all
// have read their partitions it evaluates to the end, and then stays idle.
func (r *scaledRun) run(ctx context.Context) (result scaledResult, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var roles sync.WaitGroup
	errs := make(chan error, 2)
	defer roles.Wait()
	defer cancel()
	roles.Go(func() { errs <- r.eval.Run(ctx) })
	if err := until(ctx, errs, func() bool { return read(owned(r.eval)) == r.conf.Sinks }); err != nil {
		return result, err
	}
	if err := r.turn("evaluates"); err != nil {
		return result, err
	}
	fmt.Println("aggregates")
	roles.Go(func() { errs <- r.agg.Run(ctx) })
	if err := until(ctx, errs, func() bool { return live(owned(r.agg)) }); err != nil {
		return result, err
	}
	if err := r.turn("read"); err != nil {
		return result, err
	}
	if err := until(ctx, errs, func() bool { return live(owned(r.eval)) }); err != nil {
		return result, err
	}
	if result.CPU, err = cpuTime(); err != nil {
		return result, err
	}
	if err := r.turn("evaluated"); err != nil {
		return result, err
	}
	result.Idle, err = idle(errs)
	return result, err
}

// idle returns the CPU time that idling takes.
func idle(errs <-chan error) (used time.Duration, err error) {
	for _, span := range []time.Duration{settling, idling} {
		before, err := cpuTime()
		if err != nil {
			return 0, err
		}
		select {
		case err := <-errs:
			return 0, errors.Join(errors.New("a role ended"), err)
		case <-time.After(span):
		}
		after, err := cpuTime()
		if err != nil {
			return 0, err
		}
		used = after - before
	}
	return used, nil
}

// turn says a word and waits for the answer.
func (r *scaledRun) turn(word string) error {
	fmt.Println(word)
	_, err := r.in.ReadString('\n')
	return err
}

// owned are the partitions that a role reads now.
func owned(role interface {
	Loads(now time.Time) []bus.LoadView
}) []bus.LoadView {
	return slices.DeleteFunc(role.Loads(time.Now()), func(v bus.LoadView) bool { return !v.Owned })
}

// read counts the partitions that are restored and have been asked for records.
func read(loads []bus.LoadView) (n int) {
	for i := range loads {
		if loads[i].LagRecords >= 0 {
			n++
		}
	}
	return n
}

// live tells whether all partitions, of which there are some, were read up to
// ticks of this moment.
func live(loads []bus.LoadView) bool {
	for i := range loads {
		if v := &loads[i]; v.LagRecords < 0 || v.LagRecords > 2 || v.LagSeconds < 0 || v.LagSeconds > 5 {
			return false
		}
	}
	return len(loads) > 0
}

// until waits until ok is true.
func until(ctx context.Context, errs <-chan error, ok func() bool) error {
	for !ok() {
		select {
		case err := <-errs:
			return errors.Join(errors.New("a role ended"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond): // asking is charged, too
		}
	}
	return nil
}
