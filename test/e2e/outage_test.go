package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutage stops the target, then suspends nines itself, and compares what the
// engineer, the page and the ledger say with what was done.
func TestOutage(t *testing.T) {
	s := newSite(t)
	p := s.start(t)
	s.ready(t, p)
	s.inState(t, "up")
	began, missed := s.target.last(), s.missed(t)
	eventually(t, time.Minute, "ten attempts", func() error {
		if n := len(s.target.attempts()); n < 10 {
			return fmt.Errorf("%d attempts", n)
		}
		return nil
	})

	s.target.stop()
	third := s.target.last() + 3000 // the attempt that makes the condition true
	eventually(t, time.Minute, "the page arrives", func() error {
		if len(s.receiver.of("ConfirmedDown", "firing")) == 0 {
			return fmt.Errorf("no page")
		}
		return nil
	})
	page := s.receiver.of("ConfirmedDown", "firing")[0]
	took := page.At.Sub(time.UnixMilli(third))
	t.Logf("the page left %s after the third failed attempt was due", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("the page took %s, promised are 2 s", took)
	}
	if page.Labels["severity"] != "page" || page.Labels["target"] != "http://"+s.target.addr+"/" {
		t.Errorf("the page is labelled %v", page.Labels)
	}
	s.inState(t, "down")
	var alerts []struct {
		Labels map[string]string
		Status string
	}
	if err := s.get("/api/nines/v1/alerts", &alerts); err != nil || len(alerts) == 0 || alerts[0].Status != "firing" {
		t.Errorf("the API lists %v, %v", alerts, err)
	}

	s.target.start(t)
	back := time.Now().UnixMilli()
	eventually(t, time.Minute, "the resolved notice arrives", func() error {
		if len(s.receiver.of("ConfirmedDown", "resolved")) == 0 {
			return fmt.Errorf("no resolved notice")
		}
		return nil
	})
	s.inState(t, "up")

	// A monitor that stands still is blind: neither up nor down.
	p.cmd.Process.Signal(syscall.SIGSTOP)
	stopped := time.Now().UnixMilli()
	<-time.After(6 * time.Second)
	p.cmd.Process.Signal(syscall.SIGCONT)
	resumed := time.Now().UnixMilli()
	eventually(t, time.Minute, "attempts go on", func() error {
		if s.target.last() < resumed+3000 {
			return fmt.Errorf("last attempt at %d", s.target.last())
		}
		return nil
	})
	silent := s.compare(t, began+1000, resumed+2000, third-3000, back, stopped, resumed)
	if said := s.missed(t) - missed; silent > said+1 { // one at the edge of standing still
		t.Errorf("%d slots had no attempt, nines says that it missed %d attempts", silent, said)
	}
	if n := len(s.receiver.of("ConfirmedDown", "firing")); n != 1 {
		t.Errorf("%d pages for one outage", n)
	}
	p.stop(t)
}

// missed is how many attempts nines says were not started in time.
func (s *site) missed(t *testing.T) (n int) {
	t.Helper()
	text, err := s.text("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(text, "\nnines_probe_missed_total ")
	if _, err := fmt.Sscan(after, &n); !ok || err != nil {
		t.Fatalf("/metrics says nothing of missed attempts: %v", err)
	}
	return n
}

// compare holds the ledger's slots against the target's log: good where an
// attempt arrived, bad where the target was down, unknown where nines stood
// still or, on a machine that is too busy, started no attempt. It returns how
// many slots had none.
func (s *site) compare(t *testing.T, start, end, downFrom, downTo, blindFrom, blindTo int64) (silent int) {
	t.Helper()
	start, end = start-start%1000, end-end%1000
	arrived := map[int64]bool{}
	for at := range s.target.attempts() {
		arrived[at-at%1000] = true
	}
	var good, bad, unknown int
	for _, sl := range s.slots(t, start, end) {
		want := ""
		switch {
		case arrived[sl.T]:
			want = "good"
			good++
		case sl.T+1000 > downFrom && sl.T <= downTo:
			want = "bad"
			bad++
		case sl.T+1000 > blindFrom && sl.T <= blindTo:
			want = "unknown"
			unknown++
			silent++
		default:
			want = "unknown"
			silent++
			t.Logf("no attempt of %d (%+d ms from the outage) reached the target: nines was late", sl.T, sl.T-downFrom)
		}
		if sl.S != want {
			t.Errorf("slot %d (%+d ms from the outage) is %s, done was %q", sl.T, sl.T-downFrom, sl.S, want)
		}
	}
	t.Logf("%d good, %d bad, %d unknown", good, bad, unknown)
	if good < 10 || bad < 3 || unknown < 4 {
		t.Errorf("the test saw too little: %d good, %d bad, %d unknown", good, bad, unknown)
	}
	return silent
}

// TestKilledWhileDown kills nines after it has paged: the next process pages
// nobody again, and still says when it is over.
func TestKilledWhileDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(t)
	s.ready(t, p)
	s.inState(t, "up")
	s.target.stop()
	firing := func() error {
		if len(s.receiver.of("ConfirmedDown", "firing")) == 0 {
			return fmt.Errorf("no page")
		}
		return nil
	}
	eventually(t, time.Minute, "the page arrives", firing)
	p.kill()

	p = s.start(t)
	s.ready(t, p)
	s.inState(t, "down")
	<-time.After(5 * time.Second) // several group intervals of pages
	if n := len(s.receiver.of("ConfirmedDown", "firing")); n != 1 {
		t.Errorf("%d pages after a kill, want the one before it", n)
	}
	s.target.start(t)
	eventually(t, time.Minute, "the resolved notice arrives", func() error {
		if len(s.receiver.of("ConfirmedDown", "resolved")) == 0 {
			return fmt.Errorf("no resolved notice")
		}
		return nil
	})
	p.stop(t)
}
