package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// logbook is a Sender that decodes what it stores, as a collector would.
type logbook struct {
	t *testing.T
	// fail decides what happens at an attempt: nil stores the frame.
	fail func(attempt int) error
	// repeat stores the frame although fail said no: an answer was lost.
	repeat func(attempt int) bool

	mu       sync.Mutex
	attempts int
	dec      wire.Decoder
	schemas  *wire.SchemaCache
	frames   []telemetry.Frame
	bytes    int
	came     chan struct{}
}

func newLogbook(t *testing.T) *logbook {
	return &logbook{t: t, schemas: wire.NewSchemaCache(0), fail: func(int) error { return nil }, repeat: func(int) bool { return false }, came: make(chan struct{}, 1)}
}

// Send implements Sender: it tries until fail says nil.
func (l *logbook) Send(ctx context.Context, _ uint64, frame []byte) error {
	for {
		l.mu.Lock()
		l.attempts++
		err := l.fail(l.attempts)
		if err == nil || l.repeat(l.attempts) {
			l.store(frame)
		}
		l.mu.Unlock()
		if err == nil || errors.Is(err, ErrRefused) {
			return err
		}
		if !pause(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (l *logbook) store(frame []byte) {
	var f telemetry.Frame
	if err := l.dec.DecodeFrame(append([]byte(nil), frame...), &f, l.schemas); err != nil {
		l.t.Errorf("decode frame: %v", err)
	}
	l.frames = append(l.frames, f)
	l.bytes += len(frame)
	l.dec = wire.Decoder{}
	select {
	case l.came <- struct{}{}:
	default:
	}
}

// wait blocks until ok holds for the frames stored so far.
func (l *logbook) wait(what string, ok func([]telemetry.Frame) bool) {
	l.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		l.mu.Lock()
		done := ok(l.frames)
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-l.came:
		case <-deadline:
			l.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// has tells whether a series is in the frames, with a value.
func has(frames []telemetry.Frame, name string) bool {
	for _, f := range frames {
		for _, b := range f.Blocks {
			if b.Schema == nil {
				continue
			}
			for i, s := range b.Schema.Series {
				if s.Name == name && !b.IsAbsent(i*len(b.Times)) {
					return true
				}
			}
		}
	}
	return false
}

func start(t *testing.T, cfg Config, s Sender) (a *Agent, stop func() error) {
	t.Helper()
	a, err := New(Options{Config: cfg, Sender: s, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case result = <-done:
			case <-time.After(5 * time.Second):
				result = errors.New("the agent did not stop within 5 s")
			}
		})
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return a, stop
}

func TestAgentMeasuresThisHost(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	book := newLogbook(t)
	a, stop := start(t, Config{
		Agent: "host-1", Labels: map[string]string{"zone": "z1", "region": "r1"},
		Interval: 100 * time.Millisecond, Flush: 100 * time.Millisecond, SelfInterval: 100 * time.Millisecond,
		Inputs: "[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.net]]\n[[inputs.disk]]\n",
	}, book)
	want := []string{"cpu_usage_idle", "mem_used_percent", "net_bytes_recv", "disk_used_percent", "nines_agent_info",
		"nines_agent_frames_total", "nines_agent_spool_bytes", "nines_agent_dropped_frames_total", "nines_agent_input_seconds",
		"nines_agent_input_errors_total", "nines_agent_cpu_seconds_total", "nines_agent_resident_bytes",
		"clock_offset_seconds", "clock_synchronised"}
	for _, name := range want {
		book.wait(name, func(f []telemetry.Frame) bool { return has(f, name) })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f := book.frames[0]
	if f.Agent != "host-1" || f.Boot != a.Boot() || f.Boot == 0 {
		t.Errorf("identity %s %x", f.Agent, f.Boot)
	}
	if got := f.Host.String(); got != `{agent="host-1",host="host-1",region="r1",zone="z1"}` {
		t.Errorf("host labels %s", got)
	}
	checkOrder(t, book.frames)
}

// checkOrder wants sequence numbers from 1 without holes.
func checkOrder(t *testing.T, frames []telemetry.Frame) {
	t.Helper()
	for i, f := range frames {
		if f.Seq != uint64(i+1) {
			t.Fatalf("frame %d has number %d", i+1, f.Seq)
		}
	}
}

func TestFlakyKafkaLeavesNoHoles(t *testing.T) {
	book := newLogbook(t)
	book.fail = func(n int) error {
		if n%3 != 0 {
			return fmt.Errorf("attempt %d: connection reset", n)
		}
		return nil
	}
	book.repeat = func(n int) bool { return n%5 == 0 }
	_, stop := start(t, Config{Agent: "a", Interval: 100 * time.Millisecond, Flush: 100 * time.Millisecond, Inputs: "[[inputs.mem]]"}, book)
	book.wait("frames", func(f []telemetry.Frame) bool { return len(f) > 12 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	repeats := 0
	for _, f := range book.frames {
		switch {
		case f.Seq == last:
			repeats++
		case f.Seq != last+1:
			t.Fatalf("frame %d came after %d", f.Seq, last)
		}
		last = f.Seq
	}
	if repeats == 0 {
		t.Error("the test repeated nothing")
	}
}

func TestRefusedFrameIsAGapAndNoStop(t *testing.T) {
	book := newLogbook(t)
	book.fail = func(n int) error {
		if n == 2 {
			return fmt.Errorf("%w: too large", ErrRefused)
		}
		return nil
	}
	a, stop := start(t, Config{Agent: "a", Interval: 100 * time.Millisecond, Flush: 100 * time.Millisecond, Inputs: "[[inputs.mem]]"}, book)
	book.wait("frames", func(f []telemetry.Frame) bool { return len(f) > 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if book.frames[0].Seq != 1 || book.frames[1].Seq != 3 || a.self.droppedFrames.Load() != 1 {
		t.Errorf("frames %d, %d; dropped %d", book.frames[0].Seq, book.frames[1].Seq, a.self.droppedFrames.Load())
	}
}

func TestStoppingWithKafkaAwayTakesAboutASecond(t *testing.T) {
	book := newLogbook(t)
	book.fail = func(int) error { return errors.New("no broker") }
	_, stop := start(t, Config{Agent: "a", Flush: 100 * time.Millisecond}, book)
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("stopping took %s", d)
	}
}

func TestUrgentRoundLeavesAtOnce(t *testing.T) {
	book := newLogbook(t)
	a, _ := start(t, Config{Agent: "a", Flush: 30 * time.Second, SelfInterval: time.Hour}, book)
	schema := telemetry.NewSchema([]telemetry.Series{{Name: "probe_success", Kind: telemetry.Gauge}})
	began := time.Now()
	a.framer.Sink(telemetry.Round{Schema: schema, Time: a.clock.Now(), Values: []float64{0}, Urgent: true})
	book.wait("the failed probe", func(f []telemetry.Frame) bool { return has(f, "probe_success") })
	if d := time.Since(began); d > time.Second {
		t.Errorf("an urgent round took %s", d)
	}
}

func TestConfigurationMistakesAreRefused(t *testing.T) {
	f := func(want string, c Config) {
		t.Helper()
		_, err := New(Options{Config: c, Sender: newLogbook(t)})
		if err == nil || !contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("interval: must lie within 100ms and 1h, got 1ms", Config{Interval: time.Millisecond})
	f("readers: must be kernel or telegraf", Config{Readers: "mine"})
	f("topic: must be nines.telemetry or nines.telemetry.REGION, got \"nines.alerts\"", Config{Topic: "nines.alerts"})
	f("labels: not a label name", Config{Labels: map[string]string{"a-b": "x"}})
	f("inputs:2:1: inputs.cpu", Config{Inputs: "[[inputs.cpu]]\n  nope = 1"})
	f("missing.toml", Config{InputsFiles: []string{"missing.toml"}})
	f("probes.jobs[0].probe", Config{Probes: probeConfig("sctp")})
	f("spool.memory_bytes: must be at least 1048576", Config{Spool: SpoolConfig{MemoryBytes: 1}})
	f("spool.disk_bytes: must be at least 8388608", Config{Spool: SpoolConfig{Dir: "spool", DiskBytes: 1}})
	f("spool.disk_bytes: needs a directory", Config{Spool: SpoolConfig{DiskBytes: 1 << 30}})
	f("spool.max_age: must lie within 1m and 47h", Config{Spool: SpoolConfig{MaxAge: 48 * time.Hour}})
	f("spool.replay_speed: must lie within 2 and 1000", Config{Spool: SpoolConfig{ReplaySpeed: 1}})
	f("spool.replay_speed", Config{Spool: SpoolConfig{ReplaySpeed: math.NaN()}})
}
