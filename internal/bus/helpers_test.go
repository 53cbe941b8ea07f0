package bus_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/broker"
	"nines/internal/bus"
	"nines/test/kafka"
)

// idpClientEnv names the variable that has the client of the tests of tokens: it
// is set for all of them, which run in parallel.
const idpClientEnv = "NINES_TEST_CLIENT"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := os.Setenv(idpClientEnv, idpClient); err != nil {
		panic(err)
	}
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run()) // the fuzzing engine has goroutines of its own
	}
	goleak.VerifyTestMain(m)
}

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// server is a real broker on loopback that can be stopped and started again:
// the embedded one or Apache Kafka, as the environment asks.
type server struct {
	*kafka.Server
	t *testing.T
}

func startServer(t *testing.T, users ...broker.User) *server {
	t.Helper()
	return &server{t: t, Server: kafka.Serve(t, users...)}
}

func (s *server) client(cfg bus.Config, log io.Writer) *bus.Client {
	s.t.Helper()
	return newClient(s.t, s.Addr, cfg, log)
}

func newClient(t *testing.T, addr string, cfg bus.Config, log io.Writer) *bus.Client {
	t.Helper()
	cfg.Brokers = []string{addr}
	o := bus.Options{Config: cfg}
	if log != nil {
		o.Log = logTo(log)
	}
	c, err := bus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testContext(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ensure(t *testing.T, c *bus.Client, topic bus.Topic) {
	t.Helper()
	n, err := c.EnsureTopic(testContext(t, 2*time.Minute), topic)
	if err != nil {
		t.Fatal(err)
	}
	if want := max(topic.Partitions, 1); n != want {
		t.Fatalf("topic %s has %d partitions, want %d", topic.Name, n, want)
	}
}

// readAll reads from offset from until it has n records or the context ends.
func readAll(t *testing.T, c *bus.Client, topic string, partition int32, from int64, n int) []bus.Record {
	t.Helper()
	ctx := testContext(t, 2*time.Minute)
	r := c.Reader(topic, partition, from)
	var out []bus.Record
	for len(out) < n {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			t.Fatalf("after %d records: %v", len(out), err)
		}
		for _, rec := range recs {
			out = append(out, keep(rec))
		}
	}
	return out
}

// keep copies a record out of its reader's buffers.
func keep(r bus.Record) bus.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = append([]bus.Header(nil), r.Headers...)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}

// eventually polls a condition that other goroutines bring about.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}
