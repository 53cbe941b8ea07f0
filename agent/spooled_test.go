package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/agent/probe"
	"nines/agent/spool"
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

func TestSpoolOverflowIsCountedAndSchemasComeAgain(t *testing.T) {
	a, err := New(Options{Config: Config{Agent: "a", Spool: SpoolConfig{MemoryBytes: 1 << 20}}, Sender: newLogbook(t)})
	if err != nil {
		t.Fatal(err)
	}
	if a.spool, err = spool.New(spool.Options{MemoryBytes: 4000}); err != nil {
		t.Fatal(err)
	}
	s := schemaOf("x")
	n := uint64(0)
	for at := int64(1); a.self.droppedFrames.Load() == 0; at++ {
		v := make([]float64, 1)
		a.framer.Sink(telemetry.Round{Schema: s, Time: at, Values: v})
		a.flush()
		n++
	}
	st := a.spool.Stats()
	if uint64(st.Frames)+a.self.droppedFrames.Load() != n || a.self.frames.Load() != n {
		t.Fatalf("%d made, %d waiting, %d dropped", n, st.Frames, a.self.droppedFrames.Load())
	}
	a.framer.Sink(telemetry.Round{Schema: s, Time: 1 << 30, Values: []float64{1}})
	if fr := decode(t, wire.NewSchemaCache(0), a.framer.Flush(a.clock.Now())); fr[0].Blocks[0].Schema == nil {
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
	f("agent: x\nspool:\n  dir: spool\n  max_age: 1s\n", "4:12: spool.max_age: must lie within")
	f("agent: x\ninterval: 1ms\n", "2:11: interval: must lie within")
	f("agent: x\nprobes:\n  jobs:\n    - name: a\n      probe: sctp\n      targets: [x]\n", "5:14: probes.jobs[0].probe")
	f("agent: x\ninputs: |\n  [[inputs.mem]]\n  [[inputs.cpu]]\n    nope = 1\n", "5:1: inputs.cpu")
	f("kafka:\n  brokers: [nowhere]\n", "2:13: kafka.brokers[0]")
}
