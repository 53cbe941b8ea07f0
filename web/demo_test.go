package web

import (
	"os"
	"os/signal"
	"testing"
	"time"

	"nines/internal/ledger"
)

// TestServeScenario serves the scenario to a browser, moving on every second,
// until it is interrupted: for work on the page.
//
//	NINES_WEB_DEMO=127.0.0.1:9998 go test ./web -run ServeScenario -timeout 0
func TestServeScenario(t *testing.T) {
	addr := os.Getenv("NINES_WEB_DEMO")
	if addr == "" {
		t.Skip("NINES_WEB_DEMO names no address to serve on")
	}
	s := newScenario(t, time.Now().UnixMilli(), 30*time.Hour)
	url, stop := running(t, s, func(o *Options) { o.Config.Listen = addr })
	t.Logf("serving %s", url)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-interrupted:
			if err := stop(); err != nil {
				t.Error(err)
			}
			return
		case now := <-second.C:
			s.now = now.UnixMilli()
			b := s.news()
			b.Alerts, b.Gaps = nil, nil
			last := floorTo(s.now, minuteMs)
			s.closeSlots(b, last)
			s.commit(b)
		}
	}
}

// closeSlots closes the open slots once their minute has passed, and opens the
// next.
func (s *scenario) closeSlots(b *ledger.Batch, last int64) {
	for _, target := range []struct {
		name   string
		groups []ledger.Group
	}{{"api", s.api}, {"db", s.db}} {
		slots := s.truth[target.groups[0].Key]
		open := slots[len(slots)-1].Start
		if open == last {
			continue
		}
		for _, g := range target.groups {
			s.truth[g.Key] = s.truth[g.Key][:len(s.truth[g.Key])-1]
		}
		s.addSlot(b, target.name, target.groups, open, false)
		s.addSlot(b, target.name, target.groups, last, true)
	}
}
