package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"nines/agent/framing"
	"nines/internal/bus"
	"nines/internal/wire"
)

const (
	// maxBatch bounds the bytes of one request to Kafka: below the usual limit
	// of 1 MB even where nothing compresses.
	maxBatch = 900_000
	// ackWait is how long a stopping player waits for what it sent last.
	ackWait = time.Second
)

// PlayerOptions configure a Player.
type PlayerOptions struct {
	Fleet *Fleet
	// Client is where frames go: to nines.telemetry or, with RegionTopics, each to
	// nines.telemetry.REGION of its host.
	Client       *bus.Client
	RegionTopics bool
	// Begin is when Run begins to play, and from when on it counts how far it is
	// behind; it waits where that lies ahead. Zero is the fleet's own start at
	// real time, else when Run is called.
	Begin time.Time
	// Rate is how fast the fleet's time passes: 1, the default, is real time. Log
	// time is the brokers' real time, so that what is played faster must lie in
	// the past.
	Rate float64
	// Until ends Run once the fleet's time is there and all frames are
	// acknowledged, Unix milliseconds; 0 is never.
	Until int64
	// Progress, where given, is told twice a second how far the fleet is. It is
	// called by the goroutine that plays.
	Progress func(Progress)
	// Log is where the player says what changes; nil discards it.
	Log *slog.Logger
}

// Progress is how far a Player is.
type Progress struct {
	// Now is up to where the fleet was played, Unix milliseconds.
	Now int64
	// Samples were measured, Frames acknowledged.
	Samples, Frames uint64
	// Lag is how far the fleet's time is behind where the clock wants it: brokers
	// or this machine are too slow.
	Lag time.Duration
}

// Player plays a Fleet to Kafka. Frames of an agent leave in order, each after
// the one before is acknowledged; those of a partition travel together. While
// Kafka is away the fleet's time stands still, and catches up afterwards: what
// was measured meanwhile comes late, and not at all if the player is stopped
// before.
type Player struct {
	opt    PlayerOptions
	log    *slog.Logger
	began  time.Time
	origin int64
	told   time.Time // when progress was told last
	frames atomic.Uint64
}

// NewPlayer checks the options and starts nothing.
func NewPlayer(opt PlayerOptions) (*Player, error) {
	if opt.Fleet == nil || opt.Client == nil {
		return nil, errors.New("create player: it needs a fleet and a client")
	}
	if opt.Rate == 0 {
		opt.Rate = 1
	}
	if !(opt.Rate > 0) {
		return nil, fmt.Errorf("create player: the rate must be above 0, got %v", opt.Rate)
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Player{opt: opt, log: opt.Log}, nil
}

// Frames returns how many frames were acknowledged. It is safe for concurrent
// use.
func (p *Player) Frames() uint64 { return p.frames.Load() }

// Run plays until ctx ends, then waits up to a second for what is under way; or
// until its end, then waits for all of it. The fleet is Run's alone meanwhile.
func (p *Player) Run(ctx context.Context) error {
	lanes, err := p.lanes(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	sendCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, lanes.count())
	var wg sync.WaitGroup
	for topic, queues := range lanes {
		p.log.Info("simulated agents send frames", "hosts", p.opt.Fleet.Hosts(), "topic", topic, "partitions", len(queues))
		for i := range queues {
			queues[i] = make(chan []Frame, 2)
			wg.Go(func() {
				if err := p.sender(sendCtx, topic, int32(i), queues[i]); err != nil && sendCtx.Err() == nil {
					failed <- err
				}
			})
		}
	}
	err = p.play(ctx, lanes, failed)
	for _, queues := range lanes {
		for _, q := range queues {
			close(q)
		}
	}
	if err != nil {
		stop()
	}
	// At the end of its time it waits for the brokers as long as nobody stops it.
	late := context.AfterFunc(ctx, func() { time.AfterFunc(ackWait, stop) })
	defer late()
	wg.Wait()
	select {
	case bad := <-failed:
		err = errors.Join(err, bad)
	default:
	}
	return err
}

// play advances the fleet at each interval.
func (p *Player) play(ctx context.Context, lanes lanes, failed <-chan error) error {
	fleet := p.opt.Fleet
	p.began, p.origin = time.Now(), fleet.Now()
	switch {
	case !p.opt.Begin.IsZero():
		p.began = p.opt.Begin
	case p.opt.Rate == 1: // in step with the world's clock from the fleet's start on
		p.began = time.UnixMilli(p.origin)
	}
	every := time.Duration(float64(fleet.cfg.Interval) / p.opt.Rate)
	tick := time.NewTicker(min(max(every, 5*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-tick.C:
			for until := p.due(); fleet.Now()+fleet.interval <= until; until = p.due() {
				frames, err := fleet.Advance(min(until, fleet.Now()+fleet.flush))
				if err != nil {
					return err
				}
				if err := p.hand(ctx, frames, lanes, failed); err != nil {
					return err
				}
				p.tell(false)
				if ctx.Err() != nil {
					return nil
				}
			}
			if p.opt.Until > 0 && fleet.Now()+fleet.interval > p.opt.Until {
				p.tell(true)
				return nil
			}
		}
	}
}

// due returns up to where the clock wants the fleet.
func (p *Player) due() int64 {
	until := p.origin + int64(float64(time.Now().Round(0).Sub(p.began).Milliseconds())*p.opt.Rate)
	if p.opt.Until > 0 {
		until = min(until, p.opt.Until)
	}
	return until
}

// tellEvery is how often progress is told.
const tellEvery = 500 * time.Millisecond

// tell tells of progress, now and then or anyway.
func (p *Player) tell(anyway bool) {
	now := time.Now()
	if p.opt.Progress == nil || !anyway && now.Sub(p.told) < tellEvery {
		return
	}
	p.told = now
	at := p.opt.Fleet.Now()
	lag := time.Duration(float64(p.due()-at)/p.opt.Rate) * time.Millisecond
	p.opt.Progress(Progress{Now: at, Samples: p.opt.Fleet.Samples(), Frames: p.frames.Load(), Lag: max(0, lag)})
}

// lanes are the queues of a topic's partitions, by topic.
type lanes map[string][]chan []Frame

func (l lanes) count() (n int) {
	for _, queues := range l {
		n += len(queues)
	}
	return n
}

// Topics returns where the frames of hosts in these regions go.
func Topics(regions []string, each bool) (out []string) {
	if !each {
		return []string{wire.TopicTelemetry}
	}
	for _, r := range regions {
		out = append(out, topicOf(r, each))
	}
	return out
}

func topicOf(region string, each bool) string {
	if !each || region == "" {
		return wire.TopicTelemetry
	}
	return wire.TopicTelemetry + "." + region
}

// lanes asks how many partitions each topic has.
func (p *Player) lanes(ctx context.Context) (lanes, error) {
	all := lanes{}
	for _, topic := range Topics(p.opt.Fleet.cfg.Regions(p.opt.Fleet.top), p.opt.RegionTopics) {
		n, err := p.partitions(ctx, topic)
		if err != nil || ctx.Err() != nil {
			return nil, err
		}
		all[topic] = make([]chan []Frame, n)
	}
	return all, nil
}

// hand gives the frames to their partitions, and waits where a partition is
// behind.
func (p *Player) hand(ctx context.Context, frames []Frame, lanes lanes, failed <-chan error) error {
	by := map[chan []Frame][]Frame{}
	for _, f := range frames {
		queues := lanes[topicOf(f.Region, p.opt.RegionTopics)]
		q := queues[framing.Partition(f.Zone, f.Host, len(queues))]
		by[q] = append(by[q], f)
	}
	for q, list := range by {
		select {
		case q <- list:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// sender sends what comes for one partition, in requests of bounded size, one
// after the other.
func (p *Player) sender(ctx context.Context, topic string, partition int32, queue <-chan []Frame) error {
	producer := p.opt.Client.Producer(topic, partition)
	for frames := range queue {
		for len(frames) > 0 {
			n, bytes := 1, len(frames[0].Item.Bytes)
			for n < len(frames) && bytes+len(frames[n].Item.Bytes) <= maxBatch {
				bytes += len(frames[n].Item.Bytes)
				n++
			}
			if err := p.produce(ctx, producer, frames[:n]); err != nil {
				return err
			}
			p.frames.Add(uint64(n))
			frames = frames[n:]
		}
	}
	return nil
}

// produce sends frames as one batch until it is acknowledged. As agents do, it
// restamps the send time at each attempt.
func (p *Player) produce(ctx context.Context, producer *bus.Producer, frames []Frame) error {
	records := make([]bus.Record, len(frames))
	for i := range frames {
		records[i] = bus.Record{Key: []byte(frames[i].Agent), Value: frames[i].Item.Bytes,
			Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeFrame)}}}
	}
	var bad error
	_, err := producer.ProduceRetry(ctx, func() []bus.Record {
		now := time.Now().UnixMilli()
		for i := range records {
			records[i].Time = now
			bad = errors.Join(bad, wire.RestampFrame(records[i].Value, now))
		}
		return records
	})
	if err := errors.Join(bad, err); err != nil {
		return fmt.Errorf("send simulated frames: %w", err)
	}
	return nil
}

// partitions asks how many partitions there are until Kafka answers, 0 where
// ctx ends before.
func (p *Player) partitions(ctx context.Context, topic string) (int, error) {
	for said := false; ; said = true {
		n, err := p.opt.Client.Partitions(ctx, topic)
		switch {
		case err == nil && n > 0:
			return n, nil
		case ctx.Err() != nil:
			return 0, nil
		case errors.Is(err, bus.ErrClosed):
			return 0, err
		case !said:
			p.log.Warn("cannot see the telemetry topic, trying again", "topic", topic, "error", err)
		}
		select {
		case <-ctx.Done():
			return 0, nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}
