package probe

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// network is a link that can be cut; what is behind it can fail too.
type link struct{ cut atomic.Bool }

// to is a probe over the link: packets are lost while it is cut.
func (l *link) to(rtt time.Duration, up *atomic.Bool) probeFunc {
	return func(ctx context.Context, at int64) result {
		if l.cut.Load() {
			return answers(time.Hour)(ctx, at)
		}
		if up != nil && !up.Load() {
			return refuses(ctx, at)
		}
		return answers(rtt)(ctx, at)
	}
}

// controlled returns an engine with one target and n control targets.
func controlled(target probeFunc, controls ...probeFunc) (*engine, *book) {
	e, b := newTestEngine(wallClock)
	specs := []*spec{fakeSpec("target", time.Second, 900*time.Millisecond, target)}
	for i, c := range controls {
		sp := fakeSpec("control", time.Second, 900*time.Millisecond, c)
		sp.key, sp.control, sp.phase = string(rune('A'+i)), i+1, 500
		specs = append(specs, sp)
	}
	e.set(plan{specs: specs, inFlight: 64})
	return e, b
}

// The uplink is cut from 10.2 s to 20.2 s. No target is blamed, neither at the
// cut, when the newest control results are good still, nor at the end.
func TestOfflineProberBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{}
		e, b := controlled(l.to(5*time.Millisecond, nil), l.to(5*time.Millisecond, nil), l.to(7*time.Millisecond, nil))
		start := wallClock()
		go func() {
			<-time.After(10_200 * time.Millisecond)
			l.cut.Store(true)
			<-time.After(10 * time.Second)
			l.cut.Store(false)
		}()
		runEngine(e, 30*time.Second+500*time.Millisecond)
		if n := len(b.samples("probe_failures_total")); n > 0 {
			t.Errorf("the target was blamed %d times", n)
		}
		equal(t, "blind", times(b.samples("probe_blind")), every(start+11_000, 1000, 10))
		equal(t, "good", values(b.samples("probe_success")), repeat(1, 20))
		offline := b.samples("probe_offline")
		var stretch []int64
		for _, s := range offline {
			if s.v == 1 {
				stretch = append(stretch, s.at)
			}
		}
		if len(stretch) < 8 || len(offline) != 30 {
			t.Errorf("offline at %v of %d", stretch, len(offline))
		}
	})
}

// The target fails while the control target answers: blamed at once.
func TestFailingTargetIsBlamedWithinARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, up := &link{}, &atomic.Bool{}
		e, b := controlled(l.to(time.Millisecond, up), l.to(5*time.Millisecond, nil))
		start := wallClock()
		go func() {
			<-time.After(1006 * time.Millisecond)
			if n := len(b.samples("probe_failures_total", "reason", "refused")); n != 1 {
				t.Errorf("%d failures 6 ms after the attempt", n)
			}
		}()
		runEngine(e, 10*time.Second+500*time.Millisecond)
		equal(t, "failed", times(b.samples("probe_success")), every(start+1000, 1000, 10))
		if n := len(b.samples("probe_blind")); n > 0 {
			t.Errorf("%d blind", n)
		}
	})
}

// One control target is down for ever: the other vouches for the prober.
func TestOneControlTargetDownIsNotOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, up := &link{}, &atomic.Bool{}
		e, b := controlled(l.to(time.Millisecond, up), refuses, l.to(5*time.Millisecond, nil))
		runEngine(e, 10*time.Second+500*time.Millisecond)
		if got := len(b.samples("probe_success")); got != 10 {
			t.Errorf("%d verdicts", got)
		}
		if s, ok := b.last("probe_offline"); !ok || s.v != 0 {
			t.Errorf("offline %v", s)
		}
	})
}

// Thousands of targets fail at once: extra attempts at the control target stay
// few.
func TestMassFailureSparesTheControlTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		var asked atomic.Int64
		c := fakeSpec("control", time.Second, 900*time.Millisecond, func(ctx context.Context, at int64) result {
			asked.Add(1)
			return answers(3*time.Millisecond)(ctx, at)
		})
		c.control = 1
		specs := []*spec{c}
		for i := range 1000 {
			sp := fakeSpec("t", time.Second, 900*time.Millisecond, refuses)
			sp.key, sp.phase = string(rune('a'))+time.Duration(i).String(), int64(i)
			specs = append(specs, sp)
		}
		e.set(plan{specs: specs, inFlight: 64})
		runEngine(e, 5*time.Second+900*time.Millisecond)
		if n := asked.Load(); n > 6*6 {
			t.Errorf("asked %d times in 6 s", n)
		}
		if n := len(b.samples("probe_success")); n < 4900 {
			t.Errorf("%d verdicts", n)
		}
	})
}

// A control target that this host may not even try (ICMP without permission)
// is no sign of being offline: targets' failures count at once.
func TestControlTargetThatCannotBeTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := controlled(refuses, func(context.Context, int64) result {
			r := newResult()
			r.fail(errNotPermitted)
			return r
		})
		runEngine(e, 10*time.Second+100*time.Millisecond)
		if n := len(b.samples("probe_success")); n != 10 || len(b.samples("probe_blind")) > 0 {
			t.Errorf("%d verdicts, %d blind", n, len(b.samples("probe_blind")))
		}
	})
}
