package rulelog_test

import (
	"context"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/slo"
	"nines/internal/wire"
	"nines/test/kafka"
)

func TestPublishedSetsAreFoundByID(t *testing.T) {
	b := kafka.Serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{b.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: wire.TopicRules, Compact: true}); err != nil {
		t.Fatal(err)
	}
	l := rulelog.New(c)
	if err := l.Load(ctx); err != nil || l.Current() != "" {
		t.Fatalf("an empty topic: %q, %v", l.Current(), err)
	}
	publish := func(st *slo.Stream) string {
		id, err := l.Publish(ctx, &slo.RuleSet{Streams: map[string]*slo.Stream{st.ID(): st}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := &slo.Stream{Bin: 1000}, &slo.Stream{Bin: 2000}
	a := publish(first)
	z := publish(second)
	if again := publish(second); again != z || a == z {
		t.Errorf("IDs %s, %s, %s", a, z, again)
	}
	_, next, err := c.Offsets(ctx, wire.TopicRules, 0)
	if err != nil || next != 4 {
		t.Errorf("%d records, want each set and each change of the current one once (%v)", next, err)
	}
	other := rulelog.New(c)
	if err := other.Load(ctx); err != nil || other.Current() != z {
		t.Fatalf("current %q, want %q (%v)", other.Current(), z, err)
	}
	if s, ok := other.Get(a); !ok || s.ID() != a {
		t.Error("a set that is no longer in force cannot be read")
	}
	if _, ok := other.Get("0000"); ok {
		t.Error("an unknown set was found")
	}
	if st := other.Stream(first.ID()); st == nil || st.Bin != 1000 {
		t.Errorf("the stream of an earlier set: %+v", st)
	}
	if st := other.Stream("0000"); st != nil {
		t.Errorf("an unknown stream: %+v", st)
	}
}
