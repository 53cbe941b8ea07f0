package main

import (
	"context"
	"fmt"
	"time"

	"nines/internal/bus"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// The fleet of Telegrafs. Each writes ten lines of ten fields a second, a record
// each, as its outputs.kafka does.
const (
	lineHosts  = 2000
	lineRounds = 60
	lineBatch  = 1000 // records: Telegraf's metric_batch_size
)

// AggregateLineSamplesPerCPUSecond is what AggregateSamplesPerCPUSecond is, for
// line protocol: 2,000 hosts, of whose 100 series ten feed objectives, each under
// a hundred thresholds by region.
func (suite) AggregateLineSamplesPerCPUSecond() benchmark {
	f := &fleetLog{partitions: benchPartitions, sinks: 1, lines: true}
	return benchmark{Name: "aggregate_line_samples_per_cpu_second", Unit: "M samples/s·core", Better: higher,
		Prepare: func() (func() (float64, error), error) { return f.rate, f.prepare() }, Clean: f.remove}
}

// lineRules judges one field of each line under a hundred thresholds.
func lineRules() *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i := range benchObjectives {
		st := &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("cpu%d_usage_idle", i%10)}, Op: slo.GTE, Threshold: float64(i/10) / 2,
			GroupBy: []string{"region"}, Bin: 1000, Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}, MinCount: 1}}
		set.Streams[st.ID()] = st
	}
	return set
}

// fillLines writes what the Telegrafs of a partition sent, and ticks between.
func fillLines(ctx context.Context, p *bus.Producer, hosts []benchHost, rules string) error {
	hosts = hosts[:lineHosts/benchPartitions]
	base := time.Now().Add(-10 * time.Minute).Truncate(time.Minute).UnixMilli()
	var batch []bus.Record
	send := func() error {
		_, err := p.Produce(ctx, batch)
		batch = batch[:0]
		return err
	}
	for round := range lineRounds {
		at, tick := base+int64(round)*1000, -1
		for i := range hosts {
			if n := i * tickShare / len(hosts); n != tick {
				tick = n
				tick := wire.Tick{Clock: at + int64(n)*1000/tickShare, Incarnation: 1, RuleSet: rules, Owner: "bench"}
				batch = append(batch, bus.Record{Value: wire.AppendTick(nil, &tick), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeTick)}}})
			}
			h := &hosts[i]
			for cpu := range 10 {
				line := fmt.Appendf(nil, "cpu%d,host=%s,region=%s,zone=%s ", cpu, h.name, h.labels.Get("region"), h.labels.Get("zone"))
				for k, field := range []string{"guest", "guest_nice", "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
					if k > 0 {
						line = append(line, ',')
					}
					line = fmt.Appendf(line, "usage_%s=%v", field, float64((h.number*31+round*17+cpu*7+k)%700)/7)
				}
				line = fmt.Appendf(line, " %d\n", at*1_000_000)
				if batch = append(batch, bus.Record{Key: []byte(h.name), Value: line}); len(batch) >= lineBatch {
					if err := send(); err != nil {
						return err
					}
				}
			}
		}
	}
	return send()
}
