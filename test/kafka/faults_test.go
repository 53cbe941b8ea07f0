package kafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/test/kafka"
)

// The leader is parted from the others and from its clients, in the namespace
// it lives in: nobody is told, the others elect a leader, and what was
// acknowledged is there when the parted node comes back.
func TestTheLeaderIsCutOff(t *testing.T) {
	c := kafka.Start(t, kafka.Options{Nodes: 3, Isolated: true})
	ctx := within(t, 6*time.Minute)
	client := connect(t, bus.Config{DialTimeout: time.Second, RequestTimeout: 10 * time.Second}, c.Addrs()...)
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
	if err := c.Node(leader).Cut(); err != nil {
		t.Fatal(err)
	}
	write(t, ctx, p, "b")
	t.Logf("writing went on %s after the leader was cut off", time.Since(start).Round(time.Millisecond))
	if !c.Node(leader).Running() {
		t.Error("the leader died of it")
	}
	if err := c.Node(leader).Heal(); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitInSync(ctx); err != nil {
		t.Error(err)
	}
	got := read(t, ctx, client, "frames", 2)
	if got[0] != "a" || got[len(got)-1] != "b" {
		t.Errorf("read %v", got)
	}
}

// The leader's disk is full: the node gives up its log, the others go on.
func TestTheLeadersDiskIsFull(t *testing.T) {
	c := kafka.Start(t, kafka.Options{Nodes: 3, DiskBytes: 48 << 20, Config: map[string]string{"log.segment.bytes": "4194304"}})
	ctx := within(t, 6*time.Minute)
	client := connect(t, bus.Config{DialTimeout: time.Second, RequestTimeout: 10 * time.Second}, c.Addrs()...)
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: "frames"}); err != nil {
		t.Fatal(err)
	}
	p := client.Producer("frames", 0)
	write(t, ctx, p, "first")
	leader, err := c.AwaitLeader(ctx, "frames", 0)
	if err != nil {
		t.Fatal(err)
	}
	free, err := c.Node(leader).FillDisk()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	big := strings.Repeat("x", 1<<18)
	for now := leader; now == leader; {
		write(t, ctx, p, big)
		if now, err = c.Leader(ctx, "frames", 0); err != nil || now < 0 {
			now, err = leader, nil // they are about to elect
		}
		if ctx.Err() != nil {
			t.Fatal("the node with the full disk leads on")
		}
	}
	t.Logf("another led %s after the disk was full", time.Since(start).Round(time.Millisecond))
	at := write(t, ctx, p, "last")
	if err := free(); err != nil {
		t.Fatal(err)
	}
	c.Node(leader).Kill() // it may have halted by itself
	if err := c.Node(leader).Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitInSync(ctx); err != nil {
		t.Error(err)
	}
	got := read(t, ctx, client, "frames", int(at)+1)
	if got[0] != "first" || got[len(got)-1] != "last" {
		t.Errorf("the log begins with %.10q and ends with %.10q", got[0], got[len(got)-1])
	}
}

// Who may come in, and what for: certificates on both sides, passwords, ACLs.
func TestOnlyTheRightClientsComeIn(t *testing.T) {
	ca := kafka.NewCA(t)
	broker := ca.Issue("broker", time.Hour)
	c := kafka.Start(t, kafka.Options{Security: kafka.Security{Cert: broker.Cert, Key: broker.Key, ClientCA: ca.File,
		Mechanisms: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"},
		Users:      map[string]string{"agent": "right", "root": "right"},
		ACLs:       true, SuperUsers: []string{"User:root"},
	}})
	ctx := within(t, 6*time.Minute)
	own := ca.Issue("client", time.Hour)
	login := func(mechanism, user string, password bus.Secret) *bus.Client {
		return connect(t, bus.Config{TLS: bus.TLSConfig{CAFile: ca.File, CertFile: own.Cert, KeyFile: own.Key},
			SASL: bus.SASLConfig{Mechanism: mechanism, User: user, Password: password}}, c.Addrs()...)
	}
	for _, m := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		if err := login(m, "root", "right").Ping(ctx); err != nil {
			t.Errorf("%s: %v", m, err)
		}
		if err := login(m, "root", "wrong").Ping(ctx); err == nil || !strings.Contains(err.Error(), "wrong password") {
			t.Errorf("%s: a wrong password: %v", m, err)
		}
	}
	if err := connect(t, bus.Config{}, c.Addrs()...).Ping(ctx); err == nil {
		t.Error("a client without TLS came in")
	}
	if _, err := login("plain", "root", "right").EnsureTopic(ctx, bus.Topic{Name: "frames"}); err != nil {
		t.Fatal(err)
	}
	p := login("scram-sha-512", "agent", "right").Producer("frames", 0)
	rec := []bus.Record{{Value: []byte("x")}}
	if _, err := p.Produce(ctx, rec); err == nil {
		t.Error("an agent wrote without an ACL")
	}
	if err := c.Allow(ctx, "User:agent", []string{"Write", "Describe"}, "--topic", "frames"); err != nil {
		t.Fatal(err)
	}
	allowed, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := p.ProduceRetry(allowed, func() []bus.Record { return rec }); err != nil {
		t.Errorf("with the ACL: %v", err)
	}
	if err := c.SetPassword(ctx, "SCRAM-SHA-512", "agent", "changed"); err != nil {
		t.Fatal(err)
	}
	if err := login("scram-sha-512", "agent", "changed").Ping(ctx); err != nil {
		t.Errorf("the changed password: %v", err)
	}
}
