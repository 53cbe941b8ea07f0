package pipeline

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nines/agent"
	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// arrival is a frame that reached the log.
type arrival struct {
	at    int64 // Unix milliseconds
	frame []byte
}

// link is an agent's Sender: a broker that can be away. Answers take 5 ms.
type link struct {
	away atomic.Bool
	mu   sync.Mutex
	log  []arrival
}

// Send implements agent.Sender.
func (l *link) Send(ctx context.Context, _ uint64, frame []byte) error {
	for wait := 5 * time.Millisecond; ; wait = 200 * time.Millisecond {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if l.away.Load() {
			continue
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.log = append(l.log, arrival{time.Now().UnixMilli(), bytes.Clone(frame)})
		return nil
	}
}

// measured is what the host's source measured, by minute: what a ledger must
// hold, once it has everything.
type measured struct {
	mu       sync.Mutex
	probes   map[int64]tally
	requests map[int64]tally
}

// source measures each second: a probe, and counters of the process.
func (m *measured) source(seed uint64) func(context.Context, func() int64, telemetry.Sink) {
	schema := telemetry.NewSchema([]telemetry.Series{
		{Name: "errors_total", Kind: telemetry.Counter, Fresh: true},
		{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "t0"})},
		{Name: "requests_total", Kind: telemetry.Counter, Fresh: true},
	})
	dice := rand.New(rand.NewPCG(seed, 3))
	return func(ctx context.Context, clock func() int64, sink telemetry.Sink) {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		var errors, requests float64
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			at, ok, failed, asked := clock(), 1.0, float64(dice.IntN(2)), float64(2+dice.IntN(20))
			if dice.IntN(40) == 0 {
				ok = 0
			}
			errors, requests = errors+failed, requests+asked
			m.mu.Lock()
			add(m.probes, at, uint64(ok), 1)
			add(m.requests, at-1, uint64(asked-failed), uint64(asked)) // what a counter gained, it gained before
			m.mu.Unlock()
			sink(telemetry.Round{Schema: schema, Time: at, Values: []float64{errors, ok, requests}})
		}
	}
}

func add(m map[int64]tally, at int64, good, total uint64) {
	minute := at - at%60_000
	m[minute] = tally{m[minute].good + good, m[minute].total + total}
}

// outage is how a host lived: Unix milliseconds of the broker's absence.
type outage struct {
	from, to, restart, end int64
	link                   link
	truth                  measured
}

// live runs the agent that ships, in time that passes as fast as it can be
// computed: two minutes with a broker, ten without, in which the agent is
// replaced, and three more with it.
func (o *outage) live(t *testing.T, dir string) {
	o.truth = measured{probes: map[int64]tally{}, requests: map[int64]tally{}}
	run := func(seed uint64) (stop func()) {
		cfg := agent.Config{Agent: "host-1", Labels: map[string]string{"region": "r1"}, Spool: agent.SpoolConfig{MemoryBytes: 1 << 20, Dir: dir}}
		a, err := agent.New(agent.Options{Config: cfg, Sender: &o.link, Source: o.truth.source(seed)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := run(1)
	time.Sleep(2 * time.Minute)
	o.link.away.Store(true)
	o.from = time.Now().UnixMilli()
	time.Sleep(4*time.Minute + 30*time.Second)
	stop()
	o.restart = time.Now().UnixMilli()
	stop = run(2)
	time.Sleep(5*time.Minute + 30*time.Second)
	o.to = time.Now().UnixMilli()
	o.link.away.Store(false)
	time.Sleep(3 * time.Minute)
	stop()
	o.end = time.Now().UnixMilli()
}

// TestTenMinutesWithoutABrokerLoseNothing is the promise of the spool, at one
// round a second: nothing is missing, nothing counts twice, and every slot that
// was unknown is restated.
func TestTenMinutesWithoutABrokerLoseNothing(t *testing.T) {
	var o outage
	dir := t.TempDir()
	var began int64
	synctest.Test(t, func(t *testing.T) {
		began = time.Now().UnixMilli()
		o.live(t, dir)
	})
	probes := stream(0, 0)
	requests := &slo.Stream{Bad: &slo.Selector{Metric: "errors_total"}, Total: &slo.Selector{Metric: "requests_total"}, GroupBy: []string{"region"}, Bin: 1000,
		Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 2}, MinCount: 1}}
	rules := ruleSet(probes)
	rules.Streams[requests.ID()] = requests

	led, done, err := replay.Temporary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	p, err := replay.New(t.Context(), replay.Options{Rules: rules, Ledger: led})
	if err != nil {
		t.Fatal(err)
	}
	slots := func(st *slo.Stream) (out []ledger.Slot) {
		t.Helper()
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		err := led.Slots(t.Context(), access.Local(), st.ID(), began, o.end, func(_ ledger.Group, s []ledger.Slot) error {
			out = slices.Clone(s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// The collector meanwhile: what it says before the broker is back.
	unknown := map[int64]bool{}
	next := 0
	for now := began; now <= o.end+400_000; now += 1000 {
		for ; next < len(o.link.log) && o.link.log[next].at <= now; next++ {
			if err := p.Record(0, wire.TypeFrame, o.link.log[next].frame); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Tick(now); err != nil {
			t.Fatal(err)
		}
		if now >= o.to-1000 && len(unknown) == 0 {
			for _, s := range slots(probes) {
				if s.State == sla.Unknown {
					unknown[s.Start] = true
				}
			}
		}
	}
	if len(unknown) < 7 {
		t.Errorf("before the broker was back %d slots were unknown: too few to see anything", len(unknown))
	}
	compare := func(name string, got []ledger.Slot, want map[int64]tally) (restated int) {
		t.Helper()
		have := map[int64]ledger.Slot{}
		for _, s := range got {
			have[s.Start] = s
		}
		for at, w := range want {
			s := have[at]
			if s.Good != w.good || s.Total != w.total {
				t.Errorf("%s %s: the ledger has %d of %d, measured were %d of %d", name, clock(at-began), s.Good, s.Total, w.good, w.total)
			}
			if s.State != sla.Good && s.State != sla.Bad && at+60_000 <= o.end {
				t.Errorf("%s %s is %v (%s)", name, clock(at-began), s.State, s.Reason)
			}
			if unknown[at] && s.Version >= 2 {
				restated++
			}
		}
		return restated
	}
	restated := compare("probes", slots(probes), o.truth.probes)
	if restated != len(unknown) {
		t.Errorf("%d of %d unknown slots were restated", restated, len(unknown))
	}
	compare("requests", slots(requests), o.truth.requests)
	gaps, err := led.Gaps(t.Context(), access.Local(), 0, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	if len(gaps) != 1 || gaps[0].Reason != wire.ReasonRestart || gaps[0].To-gaps[0].From > 3000 {
		t.Errorf("gaps %+v, want the moment between the two agents", gaps)
	}
	caughtUp, most := o.pace()
	t.Logf("%d frames; %d slots were unknown and restated; on time again %s after the broker's return, at most %d frames in a second",
		len(o.link.log), restated, caughtUp, most)
	if caughtUp < 60*time.Second || caughtUp > 105*time.Second || most > 25 {
		t.Errorf("the backlog took %s, at most %d frames in a second", caughtUp, most)
	}
}

// pace returns how long after the broker's return frames were on time again, and
// the most that came in any second.
func (o *outage) pace() (caughtUp time.Duration, most int) {
	schemas := wire.NewSchemaCache(0)
	perSecond := map[int64]int{}
	for _, a := range o.link.log {
		var d wire.Decoder
		var f telemetry.Frame
		if d.DecodeFrame(a.frame, &f, schemas) != nil || a.at < o.to {
			continue
		}
		perSecond[a.at/1000]++
		most = max(most, perSecond[a.at/1000])
		if times := f.Blocks[0].Times; a.at-times[len(times)-1] > 10_000 {
			caughtUp = time.Duration(a.at-o.to) * time.Millisecond
		}
	}
	return caughtUp, most
}
