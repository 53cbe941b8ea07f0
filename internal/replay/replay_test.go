package replay_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	epoch  = int64(1_790_000_040_000) // a whole minute
	minute = int64(60_000)
	day    = int64(86_400_000)
)

func probes() *slo.Stream {
	return &slo.Stream{
		Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Vantage: "host", Bin: 1000,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1, K: 1, N: 2},
	}
}

func requests() *slo.Stream {
	return &slo.Stream{
		Bad: &slo.Selector{Metric: "errors_total"}, Total: &slo.Selector{Metric: "requests_total"}, GroupBy: []string{"service"}, Bin: 1000,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1},
	}
}

func latency() *slo.Stream {
	return &slo.Stream{
		Sample: &slo.Selector{Metric: "latency_seconds"}, Op: slo.LTE, Threshold: 0.5, GroupBy: []string{"service"}, Bin: 1000, Histogram: true,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 20}, MinCount: 1},
	}
}

func rules(streams ...*slo.Stream) *slo.RuleSet {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for i, st := range streams {
		set.Streams[st.ID()] = st
		o := &slo.Objective{Name: fmt.Sprint("objective-", i), Service: "demo", StreamID: st.ID(), Target: sla.Ratio{Num: 999, Den: 1000},
			Budgeting: "Occurrences", Window: 30 * day, Burn: slo.BurnRows(30 * day)}
		if st.Vantage != "" {
			o.Down = &slo.Down{Failures: 3, K: 1, N: st.Rule.N}
		}
		set.Objectives = append(set.Objectives, o)
	}
	return set
}

func open(t testing.TB) *ledger.Ledger {
	t.Helper()
	led, done, err := replay.Temporary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = done() })
	return led
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// book is all that a ledger says.
type book struct {
	slots  map[string][]ledger.Slot
	hists  map[string]uint64
	gaps   []wire.Gap
	agents map[string]string
	alerts []string
}

func read(t testing.TB, led *ledger.Ledger, set *slo.RuleSet) *book {
	t.Helper()
	b := &book{slots: map[string][]ledger.Slot{}, hists: map[string]uint64{}, agents: map[string]string{}}
	for id := range set.Streams {
		must(t, led.Slots(t.Context(), access.Local(), id, epoch-day, epoch+400*day, func(g ledger.Group, slots []ledger.Slot) error {
			key := id + g.Labels.String()
			for _, sl := range slots {
				if len(sl.Vantages) == 0 {
					sl.Vantages = nil
				}
				b.slots[key] = append(b.slots[key], sl)
			}
			return nil
		}))
	}
	gaps, err := led.Gaps(t.Context(), access.Local(), 0, epoch+400*day)
	must(t, err)
	for _, g := range gaps {
		b.gaps = append(b.gaps, g.Gap)
	}
	agents, err := led.Agents(t.Context(), access.Local())
	must(t, err)
	for _, a := range agents {
		b.agents[fmt.Sprint(a.Agent, a.Boot)] = fmt.Sprint(a.Frames, a.Samples, a.Repeats, a.LastSeq, a.Newest, a.GapFrames, a.Host)
	}
	return b
}

// event is one record of the log.
type event struct {
	partition int
	typ       string
	value     []byte
}

// fleet is a made-up log: two agents probe, one serves requests; frames get
// lost, come late and twice.
func fleet(seed uint64, set *slo.RuleSet, seconds int) (log []event) {
	dice := rand.New(rand.NewPCG(seed, 1))
	var enc wire.Encoder
	type host struct {
		seq      uint64
		bad, all float64
		spool    [][]byte
	}
	hosts := make([]host, 3)
	schemas := []*telemetry.Schema{
		telemetry.NewSchema([]telemetry.Series{
			{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "a"})},
			{Name: "probe_success", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"target": "b"})},
		}),
		telemetry.NewSchema([]telemetry.Series{
			{Name: "errors_total", Kind: telemetry.Counter, Labels: telemetry.NewLabels(map[string]string{"service": "s"})},
			{Name: "requests_total", Kind: telemetry.Counter, Labels: telemetry.NewLabels(map[string]string{"service": "s"})},
			{Name: "latency_seconds", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"service": "s"})},
		}),
	}
	for s := range seconds {
		at := epoch + int64(s)*1000
		for i := range 2 {
			log = append(log, event{i, wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: at, RuleSet: set.ID()})})
		}
		for i := range hosts {
			h := &hosts[i]
			h.seq++
			schema, values := schemas[0], []float64{1, float64(min(1, dice.IntN(4)))}
			if i == 2 {
				h.all += float64(dice.IntN(9))
				h.bad += float64(dice.IntN(8) / 7)
				schema, values = schemas[1], []float64{h.bad, h.all, dice.Float64() * 0.6}
			} else if s/70%3 == 1 {
				values[0] = 0 // an outage
			}
			name := fmt.Sprint("h", i)
			frame := enc.AppendFrame(nil, &telemetry.Frame{Agent: name, Boot: 9, Seq: h.seq, SendTime: at,
				Host:   telemetry.NewLabels(map[string]string{"host": name, "region": "r"}),
				Blocks: []telemetry.Block{{Fingerprint: schema.Fingerprint, Schema: schema, Times: []int64{at - 200}, Values: values}}},
				func(uint64) bool { return true })
			switch roll := dice.IntN(100); {
			case roll < 2: // lost
				continue
			case s/40%5 == 3 && i == 1: // the agent is cut off
				h.spool = append(h.spool, frame)
				continue
			}
			for _, f := range append(h.spool, frame) {
				log = append(log, event{i % 2, wire.TypeFrame, f})
				if dice.IntN(20) == 0 {
					log = append(log, event{i % 2, wire.TypeFrame, f})
				}
			}
			h.spool = nil
		}
	}
	return log
}

// collector runs the log as the roles of a collector do: partials over the wire,
// a commit every few records.
func collector(t *testing.T, set *slo.RuleSet, log []event) (*book, *ledger.Ledger) {
	ctx := t.Context()
	led := open(t)
	find := func(id string) (*slo.RuleSet, bool) { return set, id == set.ID() }
	claim, err := led.Claim(ctx, 0, "test")
	must(t, err)
	eval := evaluate.New(evaluate.Config{}, claim, find, func(key wire.GroupKey, at int64) (ledger.Slot, bool, error) {
		slots, err := led.GroupSlots(ctx, access.Local(), key, at, at+1)
		if err != nil || len(slots) == 0 {
			return ledger.Slot{}, false, err
		}
		return slots[0], true, nil
	})
	must(t, eval.Restore("", nil, nil, nil))
	states := []*aggregate.State{aggregate.NewState(0, 2, 1, 0, find), aggregate.NewState(1, 2, 1, 0, find)}
	var alerts []string
	for n, e := range log {
		s := states[e.partition]
		out, err := s.Apply(s.Position(), e.typ, e.value)
		must(t, err)
		if out.Partial != nil {
			var p wire.Partial
			must(t, wire.DecodePartial(wire.AppendPartial(nil, out.Partial), &p))
			_, err := eval.Apply(eval.Offset(), &p)
			must(t, err)
			alerts = said(alerts, eval.Take())
		}
		if n%17 == 16 || n == len(log)-1 {
			batch, more, err := eval.Advance()
			must(t, err)
			alerts = said(alerts, more)
			must(t, led.Commit(ctx, claim, &batch))
		}
	}
	b := read(t, led, set)
	b.alerts = alerts
	return b, led
}

func said(out []string, alerts []alert.Alert) []string {
	for _, a := range alerts {
		out = append(out, fmt.Sprint(a.LogTime, a.Status, a.Labels, a.Annotations))
	}
	return out
}

// TestTheLedgerIsTheCollectors: the same log gives the same slots with versions
// and evidence, gaps, agents, percentiles and alerts.
func TestTheLedgerIsTheCollectors(t *testing.T) {
	set := rules(probes(), requests(), latency())
	for seed := range uint64(5) {
		log := fleet(seed, set, 900)
		want, _ := collector(t, set, log)
		led := open(t)
		var alerts []string
		p, err := replay.New(t.Context(), replay.Options{Rules: set, Ledger: led, Partitions: 2, TickEvery: time.Second,
			Alerts: func(_ int64, a []alert.Alert) { alerts = said(alerts, a) }})
		must(t, err)
		for _, e := range log {
			must(t, p.Record(e.partition, e.typ, e.value))
		}
		must(t, p.Commit())
		got := read(t, led, set)
		got.alerts = alerts
		if len(want.alerts) < 5 || len(want.gaps) < 5 || len(want.slots) != 4 {
			t.Fatalf("seed %d is too quiet: %d alerts, %d gaps, %d groups", seed, len(want.alerts), len(want.gaps), len(want.slots))
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("seed %d:\ncollector %+v\nreplay    %+v", seed, want, got)
		}
	}
}
