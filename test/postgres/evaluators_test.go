package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/collector/evaluate"
	"nines/internal/access"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/rulelog"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
	"nines/test/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	epoch  = int64(1_790_000_040_000) // a whole minute
	minute = int64(60_000)
)

// world is a broker with two partitions of nines.partials and one PostgreSQL.
type world struct {
	t     *testing.T
	ctx   context.Context
	addr  string
	url   string
	rules *slo.RuleSet
	keys  [2]wire.GroupKey // by partition
	names [2]telemetry.Labels
	sent  [2]int64 // seconds
}

func newWorld(t *testing.T) *world {
	url := postgres.Ledger(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	b := kafka.Serve(t)
	t.Cleanup(cancel)
	st := &slo.Stream{
		Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Vantage: "host", Bin: 1000,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadUnreachable, MinCount: 1},
	}
	w := &world{t: t, ctx: ctx, addr: b.Addr, url: url, rules: &slo.RuleSet{
		Streams: map[string]*slo.Stream{st.ID(): st},
		Objectives: []*slo.Objective{{
			Name: "up", Service: "demo", StreamID: st.ID(), Target: sla.Ratio{Num: 999, Den: 1000},
			Budgeting: "Occurrences", Window: 30 * 86_400_000, Burn: slo.BurnRows(30 * 86_400_000),
		}},
	}}
	for p, name := range []string{"api", "web"} {
		w.names[p] = telemetry.NewLabels(map[string]string{"target": name})
		w.keys[p] = wire.GroupKey{Stream: st.ID(), Labels: w.names[p].Hash()}
	}
	c := w.client()
	for _, topic := range []bus.Topic{{Name: wire.TopicPartials, Partitions: 2}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicAlerts, Compact: true}} {
		if _, err := c.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.ruleLog(c).Publish(ctx, w.rules); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) client() *bus.Client {
	w.t.Helper()
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{w.addr}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) ruleLog(c *bus.Client) *rulelog.Log {
	w.t.Helper()
	log := rulelog.New(c)
	if err := log.Load(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	return log
}

func (w *world) ledger() *ledger.Ledger {
	w.t.Helper()
	l, err := ledger.Open(w.ctx, ledger.Options{Postgres: w.url})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return l
}

// collector runs a role with a client and a ledger of its own, as a process has.
func (w *world) collector(owner string) (stop func()) {
	w.t.Helper()
	c := w.client()
	role, err := evaluate.NewRole(evaluate.Options{Client: c, Ledger: w.ledger(), Rules: w.ruleLog(c), Owner: owner, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s: %v", owner, err)
		}
	}
}

// produce tells both partitions so many further seconds; every tenth attempt
// on the second fails.
func (w *world) produce(seconds int64) {
	w.t.Helper()
	for p := range int32(2) {
		var recs []bus.Record
		for range seconds {
			sec := w.sent[p]
			at := epoch + sec*1000
			good := uint64(1)
			if p == 1 && sec%10 == 0 {
				good = 0
			}
			recs = append(recs, bus.Record{Value: wire.AppendPartial(nil, &wire.Partial{
				Sources: 1, Incarnation: 1, From: sec, To: sec + 1, LogTime: at + 900, RuleSet: w.rules.ID(),
				Groups: []wire.GroupLabels{{Key: w.keys[p], Labels: w.names[p]}},
				Counts: []wire.BinCount{{Group: w.keys[p], Vantage: "h1", Bin: at, Good: good, Total: 1}},
			})})
			w.sent[p]++
		}
		if _, err := w.client().Producer(wire.TopicPartials, p).ProduceRetry(w.ctx, func() []bus.Record { return recs }); err != nil {
			w.t.Fatal(err)
		}
	}
}

// counts returns what the ledger holds of a partition's group.
func (w *world) counts(l *ledger.Ledger, p int) (good, total int64) {
	w.t.Helper()
	slots, err := l.GroupSlots(w.ctx, access.Local(), w.keys[p], epoch-minute, epoch+60*minute)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		w.t.Fatal(err)
	}
	for i := range slots {
		good += int64(slots[i].Good)
		total += int64(slots[i].Total)
	}
	return good, total
}

// eventually waits until the ledger has all that was sent, exactly.
func (w *world) eventually(l *ledger.Ledger) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		right := true
		for p := range w.sent {
			good, total := w.counts(l, p)
			want := w.sent[p]
			if p == 1 {
				want -= (w.sent[p] + 9) / 10
			}
			if total > w.sent[p] || good > want {
				w.t.Fatalf("partition %d: %d of %d, sent were %d of %d: counted twice", p, good, total, want, w.sent[p])
			}
			right = right && total == w.sent[p] && good == want
		}
		if right {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("the ledger does not come to %v", w.sent)
		}
	}
}

// owners returns who holds the partitions, as the ledger has it.
func (w *world) owners() map[string]bool {
	w.t.Helper()
	db, err := sql.Open("pgx", w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(w.ctx, `SELECT owner FROM claims`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	owners := map[string]bool{}
	for rows.Next() {
		var o string
		if err := rows.Scan(&o); err != nil {
			w.t.Fatal(err)
		}
		owners[o] = true
	}
	return owners
}

// Two collectors evaluate a partition each into one ledger; one takes over from
// the other, and the ledger holds every attempt once.
func TestTwoEvaluators(t *testing.T) {
	w := newWorld(t)
	l := w.ledger()
	stopA := w.collector("a")
	w.produce(70)
	w.eventually(l)
	stopB := w.collector("b")
	w.produce(70)
	w.eventually(l)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); len(w.owners()) < 2; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the partitions belong to %v", w.owners())
		}
	}
	w.produce(70)
	stopA()
	w.produce(70)
	w.eventually(l)
	stopB()
	if err := l.Verify(w.ctx); err != nil {
		t.Fatal(err)
	}
}
