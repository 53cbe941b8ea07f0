package agent

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/agent/probe"
	"nines/agent/spool"
	"nines/internal/hist"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func probeConfig(kind string) probe.Config {
	return probe.Config{Jobs: []probe.Job{{Name: "j", Probe: kind, Targets: []string{"127.0.0.1"}}}}
}

func schemaOf(names ...string) *telemetry.Schema {
	series := make([]telemetry.Series, len(names))
	for i, n := range names {
		series[i] = telemetry.Series{Name: n, Kind: telemetry.Gauge}
	}
	return telemetry.NewSchema(series)
}

// decode decodes items as a collector that saw every frame before.
func decode(t *testing.T, schemas *wire.SchemaCache, items []spool.Item) []telemetry.Frame {
	t.Helper()
	out := make([]telemetry.Frame, len(items))
	for i, it := range items {
		var d wire.Decoder
		if err := d.DecodeFrame(it.Bytes, &out[i], schemas); err != nil {
			t.Fatalf("decode frame %d: %v", it.Seq, err)
		}
	}
	return out
}

func TestRoundsOfOneSchemaShareABlock(t *testing.T) {
	f := newFramer("a", 1, nil)
	s := telemetry.NewSchema([]telemetry.Series{{Name: "x", Kind: telemetry.Gauge}, {Name: "h", Kind: telemetry.Histogram}})
	h := &hist.Histogram{Count: 1, Sum: 1, Buckets: []hist.Bucket{{Index: 3, Count: 1}}}
	f.sink(telemetry.Round{Schema: s, Time: 3000, Values: []float64{3, 0}, Absent: []uint64{2}})
	f.sink(telemetry.Round{Schema: s, Time: 1000, Values: []float64{1, 0}, Hists: []*hist.Histogram{nil, h}})
	f.sink(telemetry.Round{Schema: s, Time: 2000, Values: []float64{0, 0}, Absent: []uint64{1}})
	items := f.flush(5000)
	if len(items) != 1 || items[0].From != 1000 || items[0].To != 3000 {
		t.Fatalf("items %+v", items)
	}
	b := decode(t, wire.NewSchemaCache(0), items)[0].Blocks[0]
	if len(b.Times) != 3 || b.Values[0] != 1 || b.Values[2] != 3 || !b.IsAbsent(1) || b.IsAbsent(0) {
		t.Fatalf("block %+v", b)
	}
	if b.Hists[3] == nil || b.Hists[3].Count != 1 || b.Hists[4] != nil {
		t.Fatalf("histograms %+v", b.Hists)
	}
}

func TestTimesWithinABlockAscend(t *testing.T) {
	s := schemaOf("x")
	var rounds []telemetry.Round
	for range 40 {
		rounds = append(rounds, telemetry.Round{Schema: s, Time: int64(rand.IntN(10)), Values: []float64{1}})
	}
	n := 0
	for _, b := range blocks(rounds) {
		n += len(b.Times)
		for i := 1; i < len(b.Times); i++ {
			if b.Times[i] <= b.Times[i-1] {
				t.Fatalf("times %v", b.Times)
			}
		}
	}
	if n != len(rounds) {
		t.Fatalf("%d rounds of %d", n, len(rounds))
	}
}

func TestSchemasAreRepeatedEveryMinute(t *testing.T) {
	f := newFramer("a", 1, nil)
	s := schemaOf("x")
	carries := func(at int64) bool {
		t.Helper()
		f.sink(telemetry.Round{Schema: s, Time: at, Values: []float64{1}})
		fr := decode(t, wire.NewSchemaCache(0), f.flush(at))[0]
		return fr.Blocks[0].Schema != nil
	}
	want := func(at int64, want bool) {
		t.Helper()
		if got := carries(at); got != want {
			t.Errorf("at %d ms: schema carried: %v, want %v", at, got, want)
		}
	}
	want(1000, true)
	want(2000, false)
	want(60_000, false)
	want(61_000, true)
	want(62_000, false)
	want(500, true) // the clock was set back
	s = schemaOf("x", "y")
	want(63_000, true)
	f.repeatSchemas()
	want(64_000, true)
}

func TestLargeFlushIsSplitWithoutHoles(t *testing.T) {
	f := newFramer("a", 1, nil)
	f.limit = 2000
	wide := make([]string, 50)
	for i := range wide {
		wide[i] = "series_" + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	var sent int
	for k := range 6 {
		s := schemaOf(append(wide[:20+k:20+k], "end")...)
		for r := range 10 {
			v := make([]float64, len(s.Series))
			for i := range v {
				v[i] = rand.Float64()
			}
			f.sink(telemetry.Round{Schema: s, Time: int64(r), Values: v})
			sent += len(v)
		}
	}
	items := f.flush(100)
	if len(items) < 5 {
		t.Fatalf("%d frames", len(items))
	}
	got := 0
	frames := decode(t, wire.NewSchemaCache(0), items)
	checkOrder(t, frames)
	for i := range frames {
		if len(items[i].Bytes) > f.limit {
			t.Errorf("frame of %d bytes", len(items[i].Bytes))
		}
		for _, b := range frames[i].Blocks {
			got += b.Samples()
		}
	}
	if got != sent || f.tooLarge != 0 {
		t.Fatalf("%d samples of %d, %d rounds given up", got, sent, f.tooLarge)
	}
}

func TestSpoolOverflowIsCountedAndSchemasComeAgain(t *testing.T) {
	a, err := New(Options{Config: Config{Agent: "a", Spool: SpoolConfig{MemoryBytes: 1 << 20}}, Sender: newLogbook(t)})
	if err != nil {
		t.Fatal(err)
	}
	if a.spool, err = spool.New(4000); err != nil {
		t.Fatal(err)
	}
	s := schemaOf("x")
	n := uint64(0)
	for at := int64(1); a.self.droppedFrames.Load() == 0; at++ {
		v := make([]float64, 1)
		a.framer.sink(telemetry.Round{Schema: s, Time: at, Values: v})
		a.flush()
		n++
	}
	st := a.spool.Stats()
	if uint64(st.Frames)+a.self.droppedFrames.Load() != n || a.self.frames.Load() != n {
		t.Fatalf("%d made, %d waiting, %d dropped", n, st.Frames, a.self.droppedFrames.Load())
	}
	a.framer.sink(telemetry.Round{Schema: s, Time: 1 << 30, Values: []float64{1}})
	if fr := decode(t, wire.NewSchemaCache(0), a.framer.flush(a.clock.Now())); fr[0].Blocks[0].Schema == nil {
		t.Error("the schema was lost with the first frame and did not come again")
	}
}

func TestClockSteps(t *testing.T) {
	mono, wall := time.Duration(0), time.UnixMilli(1_000_000)
	c := newClock(func() time.Time { return wall.Add(mono) }, func() time.Duration { return mono })
	pass := func(d time.Duration) { mono += d }
	want := func(ms int64) {
		t.Helper()
		if got := c.Now(); got != ms {
			t.Errorf("sample clock %d, want %d", got, ms)
		}
	}
	pass(time.Second)
	want(1_001_000)
	wall = wall.Add(time.Hour) // somebody sets the clock: nothing bends
	pass(time.Second)
	want(1_002_000)
	if step := c.Sync(); step != time.Hour {
		t.Errorf("step %s", step)
	}
	want(1_002_000 + 3_600_000)
	wall = wall.Add(-100 * time.Millisecond) // a small one is closed slowly
	pass(time.Second)
	if step := c.Sync(); step != 0 {
		t.Errorf("step %s", step)
	}
	want(1_003_000 + 3_600_000 - 5)
	for range 40 {
		pass(time.Second)
		c.Sync()
	}
	if off := c.Now() - wall.Add(mono).UnixMilli(); off < -2 || off > 2 {
		t.Errorf("still %d ms off", off)
	}
}

func TestPartitionKeepsZonesTogether(t *testing.T) {
	used := map[string]map[int32]int{}
	for _, zone := range []string{"za", "zb", "zc"} {
		used[zone] = map[int32]int{}
		for i := range 2000 {
			p := Partition(zone, "host-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), 12)
			if p < 0 || p >= 12 {
				t.Fatalf("partition %d", p)
			}
			used[zone][p]++
		}
		if len(used[zone]) != 6 {
			t.Errorf("zone %s uses %d partitions, want 6", zone, len(used[zone]))
		}
		for p, n := range used[zone] {
			if n < 250 || n > 420 {
				t.Errorf("zone %s: partition %d has %d of 2000 hosts", zone, p, n)
			}
		}
	}
	if Partition("z", "h", 1) != 0 || Partition("z", "h", 0) != 0 {
		t.Error("one partition is partition 0")
	}
}

func TestShippedConfigurationLoads(t *testing.T) {
	file := filepath.Join("..", "configs", "agent", "agent.yaml")
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.CheckInputs(); err != nil {
		t.Fatal(err)
	}
	cfg.Agent = "a"
	if _, err := New(Options{Config: cfg, Sender: newLogbook(t)}); err != nil {
		t.Fatal(err)
	}
}

func TestConfigurationFileMistakesHavePositions(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file)
		if err == nil {
			err = cfg.CheckInputs()
		}
		if err == nil || !contains(err.Error(), "agent.yaml:"+want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("agent: x\nintervall: 1s\n", "2:1: intervall")
	f("agent: x\ninterval: 1ms\n", "2:11: interval: must lie within")
	f("agent: x\nprobes:\n  jobs:\n    - name: a\n      probe: sctp\n      targets: [x]\n", "5:14: probes.jobs[0].probe")
	f("agent: x\ninputs: |\n  [[inputs.mem]]\n  [[inputs.cpu]]\n    nope = 1\n", "5:1: inputs.cpu")
	f("kafka:\n  brokers: [nowhere]\n", "2:13: kafka.brokers[0]")
}
