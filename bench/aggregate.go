package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/aggregate"
	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// brokerEnv makes this program a broker with its data in the folder named, so
// that the broker's CPU time is another process's.
const brokerEnv = "NINES_BENCH_BROKER"

// The fleet of the benchmark: what a collector reads in 20 s.
const (
	benchHosts      = 1000
	benchRounds     = 20
	benchRegions    = 29
	benchPartitions = 2
	benchObjectives = 100
)

// AggregateSamplesPerCPUSecond is how many samples the role aggregates in a
// second of CPU time, from Kafka's fetch to acknowledged partials, the broker
// being another process: frames of 100 samples, one frame a batch as agents
// send them, 100 objectives grouped by region.
func (suite) AggregateSamplesPerCPUSecond() benchmark {
	return benchmark{Name: "aggregate_samples_per_cpu_second", Unit: "M samples/s·core", Better: higher,
		Prepare: func() (func() (float64, error), error) { return aggregateOnce, nil }}
}

// aggregateOnce fills a fresh log and lets a fresh role read it.
func aggregateOnce() (rate float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	addr, stop, err := childBroker(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	rules, err := fill(ctx, client)
	if err != nil {
		return 0, err
	}
	set := metrics.NewSet()
	role, err := aggregate.New(aggregate.Options{Client: client, Rules: rules, Owner: "bench", Log: slog.New(slog.DiscardHandler), Metrics: set})
	if err != nil {
		return 0, err
	}
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	rctx, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(rctx) }()
	for !caughtUp(set) {
		select {
		case err := <-done:
			end()
			return 0, errors.Join(errors.New("the role ended"), err)
		case <-ctx.Done():
			end()
			return 0, errors.New("the role did not catch up within 3 minutes")
		case <-time.After(20 * time.Millisecond):
		}
	}
	stopAt, err := cpuTime()
	end()
	<-done
	return benchHosts * benchRounds * 100 / (stopAt - start).Seconds() / 1e6, err
}

// caughtUp tells whether every partition has been read to its end.
func caughtUp(set *metrics.Set) bool {
	var b bytes.Buffer
	set.WritePrometheus(&b)
	return strings.Count(b.String(), "nines_aggregate_lag_records{") == benchPartitions &&
		strings.Count(b.String(), "nines_aggregate_lag_records{partition=\"0\"} 0\n")+
			strings.Count(b.String(), "nines_aggregate_lag_records{partition=\"1\"} 0\n") == benchPartitions
}

// childBroker starts this program as a broker.
func childBroker(ctx context.Context) (addr string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "nines-bench")
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), brokerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start broker: %w", err)
	}
	stop = func() {
		in.Close() // the child ends with its standard input
		cmd.Wait()
		os.RemoveAll(dir)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start broker: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// serveBroker is the child: it serves until its standard input ends.
func serveBroker(dir string) error {
	b, err := broker.New(broker.Options{Config: broker.Config{DataDir: dir, RetentionBytes: 4 << 30}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-b.Ready()
		fmt.Println(b.Addr())
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return b.Run(ctx)
}

// fill creates the topics and writes the rules, the fleet's frames and the
// ticks between them.
func fill(ctx context.Context, client *bus.Client) (*rulelog.Log, error) {
	for _, t := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: benchPartitions}, {Name: wire.TopicPartials, Partitions: 1},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}} {
		if _, err := client.EnsureTopic(ctx, t); err != nil {
			return nil, err
		}
	}
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		return nil, err
	}
	id, err := rules.Publish(ctx, benchRules())
	if err != nil {
		return nil, err
	}
	errs := make([]error, benchPartitions)
	var wg sync.WaitGroup
	for p := range benchPartitions {
		wg.Go(func() { errs[p] = fillPartition(ctx, client.Producer(wire.TopicTelemetry, int32(p)), p, id) })
	}
	wg.Wait()
	return rules, errors.Join(errs...)
}

// fillPartition writes one partition's share of the fleet, one frame a batch.
func fillPartition(ctx context.Context, p *bus.Producer, partition int, rules string) error {
	header := func(typ string) []bus.Header { return []bus.Header{{Key: wire.HeaderType, Value: []byte(typ)}} }
	var enc wire.Encoder
	base := time.Now().Add(-time.Minute).UnixMilli()
	for round := range benchRounds {
		at := base + int64(round)*1000
		tick := wire.Tick{Clock: at, Incarnation: 1, RuleSet: rules, Owner: "bench"}
		batches := [][]bus.Record{{{Value: wire.AppendTick(nil, &tick), Headers: header(wire.TypeTick)}}}
		for host := partition; host < benchHosts; host += benchPartitions {
			f := hostFrame()
			f.Agent, f.Boot, f.Seq, f.SendTime = fmt.Sprintf("host-%d", host), uint64(host+1), uint64(round+1), at
			f.Host = telemetry.NewLabels(map[string]string{"host": f.Agent, "zone": fmt.Sprintf("zone-%d", host%92), "region": fmt.Sprintf("region-%d", host%benchRegions)})
			for i := range f.Blocks {
				f.Blocks[i].Times[0] = at
			}
			value := enc.AppendFrame(nil, f, func(uint64) bool { return round == 0 })
			batches = append(batches, []bus.Record{{Key: []byte(f.Agent), Value: value, Headers: header(wire.TypeFrame)}})
		}
		for _, recs := range batches {
			if _, err := p.Produce(ctx, recs); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchRules judges the probes' columns of every host by region, under as many
// thresholds as there are objectives.
func benchRules() *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i := range benchObjectives {
		st := &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("probe_%d", i%10)}, Op: slo.LTE, Threshold: float64(i+1) / 500,
			GroupBy: []string{"region"}, Bin: 1000, Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}, MinCount: 1}}
		set.Streams[st.ID()] = st
	}
	return set
}
