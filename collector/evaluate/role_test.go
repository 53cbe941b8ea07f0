package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/ledger"
	"nines/internal/rulelog"
	"nines/internal/wire"
	"nines/test/kafka"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// world is a real broker with topics, one rule set, and a ledger on disk.
type world struct {
	*fixture
	ctx    context.Context
	client *bus.Client
	rules  *rulelog.Log
	dir    string
	led    *ledger.Ledger
}

func newWorld(t *testing.T) *world {
	b := kafka.Serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{b.Addr}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{fixture: newFixture(t, 1, down(1, 1).set()), ctx: ctx, client: c, dir: t.TempDir()}
	for _, topic := range []bus.Topic{{Name: wire.TopicPartials}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicAlerts, Compact: true}} {
		if _, err := c.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	w.rules = rulelog.New(c)
	if err := w.rules.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rules.Publish(ctx, w.sets[w.set]); err != nil {
		t.Fatal(err)
	}
	w.openLedger()
	t.Cleanup(func() { _ = w.led.Close() })
	return w
}

func (w *world) openLedger() {
	led, err := ledger.Open(w.ctx, ledger.Options{Path: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	w.led = led
}

// produce writes what sources say of the seconds [from, to).
func (w *world) produce(from, to int64, results ...int) {
	w.t.Helper()
	var recs []bus.Record
	for sec := from; sec < to; sec++ {
		at := epoch + sec*1000 + 300
		p := &wire.Partial{Sources: 1, Incarnation: 1, From: w.to[0], To: w.to[0] + 1, LogTime: at + 600, RuleSet: w.set,
			Groups: []wire.GroupLabels{{Key: w.key(), Labels: target}}}
		for i, ok := range results {
			p.Counts = append(p.Counts, w.bin(string(rune('a'+i)), at, ok))
		}
		w.to[0]++
		recs = append(recs, bus.Record{Value: wire.AppendPartial(nil, p)})
	}
	if _, err := w.client.Producer(wire.TopicPartials, 0).ProduceRetry(w.ctx, func() []bus.Record { return recs }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(owner string) (role *Role, stop func()) {
	w.t.Helper()
	role, err := NewRole(Options{Client: w.client, Ledger: w.led, Rules: w.rules, Owner: owner, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(ctx) }()
	return role, func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// owner runs f inside a generation, with an owner whose loop f is.
func (w *world) owner(f func(ctx context.Context, o *owner)) {
	w.t.Helper()
	role, err := NewRole(Options{Client: w.client, Ledger: w.led, Rules: w.rules, Owner: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	err = w.client.Group(bus.GroupOptions{ID: Group, Topics: []string{wire.TopicPartials}, OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
		defer cancel()
		f(ctx, &owner{Role: role, gen: gen, log: role.o.Log, alerts: w.client.Producer(wire.TopicAlerts, 0), letters: deadletter.NewBatch(w.client)})
		return nil
	}}).Run(ctx)
	if err != nil {
		w.t.Error(err)
	}
}

// read applies all that is in the log now.
func (w *world) read(ctx context.Context, o *owner) {
	w.t.Helper()
	r, err := o.open(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	_, next, err := w.client.Offsets(ctx, wire.TopicPartials, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for o.state.Offset() < next {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range recs {
			if err := o.apply(ctx, &recs[i]); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) eventually(what string, cond func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !cond(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("it does not come about: %s", what)
		}
	}
}

// total returns the attempts that the ledger holds.
func (w *world) total() (n uint64) {
	w.t.Helper()
	slots, err := w.led.GroupSlots(w.ctx, access.Local(), w.key(), epoch-minute, epoch+60*minute)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		w.t.Fatal(err)
	}
	for i := range slots {
		n += slots[i].Total
	}
	return n
}

// records returns the alert records, heartbeats left out.
func (w *world) records() (out []alert.Alert) {
	w.t.Helper()
	_, next, err := w.client.Offsets(w.ctx, wire.TopicAlerts, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for r := w.client.Reader(wire.TopicAlerts, 0, 0); r.Offset() < next; {
		recs, err := r.Fetch(w.ctx, time.Second)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range recs {
			var a alert.Alert
			if err := json.Unmarshal(recs[i].Value, &a); err != nil {
				w.t.Fatal(err)
			}
			if a.Status != alert.Heartbeat {
				out = append(out, a)
			}
		}
	}
	return out
}

func TestRoleGoesOnFromTheLedger(t *testing.T) {
	w := newWorld(t)
	_, stop := w.start("one")
	w.produce(0, 70, 1)
	w.eventually("the first minute", func() bool { return w.total() == 70 })
	stop()
	w.produce(70, 100, 0)
	role, stop := w.start("one")
	defer stop()
	w.eventually("the rest", func() bool { return w.total() == 100 })
	w.eventually("the alert", func() bool { return len(w.records()) == 1 })
	if err := role.Health(); err != nil {
		t.Error(err)
	}
}

// TestPartialsOfANewerRelease: an evaluator that cannot read what a newer
// aggregate writes says so and stays before it, so that nothing is lost once it
// is upgraded.
func TestPartialsOfANewerRelease(t *testing.T) {
	w := newWorld(t)
	role, stop := w.start("old")
	defer stop()
	w.produce(0, 10, 1)
	w.eventually("what it can read", func() bool { return w.total() == 10 })
	newer := wire.AppendPartial(nil, &wire.Partial{Sources: 1, Incarnation: 1, From: w.to[0], To: w.to[0] + 1, LogTime: epoch + 11_000, RuleSet: w.set})
	newer[1]++
	if _, err := w.client.Producer(wire.TopicPartials, 0).ProduceRetry(w.ctx, func() []bus.Record { return []bus.Record{{Value: newer}} }); err != nil {
		t.Fatal(err)
	}
	w.eventually("it says why it stopped", func() bool { return errors.Is(role.Health(), wire.ErrVersion) })
	claim, err := w.led.Claim(w.ctx, 0, "looking")
	if err != nil {
		t.Fatal(err)
	}
	if claim.Offset != 10 {
		t.Errorf("it passed over the record: its offset is %d, want 10", claim.Offset)
	}
}

// A flood of records that are no partials is buried in few writes, in their
// order, before the ledger's position passes them, and evaluation goes on.
func TestAFloodOfDeadRecords(t *testing.T) {
	const flood = 5000
	w := newWorld(t)
	if _, err := w.client.EnsureTopic(w.ctx, bus.Topic{Name: wire.TopicDeadLetter}); err != nil {
		t.Fatal(err)
	}
	w.produce(0, 10, 1)
	var recs []bus.Record
	for i := range flood {
		recs = append(recs, bus.Record{Value: fmt.Appendf(nil, "no partial %d", i)})
	}
	if _, err := w.client.Producer(wire.TopicPartials, 0).ProduceRetry(w.ctx, func() []bus.Record { return recs }); err != nil {
		t.Fatal(err)
	}
	w.produce(10, 20, 1)
	role, stop := w.start("one")
	defer stop()
	w.eventually("what is behind the flood", func() bool { return w.total() == 20 })
	if err := role.Health(); err != nil {
		t.Error(err)
	}
	writes := map[int64]bool{} // the broker's time of a batch is that of its records
	n := 0
	for r := w.client.Reader(wire.TopicDeadLetter, 0, 0); n < flood; {
		dead, err := r.Fetch(w.ctx, 5*time.Second)
		if err != nil || len(dead) == 0 {
			t.Fatalf("%d of %d letters: %v", n, flood, err)
		}
		for i := range dead {
			if want := fmt.Sprintf("no partial %d", n); string(dead[i].Value) != want {
				t.Fatalf("letter %d holds %q", n, dead[i].Value)
			}
			writes[dead[i].Time] = true
			n++
		}
	}
	if len(writes) > flood/100 {
		t.Errorf("%d letters took %d writes", n, len(writes))
	}
}

func TestASecondClaimWins(t *testing.T) {
	w := newWorld(t)
	role, stop := w.start("first")
	defer stop()
	w.produce(0, 10, 1)
	w.eventually("the first writes", func() bool { return w.total() == 10 })
	if _, err := w.led.Claim(w.ctx, 0, "second"); err != nil {
		t.Fatal(err)
	}
	w.produce(10, 20, 1)
	w.eventually("the first says why it stopped", func() bool { return errors.Is(role.Health(), ledger.ErrFenced) })
	w.produce(20, 30, 1)
	if n := w.total(); n != 10 {
		t.Errorf("the first wrote on: %d", n)
	}
}

// A crash between publishing and committing repeats the alerts, alike.
func TestAlertsGoOutBeforeTheCommit(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 10, 1)
	w.produce(10, 20, 0)
	w.produce(20, 25, 1)
	for range 2 {
		w.owner(func(ctx context.Context, o *owner) {
			if err := o.restore(ctx); err != nil {
				t.Fatal(err)
			}
			w.read(ctx, o)
		})
	}
	r := w.records()
	if len(r) != 4 || w.total() != 0 {
		t.Fatalf("%d records, %d attempts in the ledger", len(r), w.total())
	}
	for i := range 2 {
		a, b := r[i], r[i+2]
		if a.Key() != b.Key() || a.Status != b.Status || a.StartsAt != b.StartsAt || a.Offset != b.Offset || a.LogTime != b.LogTime {
			t.Errorf("record %d: %+v, then %+v", i, a, b)
		}
	}
}

// While the ledger cannot be written, reading and alerting go on; then all of
// it is there.
func TestALedgerThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 10, 1)
	w.owner(func(ctx context.Context, o *owner) {
		if err := o.restore(ctx); err != nil {
			t.Fatal(err)
		}
		w.read(ctx, o)
		if err := w.led.Close(); err != nil {
			t.Fatal(err)
		}
		if err := o.commit(ctx); err != nil || o.pending == nil || o.Health() == nil {
			t.Fatalf("commit: %v, health: %v", err, o.Health())
		}
		w.produce(10, 80, 0)
		w.read(ctx, o)
		if err := o.commit(ctx); err != nil || o.pending == nil {
			t.Fatalf("commit: %v", err)
		}
		if r := w.records(); len(r) != 1 || r[0].Status != alert.Firing {
			t.Errorf("alerts: %+v", r)
		}
		w.openLedger()
		o.o.Ledger = w.led
		if err := o.flush(ctx); err != nil || o.Health() != nil {
			t.Errorf("flush: %v, health: %v", err, o.Health())
		}
	})
	if n := w.total(); n != 80 {
		t.Errorf("the ledger has %d attempts of 80", n)
	}
}

// The partials topic holds less than the ledger has read: what was lost in
// between is a gap. And one that has grown past the ledger's position, but does
// not join, is read from its beginning first.
func TestRecreatedPartials(t *testing.T) {
	for _, before := range []int{2, 200} {
		w := newWorld(t)
		claim, err := w.led.Claim(w.ctx, 0, "old")
		if err != nil {
			t.Fatal(err)
		}
		batch := ledger.Batch{Offset: 20, LogTime: epoch, RuleSetID: w.set, RuleSet: w.sets[w.set],
			Sources: []ledger.Position{{Source: 0, Incarnation: 1, To: 5, LogTime: epoch}}}
		if err := w.led.Commit(w.ctx, claim, &batch); err != nil {
			t.Fatal(err)
		}
		w.to[0] = 15
		w.produce(0, int64(before), 1)
		_, stop := w.start("new")
		w.eventually("all that is there is counted", func() bool { return w.total() == uint64(before) })
		gaps, err := w.led.Gaps(w.ctx, access.Local(), 0, epoch+60*minute)
		if err != nil || len(gaps) != 1 || gaps[0].FirstSeq != 5 || gaps[0].LastSeq != 14 || gaps[0].Reason != wire.ReasonLog {
			t.Errorf("%d partials: gaps %+v, %v", before, gaps, err)
		}
		stop()
	}
}
