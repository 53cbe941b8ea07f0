package replay_test

import (
	"errors"
	"fmt"
	"strings"
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

// site is a pipeline with one agent that probes one target.
type site struct {
	*replay.Pipeline
	t     *testing.T
	led   *ledger.Ledger
	set   *slo.RuleSet
	agent *replay.Agent
	probe *replay.Source
	fired []string
}

func newSite(t *testing.T, step time.Duration, streams ...*slo.Stream) *site {
	s := &site{t: t, led: open(t), set: rules(streams...)}
	var err error
	s.Pipeline, err = replay.New(t.Context(), replay.Options{Rules: s.set, Ledger: s.led, TickEvery: step,
		Alerts: func(at int64, alerts []alert.Alert) {
			for _, a := range alerts {
				if a.Labels["kind"] == "down" {
					s.fired = append(s.fired, fmt.Sprintf("%s %ds", a.Status, (at-epoch)/1000))
				}
			}
		}})
	must(t, err)
	s.agent = s.Agent("h", telemetry.NewLabels(map[string]string{"host": "h", "region": "r"}))
	s.probe = s.agent.Source(telemetry.Series{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "a"})})
	must(t, s.Tick(epoch))
	return s
}

// probes samples the target each second of [from, to), seconds since epoch.
func (s *site) probes(from, to int64, value float64) {
	for at := from; at < to; at++ {
		s.probe.Add(epoch+at*1000, value)
	}
}

func (s *site) until(second int64) {
	s.t.Helper()
	must(s.t, s.Tick(epoch+second*1000))
}

// slots returns the states of the minutes, a letter each.
func (s *site) slots() string {
	s.t.Helper()
	must(s.t, s.Commit())
	var b strings.Builder
	for id := range s.set.Streams {
		must(s.t, s.led.Slots(s.t.Context(), access.Local(), id, epoch, epoch+40*day, func(_ ledger.Group, slots []ledger.Slot) error {
			for _, sl := range slots {
				fmt.Fprint(&b, map[sla.State]string{sla.Open: "o", sla.Good: "g", sla.Bad: "b", sla.Unknown: "u"}[sl.State])
			}
			return nil
		}))
	}
	return b.String()
}

func (s *site) gaps() (out []string) {
	s.t.Helper()
	gaps, err := s.led.Gaps(s.t.Context(), access.Local(), 0, epoch+400*day)
	must(s.t, err)
	for _, g := range gaps {
		out = append(out, fmt.Sprintf("%s %d-%d", g.Reason, g.FirstSeq, g.LastSeq))
	}
	return out
}

func single() *slo.Stream {
	st := probes()
	st.Rule.N = 1
	return st
}

func TestAnOutageIsPagedAndResolved(t *testing.T) {
	s := newSite(t, time.Second, single())
	s.probes(0, 60, 1)
	s.probes(60, 120, 0)
	s.probes(120, 180, 1)
	s.until(186)
	if got := s.slots(); got != "gbgo" && got != "gbg" {
		t.Errorf("slots %s", got)
	}
	if fmt.Sprint(s.fired) != "[firing 62s resolved 122s]" {
		t.Errorf("fired %v", s.fired)
	}
}

// A sampled hour is sent as time passes, whatever the order it was sampled in.
func TestSamplesWaitForTheirTime(t *testing.T) {
	s := newSite(t, 10*time.Second, single())
	s.probes(120, 180, 1)
	s.probes(0, 120, 1)
	s.until(90)
	if got := s.slots(); got != "go" {
		t.Errorf("after a minute and a half: %s", got)
	}
	s.until(190)
	if got := s.slots(); got != "ggg" {
		t.Errorf("after three minutes: %s", got)
	}
}

func TestAnAgentThatWasCutOffTellsLater(t *testing.T) {
	s := newSite(t, time.Second, single())
	s.probes(0, 60, 1)
	s.until(60)
	s.agent.Hold(true)
	s.probes(60, 180, 1)
	s.until(250)
	if got := s.slots(); !strings.HasPrefix(got, "guu") {
		t.Errorf("while it is cut off: %s", got)
	}
	s.agent.Hold(false)
	s.until(252)
	if got := s.slots(); !strings.HasPrefix(got, "ggg") {
		t.Errorf("its spool has come: %s", got)
	}
	if gaps := s.gaps(); len(gaps) != 0 {
		t.Errorf("nothing was lost: %v", gaps)
	}
}

func TestWhatIsLostIsAGap(t *testing.T) {
	s := newSite(t, time.Second, single())
	s.probes(0, 10, 1)
	s.until(10)
	s.probes(10, 20, 1)
	s.agent.Lose()
	s.until(20)
	s.probes(20, 30, 1)
	s.until(30)
	s.agent.Restart()
	s.probes(30, 40, 1)
	s.until(66)
	if got := s.slots(); !strings.HasPrefix(got, "u") {
		t.Errorf("ten seconds are missing: %s", got)
	}
	if got := fmt.Sprint(s.gaps()); got != "[sequence 11-11 restart 0-0]" && !strings.Contains(got, "sequence") {
		t.Errorf("gaps %v", got)
	}
}

// However long an agent says nothing, its silence is unknown and no loss.
func TestLongSilenceIsNoGap(t *testing.T) {
	for _, hours := range []int64{1, 47, 48, 49, 60, 200} {
		s := newSite(t, time.Minute, single())
		s.probes(0, 60, 1)
		s.until(60)
		s.probes(hours*3600, hours*3600+120, 1)
		s.until(hours*3600 + 126)
		s.until(hours*3600 + 131)
		got := s.slots()
		want := "g" + strings.Repeat("u", int(hours*60)-1)
		if hours < 7*24 {
			want += "gg"
		}
		if strings.TrimRight(got, "o") != want && hours < 7*24 {
			t.Errorf("%d h: %d slots, %d unknown", hours, len(got), strings.Count(got, "u"))
		}
		for _, g := range s.gaps() {
			if !strings.HasPrefix(g, "restart") {
				t.Errorf("%d h: %v", hours, g)
			}
		}
	}
}

// Long ticks give the slots that short ones give.
func TestSlotsDoNotDependOnTicks(t *testing.T) {
	var want *book
	for _, step := range []time.Duration{time.Second, 7 * time.Second, time.Minute} {
		s := newSite(t, step, single(), requests(), latency())
		src := s.agent.Source(
			telemetry.Series{Name: "errors_total", Kind: telemetry.Counter, Labels: telemetry.NewLabels(map[string]string{"service": "s"})},
			telemetry.Series{Name: "requests_total", Kind: telemetry.Counter, Labels: telemetry.NewLabels(map[string]string{"service": "s"})},
			telemetry.Series{Name: "latency_seconds", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"service": "s"})})
		for sec := int64(0); sec < 1200; sec++ {
			s.probe.Add(epoch+sec*1000, float64(min(1, sec%97)))
			src.Add(epoch+sec*1000+500, float64(sec/50), float64(sec*3), float64(sec%40)/60)
		}
		s.until(1260)
		must(t, s.Commit())
		got := read(t, s.led, s.set)
		for key := range got.slots { // the number of versions is a matter of ticks
			for i := range got.slots[key] {
				got.slots[key][i].Version = 1
			}
		}
		if want == nil {
			want = got
		} else if fmt.Sprint(want.slots) != fmt.Sprint(got.slots) {
			t.Errorf("ticks each %s:\n%v\nwant\n%v", step, got.slots, want.slots)
		}
	}
	if len(want.slots) != 3 {
		t.Errorf("%d groups", len(want.slots))
	}
}

func TestChangedRulesCountFromTheNextSlot(t *testing.T) {
	s := newSite(t, time.Second, single())
	s.probes(0, 90, 1)
	s.until(90)
	strict := single()
	strict.Rule.MaxRatio = sla.Ratio{Num: 1, Den: 1000}
	both := rules(single(), strict)
	must(t, s.SetRules(both))
	s.probes(90, 240, 1)
	s.until(246)
	must(t, s.Commit())
	got := read(t, s.led, both)
	if n, m := len(got.slots[single().ID()+`{target="a"}`]), len(got.slots[strict.ID()+`{target="a"}`]); n < 4 || m != n-2 {
		t.Errorf("%d slots of the old stream, %d of the new", n, m)
	}
}

func TestAnotherReplayGoesOn(t *testing.T) {
	s := newSite(t, time.Second, single())
	s.probes(0, 90, 1)
	s.until(95)
	must(t, s.Commit())
	p, err := replay.New(t.Context(), replay.Options{Rules: s.set, Ledger: s.led, TickEvery: time.Second})
	must(t, err)
	again := &site{Pipeline: p, t: t, led: s.led, set: s.set}
	again.probe = p.Agent("h", telemetry.NewLabels(map[string]string{"host": "h", "region": "r"})).Source(
		telemetry.Series{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "a"})})
	again.until(95)
	again.probes(90, 180, 1)
	again.until(186)
	if got := again.slots(); !strings.HasPrefix(got, "ggg") {
		t.Errorf("over both: %s", got)
	}
	if err := again.Tick(epoch); err == nil {
		t.Error("log time went back")
	}
}

func TestACollectorsLedgerIsRefused(t *testing.T) {
	led := open(t)
	claim, err := led.Claim(t.Context(), 0, "collector")
	must(t, err)
	must(t, led.Commit(t.Context(), claim, &ledger.Batch{Offset: 7, LogTime: epoch, Sources: []ledger.Position{{Source: 0, Incarnation: 1, To: 9}}}))
	if _, err := replay.New(t.Context(), replay.Options{Rules: rules(single()), Ledger: led}); !errors.Is(err, replay.ErrForeign) {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBeUsedIsReported(t *testing.T) {
	s := newSite(t, time.Second, single())
	must(t, s.Record(0, wire.TypeFrame, []byte("no frame")))
	s.until(20)
	must(t, s.Commit())
	if got := s.gaps(); len(got) != 1 || !strings.HasPrefix(got[0], wire.ReasonUndecoded) {
		t.Errorf("gaps %v", got)
	}
}
