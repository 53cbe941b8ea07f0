package main

import (
	"fmt"

	"nines/collector/evaluate"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// What is judged: 1,000 objectives, each in 29 regions.
const (
	judgedObjectives = 1000
	ticksPerSecond   = 4
	// warmTicks come before what is measured: a minute and a bit, after which every
	// objective has a past and slots close.
	warmTicks = 70 * ticksPerSecond
	// judgedTicks are measured: a minute, with its slots' end.
	judgedTicks = 60 * ticksPerSecond
)

// EvaluateCPUMillisPerTick is the CPU time in which the evaluation takes in one
// tick of the log: it decodes a partial that adds to every one of 29,000 groups,
// judges their burn rates and budgets over 30 days, and once a second closes
// slots and makes the ledger's batch.
func (suite) EvaluateCPUMillisPerTick() benchmark {
	return benchmark{Name: "evaluate_cpu_ms_per_tick", Unit: "ms", Better: lower, Target: 50,
		Prepare: func() (func() (float64, error), error) { return prepareEvaluate(30 * 86_400_000) }}
}

// EvaluateCPUMillisPerTickShort is the same over windows of one day: what it
// differs by is what the length of a window costs.
func (suite) EvaluateCPUMillisPerTickShort() benchmark {
	return benchmark{Name: "evaluate_cpu_ms_per_tick_1d", Unit: "ms", Better: lower, Target: 50,
		Prepare: func() (func() (float64, error), error) { return prepareEvaluate(86_400_000) }}
}

func prepareEvaluate(window int64) (func() (float64, error), error) {
	const epoch = int64(1_790_000_040_000)
	set := judgedRules(window)
	state := evaluate.New(evaluate.Config{}, &ledger.Claim{}, func(string) (*slo.RuleSet, bool) { return set, true }, nil)
	feed := newCrowd(set, epoch)
	var p wire.Partial
	step := func(values [][]byte) error {
		for i, raw := range values {
			if err := wire.DecodePartial(raw, &p); err != nil {
				return err
			}
			if _, err := state.Apply(state.Offset(), &p); err != nil {
				return err
			}
			state.Take()
			if i%ticksPerSecond == ticksPerSecond-1 {
				if _, _, err := state.Advance(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for range warmTicks / ticksPerSecond {
		if err := step(feed.next(ticksPerSecond)); err != nil {
			return nil, err
		}
	}
	if got, want := state.Groups(), judgedObjectives*benchRegions; got != want {
		return nil, fmt.Errorf("%d groups are live, want %d", got, want)
	}
	return func() (float64, error) {
		values := feed.next(judgedTicks)
		start, err := cpuTime()
		if err != nil {
			return 0, err
		}
		if err := step(values); err != nil {
			return 0, err
		}
		end, err := cpuTime()
		return (end - start).Seconds() * 1000 / judgedTicks, err
	}, nil
}

// judgedRules are the objectives, with the rows that they have unless they
// declare others.
func judgedRules(window int64) *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i := range judgedObjectives {
		st := &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("service_%d_seconds", i)}, Op: slo.LTE, Threshold: 0.25,
			GroupBy: []string{"region"}, Bin: 1000, Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 100}, MinCount: 1}}
		set.Streams[st.ID()] = st
		set.Objectives = append(set.Objectives, &slo.Objective{Name: fmt.Sprintf("service-%d", i), Service: "bench", StreamID: st.ID(),
			Target: sla.Ratio{Num: 999, Den: 1000}, Budgeting: slo.Occurrences, Window: window, Burn: slo.BurnRows(window), Budget: slo.BudgetRows()})
	}
	return set
}

// crowd makes the partials of a log in which every group is heard in every
// tick.
type crowd struct {
	p   wire.Partial
	now int64
	n   int
}

func newCrowd(set *slo.RuleSet, epoch int64) *crowd {
	c := &crowd{now: epoch, p: wire.Partial{Sources: 1, Incarnation: 1, RuleSet: set.ID()}}
	for _, o := range set.Objectives {
		for r := range benchRegions {
			labels := telemetry.NewLabels(map[string]string{"region": fmt.Sprintf("region-%d", r)})
			key := wire.GroupKey{Stream: o.StreamID, Labels: labels.Hash()}
			c.p.Groups = append(c.p.Groups, wire.GroupLabels{Key: key, Labels: labels})
			c.p.Counts = append(c.p.Counts, wire.BinCount{Group: key})
		}
	}
	return c
}

// next returns the partials of n ticks.
func (c *crowd) next(n int) (out [][]byte) {
	groups := c.p.Groups
	for range n {
		c.p.From, c.p.To, c.p.LogTime = c.p.To, c.p.To+1, c.now+200
		if c.n%(60*ticksPerSecond) != 0 { // announced once a minute
			c.p.Groups = nil
		}
		for i := range c.p.Counts {
			b := &c.p.Counts[i]
			b.Bin, b.Newest, b.Total, b.Good = c.now-c.now%1000, c.now, 100, 100
			if (i+c.n)%2000 == 0 { // a request in 200,000 is slow
				b.Good--
			}
		}
		out = append(out, wire.AppendPartial(nil, &c.p))
		c.p.Groups = groups
		c.now += 1000 / ticksPerSecond
		c.n++
	}
	return out
}
