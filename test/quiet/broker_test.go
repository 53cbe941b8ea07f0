package quiet

import (
	"fmt"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// TestABrokerAwayIsNoOutage: from 02:00 to 02:10 nothing reaches the log, ticks
// included, while the target is fine and the agents spool. The ten minutes are
// unknown, then good; none of it counts where it was received; nobody is woken.
func TestABrokerAwayIsNoOutage(t *testing.T) {
	set := shipped(t)
	led, done, err := replay.Temporary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = done() }()
	var pages []string
	p, err := replay.New(t.Context(), replay.Options{Rules: set, Ledger: led, TickEvery: 250 * time.Millisecond,
		Alerts: func(at int64, alerts []alert.Alert) {
			for _, a := range alerts {
				if a.Labels["severity"] == alert.Page {
					pages = append(pages, fmt.Sprint(time.UnixMilli(at).UTC(), a.Status, a.Labels))
				}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	var agents []*replay.Agent
	var sources []*replay.Source
	for v := range vantages {
		name := fmt.Sprintf("probe-%d", v)
		a := p.Agent(name, telemetry.NewLabels(map[string]string{"host": name, "region": "gulf-1"}))
		agents = append(agents, a)
		sources = append(sources, a.Source(telemetry.Series{Name: "probe_success", Kind: telemetry.Gauge,
			Labels: telemetry.NewLabels(map[string]string{"probe": "icmp", "target": "10.0.0.1"})}))
	}
	const away, back, end = midnight + 2*3_600_000, midnight + 2*3_600_000 + 600_000, midnight + 2*3_600_000 + 1_200_000
	hold := func(on bool) {
		for _, a := range agents {
			a.Hold(on)
		}
	}
	check(t, p.Tick(away-600_000))
	for at := away - 600_000; at < end; at += 1000 {
		for v, s := range sources {
			s.Add(at+int64(v)*150, 1)
		}
		switch at {
		case away:
			hold(true)
			// The log's next tick is that of the broker's return.
			check(t, p.Record(0, wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: back, RuleSet: set.ID()})))
		case back + 10_000:
			check(t, p.Commit())
			wantMinutes(t, led, set.Objectives, away, sla.Unknown, 1, 0)
			hold(false)
		}
		check(t, p.Tick(at+1000))
	}
	check(t, p.Commit())
	wantMinutes(t, led, set.Objectives, away, sla.Good, 2, 60*vantages)
	wantMinutes(t, led, set.Objectives, away-600_000, sla.Good, 1, 60*vantages)
	wantMinutes(t, led, set.Objectives, back, sla.Good, 1, 60*vantages)
	if len(pages) != 0 {
		t.Errorf("pages: %v", pages)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantMinutes compares the ten minutes from a time on of the target and of its
// region: their state, version and attempts. The last of a run may still be open.
func wantMinutes(t *testing.T, led *ledger.Ledger, objectives []*slo.Objective, from int64, state sla.State, version uint32, attempts uint64) {
	t.Helper()
	const ten = int64(600_000)
	for _, o := range objectives {
		if o.Name != "probe-availability-by-target" && o.Name != "probe-availability-by-region" {
			continue
		}
		n := 0
		check(t, led.Slots(t.Context(), access.Local(), o.StreamID, from, from+ten, func(_ ledger.Group, slots []ledger.Slot) error {
			for _, sl := range slots {
				if sl.State == sla.Open && sl.Start == from+ten-60_000 {
					sl.State, sl.Version = state, version
				}
				if sl.State == state && sl.Version == version && sl.Total == attempts && sl.Good == attempts {
					n++
				} else {
					t.Errorf("%s: %s %s version %d, %d of %d attempts; want %s version %d, %d", o.Name, time.UnixMilli(sl.Start).UTC().Format("15:04"),
						sl.State, sl.Version, sl.Good, sl.Total, state, version, attempts)
				}
			}
			return nil
		}))
		if n != 10 {
			t.Errorf("%s: %d minutes from %s are %s, want 10", o.Name, n, time.UnixMilli(from).UTC().Format("15:04"), state)
		}
	}
}
