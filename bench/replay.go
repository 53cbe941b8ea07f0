package main

import (
	"context"
	"errors"
	"time"

	"nines/internal/replay"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// The month of the benchmark.
const (
	replayBegin   = int64(1_793_491_200_000) // 2026-11-01T00:00:00Z
	replayDays    = 30
	replayMinutes = replayDays * 1440
)

// ReplaySlotsPerSecond is how many slots are judged in a second of CPU time when
// a month of one contract is replayed: a probe each 5 s, slots of a minute, the
// four burn-rate rows and confirmed down, ticks of a minute, the ledger on disk.
func (suite) ReplaySlotsPerSecond() benchmark {
	return benchmark{Name: "replay_slots_per_second", Unit: "slots/s·core", Better: higher,
		Prepare: func() (func() (float64, error), error) { return replayMonth, nil }}
}

// replayMonth replays the month into a fresh ledger.
func replayMonth() (rate float64, err error) {
	ctx := context.Background()
	led, done, err := replay.Temporary(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	p, err := replay.New(ctx, replay.Options{Rules: monthRules(), Ledger: led, TickEvery: time.Minute})
	if err != nil {
		return 0, err
	}
	probe := p.Agent("host-1", telemetry.NewLabels(map[string]string{"host": "host-1", "region": "region-1"})).Source(
		telemetry.Series{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "api"})})
	for at := int64(0); at < replayDays*86_400_000; at += 5000 {
		up := 1.0
		if at%(7*86_400_000) < 600_000 { // ten bad minutes a week
			up = 0
		}
		probe.Add(replayBegin+at, up)
	}
	for _, to := range []int64{0, replayDays*86_400_000 + 10_000} {
		if err := p.Tick(replayBegin + to); err != nil {
			return 0, err
		}
	}
	if err := p.Commit(); err != nil {
		return 0, err
	}
	end, err := cpuTime()
	return replayMinutes / (end - start).Seconds(), err
}

func monthRules() *slo.RuleSet {
	st := &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Vantage: "host",
		Bin: 5000, Rule: sla.SlotRule{Length: time.Minute.Milliseconds(), Bad: sla.BadUnreachable, K: 1, N: 1, MinCount: 1}}
	const month = 30 * 86_400_000
	return &slo.RuleSet{Streams: map[string]*slo.Stream{st.ID(): st}, Objectives: []*slo.Objective{{
		Name: "api", Service: "bench", StreamID: st.ID(), Target: sla.Ratio{Num: 9999, Den: 10_000}, Budgeting: "Occurrences",
		Window: month, Burn: slo.BurnRows(month), Down: &slo.Down{Failures: 3, K: 1, N: 1}}}}
}
