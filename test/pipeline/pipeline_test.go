// Package pipeline holds the properties of aggregate and evaluate together,
// over a real ledger and without Kafka: however the log is split over
// partitions, whatever suffix is repeated, wherever a role starts again, the
// ledger says the same.
package pipeline

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	epoch   = int64(1_790_000_040_000) // a whole minute
	seconds = 200
	targets = 3
)

// stream counts probe_success by target, from several vantage points.
func stream(k, n int) *slo.Stream {
	return &slo.Stream{
		Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1,
		GroupBy: []string{"target"}, Vantage: "host", Bin: 1000,
		Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1, K: k, N: n},
	}
}

func ruleSet(st *slo.Stream) *slo.RuleSet {
	return &slo.RuleSet{Streams: map[string]*slo.Stream{st.ID(): st}, Objectives: []*slo.Objective{{
		Name: "up", Service: "demo", StreamID: st.ID(), Target: sla.Ratio{Num: 999, Den: 1000},
		Budgeting: "Occurrences", Window: 30 * 86_400_000, Burn: slo.BurnRows(30 * 86_400_000),
		Down: &slo.Down{Failures: 3, K: k(st), N: st.Rule.N},
	}}}
}

func k(st *slo.Stream) int { return max(st.Rule.K, 1) }

// history is what happened to the fleet: the frames that each agent sent, in
// order, by second; a nil frame was lost.
type history struct {
	agents int
	frames [][][]byte // by agent, by second
	lost   int
	// good and total count, by target and minute, what reached the log.
	good, total map[string]map[int64]uint64
}

func newHistory(t *rapid.T) *history {
	h := &history{agents: rapid.IntRange(1, 3).Draw(t, "agents"), good: map[string]map[int64]uint64{}, total: map[string]map[int64]uint64{}}
	lossy := rapid.IntRange(0, 10).Draw(t, "loss percent")
	fail := rapid.IntRange(0, 60).Draw(t, "failure percent")
	var series []telemetry.Series
	for i := range targets {
		name := fmt.Sprintf("t%d", i)
		series = append(series, telemetry.Series{Name: "probe_success", Kind: telemetry.Gauge,
			Labels: telemetry.NewLabels(map[string]string{"target": name})})
		h.good[name], h.total[name] = map[int64]uint64{}, map[int64]uint64{}
	}
	schema := telemetry.NewSchema(series)
	dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	for a := range h.agents {
		var enc wire.Encoder
		frames := make([][]byte, seconds)
		for s := range seconds {
			at := epoch + int64(s)*1000 + 300
			blk := telemetry.Block{Fingerprint: schema.Fingerprint, Schema: schema, Times: []int64{at}}
			drop := s > 0 && s < seconds-1 && dice.IntN(100) < lossy
			for i := range targets {
				v := 1.0
				if dice.IntN(100) < fail {
					v = 0
				}
				blk.Values = append(blk.Values, v)
				if !drop {
					name, minute := fmt.Sprintf("t%d", i), at-at%60_000
					h.total[name][minute]++
					h.good[name][minute] += uint64(v)
				}
			}
			if drop {
				h.lost++
				continue
			}
			host := fmt.Sprintf("h%d", a)
			frames[s] = enc.AppendFrame(nil, &telemetry.Frame{Agent: host, Boot: 7, Seq: uint64(s + 1), SendTime: at,
				Host: telemetry.NewLabels(map[string]string{"host": host, "region": "r1"}), Blocks: []telemetry.Block{blk}},
				func(uint64) bool { return s == 0 || s%60 == 0 || frames[s-1] == nil })
		}
		h.frames = append(h.frames, frames)
	}
	return h
}

// plan is one way to run the pipeline over a history.
type plan struct {
	partitions int
	repeat     func(second int) int // how many of the last frames are sent again
	restartAgg func(second int) bool
	restartEva func(second int) bool
}

type record struct {
	typ   string
	value []byte
}

// run plays the history and returns the final slots by target.
func run(t testing.TB, h *history, p plan, rules *slo.RuleSet) (map[string][]ledger.Slot, int) {
	ctx := context.Background()
	led, err := ledger.Open(ctx, ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	find := func(id string) (*slo.RuleSet, bool) { return rules, id == rules.ID() }
	logs := make([][]record, p.partitions)
	states := make([]*aggregate.State, p.partitions)
	saved := make([][]byte, p.partitions)
	for i := range states {
		states[i] = aggregate.NewState(int32(i), int32(p.partitions), 1, 0, find)
	}
	var partials [][]byte
	feed := func(i int) {
		for states[i].Position() < int64(len(logs[i])) {
			pos := states[i].Position()
			out, err := states[i].Apply(pos, logs[i][pos].typ, logs[i][pos].value)
			if err != nil || out.Dead != nil {
				t.Fatalf("apply record %d of partition %d: %v %v", pos, i, err, out.Dead)
			}
			if out.Partial != nil {
				partials = append(partials, wire.AppendPartial(nil, out.Partial))
			}
			if out.Checkpoint {
				if saved[i], err = states[i].Checkpoint(aggregate.CRC(logs[i][pos].value)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var claim *ledger.Claim
	var eval *evaluate.State
	start := func() {
		if claim, err = led.Claim(ctx, 0, "test"); err != nil {
			t.Fatal(err)
		}
		loaded, err := led.Load(ctx, 0, evaluate.Since(claim.LogTime))
		if err != nil {
			t.Fatal(err)
		}
		alerts, err := led.LoadAlerts(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		eval = evaluate.New(evaluate.Config{}, claim, find, func(key wire.GroupKey, at int64) (ledger.Slot, bool, error) {
			slots, err := led.GroupSlots(ctx, access.Local(), key, at, at+1)
			if err != nil || len(slots) == 0 {
				return ledger.Slot{}, false, err
			}
			return slots[0], true, nil
		})
		id := ""
		if claim.Offset > 0 {
			id = rules.ID()
		}
		if err := eval.Restore(id, loaded, alerts, nil); err != nil {
			t.Fatal(err)
		}
	}
	start()
	evaluateAll := func() {
		for eval.Offset() < int64(len(partials)) {
			var part wire.Partial
			if err := wire.DecodePartial(partials[eval.Offset()], &part); err != nil {
				t.Fatal(err)
			}
			if _, err := eval.Apply(eval.Offset(), &part); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit := func() {
		batch, _, err := eval.Advance()
		if err != nil {
			t.Fatal(err)
		}
		if err := led.Commit(ctx, claim, &batch); err != nil {
			t.Fatal(err)
		}
	}
	for i := range logs { // objectives count from the first tick that names them
		tick := wire.Tick{Clock: epoch - 100, Incarnation: 1, RuleSet: rules.ID()}
		logs[i] = append(logs[i], record{wire.TypeTick, wire.AppendTick(nil, &tick)})
	}
	for s := range seconds + 90 {
		for a := range h.agents {
			part := a % p.partitions
			if s < seconds {
				for back := min(p.repeat(s), s); back >= 0; back-- {
					if f := h.frames[a][s-back]; f != nil {
						logs[part] = append(logs[part], record{wire.TypeFrame, f})
					}
				}
			}
		}
		for i := range logs {
			tick := wire.Tick{Clock: epoch + int64(s)*1000 + 900, Incarnation: 1, RuleSet: rules.ID()}
			logs[i] = append(logs[i], record{wire.TypeTick, wire.AppendTick(nil, &tick)})
			if saved[i] != nil && p.restartAgg(s) {
				if states[i], _, err = aggregate.Restore(saved[i], int32(p.partitions), find); err != nil {
					t.Fatal(err)
				}
			}
			feed(i)
		}
		evaluateAll()
		if p.restartEva(s) {
			start() // what was not committed is read again
			evaluateAll()
		}
		if s%7 == 6 {
			commit()
		}
	}
	commit()
	out := map[string][]ledger.Slot{}
	for id := range rules.Streams {
		err := led.Slots(ctx, access.Local(), id, epoch-600_000, epoch+600_000, func(g ledger.Group, slots []ledger.Slot) error {
			out[g.Labels.Get("target")] = slices.Clone(slots)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	gaps, err := led.Gaps(ctx, access.Local(), 0, epoch+1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	missing := 0
	for _, g := range gaps {
		missing += int(g.LastSeq - g.FirstSeq + 1)
	}
	return out, missing
}

func never(int) bool { return false }

// TestSameLedger is the property: a plain run over one partition, and a run
// with several partitions, repeats and restarts, give the slots that the
// history dictates, and the same ones.
func TestSameLedger(t *testing.T) {
	dir := t
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		rules := ruleSet(stream(rapid.IntRange(1, h.agents).Draw(t, "k"), h.agents))
		plain, lost := run(dir, h, plan{partitions: 1, repeat: func(int) int { return 0 }, restartAgg: never, restartEva: never}, rules)
		if lost != h.lost {
			t.Fatalf("gaps report %d lost frames, %d were lost", lost, h.lost)
		}
		for target, minutes := range h.total {
			slots := map[int64]ledger.Slot{}
			for _, sl := range plain[target] {
				slots[sl.Start] = sl
			}
			for minute, total := range minutes {
				sl := slots[minute]
				if sl.Total != total || sl.Good != h.good[target][minute] {
					t.Fatalf("%s minute %d: ledger has %d of %d, truth is %d of %d", target, minute, sl.Good, sl.Total, h.good[target][minute], total)
				}
				if sl.State == sla.Open {
					t.Fatalf("%s minute %d is open still", target, minute)
				}
			}
		}
		odds := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chaos"), 2))
		wild := plan{
			partitions: rapid.IntRange(1, 4).Draw(t, "partitions"),
			repeat: func(int) int {
				if odds.IntN(100) < 10 {
					return odds.IntN(10)
				}
				return 0
			},
			restartAgg: func(int) bool { return odds.IntN(100) < 3 },
			restartEva: func(int) bool { return odds.IntN(100) < 3 },
		}
		got, lost := run(dir, h, wild, rules)
		if lost != h.lost {
			t.Fatalf("after repeats and restarts gaps report %d lost frames, %d were lost", lost, h.lost)
		}
		same(t, plain, got)
	})
}

func same(t *rapid.T, want, got map[string][]ledger.Slot) {
	if !slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))) {
		t.Fatalf("groups differ: %v and %v", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	}
	for target := range want {
		w, g := want[target], got[target]
		if len(w) != len(g) {
			t.Fatalf("%s: %d slots and %d", target, len(w), len(g))
		}
		for i := range w {
			a, b := &w[i], &g[i]
			if a.Start != b.Start || a.State != b.State || a.Good != b.Good || a.Total != b.Total || a.Version != b.Version || a.Reason != b.Reason {
				t.Fatalf("%s slot %d: %+v and %+v", target, i, *a, *b)
			}
		}
	}
}
