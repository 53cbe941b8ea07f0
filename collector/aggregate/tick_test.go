package aggregate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// The failures that confirm an outage ask for a tick; a single one does not, nor
// what goes on failing, and what is judged by no vantage points never.
func TestNewFailuresAreUrgent(t *testing.T) {
	f := newFixture(t, probeStream(), latencyStream())
	f.tick(epoch)
	seq, at := uint64(0), epoch
	next := func(what string, urgent bool, values ...float64) {
		t.Helper()
		seq, at = seq+1, at+1000
		out, err := applyAny(f.state, wire.TypeFrame, f.encode("h", 7, seq, success, true, []int64{at}, values...))
		if err != nil || out.Dead != nil {
			t.Fatal(err, out.Dead)
		}
		wantEqual(t, what, out.Urgent, urgent)
	}
	next("all is well", false, 1, 1)
	next("one fails", false, 0, 1)
	for n := firstUrgent; n <= lastUrgent; n++ {
		next("it fails again", true, 0, 1)
	}
	next("it is known to fail", false, 0, 1)
	next("another fails", false, 0, 0)
	next("and again", true, 0, 0)
	next("both are well", false, 1, 1)
	next("one fails once more", false, 0, 1)
	next("and again", true, 0, 1)
	f.tick(at + strikeLife/2)
	f.tick(at + strikeLife)
	f.tick(at + strikeLife + 2*sketchEvery)
	wantEqual(t, "strikes kept of who is silent", len(f.state.strikes), 0)
	out, err := applyAny(f.state, wire.TypeFrame, f.encode("h", 7, seq+1, telemetry.NewSchema([]telemetry.Series{gauge("probe_latency_seconds", "a")}), true, []int64{at + 1000}, 9))
	if err != nil || out.Urgent {
		t.Errorf("a slow answer is urgent, or %v", err)
	}
}

// Urgent ticks come soon after one another, never more than the bound, and the
// regular ones go on.
func TestTicksInHaste(t *testing.T) {
	f := func(what string, urgentEvery, lasts time.Duration, least, most int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			o := &owner{urgent: make(chan struct{}, 1)}
			go func() {
				failures := time.NewTicker(urgentEvery)
				defer failures.Stop()
				for {
					select {
					case <-failures.C:
					case <-ctx.Done():
						return
					}
					select {
					case o.urgent <- struct{}{}:
					default:
					}
				}
			}()
			ticker := time.NewTicker(tickEvery)
			defer ticker.Stop()
			h, n, last := newHaste(time.Now()), 0, time.Now()
			for o.await(ctx, ticker, h) {
				if d := time.Since(last); d > tickEvery {
					t.Errorf("%s: a tick comes after %s", what, d)
				}
				n, last = n+1, time.Now()
			}
			if n < least || n > most {
				t.Errorf("%s: %d ticks in %s, want %d to %d", what, n, lasts, least, most)
			}
			synctest.Wait()
		})
	}
	f("nothing is urgent", time.Hour, 10*time.Second, 39, 40)
	f("now and then", 3070*time.Millisecond, 60*time.Second, 240, 260)
	f("all the time", 10*time.Millisecond, time.Second, 18, 20)
	f("all the time, for long", 10*time.Millisecond, 100*time.Second, 400, 400+hasteBurst+50)
}

func TestAnUrgentTickDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{urgent: make(chan struct{}, 1)}
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		began := time.Now()
		time.AfterFunc(30*time.Millisecond, func() { o.urgent <- struct{}{} })
		if !o.await(t.Context(), ticker, newHaste(began)) || time.Since(began) != 30*time.Millisecond {
			t.Errorf("the tick came after %s", time.Since(began))
		}
		if !o.await(t.Context(), ticker, newHaste(began)) || time.Since(began) != 30*time.Millisecond+tickEvery {
			t.Errorf("the one after it came after %s", time.Since(began))
		}
	})
}
