package aggregate

import (
	"strings"
	"testing"
	"time"

	"nines/internal/wire"
)

// TestAWrongClockOwnsNothing: a collector whose clock disagrees with the ticks
// that another one writes stays out of the group until they stop.
func TestAWrongClockOwnsNothing(t *testing.T) {
	w := newWorld(t)
	tick := func(clock time.Time) {
		w.produce(0, wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: clock.UnixMilli(), Incarnation: 1, RuleSet: w.fix.set, Owner: "other"}))
	}
	tick(time.Now())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // the other collector's clock is a minute behind
		defer close(stopped)
		for every := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-stop:
				every.Stop()
				return
			case <-every.C:
				tick(time.Now().Add(-time.Minute))
			}
		}
	}()
	role, end := w.start("late", w.connect())
	defer end()
	w.eventually("the role says that a clock is wrong", func() bool {
		err := role.Health()
		return err != nil && strings.Contains(err.Error(), "clocks is wrong")
	})
	if n := role.owned.Load(); n != 0 {
		t.Errorf("it owns %d partitions", n)
	}
	close(stop)
	<-stopped
	w.eventually("it owns both partitions once the ticks have stopped", func() bool { return role.owned.Load() == 2 && role.Health() == nil })
}

// TestATickFromTheFuture: log time ahead of the clock keeps the role out too.
func TestATickFromTheFuture(t *testing.T) {
	w := newWorld(t)
	w.produce(1, wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: time.Now().Add(8 * time.Second).UnixMilli(), Incarnation: 1, Owner: "other"}))
	role, end := w.start("early", w.connect())
	defer end()
	w.eventually("the role says that a clock is wrong", func() bool {
		err := role.Health()
		return err != nil && strings.Contains(err.Error(), "ahead of this host's clock") && role.owned.Load() == 0
	})
	w.eventually("it joins when time has come near", func() bool { return role.owned.Load() == 2 })
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	limit := time.After(20 * time.Second)
	for every := time.NewTicker(20 * time.Millisecond); !ok(); {
		select {
		case <-limit:
			w.t.Fatalf("not within 20 s: %s", what)
		case <-every.C:
		}
	}
}
