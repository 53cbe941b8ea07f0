package apart

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneCallThatHangsDelaysTheOthersByTheLimitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		dead, made, began := 0, 0, time.Now()
		calls := []*Call{
			New(func() error { dead++; <-release; return nil }),
			New(func() error { made++; return nil }),
			New(func() error { time.Sleep(time.Second); return errors.New("no such device") }),
			New(func() error { panic("index out of range") }),
		}
		defer func() {
			for _, c := range calls {
				c.Close()
			}
		}()
		var g Group
		for range 5 {
			g.Do(calls, 2*time.Second)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("five turns took %s, want five limits", took)
		}
		if dead != 1 || made != 5 {
			t.Errorf("the one that hangs was called %d times, the healthy one %d times", dead, made)
		}
		if d := calls[0].Stuck(time.Now()); d != 10*time.Second {
			t.Errorf("stuck for %s", d)
		}
		if err := calls[2].Err(); calls[2].Stuck(time.Now()) != 0 || err == nil || err.Error() != "no such device" {
			t.Errorf("slow call: %v", err)
		}
		if err := calls[3].Err(); err == nil || !strings.HasPrefix(err.Error(), "panic: index out of range") {
			t.Errorf("panic: %v", err)
		}
		close(release)
		synctest.Wait()
		g.Do(calls, 2*time.Second)
		if dead != 2 || calls[0].Stuck(time.Now()) != 0 {
			t.Errorf("what hung was made %d times and is stuck for %s after it returned", dead, calls[0].Stuck(time.Now()))
		}
	})
}

func TestNoGoroutineIsLeftBehindByWhatReturned(t *testing.T) {
	c := New(func() error { return nil })
	var g Group
	g.Do([]*Call{c}, time.Minute)
	c.Close()
	New(func() error { return nil }).Close()
}

func TestSteadyCallsAllocateNothing(t *testing.T) {
	calls := []*Call{New(func() error { return nil }), New(func() error { return nil })}
	var g Group
	g.Do(calls, time.Minute)
	if n := testing.AllocsPerRun(100, func() { g.Do(calls, time.Minute) }); n > 0 {
		t.Errorf("%v allocations a turn", n)
	}
	for _, c := range calls {
		c.Close()
	}
}

func BenchmarkCall(b *testing.B) {
	calls := []*Call{New(func() error { return nil })}
	defer calls[0].Close()
	var g Group
	b.ReportAllocs()
	for b.Loop() {
		g.Do(calls, time.Minute)
	}
}
