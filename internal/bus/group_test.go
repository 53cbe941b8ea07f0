package bus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"nines/internal/bus"
)

// owners watches who owns what and complains when two own the same.
type owners struct {
	t  *testing.T
	mu sync.Mutex
	by map[int32]string
	// moves counts how often a partition went to another member.
	last  map[int32]string
	moves int
	// session is the members' session timeout, 0: the default.
	session time.Duration
}

func newOwners(t *testing.T) *owners {
	return &owners{t: t, by: map[int32]string{}, last: map[int32]string{}}
}

func (o *owners) take(member string, ps []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range ps {
		if other := o.by[p]; other != "" {
			o.t.Errorf("partition %d is owned by %s and %s", p, other, member)
		}
		o.by[p] = member
		if o.last[p] != "" && o.last[p] != member {
			o.moves++
		}
		o.last[p] = member
	}
}

func (o *owners) release(ps []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range ps {
		delete(o.by, p)
	}
}

// shares returns how many partitions each member owns, biggest first.
func (o *owners) shares() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := map[string]int{}
	for _, m := range o.by {
		count[m]++
	}
	out := slices.Sorted(maps.Values(count))
	slices.Reverse(out)
	return out
}

func (o *owners) moved() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.moves
	o.moves = 0
	return n
}

// member runs a group member until stop is called.
func (o *owners) member(c *bus.Client, name string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	g := c.Group(bus.GroupOptions{
		ID: "aggregate", Topics: []string{"nines.telemetry"}, Member: name, Heartbeat: 100 * time.Millisecond, SessionTimeout: o.session,
		OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
			ps := gen.Assigned["nines.telemetry"]
			o.take(name, ps)
			defer o.release(ps)
			<-ctx.Done()
			return nil
		},
	})
	go func() { done <- g.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				o.t.Errorf("member %s: %v", name, err)
			}
		})
	}
	o.t.Cleanup(stop)
	return stop
}

// A collector fleet grows from one to three and shrinks again: every partition
// has one owner at a time, shares are even, and few partitions move.
func TestGroupGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ensure(t, s.client(bus.Config{}, nil), bus.Topic{Name: "nines.telemetry", Partitions: 6})
	o := newOwners(t)
	settle := func(want ...int) {
		t.Helper()
		start := time.Now()
		eventually(t, time.Minute, fmt.Sprintf("shares %v", want), func() bool { return slices.Equal(o.shares(), want) })
		t.Logf("shares %v after %s", want, time.Since(start).Round(time.Millisecond))
	}
	// Each member has a client of its own, as in a fleet.
	o.member(s.client(bus.Config{}, nil), "a")
	settle(6)
	stopB := o.member(s.client(bus.Config{}, nil), "b")
	settle(3, 3)
	if n := o.moved(); n != 3 {
		t.Errorf("%d partitions moved when the second member came, want 3", n)
	}
	stopC := o.member(s.client(bus.Config{}, nil), "c")
	settle(2, 2, 2)
	if n := o.moved(); n != 2 {
		t.Errorf("%d partitions moved when the third member came, want 2", n)
	}
	stopB()
	settle(3, 3)
	if n := o.moved(); n != 2 {
		t.Errorf("%d partitions moved when a member left, want its 2", n)
	}
	stopC()
	settle(6)
}

func TestCommitsAreFenced(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ensure(t, c, bus.Topic{Name: "nines.telemetry", Partitions: 1})
	ctx := testContext(t, 2*time.Minute)

	gens := make(chan *bus.Generation)
	run := func(name string) (stop func()) {
		mctx, cancel := context.WithCancel(ctx)
		g := s.client(bus.Config{}, nil).Group(bus.GroupOptions{
			ID: "aggregate", Topics: []string{"nines.telemetry"}, Member: name, Heartbeat: 100 * time.Millisecond,
			OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
				select {
				case gens <- gen:
				case <-ctx.Done():
				}
				<-ctx.Done()
				return nil
			},
		})
		done := make(chan error, 1)
		go func() { done <- g.Run(mctx) }()
		return sync.OnceFunc(func() { cancel(); <-done })
	}
	stop := run("a")
	defer stop()
	old := <-gens
	if o, meta, err := old.Committed(ctx, "nines.telemetry", 0); err != nil || o != -1 || meta != "" {
		t.Fatalf("before any commit: %d %q %v", o, meta, err)
	}
	if err := old.Commit(ctx, "nines.telemetry", 0, 42, "checkpoint 7"); err != nil {
		t.Fatal(err)
	}
	if o, meta, err := old.Committed(ctx, "nines.telemetry", 0); err != nil || o != 42 || meta != "checkpoint 7" {
		t.Fatalf("committed %d %q %v", o, meta, err)
	}
	stop()
	defer run("b")()
	gen := <-gens
	err := old.Commit(ctx, "nines.telemetry", 0, 50, "")
	if !errors.Is(err, bus.ErrFenced) || bus.Temporary(err) {
		t.Errorf("a commit of the past: %v", err)
	}
	if o, meta, err := gen.Committed(ctx, "nines.telemetry", 0); err != nil || o != 42 || meta != "checkpoint 7" {
		t.Errorf("the successor finds %d %q %v", o, meta, err)
	}
	// Positions outlive the broker.
	s.Stop()
	s.Start()
	eventually(t, time.Minute, "the position is found after a restart", func() bool {
		o, meta, err := c.Committed(ctx, "aggregate", "nines.telemetry", 0)
		return err == nil && o == 42 && meta == "checkpoint 7"
	})
}

// The broker restarts under a group: members come back by themselves. Apache
// Kafka's coordinators remember members over a restart, and ours come back under
// other names: they do not wait until the sessions of the old ones are over.
func TestGroupSurvivesBrokerRestart(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ensure(t, s.client(bus.Config{}, nil), bus.Topic{Name: "nines.telemetry", Partitions: 4})
	o := newOwners(t)
	o.session = 90 * time.Second
	o.member(s.client(bus.Config{}, nil), "a")
	o.member(s.client(bus.Config{}, nil), "b")
	eventually(t, time.Minute, "two each", func() bool { return slices.Equal(o.shares(), []int{2, 2}) })
	s.Stop()
	eventually(t, time.Minute, "nobody owns while the broker is away", func() bool { return len(o.shares()) == 0 })
	s.Start()
	eventually(t, time.Minute, "two each again", func() bool { return slices.Equal(o.shares(), []int{2, 2}) })
}

// Stopping must not wait for a broker that is gone, nor for a topic that never
// comes, nor while a join hangs.
func TestGroupStopsAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ensure(t, c, bus.Topic{Name: "there"})
	f := func(name, topic string, during func(joined <-chan struct{})) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		joined := make(chan struct{}, 10)
		g := s.client(bus.Config{}, nil).Group(bus.GroupOptions{
			ID: name, Topics: []string{topic}, Heartbeat: 100 * time.Millisecond,
			OnGeneration: func(context.Context, *bus.Generation) error { joined <- struct{}{}; return nil },
		})
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		during(joined)
		start := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: stopping took %s", name, took)
		}
	}
	f("no topic", "missing", func(<-chan struct{}) {})
	f("not yet joined", "there", func(<-chan struct{}) {})
	f("joined", "there", func(joined <-chan struct{}) { <-joined })
	f("broker gone", "there", func(joined <-chan struct{}) { <-joined; s.Stop() })
}

// A member whose work fails joins again.
func TestGroupRetriesFailedGeneration(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var log logBuffer
	c := s.client(bus.Config{}, &log)
	ensure(t, c, bus.Topic{Name: "there"})
	ctx, cancel := context.WithCancel(testContext(t, 2*time.Minute))
	calls := make(chan int32, 10)
	n := 0
	g := c.Group(bus.GroupOptions{
		ID: "flaky", Topics: []string{"there"}, Heartbeat: 100 * time.Millisecond,
		OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
			calls <- gen.ID
			if n++; n == 1 {
				return errors.New("the checkpoint cannot be read")
			}
			<-ctx.Done()
			return nil
		},
	})
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	first, second := <-calls, <-calls
	if second <= first {
		t.Errorf("generation %d after %d", second, first)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An operator gives the topic more partitions: they find owners by themselves.
func TestAddedPartitionsFindOwners(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ensure(t, c, bus.Topic{Name: "nines.telemetry", Partitions: 2})
	ctx, cancel := context.WithCancel(testContext(t, 2*time.Minute))
	owned := make(chan int, 10)
	g := c.Group(bus.GroupOptions{ID: "aggregate", Topics: []string{"nines.telemetry"}, Heartbeat: 100 * time.Millisecond,
		WatchPartitionChanges: 50 * time.Millisecond,
		OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
			owned <- len(gen.Assigned["nines.telemetry"])
			<-ctx.Done()
			return nil
		}})
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if n := <-owned; n != 2 {
		t.Fatalf("%d partitions at first, want 2", n)
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(s.Addr), Transport: transport}
	_, err := admin.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Addr: admin.Addr,
		Topics: []kafka.TopicPartitionsConfig{{Name: "nines.telemetry", Count: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-owned:
		if n != 3 {
			t.Errorf("%d partitions after one was added, want 3", n)
		}
	case <-ctx.Done():
		t.Error("the added partition found no owner")
	}
}
