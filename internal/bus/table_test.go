package bus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"nines/internal/bus"
)

func TestTable(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "nines.rules", Compact: true})

	a := bus.NewTable(c, "nines.rules", 0)
	if err := a.Load(ctx); err != nil {
		t.Fatal(err)
	}
	put := func(key, value string) {
		t.Helper()
		var v []byte
		if value != "" {
			v = []byte(value)
		}
		if err := a.Put(ctx, key, v); err != nil {
			t.Fatal(err)
		}
	}
	is := func(tab *bus.Table, key, want string) {
		t.Helper()
		if got, ok := tab.Get(key); string(got) != want || ok != (want != "") {
			t.Errorf("%s is %q, %v; want %q", key, got, ok, want)
		}
	}
	put("set-1", "one")
	put("set-2", "two")
	put("set-1", "one again")
	put("set-3", "three")
	put("set-2", "")
	is(a, "set-1", "one again")
	is(a, "set-2", "")
	if got := a.Keys(); !slices.Equal(got, []string{"set-1", "set-3"}) {
		t.Errorf("keys %v", got)
	}

	// Another process starts later and follows.
	b := bus.NewTable(s.client(bus.Config{}, nil), "nines.rules", 0)
	if err := b.Load(ctx); err != nil {
		t.Fatal(err)
	}
	is(b, "set-1", "one again")
	is(b, "set-2", "")
	var mu sync.Mutex
	changes := map[string]string{}
	rctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- b.Run(rctx, func(key string, value []byte) {
			mu.Lock()
			defer mu.Unlock()
			changes[key] = string(value)
		})
	}()
	put("set-4", "four")
	put("set-3", "")
	eventually(t, time.Minute, "the follower hears of both", func() bool {
		mu.Lock()
		defer mu.Unlock()
		v, ok := changes["set-3"]
		return changes["set-4"] == "four" && ok && v == ""
	})
	is(b, "set-4", "four")
	is(b, "set-3", "")

	// The broker restarts under the follower.
	s.Stop()
	s.Start()
	put("set-5", "five")
	eventually(t, time.Minute, "the follower goes on", func() bool {
		_, ok := b.Get("set-5")
		return ok
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(changes) != 3 {
		t.Errorf("changes %v", changes)
	}
}

// The broker comes back with an empty disk: the topic is another one under the
// same name, readers are told, and a table drops what is gone.
func TestRecreatedTopic(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 2*time.Minute)
	ensure(t, c, bus.Topic{Name: "nines.rules", Compact: true})
	tab := bus.NewTable(c, "nines.rules", 0)
	for _, key := range []string{"old", "both", "old", "both"} {
		if err := tab.Put(ctx, key, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.Load(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	changes := map[string]string{}
	rctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- tab.Run(rctx, func(key string, value []byte) {
			mu.Lock()
			defer mu.Unlock()
			changes[key] = "set to " + string(value)
			if value == nil {
				changes[key] = "deleted"
			}
		})
	}()
	r := c.Reader("nines.rules", 0, 4)
	if _, err := r.Fetch(ctx, time.Millisecond); err != nil {
		t.Fatal(err)
	}

	s.Stop()
	s.Wipe()
	s.Start()
	other := s.client(bus.Config{}, nil)
	ensure(t, other, bus.Topic{Name: "nines.rules", Compact: true})
	if _, err := other.Producer("nines.rules", 0).Produce(ctx, []bus.Record{{Key: []byte("both"), Value: []byte("2")}, {Key: []byte("new"), Value: []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the table follows", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return changes["old"] == "deleted" && changes["both"] == "set to 2" && changes["new"] == "set to 2"
	})
	if got := tab.Keys(); !slices.Equal(got, []string{"both", "new"}) {
		t.Errorf("keys %v", got)
	}
	var oor *bus.ErrOutOfRange
	eventually(t, time.Minute, "the reader is told", func() bool {
		_, err := r.Fetch(ctx, time.Second)
		return errors.As(err, &oor)
	})
	if oor.First != 0 || oor.Next != 2 {
		t.Errorf("got %v", oor)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
