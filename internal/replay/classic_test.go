package replay_test

import (
	"strings"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/telemetry"
)

// histogram is a source of the classic histogram latency_seconds.
func (s *site) histogram(service string, bounds ...string) *replay.Source {
	var series []telemetry.Series
	for _, le := range bounds {
		series = append(series, telemetry.Series{Name: "latency_seconds_bucket", Kind: telemetry.Counter,
			Labels: telemetry.NewLabels(map[string]string{"service": service, "le": le})})
	}
	return s.agent.Source(series...)
}

// A service restarts with buckets that cannot say what the objective asks: its
// minutes are unknown, neither good nor bad, and the gaps say why, once. Another
// service goes on.
func TestAHistogramWithoutTheBoundMakesSlotsUnknown(t *testing.T) {
	s := newSite(t, time.Second, latency())
	shop, bank := s.histogram("shop", "0.1", "5e-1", "+Inf"), s.histogram("bank", "0.50", "+Inf")
	changed := s.histogram("shop", "0.1", "0.25", "1", "+Inf")
	n := 0.0
	for at := int64(0); at < 300; at++ {
		n += 100
		bank.Add(epoch+at*1000, n*0.99, n)
		switch {
		case at < 60: // 2 % are slower than half a second
			shop.Add(epoch+at*1000, n*0.5, n*0.98, n)
		case at < 120: // 10 %
			shop.Add(epoch+at*1000, n*0.5, 5880+(n-6000)*0.9, n)
		case at < 240:
			changed.Add(epoch+at*1000, n, n, n, n)
		default: // as before, and none is slow
			shop.Add(epoch+at*1000, n*0.5, n-500, n)
		}
	}
	s.until(310)
	must(t, s.Commit())
	got := map[string]string{}
	var total uint64
	for id := range s.set.Streams {
		must(t, s.led.Slots(t.Context(), access.Local(), id, epoch, epoch+300_000, func(g ledger.Group, slots []ledger.Slot) error {
			for _, sl := range slots {
				got[g.Labels.Get("service")] += sl.State.String() + " "
				if g.Labels.Get("service") == "bank" {
					total += sl.Total
				}
			}
			return nil
		}))
	}
	if want := "good bad unknown unknown good "; got["shop"] != want {
		t.Errorf("the shop's minutes: %s, want %s", got["shop"], want)
	}
	if got["bank"] != "good good good good good " || total != 29_900 {
		t.Errorf("the bank's minutes: %s with %d requests", got["bank"], total)
	}
	var why []string
	for _, g := range s.gaps() {
		if strings.HasPrefix(g, "refused ") {
			why = append(why, g)
		}
	}
	if len(why) != 1 || why[0] != "refused bound: latency_seconds: no bucket bound equals 0.5 (there are 0.1, 0.25, 1) 0-0" {
		t.Errorf("%q", why)
	}
}
