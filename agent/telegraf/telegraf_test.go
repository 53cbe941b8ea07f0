package telegraf

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"

	"nines/internal/telemetry"
)

// recorder is a sink that keeps the rounds.
type recorder struct {
	mu     sync.Mutex
	rounds []telemetry.Round
	came   chan struct{}
}

func newRecorder() *recorder { return &recorder{came: make(chan struct{}, 1)} }

func (r *recorder) sink(x telemetry.Round) {
	r.mu.Lock()
	r.rounds = append(r.rounds, x)
	r.mu.Unlock()
	select {
	case r.came <- struct{}{}:
	default:
	}
}

// wait blocks until ok holds for the rounds so far.
func (r *recorder) wait(t *testing.T, what string, ok func([]telemetry.Round) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		done := ok(r.rounds)
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.came:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// named counts the values of a series name over all rounds.
func named(rounds []telemetry.Round, name string) int {
	n := 0
	for _, r := range rounds {
		for _, s := range r.Schema.Series {
			if s.Name == name {
				n++
			}
		}
	}
	return n
}

func find(rounds []telemetry.Round, name string) (telemetry.Series, float64, bool) {
	for _, r := range rounds {
		b := telemetry.Block{Absent: r.Absent}
		for i, s := range r.Schema.Series {
			if s.Name == name && !b.IsAbsent(i) {
				return s, r.Values[i], true
			}
		}
	}
	return telemetry.Series{}, 0, false
}

// once gathers a piece of configuration and returns its rounds.
func once(t *testing.T, toml string, replace func(telegraf.Input) (Reader, error)) []telemetry.Round {
	t.Helper()
	in, err := New(Options{Files: []File{{Name: "t.toml", Text: []byte(toml)}}, Sink: func(telemetry.Round) {}, Replace: replace})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var rounds []telemetry.Round
	for _, res := range in.Once(ctx, time.Millisecond) {
		if res.Err != nil {
			t.Fatalf("%s: %v", res.Input, res.Err)
		}
		rounds = append(rounds, res.Rounds...)
	}
	return rounds
}

// fake is a plugin whose Gather a test decides.
type fake struct {
	Text   string `toml:"text"`
	gather func(telegraf.Accumulator) error
	start  func() error
}

func (*fake) SampleConfig() string                    { return "" }
func (f *fake) Gather(acc telegraf.Accumulator) error { return f.gather(acc) }

type fakeService struct{ fake }

func (f *fakeService) Start(telegraf.Accumulator) error { return f.start() }
func (*fakeService) Stop()                              {}

// plug registers a plugin under a name of this test's own.
func plug(name string, in telegraf.Input) { inputs.Add(name, func() telegraf.Input { return in }) }

func TestTelegrafSnippetWorksUnchanged(t *testing.T) {
	rounds := once(t, `
[global_tags]
  rack = "r7"
[[inputs.mem]]
  interval = "5s"
  name_override = "memory"
  fieldinclude = ["total", "used*"]
  [inputs.mem.tags]
    tier = "web"
    host = "dropped"
`, nil)
	s, v, ok := find(rounds, "memory_total")
	if !ok || v <= 0 {
		t.Fatalf("memory_total is missing in %d rounds", len(rounds))
	}
	if got := s.Labels.String(); got != `{rack="r7",tier="web"}` {
		t.Fatalf("labels %s", got)
	}
	if len(rounds) != 1 || len(rounds[0].Values) != 3 {
		t.Fatalf("fieldinclude left %v", rounds)
	}
}

func TestMetricpassFilters(t *testing.T) {
	plug("nines_pass", &fake{gather: func(acc telegraf.Accumulator) error {
		acc.AddGauge("a", map[string]any{"v": 1}, map[string]string{"side": "left"})
		acc.AddGauge("a", map[string]any{"v": 2}, map[string]string{"side": "right"})
		return nil
	}})
	rounds := once(t, "[[inputs.nines_pass]]\n  metricpass = \"tags.side == 'right'\"\n", nil)
	if _, v, ok := find(rounds, "a_v"); !ok || v != 2 || len(rounds[0].Values) != 1 {
		t.Fatalf("rounds %+v", rounds)
	}
}

func TestValuesBecomeNumbers(t *testing.T) {
	plug("nines_values", &fake{gather: func(acc telegraf.Accumulator) error {
		acc.AddFields("m", map[string]any{
			"up": true, "down": false, "text": "x", "u": uint64(7), "i": int64(-7), "f": 0.5,
			"nan": math.NaN(), "unknown": uint64(math.MaxUint64), "value": 3, "odd-name.x": 1,
		}, map[string]string{"tag with space": "v"})
		return nil
	}})
	rounds := once(t, "[[inputs.nines_values]]", nil)
	for name, want := range map[string]float64{"m_up": 1, "m_down": 0, "m_u": 7, "m_i": -7, "m_f": 0.5, "m": 3, "m_odd_name_x": 1} {
		s, v, ok := find(rounds, name)
		if !ok || v != want {
			t.Errorf("%s = %v, %v, want %v", name, v, ok, want)
		}
		if s.Labels.Get("tag_with_space") != "v" {
			t.Errorf("%s: labels %s", name, s.Labels)
		}
	}
	if n := len(rounds[0].Values); n != 7 {
		t.Errorf("%d series, want 7: strings and what is no number have none", n)
	}
}

func TestConfigurationErrorsNameFileAndLine(t *testing.T) {
	f := func(toml string, line int, want string) {
		t.Helper()
		_, err := Load([]File{{Name: "a.yaml", Line: line, Text: []byte(toml)}}, time.Second)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f("\n[[inputs.cpu]]\n  percpuu = true\n", 0,
		`a.yaml:3:1: inputs.cpu: configuration specified the fields ["percpuu"], but they were not used; this is either a typo or this config option does not exist in this version`)
	f("[[inputs.mem]]\n[[inputs.nope]]\n", 10, `a.yaml:11:1: inputs.nope: undefined but requested input: nope`)
}

func TestConfigurationErrorsNameTheirPlace(t *testing.T) {
	f := func(toml, want string) {
		t.Helper()
		_, err := Load([]File{{Name: "a.toml", Text: []byte(toml)}}, time.Second)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s…", err, want)
		}
	}
	f("[[inputs.cpu]]\n  percpu = \"yes\"\n", "a.toml:2:1: inputs.cpu: ")
	f("[[inputs.cpu\n", "a.toml:2:1: ")
	f("[[inputs.cpu]]\n  interval = \"soon\"\n", "a.toml:")
	f("[[outputs.file]]\n", "a.toml:1:1: outputs.file: ")
}

func TestOneBadInputLeavesTheOthersRunning(t *testing.T) {
	release := make(chan struct{})
	plug("nines_panics", &fake{gather: func(telegraf.Accumulator) error { panic("index out of range") }})
	plug("nines_hangs", &fake{gather: func(telegraf.Accumulator) error { <-release; return nil }})
	plug("nines_errors", &fake{gather: func(acc telegraf.Accumulator) error {
		acc.AddError(errors.New("half of it failed"))
		acc.AddGauge("half", map[string]any{"v": 1}, nil)
		return nil
	}})
	gathered := false
	unstarted := &fakeService{}
	unstarted.start = func() error { return errors.New("not there yet") }
	unstarted.gather = func(telegraf.Accumulator) error { gathered = true; return nil }
	plug("nines_unstarted", unstarted)
	rec := newRecorder()
	in, err := New(Options{
		Files:    []File{{Name: "t.toml", Text: []byte("[[inputs.mem]]\n[[inputs.nines_panics]]\n[[inputs.nines_hangs]]\n[[inputs.nines_errors]]\n[[inputs.nines_unstarted]]\n")}},
		Interval: 20 * time.Millisecond, Sink: rec.sink,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- in.Run(ctx) }()
	rec.wait(t, "the healthy inputs", func(r []telemetry.Round) bool {
		return named(r, "mem_total") > 5 && named(r, "half_v") > 5
	})
	stats := map[string]Stats{}
	for _, st := range in.Stats() {
		stats[st.Name] = st
	}
	if st := stats["nines_panics"]; st.Errors < 2 {
		t.Errorf("panics counted: %+v", st)
	}
	if st := stats["nines_errors"]; st.Errors < 5 || st.Series != 1 {
		t.Errorf("errors counted: %+v", st)
	}
	if st := stats["nines_hangs"]; st.Running < 50*time.Millisecond || st.Gathers != 0 {
		t.Errorf("a hang is not visible: %+v", st)
	}
	if st := stats["nines_unstarted"]; st.Errors < 2 || gathered {
		t.Errorf("gathered a plugin that did not start: %+v", st)
	}
	if st := stats["mem"]; st.Errors != 0 || st.Last <= 0 || st.Series == 0 {
		t.Errorf("healthy input: %+v", st)
	}
	close(release)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRoundsCarryTheTickTime(t *testing.T) {
	rec := newRecorder()
	in, err := New(Options{Files: []File{{Name: "t", Text: []byte("[[inputs.mem]]")}}, Interval: 50 * time.Millisecond, Sink: rec.sink})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- in.Run(ctx) }()
	rec.wait(t, "rounds", func(r []telemetry.Round) bool { return len(r) > 4 })
	cancel()
	<-done
	for i, r := range rec.rounds {
		if r.Time%50 != 0 || i > 0 && r.Time <= rec.rounds[i-1].Time {
			t.Errorf("round %d at %d", i, r.Time)
		}
		if r.Schema.Fingerprint != rec.rounds[0].Schema.Fingerprint {
			t.Errorf("schema changed in round %d", i)
		}
	}
}

func TestNextTick(t *testing.T) {
	f := func(now, last, interval, want int64, missed uint64) {
		t.Helper()
		next, m := nextTick(now, last, interval)
		if next != want || m != missed {
			t.Errorf("nextTick(%d, %d, %d) = %d, %d; want %d, %d", now, last, interval, next, m, want, missed)
		}
	}
	f(1500, 0, 1000, 2000, 0)
	f(2001, 2000, 1000, 3000, 0)
	f(1999, 2000, 1000, 3000, 0)  // the timer was early
	f(5500, 2000, 1000, 6000, 3)  // a gather took 3.5 s
	f(500, 60_000, 1000, 1000, 0) // the clock was set back
}

func TestReplacedInputKeepsNamesTagsAndFilters(t *testing.T) {
	r := &fakeReader{series: []telemetry.Series{
		{Name: "swap_used", Kind: telemetry.Gauge}, {Name: "swap_in", Kind: telemetry.Counter}, {Name: "swap_out", Kind: telemetry.Counter},
	}, values: []float64{1, 2, math.NaN()}}
	rounds := once(t, "[[inputs.swap]]\n  name_prefix = \"x_\"\n  fieldexclude = [\"used\"]\n  [inputs.swap.tags]\n    a = \"b\"\n",
		func(telegraf.Input) (Reader, error) { return r, nil })
	s, v, ok := find(rounds, "x_swap_in")
	if !ok || v != 2 || s.Kind != telemetry.Counter || s.Labels.String() != `{a="b"}` {
		t.Fatalf("series %+v = %v in %+v", s, v, rounds)
	}
	if _, _, ok := find(rounds, "x_swap_out"); ok || len(rounds[0].Values) != 2 {
		t.Fatalf("rounds %+v", rounds)
	}
	if !r.closed {
		t.Error("the reader was not closed")
	}
}

type fakeReader struct {
	series []telemetry.Series
	values []float64
	closed bool
}

func (f *fakeReader) Read() ([]telemetry.Series, []float64, error) { return f.series, f.values, nil }
func (f *fakeReader) Close() error                                 { f.closed = true; return nil }

func TestKinds(t *testing.T) {
	kinds := newKindTable()
	f := func(plugin, field string, typ telegraf.ValueType, want telemetry.Kind) {
		t.Helper()
		if got := kinds.kindOf(plugin, field, typ); got != want {
			t.Errorf("%s %s: %s, want %s", plugin, field, got, want)
		}
	}
	f("net", "bytes_recv", telegraf.Counter, telemetry.Counter)
	f("net", "speed", telegraf.Counter, telemetry.Gauge)
	f("diskio", "io_util", telegraf.Counter, telemetry.Gauge)
	f("diskio", "reads", telegraf.Counter, telemetry.Counter)
	f("nstat", "TcpRetransSegs", telegraf.Untyped, telemetry.Counter)
	f("nstat", "TcpCurrEstab", telegraf.Untyped, telemetry.Gauge)
	f("kernel_vmstat", "nr_free_pages", telegraf.Untyped, telemetry.Gauge)
	f("kernel_vmstat", "pgfault", telegraf.Untyped, telemetry.Counter)
	f("netstat", "tcp_established", telegraf.Untyped, telemetry.Gauge)
	f("procstat", "cpu_time_user", telegraf.Untyped, telemetry.Counter)
	f("procstat", "memory_rss", telegraf.Untyped, telemetry.Gauge)
	f("cpu", "time_idle", telegraf.Counter, telemetry.Counter)
	f("any", "seconds_bucket", telegraf.Histogram, telemetry.Counter)
}

func TestEveryMistakeOfAFileIsTold(t *testing.T) {
	text := "[[inputs.mem]]\n[[inputs.cpu]]\n  nope = 1\n  [inputs.cpu.tags]\n    a = \"\"\"\n[[inputs.mem]]\"\"\"\n[[inputs.cpu]]\n  percpu = true\n  wrong = 1\n[[inputs.absent]]\n"
	_, err := Load([]File{{Name: "x.yaml", Line: 11, Text: []byte(text)}}, time.Second)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("want three mistakes:\n%v", err)
	}
	for i, want := range []string{"x.yaml:13:1: inputs.cpu: ", "x.yaml:19:1: inputs.cpu: ", "x.yaml:20:1: inputs.absent: "} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("mistake %d is %q, want %q", i, lines[i], want)
		}
	}
}
