package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"nines/test/kafka"
)

// kills is how often the process dies in TestKillNine. On Apache Kafka each life
// waits until the group has forgotten the one before.
func kills() int {
	if kafka.Apache() {
		return 5
	}
	return 20
}

// TestKillNine kills the whole process at random moments. Every attempt that
// reached the target is in the ledger once, or lies in a reported gap within 2 s
// before a kill.
func TestKillNine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	var killed []int64
	for range kills() {
		p := s.start(t)
		s.ready(t, p)
		<-time.After(time.Duration(500+dice.IntN(3500)) * time.Millisecond)
		p.kill()
		killed = append(killed, time.Now().UnixMilli())
	}
	p := s.start(t)
	s.ready(t, p)
	s.settle(t, func(at int64) bool {
		for _, k := range killed {
			if at <= k && at > k-2000 {
				return true
			}
		}
		return false
	})
	p.stop(t)
}

// TestCleanStops stops the process by Ctrl-C again and again: only attempts
// that were under way may be missing, and they lie in reported gaps.
func TestCleanStops(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var stops []int64
	for range 3 {
		p := s.start(t)
		s.ready(t, p)
		<-time.After(3 * time.Second)
		stops = append(stops, time.Now().UnixMilli())
		p.stop(t)
	}
	p := s.start(t)
	s.ready(t, p)
	s.settle(t, func(at int64) bool {
		for _, k := range stops {
			if at <= k+50 && at > k-1000 {
				return true
			}
		}
		return false
	})
	p.stop(t)
}

// settle waits for a quiet moment and holds the ledger against the target's
// log. lossy says whether an attempt may be missing, if a gap reports it.
func (s *site) settle(t *testing.T, lossy func(at int64) bool) {
	t.Helper()
	s.inState(t, "up")
	<-time.After(3 * time.Second)
	attempts := s.target.attempts()
	first, last := int64(1<<62), int64(0)
	for at, n := range attempts {
		first, last = min(first, at), max(last, at)
		if n > 1 {
			t.Errorf("attempt %d reached the target %d times", at, n)
		}
	}
	start, end := first-first%1000, last-last%1000
	slots := map[int64]slot{}
	for _, sl := range s.slots(t, start, end) {
		slots[sl.T] = sl
	}
	gaps := s.gaps(t)
	byBin := map[int64]uint64{}
	missing := 0
	heard := end // the first attempt of all that the ledger knows
	for bin, sl := range slots {
		if sl.Total > 0 {
			heard = min(heard, bin)
		}
	}
	for at := range attempts {
		bin := at - at%1000
		if bin >= end {
			continue
		}
		if slots[bin].Total > 0 {
			byBin[bin]++
			continue
		}
		missing++
		// A process that was killed before its agent's first frame of all left no
		// trace: a gap lies between two frames.
		if !lossy(at) || !inGap(gaps, at) && at > heard {
			t.Errorf("attempt %d is not in the ledger; near a stop: %v, in a reported gap: %v", at, lossy(at), inGap(gaps, at))
		}
	}
	for bin, sl := range slots {
		if sl.Total != byBin[bin] {
			t.Errorf("slot %d holds %d attempts, %d reached the target", bin, sl.Total, byBin[bin])
		}
		if sl.Good != sl.Total {
			t.Errorf("slot %d: %d of %d good, none failed", bin, sl.Good, sl.Total)
		}
	}
	t.Logf("%d attempts, %d in the ledger, %d missing within reported gaps, %d gaps", len(attempts), len(byBin), missing, len(gaps))
	if len(byBin) < 5 {
		t.Errorf("only %d attempts were compared", len(byBin))
	}
}

func inGap(gaps []gap, at int64) bool {
	for _, g := range gaps {
		if g.From <= at && at <= g.To {
			return true
		}
	}
	return false
}
