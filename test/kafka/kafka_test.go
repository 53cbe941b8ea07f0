package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/bus"
	"nines/test/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, cfg bus.Config, addrs ...string) *bus.Client {
	t.Helper()
	cfg.Brokers = addrs
	c, err := bus.New(bus.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// write appends a record and returns its offset.
func write(t *testing.T, ctx context.Context, p *bus.Producer, value string) int64 {
	t.Helper()
	at, err := p.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{{Value: []byte(value)}} })
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// read returns the values of a partition from the start.
func read(t *testing.T, ctx context.Context, c *bus.Client, topic string, n int) (out []string) {
	t.Helper()
	r := c.Reader(topic, 0, 0)
	for len(out) < n {
		recs, err := r.Fetch(ctx, time.Second)
		if ctx.Err() != nil || err != nil && !bus.Temporary(err) {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		for _, rec := range recs {
			out = append(out, string(rec.Value))
		}
	}
	return out
}

// One node keeps what it acknowledged over a stop, a kill and a pause.
func TestOneNode(t *testing.T) {
	c := kafka.Start(t, kafka.Options{})
	fmt.Println("the tests run against", c.Version())
	if !strings.HasPrefix(c.Version(), "Apache Kafka 4.") {
		t.Errorf("the broker is %q", c.Version())
	}
	ctx := within(t, 6*time.Minute)
	client := connect(t, bus.Config{RequestTimeout: 10 * time.Second}, c.Addrs()...)
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: "frames"}); err != nil {
		t.Fatal(err)
	}
	p := client.Producer("frames", 0)
	write(t, ctx, p, "a")
	n := c.Node(0)
	if err := n.Restart(); err != nil {
		t.Fatal(err)
	}
	write(t, ctx, p, "b")
	n.Kill()
	if n.Running() || client.Ping(within(t, 5*time.Second)) == nil {
		t.Error("the node lives after it was killed")
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	write(t, ctx, p, "c")
	n.Pause()
	if err := client.Ping(within(t, time.Second)); err == nil {
		t.Error("the node answers while it is paused")
	}
	n.Resume()
	write(t, ctx, p, "d")
	if got := fmt.Sprint(read(t, ctx, client, "frames", 4)); got != "[a b c d]" {
		t.Errorf("read %s", got)
	}
	out, err := c.Tool(ctx, kafka.TopicTool, "--describe", "--topic", "frames")
	if err != nil || !strings.Contains(out, "PartitionCount: 1") {
		t.Errorf("Kafka's own tool says: %v\n%s", err, out)
	}
	if err := c.Empty(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: "frames"}); err != nil {
		t.Fatal(err)
	}
	if first, next, err := client.Offsets(ctx, "frames", 0); err != nil || first != 0 || next != 0 {
		t.Errorf("a deleted topic came back with %d to %d: %v", first, next, err)
	}
}

// Three nodes: two go on when the leader is killed, one alone takes nothing.
func TestThreeNodes(t *testing.T) {
	c := kafka.Start(t, kafka.Options{Nodes: 3})
	ctx := within(t, 6*time.Minute)
	client := connect(t, bus.Config{RequestTimeout: 10 * time.Second}, c.Addrs()...)
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: "frames"}); err != nil {
		t.Fatal(err)
	}
	p := client.Producer("frames", 0)
	write(t, ctx, p, "a")
	leader, err := c.AwaitLeader(ctx, "frames", 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.Node(leader).Kill()
	write(t, ctx, p, "b")
	t.Logf("writing went on %s after the leader was killed", time.Since(start).Round(time.Millisecond))
	second, err := c.AwaitLeader(ctx, "frames", 0)
	if err != nil || second == leader {
		t.Fatalf("node %d leads after %d was killed: %v", second, leader, err)
	}
	third := 3 - leader - second
	c.Node(third).Kill()
	if _, err := p.Produce(within(t, 3*time.Second), []bus.Record{{Value: []byte("lonely")}}); err == nil {
		t.Error("one copy of three took a record")
	}
	if err := c.Node(third).Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Node(leader).Start(); err != nil {
		t.Fatal(err)
	}
	write(t, ctx, p, "c")
	if err := c.AwaitInSync(ctx); err != nil {
		t.Error(err)
	}
	got := read(t, ctx, client, "frames", 3)
	if got[0] != "a" || got[len(got)-1] != "c" {
		t.Errorf("read %v", got)
	}
}
