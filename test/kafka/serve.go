package kafka

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"nines/internal/broker"
)

// Environment names the variable that says what Serve starts: "apache" (one
// node), "apache3" (three nodes), or "embedded" (also when it is not set).
const Environment = "NINES_KAFKA"

// Apache tells whether the suite runs against Apache Kafka.
func Apache() bool { return Nodes() > 0 }

// Nodes is how many nodes of Apache Kafka the suite runs against: 1, 3, or 0 on
// the embedded broker.
func Nodes() int {
	switch os.Getenv(Environment) {
	case "apache":
		return 1
	case "apache3":
		return 3
	}
	return 0
}

// ApacheOnly skips a test that starts a broker of its own, in runs against the
// embedded one: once in make test is enough of what takes a minute.
func ApacheOnly(t testing.TB) {
	t.Helper()
	if !Apache() {
		t.Skip("starts an Apache Kafka of its own: run it with " + Environment + "=apache, as make test does")
	}
}

// pool holds the Apache Kafkas of a test binary that no test has. They end with
// the process.
type pool struct {
	mu   sync.Mutex
	free []*Cluster
}

var idle pool

// take returns a cluster that nobody has, or a new one: there are never more
// than were in use at once.
func (p *pool) take() (*Cluster, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return Launch(Options{Nodes: Nodes()})
}

func (p *pool) give(c *Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

// Server is one broker for one test, of the kind that the environment asks for.
// A test that is given Apache Kafka has it to itself: parallel tests have several,
// and a test's second server is another cluster. It is empty at first.
type Server struct {
	// Addr stays the same over all lives.
	Addr string

	t      testing.TB
	apache *Cluster
	opts   broker.Options // of the embedded one
	cancel context.CancelFunc
	done   chan error
}

// Serve starts a broker for a test. With users it asks for a password.
func Serve(t testing.TB, users ...broker.User) *Server {
	t.Helper()
	if kind := os.Getenv(Environment); kind != "" && kind != "embedded" && !Apache() {
		t.Fatalf("%s: want embedded, apache or apache3, got %q", Environment, kind)
	}
	s := &Server{t: t, opts: broker.Options{Config: broker.Config{DataDir: t.TempDir()}, Users: users}}
	switch {
	case !Apache():
		s.Start()
		s.opts.Config.Listen = s.Addr
		t.Cleanup(s.Stop)
	case len(users) > 0:
		sec := Security{Users: map[string]string{}}
		for _, u := range users {
			sec.Mechanisms = append(sec.Mechanisms, u.Mechanism)
			sec.Users[u.Name] = u.Password
		}
		s.own(Options{Security: sec})
	default:
		s.borrow()
	}
	return s
}

// own starts a cluster for this server alone.
func (s *Server) own(o Options) {
	s.t.Helper()
	o.Nodes = Nodes()
	s.apache = Start(s.t, o)
	s.Addr = s.apache.nodes[0].Addr()
}

// borrow takes a cluster that other tests had and will have, and empties it.
func (s *Server) borrow() {
	s.t.Helper()
	c, err := idle.take()
	if err != nil {
		Absent(s.t, err)
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("Apache Kafka logged at last:\n%s", c.nodes[0].tail(25))
		}
		idle.give(c)
	})
	s.apache, s.Addr = c, c.nodes[0].Addr()
	s.Start()
	// A group whose member did not manage to leave is there until its session ends.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := c.Empty(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Start begins another life of the broker.
func (s *Server) Start() {
	s.t.Helper()
	if s.apache != nil {
		if err := s.apache.startAll(); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	b, err := broker.New(s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan error, 1)
	go func(done chan error) { done <- b.Run(ctx) }(s.done)
	select {
	case <-b.Ready():
	case err := <-s.done:
		s.t.Fatalf("start broker: %v", err)
	}
	s.Addr = b.Addr()
}

// Stop ends the broker in good order.
func (s *Server) Stop() {
	s.t.Helper()
	if s.apache != nil {
		if err := s.apache.stopAll(); err != nil {
			s.t.Error(err)
		}
		return
	}
	if s.cancel == nil {
		return
	}
	s.cancel()
	if err := <-s.done; err != nil {
		s.t.Errorf("stop broker: %v", err)
	}
	s.cancel = nil
}

// Wipe empties the disk of a stopped broker.
func (s *Server) Wipe() {
	s.t.Helper()
	if s.apache == nil {
		s.opts.Config.DataDir = s.t.TempDir()
		return
	}
	for _, n := range s.apache.nodes {
		if err := n.Wipe(); err != nil {
			s.t.Fatal(err)
		}
	}
}
