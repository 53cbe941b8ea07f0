package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
)

// everything does with a client all that nines does: it makes a topic, writes,
// reads, takes part in a group, commits, and reads what was committed.
func everything(t *testing.T, c *bus.Client, topic string) {
	t.Helper()
	ctx := testContext(t, 2*time.Minute)
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	ensure(t, c, bus.Topic{Name: topic})
	if _, err := c.Producer(topic, 0).Produce(ctx, []bus.Record{{Key: []byte("k"), Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	first, next, err := c.Offsets(ctx, topic, 0)
	if err != nil || next != first+1 {
		t.Fatalf("offsets %d to %d, %v", first, next, err)
	}
	if got := readAll(t, c, topic, 0, first, 1); string(got[0].Value) != "v" {
		t.Errorf("read %q", got[0].Value)
	}
	gctx, leave := context.WithCancel(ctx)
	defer leave()
	g := c.Group(bus.GroupOptions{ID: "group-" + topic, Topics: []string{topic}, OnGeneration: func(ctx context.Context, gen *bus.Generation) error {
		defer leave()
		return gen.Commit(ctx, topic, 0, next, "done")
	}})
	if err := g.Run(gctx); err != nil {
		t.Fatal(err)
	}
	if at, said, err := c.Committed(ctx, "group-"+topic, topic, 0); err != nil || at != next || said != "done" {
		t.Errorf("committed %d with %q, %v", at, said, err)
	}
}

// mends writes a record while something is wrong, which the log must name in
// one line, and then has it mended: the same call of the same client succeeds.
func mends(t *testing.T, c *bus.Client, topic string, log *logBuffer, cause string, mend func()) {
	t.Helper()
	ctx := testContext(t, 2*time.Minute)
	done := make(chan error, 1)
	go func() {
		_, err := c.Producer(topic, 0).ProduceRetry(ctx, func() []bus.Record { return []bus.Record{{Value: []byte("mended")}} })
		done <- err
	}()
	eventually(t, time.Minute, "the cause is logged: "+cause, func() bool { return strings.Contains(log.String(), cause) })
	mend()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "works again") {
		t.Errorf("the log does not say that it works again:\n%s", log)
	}
}
