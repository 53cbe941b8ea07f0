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

// The fleet of the benchmarks.
const (
	benchHosts      = 10_000
	benchRegions    = 29 // and 92 zones, those of configs/topology
	benchObjectives = 1000
	benchPartitions = 2
	// tickShare is how many ticks a second of the log has, as the role writes.
	tickShare = 4
	// benchWindow is that of objectives which are judged, 30 days.
	benchWindow = 30 * 86_400_000
)

// AggregateSamplesPerCPUSecond is how many samples the role aggregates in a
// second of CPU time, from Kafka's fetch to acknowledged partials, the broker
// being another process: 10,000 hosts in the regions and zones of
// configs/topology, each in the partition that an agent chooses, with frames of
// 100 samples, one round a frame and one frame a batch as agents send them; every
// host feeds each of 1,000 objectives, in the group of its region.
func (suite) AggregateSamplesPerCPUSecond() benchmark {
	f := &fleetLog{frames: 60, rounds: 1, partitions: benchPartitions, sinks: 1, objectives: benchObjectives}
	return benchmark{Name: "aggregate_samples_per_cpu_second", Unit: "M samples/s·core", Better: higher, Target: 20,
		Prepare: func() (func() (float64, error), error) { return f.rate, f.prepare() }, Clean: f.remove}
}

// AggregateSamplesPerCPUSecondTenRounds is the same for hosts that catch up after
// an outage: each second a frame with ten rounds of a second.
func (suite) AggregateSamplesPerCPUSecondTenRounds() benchmark {
	f := &fleetLog{frames: 6, rounds: 10, partitions: benchPartitions, sinks: 1, objectives: benchObjectives}
	return benchmark{Name: "aggregate_samples_per_cpu_second_10_rounds", Unit: "M samples/s·core", Better: higher,
		Prepare: func() (func() (float64, error), error) { return f.rate, f.prepare() }, Clean: f.remove}
}

// AggregateStartCPUSeconds is what a fresh collector pays once: to join its
// group, read the rules, and resolve what each host and group is, in the first
// second of the same log.
func (suite) AggregateStartCPUSeconds() benchmark {
	f := &fleetLog{frames: 1, rounds: 1, partitions: benchPartitions, sinks: 1, objectives: benchObjectives}
	return benchmark{Name: "aggregate_start_cpu_seconds", Unit: "CPU s", Better: lower,
		Prepare: func() (func() (float64, error), error) { return f.seconds, f.prepare() }, Clean: f.remove}
}

// fleetLog is a broker's data with what a fleet sent: written once, read by each
// run in a copy of its own, so that each finds a fresh log without checkpoints.
type fleetLog struct {
	frames, rounds    int // of a host; of a frame
	partitions, sinks int // of nines.telemetry; of nines.partials
	objectives        int
	judged            bool // else their slots are only counted
	// lines has Telegrafs write line protocol instead.
	lines bool
	// batch is how many hosts' frames reach the broker at a time; 0 for one, as
	// agents send them. It makes a long log quicker to fill.
	batch int
	dir   string
}

func (f *fleetLog) prepare() error {
	dir, err := os.MkdirTemp("", "nines-bench")
	if err != nil {
		return err
	}
	f.dir = dir
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	hosts, err := fleetHosts(dir, f.partitions)
	if err != nil {
		return err
	}
	addr, stop, err := childBroker(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer stop()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return err
	}
	defer client.Close()
	return f.fill(ctx, client, hosts)
}

func (f *fleetLog) remove() { os.RemoveAll(f.dir) }

// rate returns how many million samples a fresh role reads in a second of CPU
// time.
func (f *fleetLog) rate() (float64, error) {
	seconds, err := f.seconds()
	samples := benchHosts * f.frames * f.rounds * 100
	if f.lines {
		samples = lineHosts * lineRounds * foreignSamples
	}
	return float64(samples) / seconds / 1e6, err
}

// seconds returns the CPU time that it takes a fresh role to read the log.
func (f *fleetLog) seconds() (float64, error) {
	var cpu time.Duration
	err := f.serve(func(ctx context.Context, addr string) (err error) {
		cpu, err = childRole(ctx, addr, f.lines)
		return err
	})
	return cpu.Seconds(), err
}

// serve calls use with the address of a broker that has a copy of the log.
func (f *fleetLog) serve(use func(ctx context.Context, addr string) error) error {
	copied := filepath.Join(f.dir, "run")
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(f.dir, "log"))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	addr, stop, err := childBroker(ctx, copied)
	if err != nil {
		return err
	}
	defer stop()
	return use(ctx, addr)
}

// fill creates the topics and writes the rules, the fleet's frames and the
// ticks between them.
func (f *fleetLog) fill(ctx context.Context, client *bus.Client, hosts [][]benchHost) error {
	for _, t := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: f.partitions}, {Name: wire.TopicPartials, Partitions: f.sinks, MaxMessageBytes: 8 << 20},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}, {Name: wire.TopicAlerts, Compact: true}} {
		if _, err := client.EnsureTopic(ctx, t); err != nil {
			return err
		}
	}
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		return err
	}
	set, fill := benchRules(f.objectives, f.judged), f.fillPartition
	if f.lines {
		set, fill = lineRules(), fillLines
	}
	id, err := rules.Publish(ctx, set)
	if err != nil {
		return err
	}
	errs := make([]error, f.partitions)
	var wg sync.WaitGroup
	for p := range f.partitions {
		wg.Go(func() { errs[p] = fill(ctx, client.Producer(wire.TopicTelemetry, int32(p)), hosts[p], id) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fillPartition writes one partition's share of the fleet: a frame of each host
// a second, spread evenly over it, and ticks as the role writes them. Frames of
// several rounds lie as far back as it takes to catch up with the last one.
func (f *fleetLog) fillPartition(ctx context.Context, p *bus.Producer, hosts []benchHost, rules string) error {
	var recs []bus.Record
	flush := func() error {
		if len(recs) == 0 {
			return nil
		}
		_, err := p.Produce(ctx, recs)
		recs = recs[:0]
		return err
	}
	send := func(typ string, key, value []byte) error {
		recs = append(recs, bus.Record{Key: key, Value: value, Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(typ)}}})
		if typ == wire.TypeTick || len(recs) >= f.batch {
			return flush()
		}
		return nil
	}
	var enc wire.Encoder
	var frame telemetry.Frame
	model := newHostModel()
	// Shortly before a whole minute, so that a run has a checkpoint amid it.
	base := time.Now().Add(-10*time.Minute).Truncate(time.Minute).UnixMilli() - 6000
	for n := range f.frames {
		tick := -1 // in this second
		for i := range hosts {
			h := &hosts[i]
			due := int64(i) * 1000 / int64(len(hosts)) // of the frame, in its second
			sent := base + int64(n)*1000 + due
			if at := int(due) * tickShare / 1000; at != tick {
				tick = at
				if err := send(wire.TypeTick, nil, wire.AppendTick(nil, &wire.Tick{Clock: sent, Incarnation: 1, RuleSet: rules, Owner: "bench"})); err != nil {
					return err
				}
			}
			frame.Agent, frame.Boot, frame.Seq, frame.Host = h.name, uint64(h.number+1), uint64(n+1), h.labels
			model.fill(&frame, h.number, n*f.rounds, f.rounds, sent-int64((f.frames-n)*(f.rounds-1))*1000)
			frame.SendTime = sent
			if err := send(wire.TypeFrame, []byte(frame.Agent), enc.AppendFrame(nil, &frame, func(uint64) bool { return n == 0 })); err != nil {
				return err
			}
		}
	}
	return flush()
}

// benchRules judges ten latencies of every host by region, under as many
// thresholds each as make n objectives.
func benchRules(n int, judged bool) *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i := range n {
		st := &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("probe_%d", i%10)}, Op: slo.LTE, Threshold: float64(i/10+1) / 500,
			GroupBy: []string{"region"}, Bin: 1000, Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}, MinCount: 1}}
		if judged {
			st.Threshold += 3600 // nobody waits that long: all is well, as on most days
			set.Objectives = append(set.Objectives, &slo.Objective{Name: fmt.Sprintf("objective-%d", i), Service: "bench", StreamID: st.ID(),
				Target: sla.Ratio{Num: 999, Den: 1000}, Budgeting: "Occurrences", Window: benchWindow, Burn: slo.BurnRows(benchWindow)})
		}
		set.Streams[st.ID()] = st
	}
	return set
}
