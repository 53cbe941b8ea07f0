package formats

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"nines/collector/aggregate"
	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
	"nines/test/kafka"
)

// site is a broker with a topic of another fleet, which the role aggregates.
type site struct {
	t      *testing.T
	ctx    context.Context
	broker string
	topic  string
	client *bus.Client
	read   *bus.Reader          // of partials
	counts map[string][2]uint64 // good and total by objective
	// each, where there is one, looks at every partial.
	each func(*wire.Partial)
}

// open starts aggregation of the topic under the objectives, and returns when
// these count.
func open(t *testing.T, topic string, format decode.Format, streams ...*slo.Stream) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, broker: kafka.Serve(t).Addr, topic: topic, counts: map[string][2]uint64{}}
	var err error
	if s.client, err = bus.New(bus.Options{Config: bus.Config{Brokers: []string{s.broker}}, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	for _, topic := range []bus.Topic{{Name: wire.TopicTelemetry}, {Name: topic}, {Name: wire.TopicPartials},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}} {
		if _, err := s.client.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	s.aggregate(format, streams)
	// Objectives count from the first tick on.
	if recs, err := s.client.Reader(topic, 0, 0).Fetch(ctx, time.Minute); err != nil || len(recs) == 0 {
		t.Fatalf("no tick: %v", err)
	}
	s.read = s.client.Reader(wire.TopicPartials, 0, 0)
	return s
}

func (s *site) aggregate(format decode.Format, streams []*slo.Stream) {
	s.t.Helper()
	rules := rulelog.New(s.client)
	if err := rules.Load(s.ctx); err != nil {
		s.t.Fatal(err)
	}
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for _, st := range streams {
		set.Streams[st.ID()] = st
	}
	if _, err := rules.Publish(s.ctx, set); err != nil {
		s.t.Fatal(err)
	}
	role, err := aggregate.New(aggregate.Options{Client: s.client, Rules: rules, Owner: "test", Log: slog.New(slog.DiscardHandler),
		Formats: map[string]decode.Format{s.topic: format}})
	if err != nil {
		s.t.Fatal(err)
	}
	run, cancel := context.WithCancel(s.ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(run) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// counted reads partials until the objective has counted total, and returns how
// many of them were good.
func (s *site) counted(st *slo.Stream, total uint64) (good uint64) {
	s.t.Helper()
	for s.counts[st.ID()][1] < total {
		recs, err := s.read.Fetch(s.ctx, time.Second)
		if err != nil {
			s.t.Fatalf("%s counted %v, want %d: %v", st.ID(), s.counts[st.ID()], total, err)
		}
		for i := range recs {
			var p wire.Partial
			if err := wire.DecodePartial(recs[i].Value, &p); err != nil {
				s.t.Fatal(err)
			}
			if s.each != nil {
				s.each(&p)
			}
			for _, g := range p.Gaps {
				s.t.Errorf("gap %+v", g)
			}
			if len(p.Unplaced) > 0 {
				s.t.Errorf("in no slot: %+v", p.Unplaced)
			}
			for _, c := range p.Counts {
				id := c.Group.Stream
				n := s.counts[id]
				s.counts[id] = [2]uint64{n[0] + c.Good, n[1] + c.Total}
			}
		}
	}
	if n := s.counts[st.ID()][1]; n != total {
		s.t.Errorf("%s: counted %d, want %d", st.ID(), n, total)
	}
	return s.counts[st.ID()][0]
}

// noDeadLetters checks that all records could be used.
func (s *site) noDeadLetters() {
	s.t.Helper()
	_, next, err := s.client.Offsets(s.ctx, wire.TopicDeadLetter, 0)
	if err != nil || next == 0 {
		if err != nil {
			s.t.Error(err)
		}
		return
	}
	recs, err := s.client.Reader(wire.TopicDeadLetter, 0, 0).Fetch(s.ctx, time.Second)
	for _, r := range recs {
		s.t.Errorf("dead letter: %+v %q", r.Headers, r.Value)
	}
	s.t.Errorf("%d dead letters, %v", next, err)
}

// slot is how the objectives judge; it is not what these tests look at.
func slot() sla.SlotRule {
	return sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1}
}

// program is another project's program that runs.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	gone chan struct{} // closed when it has ended
}

// start runs a program until the test ends.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(name, args...), gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // what it was ended by is no matter
	}()
	t.Cleanup(func() { p.end() })
	return p
}

// end tells the program to stop, which has it send what it has, and returns what
// it said.
func (p *program) end() string {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		p.t.Errorf("%s does not stop when it is told to", p.cmd.Path)
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
	return p.log.String()
}

// eventually waits until what the program does is true of it.
func (p *program) eventually(what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-p.gone:
			p.t.Fatalf("it ended before: %s\n%s", what, p.log.String())
		case <-limit:
			p.t.Fatalf("a minute passed, and not yet: %s\n%s", what, p.end())
		}
	}
}
