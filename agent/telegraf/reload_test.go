package telegraf

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"

	"nines/internal/telemetry"
)

// ticks returns the sample times of a series by the value of its tag v.
func ticks(rounds []telemetry.Round, name, v string) (times []int64) {
	for _, r := range rounds {
		for _, s := range r.Schema.Series {
			if s.Name == name && s.Labels.Get("v") == v {
				times = append(times, r.Time)
			}
		}
	}
	return times
}

func tagged(plugin, v string) string {
	return fmt.Sprintf("[[inputs.%s]]\n[inputs.%s.tags]\nv = %q\n", plugin, plugin, v)
}

// A changed input is replaced between two ticks, and one that stays does not
// notice: no tick is missing or measured twice, whenever the reload comes.
func TestReloadLosesNoTick(t *testing.T) {
	plug("nines_steady", &fake{gather: func(acc telegraf.Accumulator) error {
		acc.AddGauge("steady", map[string]any{"x": 1}, nil)
		return nil
	}})
	plug("nines_slow", &fake{gather: func(acc telegraf.Accumulator) error {
		time.Sleep(300 * time.Millisecond)
		acc.AddGauge("slow", map[string]any{"x": 1}, nil)
		return nil
	}})
	f := func(at time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var rounds []telemetry.Round
			opt := Options{Interval: time.Second, Sink: func(r telemetry.Round) {
				mu.Lock()
				rounds = append(rounds, r)
				mu.Unlock()
			}}
			opt.Files = []File{{Name: "t", Text: []byte(tagged("nines_steady", "a") + tagged("nines_slow", "a"))}}
			in, err := New(opt)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- in.Run(ctx) }()
			time.Sleep(at)
			opt.Files = []File{{Name: "t", Text: []byte(tagged("nines_slow", "b") + tagged("nines_steady", "a"))}}
			next, err := in.Prepare(opt)
			if err != nil {
				t.Fatal(err)
			}
			c := next.Change()
			if !slices.Equal(c.Kept, []string{"nines_steady"}) || !slices.Equal(c.Replaced, []string{"nines_slow"}) || len(c.Added)+len(c.Removed) > 0 {
				t.Errorf("change %+v", c)
			}
			in.Apply(next)
			time.Sleep(20*time.Second - at)
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			old, fresh := ticks(rounds, "slow_x", "a"), ticks(rounds, "slow_x", "b")
			if len(old) == 0 || len(fresh) == 0 {
				t.Fatalf("reload at %s: %d ticks before, %d after", at, len(old), len(fresh))
			}
			for _, times := range [][]int64{append(old, fresh...), ticks(rounds, "steady_x", "a")} {
				for i := 1; i < len(times); i++ {
					if times[i] != times[i-1]+1000 {
						t.Errorf("reload at %s: tick %d follows %d", at, times[i], times[i-1])
					}
				}
				if len(times) < 19 {
					t.Errorf("reload at %s: %d ticks", at, len(times))
				}
			}
		})
	}
	for _, at := range []time.Duration{4 * time.Second, 4100 * time.Millisecond, 4290 * time.Millisecond, 4310 * time.Millisecond,
		4690 * time.Millisecond, 4710 * time.Millisecond, 4999 * time.Millisecond, 5*time.Second + 1} {
		f(at)
	}
}

// Ticks that pass while an input is replaced, because the machine is busy or what
// it reads is slow, are counted as missed, after those that the input before it
// missed: the counter goes on.
func TestWhatAReloadMissesIsCounted(t *testing.T) {
	var slow atomic.Int64 // how long a gather takes
	plug("nines_busy", &fake{gather: func(acc telegraf.Accumulator) error {
		time.Sleep(time.Duration(slow.Load()))
		acc.AddGauge("busy", map[string]any{"x": 1}, nil)
		return nil
	}})
	f := func(before, during time.Duration) {
		t.Helper()
		slow.Store(0)
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var rounds []telemetry.Round
			opt := Options{Interval: time.Second, Files: []File{{Name: "t", Text: []byte(tagged("nines_busy", "a"))}}, Sink: func(r telemetry.Round) {
				mu.Lock()
				rounds = append(rounds, r)
				mu.Unlock()
			}}
			in, err := New(opt)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- in.Run(ctx) }()
			time.Sleep(4500 * time.Millisecond)
			slow.Store(int64(before))
			time.Sleep(10 * time.Second)
			opt.Files = []File{{Name: "t", Text: []byte(tagged("nines_busy", "b"))}}
			next, err := in.Prepare(opt)
			if err != nil {
				t.Fatal(err)
			}
			slow.Store(int64(during))
			gathers := in.Stats()[0].Gathers
			in.Apply(next)
			if got := in.Stats()[0].Gathers; got < gathers {
				t.Errorf("the replacement has %d gathers, the input before it had %d", got, gathers)
			}
			time.Sleep(10 * time.Second)
			slow.Store(0)
			time.Sleep(20 * time.Second)
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			times := append(ticks(rounds, "busy_x", "a"), ticks(rounds, "busy_x", "b")...)
			gaps := uint64(0)
			for i := 1; i < len(times); i++ {
				gaps += uint64((times[i]-times[i-1])/1000 - 1)
			}
			if missed := in.Stats()[0].Missed; missed != gaps || gaps == 0 {
				t.Errorf("gathers of %s, of %s while it is replaced: %d ticks are missing, %d are counted as missed", before, during, gaps, missed)
			}
		})
	}
	f(0, 4*time.Second)
	f(2500*time.Millisecond, 0)
	f(2500*time.Millisecond, 3200*time.Millisecond)
}

// What hangs is left behind: its successor begins, and nothing else waits.
func TestReloadReplacesAnInputThatHangs(t *testing.T) {
	release, hangs := make(chan struct{}), make(chan struct{})
	var hung atomic.Bool
	plug("nines_stuck", &fake{gather: func(acc telegraf.Accumulator) error {
		if hung.CompareAndSwap(false, true) {
			close(hangs)
			<-release
		}
		acc.AddGauge("stuck", map[string]any{"x": 1}, nil)
		return nil
	}})
	rec := newRecorder()
	opt := Options{Interval: 20 * time.Millisecond, Sink: rec.sink, Files: []File{{Name: "t", Text: []byte(tagged("nines_stuck", "a"))}}}
	in, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- in.Run(ctx) }()
	<-hangs
	opt.Files = []File{{Name: "t", Text: []byte(tagged("nines_stuck", "b") + "[[inputs.mem]]\n")}}
	next, err := in.Prepare(opt)
	if err != nil {
		t.Fatal(err)
	}
	in.Apply(next)
	rec.wait(t, "the added input", func(r []telemetry.Round) bool { return named(r, "mem_total") > 2 })
	rec.wait(t, "the successor", func(r []telemetry.Round) bool { return len(ticks(r, "stuck_x", "b")) > 2 })
	close(release)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A configuration that cannot be used changes nothing.
func TestPrepareRefusesWhatIsWrong(t *testing.T) {
	opt := Options{Files: []File{{Name: "t.toml", Text: []byte("[[inputs.mem]]\n")}}, Sink: func(telemetry.Round) {}}
	in, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	opt.Files = []File{{Name: "t.toml", Text: []byte("[[inputs.cpu]]\nnope = 1\n")}}
	if _, err := in.Prepare(opt); err == nil || !strings.Contains(err.Error(), "t.toml:2:1: inputs.cpu") {
		t.Errorf("got %v", err)
	}
	if st := in.Stats(); len(st) != 1 || st[0].Name != "mem" {
		t.Errorf("inputs %+v", st)
	}
}

// An input keeps its name while others of its plugin come and go, and a new one
// takes a name that is free.
func TestNamesStayAcrossReloads(t *testing.T) {
	opt := Options{Sink: func(telemetry.Round) {}}
	section := func(dir string) string { return "[[inputs.disk]]\nmount_points = [\"" + dir + "\"]\n" }
	load := func(dirs ...string) {
		opt.Files = []File{{Name: "t"}}
		for _, d := range dirs {
			opt.Files[0].Text = append(opt.Files[0].Text, section(d)...)
		}
	}
	load("/a", "/b")
	in, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	f := func(want Change, dirs ...string) {
		t.Helper()
		load(dirs...)
		next, err := in.Prepare(opt)
		if err != nil {
			t.Fatal(err)
		}
		got := next.Change()
		if len(got.Kept) != len(want.Kept) || !slices.Equal(got.Added, want.Added) || len(got.Removed) != len(want.Removed) || len(got.Replaced) != len(want.Replaced) {
			t.Errorf("%v: got %+v, want %+v", dirs, got, want)
		}
		in.Apply(next)
		names := map[string]bool{}
		for _, st := range in.Stats() {
			names[st.Name] = true
		}
		if len(names) != len(dirs) {
			t.Errorf("%v: names %v", dirs, names)
		}
	}
	f(Change{Kept: []string{"", ""}}, "/b", "/a")
	f(Change{Kept: []string{"", ""}, Added: []string{"disk#3"}}, "/a", "/b", "/c")
	f(Change{Kept: []string{""}, Removed: []string{"", ""}}, "/c")
	f(Change{Replaced: []string{""}}, "/d")
	f(Change{Kept: []string{""}, Added: []string{"disk"}}, "/d", "/e")
}

// Series beyond the limit are dropped, and the first of their metrics named, by
// plugins and by readers alike.
func TestSeriesLimitNamesWhatItDrops(t *testing.T) {
	plug("nines_many", &fake{gather: func(acc telegraf.Accumulator) error {
		for i := range 4 {
			acc.AddGauge("many", map[string]any{"x": 1}, map[string]string{"i": fmt.Sprint(i)})
		}
		acc.AddGauge("more", map[string]any{"y": 1}, nil)
		return nil
	}})
	f := func(toml string, replace func(telegraf.Input) (Reader, error), refused uint64, names ...string) {
		t.Helper()
		in, err := New(Options{Files: []File{{Name: "t", Text: []byte(toml)}}, MaxSeries: 3, Replace: replace, Sink: func(telemetry.Round) {}})
		if err != nil {
			t.Fatal(err)
		}
		in.Once(context.Background(), 0)
		st := in.Stats()[0]
		if st.Series != 3 || st.Refused != refused || !slices.Equal(st.RefusedNames, names) {
			t.Errorf("%s: %+v", toml, st)
		}
	}
	f("[[inputs.nines_many]]", nil, 4, "many_x", "more_y")
	reader := &fakeReader{values: []float64{1, 2, 3, 4}}
	for _, n := range []string{"mem_a", "mem_b", "mem_c", "mem_d"} {
		reader.series = append(reader.series, telemetry.Series{Name: n})
	}
	f("[[inputs.mem]]", func(telegraf.Input) (Reader, error) { return reader, nil }, 2, "mem_d")
}
