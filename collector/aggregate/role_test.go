package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
)

// world is a real broker with the topics of the pipeline and one rule set.
type world struct {
	t      testing.TB
	ctx    context.Context
	addr   string
	client *bus.Client
	rules  *rulelog.Log
	fix    *fixture
	// formats are those of other fleets' topics.
	formats map[string]decode.Format
}

func newWorld(t testing.TB) *world {
	b := kafka.Serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, addr: b.Addr, fix: newFixture(t, probeStream())}
	w.client = w.connect()
	for _, topic := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: 2}, {Name: wire.TopicPartials, Partitions: 2},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}} {
		if _, err := w.client.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	w.rules = rulelog.New(w.client)
	if err := w.rules.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rules.Publish(ctx, w.fix.rules[w.fix.set]); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) connect() *bus.Client {
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{w.addr}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// start runs a member of the group on the client; stop ends it.
func (w *world) start(name string, c *bus.Client) (role *Role, stop func()) {
	w.t.Helper()
	role, err := New(Options{Client: c, Rules: w.rules, Owner: name, Formats: w.formats, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(ctx) }()
	return role, func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s: %v", name, err)
		}
	}
}

func (w *world) produce(partition int32, typ string, value []byte) {
	w.t.Helper()
	rec := bus.Record{Value: value, Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(typ)}}}
	if _, err := w.client.Producer(wire.TopicTelemetry, partition).ProduceRetry(w.ctx, func() []bus.Record { return []bus.Record{rec} }); err != nil {
		w.t.Fatal(err)
	}
}

// tail follows a partition of nines.partials with evaluate's cursors: repeats
// must be byte for byte what was there, what is new must join.
type tail struct {
	w        *world
	r        *bus.Reader
	to       map[int32]int64
	inc      map[int32]uint64
	seen     map[string][]byte
	repeats  int
	newest   map[int32]int64 // log time
	partials []*wire.Partial
}

func (w *world) tail(partition int32) *tail {
	return &tail{w: w, r: w.client.Reader(wire.TopicPartials, partition, 0), to: map[int32]int64{}, inc: map[int32]uint64{}, seen: map[string][]byte{}, newest: map[int32]int64{}}
}

func (tl *tail) until(what string, within time.Duration, cond func() bool) {
	tl.w.t.Helper()
	for deadline := time.Now().Add(within); !cond(); {
		if time.Now().After(deadline) {
			tl.w.t.Fatalf("not within %s: %s", within, what)
		}
		recs, err := tl.r.Fetch(tl.w.ctx, 200*time.Millisecond)
		if err != nil {
			tl.w.t.Fatal(err)
		}
		for i := range recs {
			var p wire.Partial
			if err := wire.DecodePartial(recs[i].Value, &p); err != nil {
				tl.w.t.Fatal(err)
			}
			tl.take(&p)
		}
	}
}

func (tl *tail) take(p *wire.Partial) {
	key := fmt.Sprint(p.Source, p.Incarnation, p.From)
	if was, ok := tl.seen[key]; ok {
		tl.repeats++
		if !bytes.Equal(was, bytesOf(p)) {
			tl.w.t.Errorf("a repeat of source %d from %d differs", p.Source, p.From)
		}
		return
	}
	tl.seen[key] = bytesOf(p)
	if p.Incarnation == tl.inc[p.Source] && p.From != tl.to[p.Source] {
		tl.w.t.Errorf("source %d: a stretch from %d, want %d", p.Source, p.From, tl.to[p.Source])
	}
	tl.to[p.Source], tl.inc[p.Source], tl.newest[p.Source] = p.To, p.Incarnation, p.LogTime
	tl.partials = append(tl.partials, p)
}

func (tl *tail) total() uint64 { _, n, _ := sum(tl.partials...); return n }

func (w *world) frame(partition int32, agent string, seq uint64) {
	w.t.Helper()
	at := time.Now().UnixMilli()
	w.produce(partition, wire.TypeFrame, w.fix.encode(agent, 7, seq, success, true, []int64{at}, 1, 0))
}

func TestRoleTicksPublishesBuriesAndGoesOn(t *testing.T) {
	w := newWorld(t)
	role, stop := w.start("one", w.client)
	tails := []*tail{w.tail(0), w.tail(1)}
	total := func() uint64 { return tails[0].total() + tails[1].total() }
	both := func(what string, cond func() bool) {
		t.Helper()
		for _, tl := range tails {
			tl.until(what, time.Minute, func() bool { return tl.newest[0] > 0 && tl.newest[1] > 0 })
		}
		for deadline := time.Now().Add(time.Minute); !cond(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: counted %d", what, total())
			}
			for _, tl := range tails {
				tl.until("", time.Second, func() bool { n := len(tl.partials); return n > 0 && tl.newest[0] >= time.Now().UnixMilli()-600 })
			}
		}
	}
	both("ticks", func() bool { return true })
	w.frame(0, "h", 1)
	w.frame(1, "g", 1)
	garbage := []byte("no frame at all")
	w.produce(0, wire.TypeFrame, garbage)
	w.frame(0, "h", 2)
	both("frames", func() bool { return total() == 6 })
	dead, err := w.client.Reader(wire.TopicDeadLetter, 0, 0).Fetch(w.ctx, 5*time.Second)
	if err != nil || len(dead) != 1 || !bytes.Equal(dead[0].Value, garbage) {
		t.Fatalf("dead letters: %v, %v", dead, err)
	}
	said := fmt.Sprintf("%q", dead[0].Headers)
	if !bytes.Contains([]byte(said), []byte("frame")) || !bytes.Contains([]byte(said), []byte(wire.TopicTelemetry)) {
		t.Errorf("headers %s", said)
	}
	if err := role.Health(); err != nil {
		t.Error(err)
	}
	var offset int64
	for deadline := time.Now().Add(time.Minute); offset <= 0 && time.Now().Before(deadline); {
		tails[0].until("", 5*time.Second, func() bool { return tails[0].newest[0] >= time.Now().UnixMilli()-600 })
		if offset, _, err = w.client.Committed(w.ctx, Group, wire.TopicTelemetry, 0); err != nil {
			t.Fatal(err)
		}
	}
	if offset <= 0 {
		t.Error("no checkpoint was committed")
	}
	stop()
	w.frame(0, "h", 2) // a repeat while nobody reads
	w.frame(0, "h", 3)
	_, stop = w.start("one", w.client)
	defer stop()
	both("the rest", func() bool { return total() == 8 })
}

// A flood of records that cannot be used: each is a letter, what is good among
// them counts, and it is a handful of gaps.
func TestAFloodOfGarbage(t *testing.T) {
	w := newWorld(t)
	_, stop := w.start("one", w.client)
	defer stop()
	tails := []*tail{w.tail(0), w.tail(1)}
	tails[0].until("ticks of both", time.Minute, func() bool { return len(tails[0].newest) == 2 })
	const half = 10_000
	w.flood(half)
	w.frame(0, "h", 1)
	w.flood(half)
	w.frame(0, "h", 2)
	for deadline := time.Now().Add(time.Minute); tails[0].total()+tails[1].total() != 4; {
		if time.Now().After(deadline) {
			t.Fatalf("counted %d, want 4", tails[0].total()+tails[1].total())
		}
		for _, tl := range tails {
			n := len(tl.partials)
			tl.until("partials", time.Minute, func() bool { return len(tl.partials) > n })
		}
	}
	w.awaitLetters(2*half, time.Minute)
	gaps, lost := 0, map[uint64]bool{}
	for _, p := range append(tails[0].partials, tails[1].partials...) {
		for _, g := range p.Gaps {
			gaps++
			for at := g.FirstSeq; at <= g.LastSeq; at++ {
				lost[at] = true
			}
		}
	}
	if len(lost) != 2*half || gaps > 50 {
		t.Errorf("%d gaps name %d records, want %d in a few", gaps, len(lost), 2*half)
	}
}

// A member goes between two checkpoints; the other takes over within ten seconds
// and repeats, byte for byte, what was published since the last one.
func TestTakeOver(t *testing.T) {
	w := newWorld(t)
	_, stop := w.start("one", w.connect())
	tl := w.tail(0)
	tl.until("ticks", time.Minute, func() bool { return tl.newest[0] > 0 && tl.newest[1] > 0 })
	first := max(tl.newest[0], tl.newest[1])
	w.frame(0, "h", 1)
	tl.until("two seconds of stretches", time.Minute, func() bool { return min(tl.newest[0], tl.newest[1]) > first+2000 })
	_, stop2 := w.start("two", w.client)
	defer stop2()
	stop()
	gone := time.Now()
	last := max(tl.newest[0], tl.newest[1])
	tl.until("the other's ticks", time.Minute, func() bool { return min(tl.newest[0], tl.newest[1]) > last+1000 })
	t.Logf("taken over in %s, %d partials repeated", time.Since(gone), tl.repeats)
	if tl.repeats == 0 {
		t.Error("nothing was repeated: the test shows nothing")
	}
}

// The checkpoint speaks of another log than the topic now holds.
func TestRecreatedTopic(t *testing.T) {
	w := newWorld(t)
	f := newFixture(t, probeStream())
	f.state = NewState(0, 2, 1, 0, f.rules.get)
	for i := range int64(40) {
		f.tick(epoch + i*1000)
	}
	data := f.saved[len(f.saved)-1]
	table := bus.NewTable(w.client, wire.TopicCheckpoints, 0)
	for i, part := range wire.SplitCheckpoint(0, 1, data) {
		if err := table.Put(w.ctx, string(wire.CheckpointKey(0, 1, i)), part); err != nil {
			t.Fatal(err)
		}
	}
	_, stop := w.start("one", w.client)
	defer stop()
	tl := w.tail(0)
	tl.until("a new life", time.Minute, func() bool { return tl.inc[0] == 2 })
	for _, p := range tl.partials {
		if p.Source == 0 {
			if p.From != 0 || len(p.Gaps) != 1 || p.Gaps[0].Reason != wire.ReasonLog || p.Gaps[0].From < epoch {
				t.Errorf("the first partial of the new life: %+v", p)
			}
			break
		}
	}
}

// Other fleets write to topics of their own, and among our frames, and say by a
// header what it is.
func TestOtherFleetsTopics(t *testing.T) {
	w := newWorld(t)
	w.formats = map[string]decode.Format{"telegraf": decode.Influx, "metrics": decode.RemoteWrite, wire.TopicTelemetry: decode.OTLP}
	for topic, partitions := range map[string]int{"telegraf": 2, "metrics": 1} {
		if _, err := w.client.EnsureTopic(w.ctx, bus.Topic{Name: topic, Partitions: partitions}); err != nil {
			t.Fatal(err)
		}
	}
	role, stop := w.start("one", w.client)
	defer stop()
	tails := []*tail{w.tail(0), w.tail(1)}
	awaitTotal := func(what string, want uint64) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); tails[0].total()+tails[1].total() != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: counted %d, want %d; %v", what, tails[0].total()+tails[1].total(), want, role.Health())
			}
			for _, tl := range tails {
				n := len(tl.partials)
				tl.until("partials", time.Minute, func() bool { return len(tl.partials) > n })
			}
		}
	}
	tails[0].until("ticks of all five sources", time.Minute, func() bool { return len(tails[0].newest) == 5 })
	at := time.Now().UnixMilli()
	send := func(topic string, partition int32, key string, value []byte, headers ...string) {
		t.Helper()
		rec := bus.Record{Value: value}
		if key != "" {
			rec.Key = []byte(key)
		}
		for i := 0; i < len(headers); i += 2 {
			rec.Headers = append(rec.Headers, bus.Header{Key: headers[i], Value: []byte(headers[i+1])})
		}
		if _, err := w.client.Producer(topic, partition).ProduceRetry(w.ctx, func() []bus.Record { return []bus.Record{rec} }); err != nil {
			t.Fatal(err)
		}
	}
	up := []measured{{"probe_success", map[string]string{"target": "db"}, telemetry.Gauge, at, 1}}
	w.frame(0, "h", 1) // two
	send("telegraf", 0, "", linesOf(up))
	send("telegraf", 1, "", linesOf(up))
	send("metrics", 0, "", write1Of(t, up))
	send("metrics", 0, "", otlpOf(t, up), "Content-Type", "application/x-protobuf")
	send(wire.TopicTelemetry, 1, "", otlpOf(t, up))
	send(wire.TopicTelemetry, 0, "", write2Of(t, up), "content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request", "content-encoding", "snappy")
	send(wire.TopicTelemetry, 0, "", linesOf(up), "content-type", "text/plain; charset=utf-8")
	awaitTotal("all of them", 2+7)
	send("telegraf", 0, "shop-1", []byte("no line at all"))
	send(wire.TopicTelemetry, 1, "", []byte("{}"), "content-type", "application/json")
	said := "" // in either order: they come from two partitions
	for i := range int64(2) {
		dead, err := w.client.Reader(wire.TopicDeadLetter, 0, i).Fetch(w.ctx, 10*time.Second)
		if err != nil || len(dead) == 0 {
			t.Fatalf("dead letters: %v, %v", dead, err)
		}
		said += fmt.Sprintf("%q", dead[0].Headers)
	}
	if !strings.Contains(said, `"influx"`) || !strings.Contains(said, `"format"`) {
		t.Errorf("dead letters have headers %s, want influx and format among them", said)
	}
	awaitTotal("garbage", 2+7)
}
