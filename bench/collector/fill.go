package collector

import (
	"context"
	"errors"
	"sync"
	"time"

	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/rules"
)

// The topics that the contestants read.
const (
	topicFrames = "nines.telemetry.bench" // our agents' frames
	topicLines  = "lines"                 // the same samples in line protocol
	topicShort  = "lines_short"           // the first seconds of them
)

const (
	partitions = 2
	// ticksASecond is how often nines writes its clock into a topic.
	ticksASecond = 4
	// senders write each partition's records at the same time.
	senders = 6
)

// filler writes a fleet's log.
type filler struct {
	client *bus.Client
	fleet  *fleet
	begin  int64  // of the log, Unix milliseconds
	rules  string // the rule set that ticks name
}

// fill makes the topics and writes seconds of the fleet to the frames and the
// lines, and the first of them to the short topic.
func (f *filler) fill(ctx context.Context, objectives string, seconds, short int) error {
	for _, t := range []bus.Topic{{Name: topicFrames, Partitions: partitions}, {Name: topicLines, Partitions: partitions},
		{Name: topicShort, Partitions: partitions}, {Name: wire.TopicRules, Compact: true}} {
		if _, err := f.client.EnsureTopic(ctx, t); err != nil {
			return err
		}
	}
	set, err := rules.Load([]string{objectives})
	if err != nil {
		return err
	}
	log := rulelog.New(f.client)
	if err := log.Load(ctx); err != nil {
		return err
	}
	if f.rules, err = log.Publish(ctx, set.RuleSet); err != nil {
		return err
	}
	var jobs []func() error
	for p := range int32(partitions) {
		jobs = append(jobs, func() error { return f.partition(ctx, topicFrames, p, seconds) },
			func() error { return f.partition(ctx, topicLines, p, seconds) },
			func() error { return f.partition(ctx, topicShort, p, short) })
	}
	return together(jobs...)
}

// together runs all at the same time.
func together(jobs ...func() error) error {
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	for i, job := range jobs {
		wg.Go(func() { errs[i] = job() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// partition writes one partition, quarter by quarter of a second, with the clock
// that nines writes before each. What comes last is a host's: of what it cannot
// read, such as that clock, Telegraf does not say that it has been there.
func (f *filler) partition(ctx context.Context, topic string, p int32, seconds int) error {
	var mine []*host
	for i := range f.fleet.hosts {
		if h := &f.fleet.hosts[i]; h.partition == p {
			mine = append(mine, h)
		}
	}
	workers := make([]*sender, senders)
	for i := range workers {
		workers[i] = &sender{f: f, out: f.client.Producer(topic, p), schemas: f.fleet.schemas()}
	}
	for second := range seconds {
		for q := range ticksASecond {
			at := f.begin + int64(second)*1000 + int64(q)*1000/ticksASecond
			tick := wire.Tick{Clock: at, Incarnation: 1, RuleSet: f.rules, Owner: "bench"}
			if _, err := workers[0].out.Produce(ctx, []bus.Record{{Value: wire.AppendTick(nil, &tick), Headers: header(wire.TypeTick)}}); err != nil {
				return err
			}
			share := mine[len(mine)*q/ticksASecond : len(mine)*(q+1)/ticksASecond]
			jobs := make([]func() error, senders)
			for i, w := range workers {
				part := share[len(share)*i/senders : len(share)*(i+1)/senders]
				jobs[i] = func() error { return w.send(ctx, topic, part, second, at) }
			}
			if err := together(jobs...); err != nil {
				return err
			}
		}
	}
	return nil
}

func header(typ string) []bus.Header {
	return []bus.Header{{Key: wire.HeaderType, Value: []byte(typ)}}
}

// sender writes for some hosts, a batch for each second of each, as agents do.
type sender struct {
	f       *filler
	out     *bus.Producer
	schemas []*telemetry.Schema
	enc     wire.Encoder
	fr      telemetry.Frame
	values  []float64
}

func (s *sender) send(ctx context.Context, topic string, hosts []*host, second int, ms int64) error {
	for _, h := range hosts {
		s.values = s.f.fleet.second(s.values[:0], h, second)
		var recs []bus.Record
		if topic == topicFrames {
			frame(&s.fr, h, s.schemas, s.values, ms, second+1)
			b := s.enc.AppendFrame(nil, &s.fr, func(uint64) bool { return second%60 == 0 })
			recs = []bus.Record{{Key: []byte(h.name), Value: b, Headers: header(wire.TypeFrame)}}
		} else {
			for _, l := range s.f.fleet.lines(h, s.values, ms) {
				recs = append(recs, bus.Record{Key: []byte(h.name), Value: l})
			}
		}
		if _, err := s.out.Produce(ctx, recs); err != nil {
			return err
		}
	}
	return nil
}

// logBegin is when a log begins that is written now: late enough for everybody
// to take it, and over before anybody reads it.
func logBegin(now time.Time, seconds int) int64 {
	return now.Add(-time.Duration(seconds+120) * time.Second).Truncate(time.Minute).UnixMilli()
}
