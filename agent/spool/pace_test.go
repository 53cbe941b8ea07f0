package spool

import (
	"testing"
	"time"
)

// replay sends the frames that a host measured each second while its broker was
// away, and those that it measures meanwhile, and returns how long it took until
// they were on time, and the most that left in any second.
func replay(p *Pacer, away time.Duration) (took time.Duration, most int) {
	begin := time.UnixMilli(1_790_000_000_000)
	next, now := begin, begin.Add(away)
	seconds := map[int64]int{}
	for {
		if next.After(now) {
			return now.Sub(begin.Add(away)), most
		}
		it := Item{To: next.UnixMilli()}
		now = now.Add(p.Wait(&it, now, now.UnixMilli()))
		seconds[now.Unix()]++
		most = max(most, seconds[now.Unix()])
		next = next.Add(time.Second)
	}
}

func TestBacklogLeavesAtAMultipleOfTheSpeedOfMeasuring(t *testing.T) {
	f := func(away time.Duration, speed, draw float64, least, longest time.Duration, most int) {
		t.Helper()
		took, peak := replay(&Pacer{Speed: speed, Draw: draw}, away)
		if took < least || took > longest || peak > most {
			t.Errorf("%s at %g: took %s, %d frames in a second; want %s to %s, at most %d", away, speed, took, peak, least, longest, most)
		}
	}
	f(5*time.Second, 10, 0.9, 0, 0, 6)                               // no backlog: all at once
	f(10*time.Minute, 10, 0, 60*time.Second, 70*time.Second, 23)     // 600 s / 9, the last ten at once
	f(10*time.Minute, 10, 0.99, 90*time.Second, 105*time.Second, 23) // and up to 30 s that spread a fleet
	f(8*time.Hour, 10, 0.5, 52*time.Minute, 55*time.Minute, 23)
	f(10*time.Minute, 1000, 0, 0, 2*time.Second, 1100)
}

func TestPaceDoesNotWaitForHoles(t *testing.T) {
	p := &Pacer{Speed: 10}
	now := time.UnixMilli(1_790_000_000_000)
	wait := func(ago time.Duration) time.Duration {
		return p.Wait(&Item{To: now.Add(-ago).UnixMilli()}, now, now.UnixMilli())
	}
	wait(20 * time.Hour)
	if d := wait(time.Hour); d > time.Second {
		t.Errorf("19 hours without a sample were waited for: %s", d)
	}
	if d := wait(0); d != 0 {
		t.Errorf("a frame on time waits %s", d)
	}
}

// An agent that was started during the outage waits for the broker with the first
// frame of another's backlog: the second is spread as any other agent's.
func TestBacklogOfAnotherProcessIsSpreadToo(t *testing.T) {
	p := &Pacer{Speed: 10, Draw: 0.5}
	now := time.UnixMilli(1_790_000_000_000)
	send := func(ago time.Duration) time.Duration {
		return p.Wait(&Item{To: now.Add(-ago).UnixMilli()}, now, now.UnixMilli())
	}
	send(4 * time.Minute)
	now = now.Add(6 * time.Minute)
	if d := send(599 * time.Second); d < 10*time.Second || d > 15*time.Second {
		t.Errorf("the second frame waits %s", d)
	}
}

// A broker slower than the pace leaves nothing to be made up for.
func TestPaceKeepsNoCredit(t *testing.T) {
	p := &Pacer{Speed: 10}
	now := time.UnixMilli(1_790_000_000_000)
	send := func(ago time.Duration) time.Duration {
		return p.Wait(&Item{To: now.Add(-ago).UnixMilli()}, now, now.UnixMilli())
	}
	send(600 * time.Second)
	now = now.Add(30 * time.Second) // one frame took half a minute
	if d := send(629 * time.Second); d != 0 {
		t.Errorf("waits %s after a slow send", d)
	}
	if d := send(628 * time.Second); d != 100*time.Millisecond {
		t.Errorf("then %s, want a tenth of a second", d)
	}
}
