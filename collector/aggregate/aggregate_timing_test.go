package aggregate

import (
	"fmt"
	"testing"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// fleet is a partition with agents of 100 series each, of which some feed
// objectives: every metric m<i> is the sample of objectives/100 streams.
type fleet struct {
	*fixture
	schema *telemetry.Schema
	seq    uint64
	agents int
	values []float64
}

func newFleet(tb testing.TB, agents, objectives int) *fleet {
	var streams []*slo.Stream
	for i := range objectives {
		streams = append(streams, &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("m%d", i%100),
			Matchers: []slo.Matcher{{Label: "part", Match: slo.Equal, Value: fmt.Sprint(i / 100)}}},
			Op: slo.LTE, Threshold: 50, GroupBy: []string{"region"}, Bin: 1000, Rule: slotRule()})
	}
	var series []telemetry.Series
	for i := range 100 {
		series = append(series, telemetry.Series{Name: fmt.Sprintf("m%d", i), Kind: telemetry.Gauge,
			Labels: telemetry.Labels{{Name: "part", Value: fmt.Sprint(i % 10)}}})
	}
	f := &fleet{fixture: newFixture(tb, streams...), schema: telemetry.NewSchema(series), agents: agents}
	for i := range 100 {
		f.values = append(f.values, float64(i))
	}
	f.tick(epoch)
	f.round()
	f.round()
	return f
}

// round sends a frame of every agent and a tick, and returns the frames.
func (f *fleet) round() {
	f.log, f.out, f.saved = nil, nil, nil
	f.seq++
	at := epoch + int64(f.seq)*1000
	for a := range f.agents {
		f.apply(wire.TypeFrame, f.encode(fmt.Sprintf("agent%05d", a), 7, f.seq, f.schema, f.seq == 1, []int64{at}, f.values...))
	}
	f.tick(at)
}

// frames returns the next n frames of each agent, to be applied without a tick.
func (f *fleet) frames(n int) (out [][]byte) {
	for range n {
		f.seq++
		at := epoch + int64(f.seq)*1000
		for a := range f.agents {
			out = append(out, f.encode(fmt.Sprintf("agent%05d", a), 7, f.seq, f.schema, false, []int64{at}, f.values...))
		}
	}
	return out
}

// BenchmarkApply applies frames of 100 samples from 10,000 agents under 1,000
// objectives.
func BenchmarkApply(b *testing.B) {
	f := newFleet(b, 10_000, 1000)
	frames := f.frames(2)
	s := f.state
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for i := range b.N {
		if n == len(frames) {
			b.StopTimer()
			frames, n = f.frames(2), 0
			b.StartTimer()
		}
		if i%2500 == 2499 { // four ticks a second
			tick := wire.AppendTick(nil, &wire.Tick{Clock: epoch + int64(f.seq)*1000, RuleSet: f.set})
			if _, err := s.Apply(s.Position(), wire.TypeTick, tick); err != nil {
				b.Fatal(err)
			}
		}
		if out, err := s.Apply(s.Position(), wire.TypeFrame, frames[n]); err != nil || out.Dead != nil {
			b.Fatal(err, out.Dead)
		}
		n++
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "samples/s")
}

func BenchmarkCheckpoint(b *testing.B) {
	f := newFleet(b, 10_000, 1000)
	for b.Loop() {
		data, err := f.state.Checkpoint(0)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
	}
}

// TestASteadyFrameAllocatesNothing guards the hot path.
func TestASteadyFrameAllocatesNothing(t *testing.T) {
	f := newFleet(t, 10, 1000)
	frames := f.frames(60)
	s, i := f.state, 0
	for range 100 { // the first ones of a stretch make room
		mustApply(t, s, frames[i])
		i++
	}
	if n := testing.AllocsPerRun(400, func() {
		mustApply(t, s, frames[i])
		i++
	}); n > 1 {
		t.Errorf("a frame of 100 samples costs %v allocations", n)
	}
}

func mustApply(t testing.TB, s *State, frame []byte) {
	if out, err := s.Apply(s.Position(), wire.TypeFrame, frame); err != nil || out.Dead != nil {
		t.Fatal(err, out.Dead)
	}
}

// BenchmarkCut ends stretches in which 1,250 hosts fed 1,000 objectives in 29
// regions: a second's quarter of 5,000 hosts.
func BenchmarkCut(b *testing.B) {
	var streams []*slo.Stream
	for i := range 1000 {
		streams = append(streams, &slo.Stream{Sample: &slo.Selector{Metric: fmt.Sprintf("m%d", i%10)}, Op: slo.LTE, Threshold: float64(i) / 10,
			GroupBy: []string{"region"}, Bin: 1000, Rule: slotRule()})
	}
	f := newFixture(b, streams...)
	var series []telemetry.Series
	for i := range 10 {
		series = append(series, telemetry.Series{Name: fmt.Sprintf("m%d", i), Kind: telemetry.Gauge})
	}
	schema := telemetry.NewSchema(series)
	f.state.Pack()
	f.tick(epoch)
	seq := uint64(0)
	quarter := func() *wire.Partial {
		seq++
		for host := range 1250 {
			fr := telemetry.Frame{Agent: fmt.Sprintf("agent%05d", host), Boot: 7, Seq: seq, SendTime: epoch,
				Host: telemetry.NewLabels(map[string]string{"region": fmt.Sprintf("r%d", host%29)})}
			block := telemetry.Block{Fingerprint: schema.Fingerprint, Schema: schema, Times: []int64{epoch + int64(seq)*250}}
			for i := range 10 {
				block.Values = append(block.Values, float64((host*7+i*13+int(seq))%100))
			}
			fr.Blocks = append(fr.Blocks, block)
			f.apply(wire.TypeFrame, f.enc.AppendFrame(nil, &fr, func(uint64) bool { return seq == 1 }))
		}
		tick := wire.AppendTick(nil, &wire.Tick{Clock: epoch, RuleSet: f.set})
		b.StartTimer()
		defer b.StopTimer()
		out, err := f.state.Apply(f.state.Position(), wire.TypeTick, tick)
		if err != nil {
			b.Fatal(err)
		}
		f.log = nil
		return out.Partial
	}
	b.StopTimer()
	quarter()
	var enc wire.PartialEncoder
	var raw []byte
	rows := 0
	b.ResetTimer()
	for range b.N {
		p := quarter()
		rows += len(p.Packed.Rows)
		b.StartTimer()
		raw = enc.Append(raw[:0], p)
		f.state.Recycle(p)
		b.StopTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/count")
	b.ReportMetric(float64(len(raw))/float64(rows)*float64(b.N), "B/count")
}

// BenchmarkCheckpointOfCounters writes what 2,000 hosts have under objectives of
// counters: 34 each.
func BenchmarkCheckpointOfCounters(b *testing.B) {
	f := newFixture(b, requestStream())
	for host := range 2000 {
		for i := range 34 {
			f.state.recall(counterKey{fmt.Sprintf("agent%05d", host), 0, uint64(i%6) << 40, fmt.Sprintf("stream%d", i), 0, roleTotal}, counter{value: uint64(host * i), time: epoch, used: epoch})
		}
	}
	for b.Loop() {
		data, err := f.state.Checkpoint(0)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
	}
}
