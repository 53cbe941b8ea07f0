package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"nines/internal/bus"
	"nines/internal/sim"
	"nines/internal/topology"
	"nines/internal/truth"
)

// simSpool bounds what all hosts keep together while their zones are dark.
const simSpool = 512 << 20

// simPlay is one run of nines sim.
type simPlay struct {
	req *simRequest
	cfg sim.Config
	top *topology.Topology
	log *slog.Logger

	fleet *sim.Fleet
	truth *truth.Writer
	last  sim.Progress
}

// newFleet makes the part of the fleet that is played here, from start on.
func (p *simPlay) newFleet(start int64, salt uint64) (err error) {
	o := sim.Options{Config: p.cfg, Topology: p.top, Start: start, Salt: salt, Shard: p.req.part, Shards: p.req.parts, SpoolBytes: simSpool}
	if p.req.truth != "" && !p.req.dry {
		o.Truth = func(x sim.Outcome) {
			p.truth.Sample(x.Time, x.Host, x.Labels, x.Series, x.Value)
		}
		o.Fates = p.fate
	}
	p.fleet, err = sim.New(o)
	return err
}

// fate writes down what became of a frame.
func (p *simPlay) fate(x sim.Fate) {
	switch x.Step {
	case sim.Made:
		p.truth.Framed(x.Host, x.Boot, x.Seq)
	case sim.Sent:
		p.truth.Sent(x.Host, x.Boot, x.Seq)
	case sim.Lost:
		p.truth.Lost(x.Host, x.Boot, x.Seq)
	}
}

// run plays to Kafka.
func (p *simPlay) run(ctx context.Context, client *bus.Client, screen *os.File) error {
	p.awaitCollectors(ctx, client, sim.Topics(p.cfg.Regions(p.top), p.req.regions))
	begin, start := p.req.start(time.Now())
	if err := p.newFleet(start, rand.Uint64()); err != nil {
		return err
	}
	end, closeTruth, err := p.openTruth(begin, start)
	if err != nil {
		return err
	}
	b := newBar(screen, "playing")
	began := begin
	if now := time.Now(); now.After(began) {
		began = now
	}
	player, err := sim.NewPlayer(sim.PlayerOptions{Fleet: p.fleet, Client: client, RegionTopics: p.req.regions, Begin: begin, Rate: p.req.rate, Until: end, Log: p.log, Progress: func(at sim.Progress) {
		p.last = at
		took := max(time.Since(began).Seconds(), 1e-3)
		b.note = fmt.Sprintf("%d hosts  %s samples/s  %s behind", p.fleet.Hosts(), thousands(float64(at.Samples)/took), at.Lag.Round(100*time.Millisecond))
		b.show(at.Now-start, max(end-start, at.Now-start))
	}})
	if err != nil {
		return errors.Join(err, closeTruth(false))
	}
	err = player.Run(ctx)
	b.end()
	complete := err == nil && ctx.Err() == nil
	p.last.Frames = player.Frames()
	err = errors.Join(err, closeTruth(complete))
	took := time.Since(began)
	fmt.Fprintf(p.req.out, "played %s of %d hosts in %s: %d samples in %d frames acknowledged, %s samples/s\n",
		short(time.Duration(p.fleet.Now()-start)*time.Millisecond), p.fleet.Hosts(), took.Round(100*time.Millisecond),
		p.fleet.Samples(), player.Frames(), thousands(float64(p.fleet.Samples())/max(took.Seconds(), 1e-3)))
	if n := p.fleet.Waiting(); n > 0 {
		fmt.Fprintf(p.req.out, "%d frames of hosts in dark zones were never sent: it ended before their zones were back\n", n)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(p.req.out, "stopped before its end; what was under way may not have arrived")
	}
	return err
}

// openTruth begins the file of what was measured, if one is wanted, and returns
// when the play ends.
func (p *simPlay) openTruth(begin time.Time, start int64) (end int64, done func(complete bool) error, err error) {
	end = 0
	if p.req.lasts > 0 {
		end = start + p.req.lasts.Milliseconds()
	}
	if p.req.truth == "" {
		return end, func(bool) error { return nil }, nil
	}
	file, err := os.Create(p.req.truth)
	if err != nil {
		return 0, nil, fmt.Errorf("write truth: %w", err)
	}
	p.truth = truth.NewWriter(file, truth.Head{Start: start, Begin: begin.UnixMilli(), Speed: p.req.rate, Seed: p.cfg.Seed, Shard: fmt.Sprintf("%d/%d", p.req.part+1, p.req.parts), Hosts: p.fleet.Hosts()})
	if end > 0 {
		for _, o := range p.fleet.Occurrences(start, end) {
			p.truth.Fault(truth.Fault{Fault: string(o.Fault.Kind), Name: o.Fault.Name, On: o.Fault.Strikes(), From: o.Start, Until: o.End})
		}
	}
	return end, func(complete bool) error {
		err := p.truth.Close(truth.End{End: p.fleet.Now(), Frames: p.last.Frames, Complete: complete && p.fleet.Waiting() == 0})
		return errors.Join(err, file.Close())
	}, nil
}

// Time that a dry run plays, the fleet's and the machine's.
const (
	trialLasts = 10 * time.Second
	trialTook  = 5 * time.Second
)

// trial plays a moment without Kafka and says what it takes.
func (p *simPlay) trial() error {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, start := p.req.start(time.Now())
	if err := p.newFleet(start, 1); err != nil {
		return err
	}
	began := time.Now()
	frames, bytes := 0, 0
	for p.fleet.Now() < start+trialLasts.Milliseconds() && (frames == 0 || time.Since(began) < trialTook) {
		list, err := p.fleet.Advance(p.fleet.Now() + p.cfg.Interval.Milliseconds())
		if err != nil {
			return err
		}
		frames += len(list)
		for i := range list {
			bytes += len(list[i].Item.Bytes)
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	seconds := float64(p.fleet.Now()-start) / 1000
	hosts := float64(max(1, p.fleet.Hosts()))
	out := p.req.out
	fmt.Fprintf(out, "%d hosts in %d zones of %d regions, %d of them measure services\n", p.fleet.Hosts(), p.top.Zones(), len(p.top.Regions), len(p.fleet.Vantage()))
	fmt.Fprintf(out, "%s samples/s and %.1f MB/s before compression, at %gx\n", thousands(p.req.rate*float64(p.fleet.Samples())/seconds), p.req.rate*float64(bytes)/seconds/1e6, p.req.rate)
	fmt.Fprintf(out, "measuring and framing take %.0f µs of a core for each host and second, and each host %.1f KB of memory: here at most %.0fx without Kafka\n",
		took.Seconds()/seconds/hosts*1e6, (float64(after.HeapAlloc)-float64(before.HeapAlloc))/hosts/1000, seconds/took.Seconds())
	if p.req.lasts > 0 {
		for _, o := range p.fleet.Occurrences(start, start+p.req.lasts.Milliseconds()) {
			fmt.Fprintf(out, "  %s: %s of %s after %s for %s\n", o.Fault.Name, o.Fault.Kind, o.Fault.Strikes(), short(time.Duration(o.Start-start)*time.Millisecond), short(o.Fault.Lasts))
		}
	}
	return nil
}

// thousands prints a rate in k or M.
func thousands(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}
