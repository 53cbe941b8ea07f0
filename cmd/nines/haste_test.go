package main

import (
	"testing"
	"testing/synctest"
	"time"

	"nines/internal/bus"
)

func TestHasteWhileCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		view := bus.LoadView{Owned: true, LagRecords: 1000, LagSeconds: 3600}
		live := uint64(10 << 20)
		percent := 100
		h := &haste{
			loads: []func(time.Time) []bus.LoadView{func(time.Time) []bus.LoadView { return []bus.LoadView{view} }},
			set: func(p int) int {
				before := percent
				percent = p
				return before
			},
			live: func() uint64 { return live },
		}
		h.begin(time.Now())
		done := make(chan error, 1)
		go func() { done <- h.Run(t.Context()) }()
		f := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if percent != want {
				t.Fatalf("percentage %d, want %d", percent, want)
			}
		}
		f(time.Minute, hastyPercent) // an hour behind: as long as that takes
		live = 64 << 20
		f(time.Second, 200) // no more than spareHeap of garbage
		live = 1 << 30
		f(time.Second, 100)
		live = 10 << 20
		f(time.Second, hastyPercent)
		view.LagSeconds = 1
		f(calmFor-time.Second, hastyPercent) // it may go on
		f(2*time.Second, 100)
		view.LagSeconds = 60
		f(time.Second, hastyPercent) // Kafka was away for a minute
		h.end()
		if percent != 100 {
			t.Fatalf("percentage %d after the end", percent)
		}
	})
}

func TestCatchesUp(t *testing.T) {
	f := func(v bus.LoadView, want bool) {
		t.Helper()
		if got := catchesUp(&v); got != want {
			t.Errorf("%+v: %t, want %t", v, got, want)
		}
	}
	f(bus.LoadView{Owned: true, LagRecords: 5, LagSeconds: 40}, true)
	f(bus.LoadView{Owned: true, LagRecords: -1, LagSeconds: -1}, true) // it begins
	f(bus.LoadView{Owned: true, LagRecords: 5, LagSeconds: 2}, false)
	f(bus.LoadView{Owned: true, LagRecords: 0, LagSeconds: 4000}, false) // a topic on which nothing happens
	f(bus.LoadView{Owned: false, LagRecords: 5, LagSeconds: 40}, false)
}

// TestHasteLeavesGOGCAlone: whoever runs nines in little memory has said so.
func TestHasteLeavesGOGCAlone(t *testing.T) {
	t.Setenv("GOGC", "50")
	h := newHaste()
	h.look(time.Now())
	h.end()
	if h.set != nil {
		t.Fatal("the percentage is touched although GOGC is set")
	}
}
