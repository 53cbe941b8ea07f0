// Package kafka runs Apache Kafka for tests: real brokers of version 4, on
// loopback or in network namespaces of their own, as one node or as a cluster
// of three, stopped, killed, paused and cut off at will, and removed at the end
// of the test, however it ends.
//
// The jars come from Maven Central through Maven, once, into the user's cache.
// Where they cannot be had, tests are skipped with the reason; under CI=true
// they fail.
//
//	c := kafka.Start(t, kafka.Options{Nodes: 3})
//	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: c.Addrs()}})
//	c.Node(1).Kill()
//
// Serve gives a test one broker of the kind that the environment asks for, so
// that one suite runs against the embedded broker and Apache Kafka.
package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Options say what to start. The zero value is one node that lets anybody in.
type Options struct {
	// Nodes is 1 or 3, each broker and controller; 0 means 1. Three keep every
	// topic in three copies of which two must be in sync, and elect no leader
	// that lacks records.
	Nodes int
	// Security is how clients are let in.
	Security Security
	// Config are lines of server.properties, before which ours yield.
	Config map[string]string
	// Isolated gives each node a network namespace and an address of its own,
	// so that Cut can part it from everybody without a word. It needs root; the
	// test is skipped (and fails under CI) where that is not had.
	Isolated bool
	// DiskBytes gives each node a file system of that size, so that it can be
	// full; 0 means the disk that temporary files are on. It needs root too.
	DiskBytes int64

	// Idle prepares everything and starts nothing: the nodes' Start does, or
	// whoever runs their Command.
	Idle bool

	java []string // further flags of the Java machine
}

// ErrAbsent says that Apache Kafka, or what the options need, cannot be had
// here, and why.
var ErrAbsent = errors.New("Apache Kafka cannot run here")

// Cluster is a running Apache Kafka.
type Cluster struct {
	in    *install
	o     Options
	dir   string
	id    string
	nodes []*Node
	undo  *undoer
	net   *network // nil on loopback
}

// Start starts Apache Kafka for a test and stops it at its end. When the test
// has failed it shows what the nodes logged last.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Launch(o)
	if err != nil {
		Absent(t, err)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.nodes {
				t.Logf("Kafka node %d logged at last:\n%s", n.id, n.tail(25))
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Absent skips the test if err says that Apache Kafka cannot be had, and fails
// it under CI.
func Absent(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
}

// Launch is Start for those who are no test: Close is theirs to call.
func Launch(o Options) (*Cluster, error) {
	in, err := fetched()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return launch(in, o)
}

func launch(in *install, o Options) (c *Cluster, err error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Nodes != 1 && o.Nodes != 3 {
		return nil, fmt.Errorf("start Kafka: want 1 or 3 nodes, got %d", o.Nodes)
	}
	c = &Cluster{in: in, o: o}
	if c.dir, err = os.MkdirTemp("", "nines-kafka-"); err != nil {
		return nil, err
	}
	if c.undo, err = newUndoer(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	c.undo.later("for i in 1 2 3 4 5; do rm -rf '%s' && break; sleep 0.2; done", c.dir)
	if err = c.create(); err == nil && !o.Idle {
		err = c.startAll()
	}
	if err != nil {
		for _, n := range c.nodes {
			err = fmt.Errorf("%w\nnode %d logged:\n%s", err, n.id, n.tail(30))
		}
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// create makes the nodes' directories, addresses and configuration, and formats
// their storage.
func (c *Cluster) create() error {
	c.id = clusterID()
	if c.o.Isolated {
		var err error
		if c.net, err = newNetwork(c.o.Nodes, c.undo); err != nil {
			return fmt.Errorf("%w: make network namespaces: %w", ErrAbsent, err)
		}
	}
	for i := range c.o.Nodes {
		n := &Node{c: c, id: i + 1, dir: filepath.Join(c.dir, fmt.Sprintf("node%d", i+1)), host: "127.0.0.1"}
		if c.net != nil {
			n.host = c.net.address(i)
		}
		if err := n.create(); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.configure(); err != nil {
			return err
		}
		if err := n.format(); err != nil {
			return err
		}
	}
	return nil
}

// startAll starts the nodes that do not run, together: a controller waits for its
// majority.
func (c *Cluster) startAll() error {
	for _, n := range c.nodes {
		if n.Running() {
			continue
		}
		if err := n.spawn(); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.await(startLimit); err != nil {
			return err
		}
	}
	return nil
}

// stopAll ends all nodes. Those that are left without a majority cannot hand
// over and would wait for it: they are killed, which loses nothing that was
// acknowledged.
func (c *Cluster) stopAll() error {
	for _, n := range c.nodes {
		n.signal(syscall.SIGCONT)
		n.signal(syscall.SIGTERM)
	}
	limit := stopLimit
	if len(c.nodes) > 1 {
		limit = 3 * time.Second
	}
	var err error
	for i, n := range c.nodes {
		if !n.ended(limit) {
			n.Kill()
			if len(c.nodes) == 1 {
				err = fmt.Errorf("node %d did not end within %s and was killed", i+1, limit)
			}
		}
	}
	return err
}

// Addrs are the addresses that clients connect to, by node.
func (c *Cluster) Addrs() []string {
	out := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		out[i] = n.Addr()
	}
	return out
}

// Node returns the i-th node, from 0.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Nodes is how many there are.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Version is what the running broker's jar says it is: "Apache Kafka 4.x.y".
func (c *Cluster) Version() string { return versionIn(c.nodes[0].text()) }

// Close kills the nodes and removes everything. It may be called twice.
func (c *Cluster) Close() error {
	for _, n := range c.nodes {
		n.Kill()
		n.release()
	}
	return c.undo.now()
}

// clusterID is 16 random bytes as Kafka writes them.
func clusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[0] &= 0x3f           // no id begins with a dash
	return base64.RawURLEncoding.EncodeToString(b[:])
}

const (
	startLimit = 90 * time.Second
	stopLimit  = 60 * time.Second
	look       = 25 * time.Millisecond
)
