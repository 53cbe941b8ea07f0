package bus_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"nines/internal/bus"
)

func TestTable(t *testing.T) {
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ctx := testContext(t, 30*time.Second)
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
	eventually(t, 10*time.Second, "the follower hears of both", func() bool {
		mu.Lock()
		defer mu.Unlock()
		v, ok := changes["set-3"]
		return changes["set-4"] == "four" && ok && v == ""
	})
	is(b, "set-4", "four")
	is(b, "set-3", "")

	// The broker restarts under the follower.
	s.stop()
	s.start()
	put("set-5", "five")
	eventually(t, 10*time.Second, "the follower goes on", func() bool {
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
