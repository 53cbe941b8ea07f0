package aggregate

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// TestWhatFeedsNothingIsCheckedAllTheSame: a state that passes over values that
// feed nothing, and finds senders without a look-up, writes what one writes that
// reads all and remembers nobody: also of damaged frames, and of boots whose
// labels change so that the same schema feeds now and then.
func TestWhatFeedsNothingIsCheckedAllTheSame(t *testing.T) {
	here := probeStream()
	here.Sample.Matchers = []slo.Matcher{{Label: "region", Match: slo.Equal, Value: "here"}}
	idle := telemetry.NewSchema([]telemetry.Series{gauge("idle", "a"), gauge("idle", "b"), gauge("idle", "c")})
	passed := false
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t, here, requestStream())
		plain := NewState(3, 4, 1, 0, f.rules.get)
		seqs := map[string]uint64{}
		at := epoch
		for range rapid.IntRange(5, 60).Draw(t, "records") {
			at += 100
			var rec record
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				tick := wire.Tick{Clock: at, Incarnation: 1, RuleSet: f.set}
				rec = record{wire.TypeTick, wire.AppendTick(nil, &tick)}
			} else {
				rec = record{wire.TypeFrame, f.labelled(t, seqs, at, idle)}
			}
			got := f.apply(rec.typ, rec.value)
			passed = passed || f.state.frame.Blocks != nil && f.state.frame.Blocks[0].Unread > 0

			plain.decoder = wire.Decoder{}
			out, err := plain.Apply(plain.Position(), rec.typ, rec.value)
			if err != nil {
				t.Fatal(err)
			}
			if got != nil && !bytes.Equal(wire.AppendPartial(nil, got), wire.AppendPartial(nil, out.Partial)) {
				t.Fatalf("partials differ:\n%+v\n%+v", got, out.Partial)
			}
		}
		a, err := f.state.Checkpoint(0)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := plain.Checkpoint(0); err != nil || len(a) != len(b) {
			t.Fatalf("checkpoints of %d and %d bytes, %v", len(a), len(b), err)
		}
	})
	if !passed {
		t.Error("nothing was ever passed over")
	}
}

// labelled returns a frame of one of two hosts, in one of two regions, maybe
// damaged.
func (f *fixture) labelled(t *rapid.T, seqs map[string]uint64, at int64, idle *telemetry.Schema) []byte {
	host := rapid.SampledFrom([]string{"h", "h", "g"}).Draw(t, "host")
	region := rapid.SampledFrom([]string{"here", "here", "here", "there"}).Draw(t, "region")
	seqs[host]++
	times := []int64{at}
	fr := telemetry.Frame{Agent: host, Boot: 7, Seq: seqs[host], SendTime: at,
		Host: telemetry.NewLabels(map[string]string{"host": host, "region": region})}
	fr.Blocks = []telemetry.Block{
		{Fingerprint: idle.Fingerprint, Schema: idle, Times: times, Values: []float64{rapid.Float64().Draw(t, "v"), 1, 0.25}},
		{Fingerprint: success.Fingerprint, Schema: success, Times: times, Values: []float64{1, float64(seqs[host] % 2)}},
	}
	if rapid.Bool().Draw(t, "absent") {
		fr.Blocks[0].SetAbsent(1)
	}
	defined := seqs[host] == 1 || rapid.IntRange(0, 9).Draw(t, "defined") == 0
	raw := f.enc.AppendFrame(nil, &fr, func(uint64) bool { return defined })
	if rapid.IntRange(0, 9).Draw(t, "damage") == 0 {
		raw[rapid.IntRange(len(raw)/2, len(raw)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
	}
	return raw
}
