package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"nines/internal/bus"
)

// sharer is a member of a group of its test's, with sessions so long that nobody
// is given up.
type sharer struct {
	shares chan int      // partitions of each generation, when it begins
	over   chan struct{} // each generation, when it is told that it is over
	stop   func()        // returns when the member has
}

// join runs a member; once it is told that a generation is over, it heeds that
// when release is closed.
func (s *server) join(group, name string, release <-chan struct{}) *sharer {
	ctx, cancel := context.WithCancel(testContext(s.t, 2*time.Minute))
	m := &sharer{shares: make(chan int, 10), over: make(chan struct{}, 10)}
	g := s.client(bus.Config{ClientID: name}, nil).Group(bus.GroupOptions{
		ID: group, Topics: []string{"nines.telemetry"}, Member: name, Heartbeat: 50 * time.Millisecond, SessionTimeout: time.Minute,
		OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
			m.shares <- len(gen.Assigned["nines.telemetry"])
			<-ctx.Done()
			m.over <- struct{}{}
			<-release
			return nil
		},
	})
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	m.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("member %s: %v", name, err)
		}
	}
	return m
}

// members are the client ids of the group's members.
func (s *server) members(group string) (out []string) {
	s.t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(s.Addr), Transport: transport}
	resp, err := c.DescribeGroups(testContext(s.t, time.Minute), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range resp.Groups[0].Members {
		out = append(out, m.ClientID)
	}
	return out
}

// A member stops while the group has to wait for another one, which is busy or
// dead: it is out of the group at once, whether it was at work or joining. One
// that remained would be waited for in its turn, for a session.
func TestMembersLeaveWhileOthersAreAwaited(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ensure(t, s.client(bus.Config{}, nil), bus.Topic{Name: "nines.telemetry", Partitions: 2})
	free := make(chan struct{})
	close(free)
	f := func(group string, joining bool) {
		t.Helper()
		leaves := s.join(group, "leaves", free)
		for n := range leaves.shares {
			if n == 2 {
				break
			}
		}
		release := make(chan struct{})
		awaited := s.join(group, "awaited", release)
		for n := range leaves.shares {
			if n == 1 {
				break
			}
		}
		if n := <-awaited.shares; n != 1 {
			t.Fatalf("one of two members has %d of 2 partitions", n)
		}
		third := &sharer{stop: func() {}}
		if joining {
			for len(leaves.over) > 0 {
				<-leaves.over
			}
			third = s.join(group, "third", free)
			<-leaves.over // it joins again, or is about to
			<-awaited.over
		}
		start := time.Now()
		leaves.stop()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: leaving took %s", group, took)
		}
		for _, m := range s.members(group) {
			if m == "leaves" {
				t.Errorf("%s: it has left and is still a member", group)
			}
		}
		close(release)
		third.stop()
		awaited.stop()
	}
	for i := range 4 { // what goes wrong here does so by chance
		f(fmt.Sprint("at work ", i), false)
		f(fmt.Sprint("joining ", i), true)
	}
}
