package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"nines/agent/framing"
	"nines/internal/bus"
	"nines/internal/replay"
	"nines/internal/service"
	"nines/internal/sim"
	"nines/internal/topology"
	"nines/internal/wire"
	"nines/rules"
)

// simulation is the hosts that `nines up` plays where the configuration names
// them.
type simulation struct {
	cfg   sim.Config
	top   *topology.Topology
	hosts int
	salt  uint64 // of the boots of this process
}

// newSimulation reads and checks the simulation; nil where there is none. start
// makes the player.
func newSimulation(cfg *Config) (*simulation, error) {
	if cfg.Simulation == "" {
		return nil, nil
	}
	top, topErr := topology.Load(cfg.Topology...)
	c, err := sim.Load(cfg.Simulation)
	if err := errors.Join(topErr, err); err != nil {
		return nil, err
	}
	s := &simulation{cfg: c, top: top, salt: rand.Uint64()}
	f, err := s.fleet(0)
	if err != nil {
		return nil, err
	}
	s.hosts = f.Hosts()
	return s, nil
}

// fleet makes the fleet whose first measurement is at start.
func (s *simulation) fleet(start int64) (*sim.Fleet, error) {
	return sim.New(sim.Options{Config: s.cfg, Topology: s.top, Start: start, Salt: s.salt})
}

// part waits for the topic's first ticks, because objectives count from there,
// and plays from the next whole second on.
func (s *simulation) part(client *bus.Client, partitions int, log *slog.Logger) service.Part {
	return service.Part{Name: "simulation", Grace: agentGrace, Run: func(ctx context.Context) error {
		if err := awaitTicks(ctx, client, partitions); err != nil || ctx.Err() != nil {
			return err
		}
		fleet, err := s.fleet(time.Now().Truncate(time.Second).UnixMilli())
		if err != nil {
			return err
		}
		player, err := sim.NewPlayer(sim.PlayerOptions{Fleet: fleet, Client: client, Log: log})
		if err != nil {
			return err
		}
		return player.Run(ctx)
	}}
}

// Steps of the history: frames of many seconds, as a spool gives them, and few
// ticks, because nobody is alerted about the past.
const (
	historyFlush = 10_000
	historyTick  = 30 * time.Second
	// historyTrial is how much is made to see how fast it goes, historyBudget how
	// long all of it may take: a first start should show its page within 10 s.
	historyTrial  = 5 * time.Minute
	historyBudget = 6 * time.Second
)

// prefill plays the simulation's history into a ledger that is empty: the same
// frames through the same judgement, without Kafka. Any other ledger is left as
// it is.
func (s *simulation) prefill(ctx context.Context, cfg *Config, log *slog.Logger) error {
	if s.cfg.History.Lasts == 0 {
		return nil
	}
	led, err := cfg.openLedger(ctx, true, log)
	if err != nil {
		return err
	}
	defer led.Close()
	if at, err := led.LogTime(ctx); err != nil || at != 0 {
		return err
	}
	set, err := rules.Load(slices.Concat(cfg.Objectives, cfg.Contracts))
	if err != nil {
		return err
	}
	opts := replay.Options{Rules: set.RuleSet, Partitions: cfg.Topics.TelemetryPartitions, Evaluate: cfg.Evaluate.state(), TickEvery: historyTick}
	lasts, err := s.affordable(ctx, opts)
	if err != nil {
		return err
	}
	if lasts < s.cfg.History.Lasts {
		log.Warn("this machine is too slow or too busy for all of the history that the simulation asks for", "asked", s.cfg.History.Lasts, "made", lasts)
	}
	opts.Ledger = led
	p, err := replay.New(ctx, opts)
	if err != nil {
		return err
	}
	end := time.Now().Truncate(historyFlush * time.Millisecond).UnixMilli()
	b := newBar(os.Stderr, "making up history")
	defer b.end()
	return s.history(p, end, lasts, cfg.Topics.TelemetryPartitions, b.show)
}

// affordable returns how much of the history can be made before the page should
// be there, as a trial on a ledger of its own shows. Never less than the trial.
func (s *simulation) affordable(ctx context.Context, o replay.Options) (time.Duration, error) {
	asked := s.cfg.History.Lasts
	if asked <= historyTrial {
		return asked, nil
	}
	led, done, err := replay.Temporary(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = done() }()
	o.Ledger = led
	p, err := replay.New(ctx, o)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := s.history(p, began.UnixMilli(), historyTrial, o.Partitions, func(int64, int64) {}); err != nil {
		return 0, err
	}
	return affordableAt(asked, time.Since(began)), nil
}

// affordableAt returns what of the history to make where the trial took so long.
func affordableAt(asked, trial time.Duration) time.Duration {
	speed := float64(historyTrial) / float64(max(trial, time.Millisecond))
	can := time.Duration(speed * float64(historyBudget)).Truncate(time.Minute)
	return min(asked, max(can, historyTrial))
}

// history plays what lasted so long up to end.
func (s *simulation) history(p *replay.Pipeline, end int64, long time.Duration, partitions int, progress func(done, total int64)) error {
	lasts := long.Truncate(historyFlush * time.Millisecond).Milliseconds()
	start := end - lasts
	fleet, err := sim.New(sim.Options{Config: s.cfg.Past(), Topology: s.top, Start: start, Salt: s.salt + 1, Flush: historyFlush, ServicesOnly: true})
	if err != nil {
		return err
	}
	if err := p.Tick(start); err != nil {
		return err
	}
	for now := start + historyFlush; now <= end; now += historyFlush {
		frames, err := fleet.Advance(now)
		if err != nil {
			return err
		}
		for _, f := range frames {
			if err := p.Record(int(framing.Partition(f.Zone, f.Host, partitions)), wire.TypeFrame, f.Item.Bytes); err != nil {
				return err
			}
		}
		if err := p.Tick(now); err != nil {
			return err
		}
		progress(now-start, lasts)
	}
	return p.Commit()
}

// shownFaults bounds how many faults the first lines name.
const shownFaults = 5

// describe says what is simulated.
func (s *simulation) describe(out io.Writer) {
	fmt.Fprintf(out, "  SIMULATED %d hosts and all that they measure: nothing on this page is real\n", s.hosts)
	var faults []string
	for _, f := range s.cfg.Faults {
		every := ""
		if f.Every > 0 {
			every = " every " + short(f.Every)
		}
		faults = append(faults, fmt.Sprintf("%s after %s for %s%s", f.Name, short(f.At), short(f.Lasts), every))
	}
	if n := len(faults) - shownFaults; n > 0 {
		faults = append(faults[:shownFaults], fmt.Sprintf("and %d more: see the simulation's file", n))
	}
	for i, line := range faults {
		head := "            "
		if i == 0 {
			head = "  faults    "
		}
		fmt.Fprintf(out, "%s%s\n", head, line)
	}
}

// short prints a duration without the zeros that Go appends.
func short(d time.Duration) string {
	s := d.String()
	s = strings.Replace(s, "m0s", "m", 1)
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
