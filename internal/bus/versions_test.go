package bus

import (
	"context"
	"encoding/binary"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"nines/internal/broker"
)

// requests notes which version of which request goes over the wire.
type requests struct {
	mu   sync.Mutex
	seen map[protocol.ApiKey]map[int16]bool
}

func (r *requests) has(key protocol.ApiKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen[key]) > 0
}

func (r *requests) wrap(c net.Conn) net.Conn { return &tapped{Conn: c, r: r} }

type tapped struct {
	net.Conn
	r      *requests
	header []byte
	body   int // bytes of the current request still to come
}

func (c *tapped) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if c.body > 0 {
			n := min(c.body, len(rest))
			c.body -= n
			rest = rest[n:]
			continue
		}
		n := min(8-len(c.header), len(rest))
		c.header = append(c.header, rest[:n]...)
		rest = rest[n:]
		if len(c.header) == 8 {
			c.note()
		}
	}
	return c.Conn.Write(b)
}

func (c *tapped) note() {
	be := binary.BigEndian
	c.body = int(be.Uint32(c.header)) - 4
	key, version := protocol.ApiKey(be.Uint16(c.header[4:])), int16(be.Uint16(c.header[6:]))
	c.header = c.header[:0]
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.r.seen[key] == nil {
		c.r.seen[key] = map[int16]bool{}
	}
	c.r.seen[key][version] = true
}

// Apache Kafka 4 refuses old request versions (KIP-896), the embedded broker
// takes them all. What it refuses must not be sent.
func TestRequestVersionsThatKafka4Accepts(t *testing.T) {
	accepted := map[protocol.ApiKey][2]int16{ // ApiVersions of Apache Kafka 4.0
		protocol.Produce: {3, 12}, protocol.Fetch: {4, 17}, protocol.ListOffsets: {1, 10}, protocol.Metadata: {0, 13},
		protocol.OffsetCommit: {2, 9}, protocol.OffsetFetch: {1, 9}, protocol.FindCoordinator: {0, 6},
		protocol.JoinGroup: {2, 9}, protocol.Heartbeat: {0, 4}, protocol.LeaveGroup: {0, 5}, protocol.SyncGroup: {0, 5},
		protocol.ApiVersions: {0, 4}, protocol.CreateTopics: {2, 7},
		protocol.SaslHandshake: {0, 1}, protocol.SaslAuthenticate: {0, 2},
	}
	seen := &requests{seen: map[protocol.ApiKey]map[int16]bool{}}
	useEverything(t, seen)
	for key, versions := range seen.seen {
		limits, ok := accepted[key]
		for v := range versions {
			if !ok || v < limits[0] || v > limits[1] {
				t.Errorf("%s version %d is sent, Kafka 4 accepts %v", key, v, limits)
			}
		}
		delete(accepted, key)
	}
	for key := range accepted {
		t.Errorf("%s was not seen: the test misses it", key)
	}
	for key, vs := range seen.seen {
		t.Log(key, slices.Sorted(maps.Keys(vs)))
	}
}

func useEverything(t *testing.T, seen *requests) {
	b, err := broker.New(broker.Options{
		Config: broker.Config{DataDir: t.TempDir()},
		Users:  []broker.User{{Mechanism: "SCRAM-SHA-512", Name: "nines", Password: "secret"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	stopped := make(chan error, 1)
	go func() { stopped <- b.Run(ctx) }()
	defer func() { cancel(); <-stopped }()
	<-b.Ready()
	c, err := New(Options{Config: Config{Brokers: []string{b.Addr()},
		SASL: SASLConfig{Mechanism: "scram-sha-512", User: "nines", Password: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.conns.wrap = seen.wrap
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(c.Ping(ctx))
	_, err = c.EnsureTopic(ctx, Topic{Name: "t"})
	do(err)
	_, err = c.Producer("t", 0).Produce(ctx, []Record{{Value: []byte("x")}})
	do(err)
	_, err = c.Reader("t", 0, 0).Fetch(ctx, time.Second)
	do(err)
	_, err = c.OffsetAt(ctx, "t", 0, 1)
	do(err)
	gctx, leave := context.WithCancel(ctx)
	g := c.Group(GroupOptions{ID: "g", Topics: []string{"t"}, Heartbeat: 20 * time.Millisecond, WatchPartitionChanges: 20 * time.Millisecond,
		OnGeneration: func(ctx context.Context, gen *Generation) error {
			defer leave()
			do(gen.Commit(ctx, "t", 0, 1, "m"))
			_, _, err := gen.Committed(ctx, "t", 0)
			do(err)
			for tick := time.NewTicker(5 * time.Millisecond); !seen.has(protocol.Heartbeat) && ctx.Err() == nil; {
				<-tick.C
			}
			return nil
		}})
	do(g.Run(gctx))
}
