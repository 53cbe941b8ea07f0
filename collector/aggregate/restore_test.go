package aggregate

import (
	"bytes"
	"encoding/gob"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"nines/collector/decode"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

var mixed = telemetry.NewSchema([]telemetry.Series{gauge("probe_success", "a"), gauge("probe_latency_seconds", "a"),
	counterSeries("errors_total", true), counterSeries("requests_total", false)})

// randomLog is a partition's log with all that a fleet does to it.
func randomLog(t *rapid.T, f *fixture) {
	dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
	sets := []string{f.set, f.rules.add(latencyStream(), requestStream()), f.rules.add(probeStream(), requestStream(), payStream())}
	seq, boot := [3]uint64{}, [3]uint64{1, 1, 1}
	now, errors := epoch, 0.0
	f.tick(now)
	for range rapid.IntRange(50, 400).Draw(t, "records") {
		switch n := dice.IntN(100); {
		case n < 30:
			now += int64(dice.IntN(2000))
			if dice.IntN(40) == 0 {
				now += 90_000
			}
			f.tick(now)
		case n < 33:
			f.set = sets[dice.IntN(len(sets))]
		case n < 35:
			f.apply("", []byte{1, 2, 3})
		case n < 65:
			errors += float64(dice.IntN(3))
			randomForeign(f, dice, now, errors)
		default:
			a := dice.IntN(3)
			switch dice.IntN(20) {
			case 0:
				boot[a], seq[a] = boot[a]+1, 0
			case 1:
				seq[a] += 2
			case 2:
				seq[a] -= min(seq[a], 2)
			}
			seq[a]++
			errors += float64(dice.IntN(3))
			schema := mixed
			if dice.IntN(4) == 0 {
				schema = success
			}
			values := []float64{float64(dice.IntN(2)), dice.Float64(), errors, errors * 2}[:len(schema.Series)]
			at := now - int64(dice.IntN(70_000))
			f.apply(wire.TypeFrame, f.encode(string(rune('a'+a)), boot[a], seq[a], schema, dice.IntN(3) > 0, []int64{at}, values...))
		}
	}
	f.tick(now + 15_000)
}

// bytesOf are the partial's bytes apart from announcements, which a restored
// state repeats.
func bytesOf(p *wire.Partial) []byte {
	q := *p
	q.Groups = nil
	return wire.AppendPartial(nil, &q)
}

// TestANewOwnerRepeatsIdenticalPartials: from whatever checkpoint it starts, the
// rest of the log gives the same bytes.
func TestANewOwnerRepeatsIdenticalPartials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t, probeStream(), latencyStream(), requestStream(), payStream())
		randomLog(t, f)
		want := map[int64][]byte{}
		for _, p := range f.out {
			want[p.To] = bytesOf(p)
		}
		for _, data := range f.saved {
			s, _, err := Restore(data, 4, f.rules.get)
			if err != nil {
				t.Fatal(err)
			}
			for pos := s.Position(); pos < int64(len(f.log)); pos++ {
				out, err := applyAny(s, f.log[pos].typ, f.log[pos].value)
				if err != nil {
					t.Fatal(err)
				}
				if out.Partial != nil && !bytes.Equal(bytesOf(out.Partial), want[out.Partial.To]) {
					t.Fatalf("the partial to %d differs: %+v", out.Partial.To, out.Partial)
				}
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	x := newFixture(f, probeStream(), latencyStream(), requestStream())
	x.tick(epoch)
	x.frame("h", 7, 1, mixed, epoch+100, 1, 0.1, 3, 4)
	perTime(shopMinutes(), func(_ int64, ms []measured) { x.foreign(decode.Influx, "h", linesOf(ms)) })
	x.tick(epoch + 20_000)
	f.Add(x.saved[len(x.saved)-1])
	f.Add([]byte{})
	frame := x.encode("h", 7, 2, mixed, true, []int64{epoch + 20_100}, 1, 0.1, 4, 5)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := Restore(data, 4, x.rules.get)
		if err != nil {
			return
		}
		pos := s.Position()
		_, _ = s.Apply(pos, wire.TypeFrame, frame)
		tick := wire.AppendTick(nil, &wire.Tick{Clock: epoch + 40_000, RuleSet: x.set})
		if _, err := s.Apply(s.Position(), wire.TypeTick, tick); err != nil {
			return
		}
		if _, err := s.Checkpoint(0); err != nil {
			t.Error(err)
		}
	})
}

func FuzzApply(f *testing.F) {
	x := newFixture(f, probeStream(), latencyStream(), requestStream())
	f.Add(uint8(0), x.encode("h", 7, 1, mixed, true, []int64{epoch, epoch + 1000}, 1, 1, 0.1, 0.2, 3, 4, 5, 6))
	f.Add(uint8(1), wire.AppendTick(nil, &wire.Tick{Clock: epoch, RuleSet: x.set}))
	f.Add(uint8(2), []byte("garbage"))
	f.Add(uint8(3), linesOf(shopMinutes()[:7]))
	f.Add(uint8(4), otlpOf(f, shopMinutes()[:7]))
	f.Add(uint8(5), write1Of(f, shopMinutes()[:7]))
	f.Add(uint8(5), write2Of(f, shopMinutes()[:7]))
	tick := wire.AppendTick(nil, &wire.Tick{Clock: epoch, RuleSet: x.set})
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		s := NewState(0, 1, 1, 0, x.rules.get)
		if _, err := s.Apply(0, wire.TypeTick, tick); err != nil {
			t.Fatal(err)
		}
		typ := []string{wire.TypeFrame, wire.TypeTick, "", foreignType(decode.Influx, "h"), foreignType(decode.OTLP, ""), foreignType(decode.RemoteWrite, "h")}[kind%6]
		_, _ = applyAny(s, typ, data)
		out, err := s.Apply(s.Position(), wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: s.LogTime() + 20_000}))
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Partial
		if err := wire.DecodePartial(wire.AppendPartial(nil, out.Partial), &p); err != nil {
			t.Fatalf("the partial cannot be read: %v", err)
		}
		data, err = s.Checkpoint(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Restore(data, 1, x.rules.get); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSplitKeepsEveryCountOnce(t *testing.T) {
	f := newFixture(t, probeStream(), latencyStream(), requestStream())
	f.tick(epoch)
	f.frame("h", 7, 2, mixed, epoch+100, 1, 0.1, 3, 4)
	p := f.tick(epoch + 20_000)
	parts := Split(p, 3)
	var counts, sketches int
	for i, q := range parts {
		counts, sketches = counts+len(q.Counts), sketches+len(q.Sketches)
		if q.From != p.From || q.To != p.To || q.LogTime != p.LogTime || q.RuleSet != p.RuleSet || q.Sources != 4 {
			t.Errorf("part %d: %+v", i, q)
		}
		if i > 0 && len(q.Gaps)+len(q.Regions)+len(q.Agents) > 0 {
			t.Errorf("part %d carries what is of no group", i)
		}
	}
	wantEqual(t, "counts", counts, len(p.Counts))
	wantEqual(t, "sketches", sketches, len(p.Sketches))
	wantEqual(t, "gaps", len(parts[0].Gaps), 1)
}

func TestBootsComeBack(t *testing.T) {
	want := []savedBoot{
		{Agent: "web-1", Boot: 1 << 63, LastSeq: 300, Newest: epoch, Used: -1, Current: true, Host: hostLabels("web-1"), Schemas: []uint64{1, 1 << 63}, Judged: []bool{false, true}},
		{Agent: "web-2"},
	}
	b := appendBoots(nil, want)
	if got, err := readBoots(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for n := range b {
		if _, err := readBoots(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(b))
		}
	}
	if _, err := readBoots(append(b, 0)); err == nil {
		t.Error("what follows is not noticed")
	}
}

// A collector that is upgraded reads the checkpoint of the one before it.
func TestBootsOfEarlierCheckpoints(t *testing.T) {
	var buf bytes.Buffer
	old := checkpoint{Source: 3, Pos: 9, Boots: []savedBoot{{Agent: "h", Boot: 7, LastSeq: 5, Current: true}}}
	if err := gob.NewEncoder(&buf).Encode(&old); err != nil {
		t.Fatal(err)
	}
	s, _, err := Restore(buf.Bytes(), 4, ruleBook{}.get)
	if err != nil || s.boots[bootKey{"h", 7}] == nil || s.newest["h"].Boot != 7 {
		t.Fatalf("%+v, %v", s, err)
	}
}
