package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// The fleet of the benchmark.
const (
	benchHosts      = 10_000
	benchRegions    = 29
	benchZones      = 92
	benchObjectives = 1000
	benchPartitions = 2
	// tickShare is how many ticks a second of the log has, as the role writes.
	tickShare = 4
)

// AggregateSamplesPerCPUSecond is how many samples the role aggregates in a
// second of CPU time, from Kafka's fetch to acknowledged partials, the broker
// being another process: 10,000 hosts with frames of 100 samples, one round a
// frame and one frame a batch as agents send them; every host feeds each of
// 1,000 objectives, in the group of its region.
func (suite) AggregateSamplesPerCPUSecond() benchmark {
	f := &fleetLog{frames: 20, rounds: 1}
	return benchmark{Name: "aggregate_samples_per_cpu_second", Unit: "M samples/s·core", Better: higher, Target: 20,
		Prepare: f.prepare, Clean: f.remove}
}

// AggregateSamplesPerCPUSecondTenRounds is the same for hosts that catch up after
// an outage: each second a frame with ten rounds of a second.
func (suite) AggregateSamplesPerCPUSecondTenRounds() benchmark {
	f := &fleetLog{frames: 2, rounds: 10}
	return benchmark{Name: "aggregate_samples_per_cpu_second_10_rounds", Unit: "M samples/s·core", Better: higher,
		Prepare: f.prepare, Clean: f.remove}
}

// fleetLog is a broker's data with what a fleet sent: written once, read by each
// run in a copy of its own, so that each finds a fresh log without checkpoints.
type fleetLog struct {
	frames, rounds int // of a host; of a frame
	dir            string
}

func (f *fleetLog) prepare() (func() (float64, error), error) {
	dir, err := os.MkdirTemp("", "nines-bench")
	if err != nil {
		return nil, err
	}
	f.dir = dir
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	addr, stop, err := childBroker(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer stop()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return f.run, f.fill(ctx, client)
}

func (f *fleetLog) remove() { os.RemoveAll(f.dir) }

// run lets a fresh role read the log.
func (f *fleetLog) run() (rate float64, err error) {
	copied := filepath.Join(f.dir, "run")
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(f.dir, "log"))); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	addr, stop, err := childBroker(ctx, copied)
	if err != nil {
		return 0, err
	}
	defer stop()
	cpu, err := childRole(ctx, addr)
	if err != nil {
		return 0, err
	}
	return float64(benchHosts*f.frames*f.rounds*100) / cpu.Seconds() / 1e6, nil
}

// fill creates the topics and writes the rules, the fleet's frames and the
// ticks between them.
func (f *fleetLog) fill(ctx context.Context, client *bus.Client) error {
	for _, t := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: benchPartitions}, {Name: wire.TopicPartials, Partitions: 1, MaxMessageBytes: 8 << 20},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}} {
		if _, err := client.EnsureTopic(ctx, t); err != nil {
			return err
		}
	}
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		return err
	}
	id, err := rules.Publish(ctx, benchRules())
	if err != nil {
		return err
	}
	errs := make([]error, benchPartitions)
	var wg sync.WaitGroup
	for p := range benchPartitions {
		wg.Go(func() { errs[p] = f.fillPartition(ctx, client.Producer(wire.TopicTelemetry, int32(p)), p, id) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fillPartition writes one partition's share of the fleet: a frame of each host
// a second, spread evenly over it, and ticks as the role writes them. Frames of
// several rounds lie as far back as it takes to catch up with the last one.
func (f *fleetLog) fillPartition(ctx context.Context, p *bus.Producer, partition int, rules string) error {
	send := func(typ string, key, value []byte) error {
		_, err := p.Produce(ctx, []bus.Record{{Key: key, Value: value, Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(typ)}}}})
		return err
	}
	const own = benchHosts / benchPartitions
	var enc wire.Encoder
	var frame telemetry.Frame
	model := newHostModel()
	// Shortly before a whole minute, so that a run has a checkpoint amid it.
	base := time.Now().Add(-10*time.Minute).Truncate(time.Minute).UnixMilli() - 6000
	for n := range f.frames {
		for i := range own {
			due := int64(i) * 1000 / own // of the frame, in its second
			sent := base + int64(n)*1000 + due
			if i%(own/tickShare) == 0 {
				tick := wire.Tick{Clock: sent, Incarnation: 1, RuleSet: rules, Owner: "bench"}
				if err := send(wire.TypeTick, nil, wire.AppendTick(nil, &tick)); err != nil {
					return err
				}
			}
			host := i*benchPartitions + partition
			frame.Agent, frame.Boot, frame.Seq = fmt.Sprintf("host-%d", host), uint64(host+1), uint64(n+1)
			frame.Host = telemetry.NewLabels(map[string]string{"host": frame.Agent,
				"zone": fmt.Sprintf("zone-%d", host%benchZones), "region": fmt.Sprintf("region-%d", host%benchRegions)})
			model.fill(&frame, host, n*f.rounds, f.rounds, sent-int64((f.frames-n)*(f.rounds-1))*1000)
			frame.SendTime = sent
			if err := send(wire.TypeFrame, []byte(frame.Agent), enc.AppendFrame(nil, &frame, func(uint64) bool { return n == 0 })); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchRules judges ten latencies of every host by region, under a hundred
// thresholds each.
func benchRules() *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i := range benchObjectives {
		st := &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("probe_%d", i%10)}, Op: slo.LTE, Threshold: float64(i/10+1) / 500,
			GroupBy: []string{"region"}, Bin: 1000, Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}, MinCount: 1}}
		set.Streams[st.ID()] = st
	}
	return set
}
