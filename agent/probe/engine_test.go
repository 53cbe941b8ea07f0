package probe

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	f := func(due, interval, now int64, start bool, missed, next int64) {
		t.Helper()
		s, m, n := pace(due, interval, now)
		if s != start || m != missed || n != next {
			t.Errorf("pace(%d, %d, %d) = %v %d %d, want %v %d %d", due, interval, now, s, m, n, start, missed, next)
		}
	}
	f(5000, 1000, 5000, true, 0, 6000)
	f(5000, 1000, 5500, true, 0, 6000)
	f(5000, 1000, 5501, false, 1, 6000) // due at once, in its time again
	f(5000, 1000, 6500, false, 1, 6000)
	f(5000, 1000, 6501, false, 2, 7000)
	f(5000, 1000, 3_605_100, false, 3600, 3_605_000)
	f(5000, 10, 5006, false, 1, 5010)
}

func TestFirstDueIsAfterNowAndKeepsThePhase(t *testing.T) {
	for _, interval := range []int64{10, 999, 1000, 60_000} {
		for phase := int64(0); phase < interval; phase += interval/7 + 1 {
			for now := int64(1_700_000_000_000); now < 1_700_000_000_000+2*interval; now += interval/5 + 1 {
				due := firstDue(now, interval, phase)
				if due <= now || due > now+interval || due%interval != phase {
					t.Fatalf("firstDue(%d, %d, %d) = %d", now, interval, phase, due)
				}
			}
		}
	}
}

func TestEachBinHoldsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		start := wallClock()
		var specs []*spec
		for i, name := range []string{"a", "b", "c"} {
			sp := fakeSpec(name, time.Second, 900*time.Millisecond, answers(20*time.Millisecond))
			sp.phase = int64(i) * 333
			specs = append(specs, sp)
		}
		e.set(plan{specs: specs, inFlight: 64})
		runEngine(e, 10*time.Second+500*time.Millisecond)
		equal(t, "a", times(b.samples("probe_success", "target", "a")), every(start+1000, 1000, 10))
		equal(t, "b", times(b.samples("probe_success", "target", "b")), every(start+333, 1000, 11))
		equal(t, "c", values(b.samples("probe_success", "target", "c")), repeat(1, 10))
		equal(t, "latency", values(b.samples("probe_latency_seconds", "target", "c")), repeat(0.02, 10))
		equal(t, "duration", values(b.samples("probe_duration_seconds", "target", "c")), repeat(0.02, 10))
	})
}

// A target hangs: its attempts go on starting on time, each counts with the
// full wait, and its neighbour sees nothing of it.
func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		start := wallClock()
		var mu sync.Mutex
		var begun []int64
		hang := fakeSpec("hang", time.Second, 5*time.Second, nil)
		hang.probe = func(ctx context.Context, at int64) result {
			if wallClock() != at {
				t.Errorf("attempt of %d began at %d", at, wallClock())
			}
			mu.Lock()
			begun = append(begun, at)
			mu.Unlock()
			return answers(time.Hour)(ctx, at)
		}
		well := fakeSpec("well", time.Second, 5*time.Second, answers(time.Millisecond))
		e.set(plan{specs: []*spec{hang, well}, inFlight: 64})
		runEngine(e, 20*time.Second+500*time.Millisecond)
		equal(t, "begun", begun, every(start+1000, 1000, 20))
		// The last five were under way at the end: dropped, they failed nobody.
		equal(t, "hang", times(b.samples("probe_success", "target", "hang")), every(start+1000, 1000, 15))
		equal(t, "hang", values(b.samples("probe_latency_seconds", "target", "hang")), repeat(math.Inf(1), 15))
		equal(t, "hang", values(b.samples("probe_duration_seconds", "target", "hang")), repeat(5, 15))
		if s, _ := b.last("probe_failures_total", "target", "hang", "reason", "timeout"); s.v != 15 {
			t.Errorf("failures %v", s)
		}
		equal(t, "well", times(b.samples("probe_success", "target", "well")), every(start+1000, 1000, 20))
		failed := 0
		for _, r := range b.rounds {
			hangs := r.Schema.Series[0].Labels.Get("target") == "hang"
			if hangs {
				failed++
			}
			if r.Urgent != (hangs && failed <= urgentFailures) {
				t.Fatalf("urgency of %v, after %d failures", r, failed)
			}
		}
	})
}

func TestOverrunIsAFailureNotASilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		e.set(plan{specs: []*spec{fakeSpec("hang", time.Second, 10*time.Second, answers(time.Hour))}, inFlight: 3})
		start := wallClock()
		runEngine(e, 10*time.Second+500*time.Millisecond)
		equal(t, "overruns", times(b.samples("probe_success")), every(start+4000, 1000, 7))
		s, _ := b.last("probe_failures_total", "reason", "overrun")
		if s.v != 7 || len(b.samples("probe_duration_seconds")) != 0 {
			t.Errorf("overruns %v, durations %v", s, b.samples("probe_duration_seconds"))
		}
	})
}

// The process is suspended for 10.3 s: the attempts that were due are missing,
// not late, and are counted.
func TestSuspendedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asleep atomic.Int64
		clock := func() int64 { return wallClock() + asleep.Load() }
		e, b := newTestEngine(clock)
		start := wallClock()
		e.set(plan{specs: []*spec{fakeSpec("a", time.Second, 900*time.Millisecond, answers(0))}, inFlight: 64})
		go func() {
			<-time.After(3500 * time.Millisecond)
			asleep.Store(10_300)
		}()
		runEngine(e, 6500*time.Millisecond)
		want := append(every(start+1000, 1000, 3), every(start+14_000, 1000, 3)...)
		equal(t, "attempts", times(b.samples("probe_success")), want)
		if s, ok := b.last("probe_missed_total"); !ok || s.v != 10 {
			t.Errorf("missed %v", s)
		}
		if n := e.m.missed.Get(); n != 10 {
			t.Errorf("own metric: missed %d", n)
		}
	})
}

// The time-out is noticed long after its time: nobody knows whether an answer
// came, so there is no sample.
func TestStarvedAttemptIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		sp := fakeSpec("a", time.Second, 900*time.Millisecond, func(ctx context.Context, _ int64) result {
			<-ctx.Done()
			<-time.After(700 * time.Millisecond)
			r := newResult()
			r.fail(ctx.Err())
			return r
		})
		e.set(plan{specs: []*spec{sp}, inFlight: 64})
		runEngine(e, 5*time.Second)
		if n := len(b.rounds); n != 0 || e.m.missed.Get() == 0 {
			t.Errorf("%d rounds, %d missed", n, e.m.missed.Get())
		}
	})
}

func TestClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		e, b := newTestEngine(func() int64 { return wallClock() - back.Load() })
		start := wallClock()
		e.set(plan{specs: []*spec{fakeSpec("a", time.Second, 900*time.Millisecond, answers(0))}, inFlight: 64})
		go func() {
			<-time.After(2500 * time.Millisecond)
			back.Store(3_600_000)
		}()
		runEngine(e, 6500*time.Millisecond)
		got := times(b.samples("probe_success"))
		want := append(every(start+1000, 1000, 2), every(start+3000-3_600_000+1000, 1000, 3)...)
		equal(t, "attempts", got, want)
	})
}

// Attempts end out of order. A counter that were sent at the earlier time with
// the greater count would read as a reset.
func TestCountersNeverGoBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		sp := fakeSpec("a", time.Second, 3*time.Second, func(ctx context.Context, at int64) result {
			if (at/1000)%2 == 0 {
				return answers(time.Hour)(ctx, at)
			}
			return refuses(ctx, at)
		})
		e.set(plan{specs: []*spec{sp}, inFlight: 64})
		runEngine(e, 20*time.Second)
		if n := len(b.samples("probe_success")); n < 15 {
			t.Fatalf("%d samples", n)
		}
		for _, why := range []string{"timeout", "refused"} {
			ss := b.samples("probe_failures_total", "reason", why)
			if len(ss) < 3 {
				t.Fatalf("%s: %v", why, ss)
			}
			for i := range ss[1:] {
				if ss[i+1].at <= ss[i].at || ss[i+1].v < ss[i].v {
					t.Errorf("%s: %v then %v", why, ss[i], ss[i+1])
				}
			}
		}
	})
}

func TestRTTHistogramEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		e.set(plan{specs: []*spec{fakeSpec("a", time.Second, 900*time.Millisecond, answers(10*time.Millisecond))}, inFlight: 64})
		start := wallClock() // a multiple of ten seconds
		runEngine(e, 34_900*time.Millisecond)
		ss := b.samples("probe_rtt_seconds")
		equal(t, "times", times(ss), []int64{start + 9000, start + 19_000, start + 29_000, start + 34_000})
		total := uint64(0)
		for _, s := range ss {
			total += s.h.Count
			if q := s.h.Quantile(0.5); math.Abs(q-0.01) > 0.0002 {
				t.Errorf("median %v", q)
			}
		}
		if n := len(b.samples("probe_success")); total != uint64(n) {
			t.Errorf("%d in histograms, %d attempts", total, n)
		}
	})
}

func TestReplanning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		start := wallClock()
		a := fakeSpec("a", time.Second, 900*time.Millisecond, refuses)
		e.set(plan{specs: []*spec{a}, inFlight: 64})
		go func() {
			<-time.After(2500 * time.Millisecond)
			other := fakeSpec("a", time.Second, 500*time.Millisecond, refuses) // same target, new options
			e.set(plan{specs: []*spec{other, fakeSpec("b", time.Second, time.Second, refuses)}, inFlight: 64})
			<-time.After(2 * time.Second)
			e.set(plan{inFlight: 64}) // gone
			<-time.After(2 * time.Second)
			e.set(plan{specs: []*spec{fakeSpec("a", time.Second, time.Second, refuses)}, inFlight: 64})
		}()
		runEngine(e, 8500*time.Millisecond)
		ss := b.samples("probe_failures_total", "target", "a")
		equal(t, "a", times(ss), []int64{start + 1000, start + 2000, start + 3000, start + 4000, start + 7000, start + 8000})
		equal(t, "the counter goes on", values(ss), []float64{1, 2, 3, 4, 5, 6})
		equal(t, "b", times(b.samples("probe_success", "target", "b")), every(start+3000, 1000, 2))
	})
}

func TestLocalTroubleIsBlindness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := newTestEngine(wallClock)
		e.set(plan{specs: []*spec{fakeSpec("a", time.Second, time.Second, func(context.Context, int64) result {
			r := newResult()
			r.fail(errNotPermitted)
			return r
		})}, inFlight: 64})
		runEngine(e, 3500*time.Millisecond)
		equal(t, "blind", values(b.samples("probe_blind")), repeat(1, 3))
		if n := len(b.samples("probe_success")) + len(b.samples("probe_failures_total")); n > 0 {
			t.Errorf("%d verdicts on the target", n)
		}
	})
}
