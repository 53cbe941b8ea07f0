package bus_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"nines/internal/broker"
	"nines/internal/bus"
	"nines/test/ports"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "frames", Partitions: 3})

	p := c.Producer("frames", 1)
	first := []bus.Record{
		{Time: 1000, Key: []byte("agent-1"), Value: []byte("one"), Headers: []bus.Header{{Key: "h", Value: []byte("x")}, {Key: "h"}}},
		{Time: 2000, Value: []byte{}},
		{Time: 3000, Key: []byte("agent-2")},
	}
	if base, err := p.Produce(ctx, first); err != nil || base != 0 {
		t.Fatalf("base %d, err %v", base, err)
	}
	big := bus.Record{Time: 4000, Value: []byte(strings.Repeat("sample ", 5000))}
	if base, err := p.Produce(ctx, []bus.Record{big, big}); err != nil || base != 3 {
		t.Fatalf("base %d, err %v", base, err)
	}

	got := readAll(t, c, "frames", 1, 0, 5)
	want := append(append([]bus.Record{}, first...), big, big)
	for i := range want {
		want[i].Offset = int64(i)
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("record %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	// A position in the middle of a batch skips the records before it.
	if mid := readAll(t, c, "frames", 1, 4, 1); mid[0].Offset != 4 || len(mid) != 1 {
		t.Errorf("from the middle of a batch: got %d records from %d", len(mid), mid[0].Offset)
	}
	// The other partitions hold nothing.
	if first, next, err := c.Offsets(ctx, "frames", 0); err != nil || first != 0 || next != 0 {
		t.Errorf("offsets of an empty partition: %d %d %v", first, next, err)
	}
}

func TestOffsetsByTime(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "ticks"})
	now := time.Now().UnixMilli()
	p := c.Producer("ticks", 0)
	for i := range int64(4) {
		if _, err := p.Produce(ctx, []bus.Record{{Time: now + 1000*i, Value: []byte("tick")}}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(ms, want int64) {
		t.Helper()
		if got, err := c.OffsetAt(ctx, "ticks", 0, ms); err != nil || got != want {
			t.Errorf("at %+d ms: got %d, %v; want %d", ms-now, got, err, want)
		}
	}
	f(0, 0)
	f(now, 0)
	f(now+1, 1)
	f(now+3000, 3)
	f(now+3001, 4)
	if first, next, err := c.Offsets(ctx, "ticks", 0); err != nil || first != 0 || next != 4 {
		t.Errorf("offsets: %d %d %v", first, next, err)
	}
}

func TestFetchWaitsForTheFirstRecord(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "partials"})

	r := c.Reader("partials", 0, 0)
	if recs, err := r.Fetch(ctx, 50*time.Millisecond); err != nil || recs != nil {
		t.Fatalf("empty partition: %v, %v", recs, err)
	}
	if hw := r.HighWater(); hw != 0 {
		t.Errorf("high watermark %d, want 0", hw)
	}
	got := make(chan error, 1)
	start := time.Now()
	go func() {
		recs, err := r.Fetch(ctx, 10*time.Second)
		if err == nil && len(recs) != 1 {
			err = fmt.Errorf("got %d records", len(recs))
		}
		got <- err
	}()
	if _, err := c.Producer("partials", 0).Produce(ctx, []bus.Record{{Value: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the record took %s", took)
	}
	if r.Offset() != 1 || r.HighWater() != 1 {
		t.Errorf("offset %d, high watermark %d, want 1 and 1", r.Offset(), r.HighWater())
	}
	stop, cancel := context.WithCancel(ctx)
	go cancel()
	if _, err := r.Fetch(stop, 10*time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled fetch: %v", err)
	}
}

func TestPositionOutsideTheLog(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "short"})
	if _, err := c.Producer("short", 0).Produce(ctx, []bus.Record{{Value: []byte("a")}, {Value: []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	// The position of a reader whose topic was deleted and created again.
	r := c.Reader("short", 0, 1000)
	_, err := r.Fetch(ctx, time.Second)
	var oor *bus.ErrOutOfRange
	if !errors.As(err, &oor) || oor.First != 0 || oor.Next != 2 || oor.Offset != 1000 {
		t.Fatalf("got %v", err)
	}
	if bus.Temporary(err) {
		t.Error("another attempt cannot mend a position outside the log")
	}
	r.SeekTo(oor.First)
	if recs, err := r.Fetch(ctx, time.Second); err != nil || len(recs) != 2 {
		t.Fatalf("after SeekTo: %d records, %v", len(recs), err)
	}
}

func TestTopicsAreCreatedOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	if _, err := c.Partitions(ctx, "nines.rules"); !errors.Is(err, bus.ErrUnknownTopic) || !bus.Temporary(err) {
		t.Fatalf("missing topic: %v", err)
	}
	ensure(t, c, bus.Topic{Name: "nines.rules", Partitions: 2, Compact: true, MaxMessageBytes: 2 << 20})
	if n, err := c.EnsureTopic(ctx, bus.Topic{Name: "nines.rules", Partitions: 9}); err != nil || n != 2 {
		t.Fatalf("existing topic: %d, %v", n, err)
	}
	other := s.client(bus.Config{}, nil)
	if n, err := other.Partitions(ctx, "nines.rules"); err != nil || n != 2 {
		t.Fatalf("another client: %d, %v", n, err)
	}
	_, err := c.EnsureTopic(ctx, bus.Topic{Name: "five.copies", Replication: 5})
	if err == nil || !strings.Contains(err.Error(), "has the cluster that many brokers?") {
		t.Errorf("five copies on fewer brokers: %v", err)
	}
}

// An operator deletes a topic under a client that knows it: what the client
// remembers does not hide that it is gone.
func TestADeletedTopicIsCreatedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	topic := bus.Topic{Name: "nines.telemetry", Partitions: 2}
	ensure(t, c, topic)
	if _, err := c.Producer(topic.Name, 1).Produce(ctx, []bus.Record{{Value: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(s.Addr), Transport: transport}
	r, err := admin.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic.Name}})
	if err != nil || r.Errors[topic.Name] != nil {
		t.Fatal(err, r.Errors[topic.Name])
	}
	ensure(t, c, topic)
	if first, next, err := c.Offsets(ctx, topic.Name, 1); err != nil || first != 0 || next != 0 {
		t.Errorf("the new topic holds %d to %d: %v", first, next, err)
	}
}

func TestBatchTooLarge(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "small", MaxMessageBytes: 100})
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	_, err := c.Producer("small", 0).ProduceRetry(ctx, func() []bus.Record { return []bus.Record{{Value: noise}} })
	if !errors.Is(err, bus.ErrTooLarge) || bus.Temporary(err) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := startServer(t, broker.User{Mechanism: "SCRAM-SHA-256", Name: "nines", Password: "right"})
	ctx := testContext(t, 2*time.Minute)
	f := func(addr string, cfg bus.Config, want string) {
		t.Helper()
		c := newClient(t, addr, cfg, nil)
		err := c.Ping(ctx)
		if want == "" {
			if err != nil {
				t.Errorf("ping: %v", err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ping: got %v, want %q", err, want)
		}
		if !bus.Temporary(err) {
			t.Errorf("an operator can mend %v while we run", err)
		}
		if err != nil && strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("the password is printed: %v", err)
		}
		// What a role does first says the same.
		if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "t"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("create topic: got %v, want %q", err, want)
		}
		if _, err := c.Producer("t", 0).Produce(ctx, []bus.Record{{}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("produce: got %v, want %q", err, want)
		}
		if _, err := c.Reader("t", 0, 0).Fetch(ctx, time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fetch: got %v, want %q", err, want)
		}
	}
	login := func(pass bus.Secret) bus.Config {
		return bus.Config{SASL: bus.SASLConfig{Mechanism: "scram-sha-256", User: "nines", Password: pass}}
	}
	f(s.Addr, login("right"), "")
	f(s.Addr, login("wrong-secret"), "connect to Kafka at "+s.Addr+": the broker refused user nines: wrong password?")
	f(s.Addr, bus.Config{}, "does it expect SASL or TLS?")
	f(s.Addr, bus.Config{SASL: bus.SASLConfig{Mechanism: "plain", User: "nines", Password: "x"}}, s.Addr)
	nobody := ports.Free(t)
	f(nobody, bus.Config{}, "connect to Kafka at "+nobody+": connection refused: is the broker running?")
	f("no-such-host.invalid:9092", bus.Config{}, "is the host name right?")
	f(s.Addr, bus.Config{TLS: bus.TLSConfig{Enabled: true}, DialTimeout: 200 * time.Millisecond}, "Kafka")
}
