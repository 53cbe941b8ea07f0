package telegraf

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"
)

// One agent has an input of ours that panics, one that hangs for ever, one that
// takes 2.5 s, and a healthy one: for a minute the healthy one gives a sample at
// each second, and each of the others shows in its own figures.
func TestInputsTouchNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		readers := map[int]readerFunc{
			1: func() float64 { panic("index out of range") },
			2: func() float64 { <-release; return 0 },
			3: func() float64 { time.Sleep(2500 * time.Millisecond); return 3 },
			4: func() float64 { return 4 },
		}
		plugOwn("nines_iso")
		var toml string
		for _, s := range []string{"1", "2", "3", "4"} {
			toml += "[[inputs.nines_iso]]\n  alias = \"" + s + "\"\n  size = " + s + "\n  [inputs.nines_iso.tags]\n    n = \"" + s + "\"\n"
		}
		rec := newRecorder()
		start := time.Now()
		in, err := New(Options{
			Files: []File{{Name: "t", Text: []byte(toml)}}, Interval: time.Second, Sink: rec.sink,
			Replace: func(in telegraf.Input) (Reader, error) { return readers[in.(*setting).Size], nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- in.Run(ctx) }()
		time.Sleep(time.Minute + 10*time.Millisecond)
		stats := in.Stats()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		times := map[string][]int64{}
		for _, r := range rec.rounds {
			n := r.Schema.Series[0].Labels.Get("n")
			times[n] = append(times[n], r.Time)
		}
		if len(times["4"]) != 60 {
			t.Errorf("the healthy input gave %d samples in a minute", len(times["4"]))
		}
		for i, at := range times["4"] {
			if want := start.UnixMilli() + int64(i+1)*1000; at != want {
				t.Errorf("sample %d is of %d, want %d", i, at, want)
			}
		}
		for i, f := range []struct {
			samples int
			what    string
			shows   func(Stats) bool
		}{
			{0, "panics", func(s Stats) bool { return s.Errors == 60 && s.Gathers == 60 }},
			{0, "hangs", func(s Stats) bool { return s.Running > 58*time.Second && s.Gathers == 0 }},
			{20, "is slow", func(s Stats) bool { return s.Last == 2500*time.Millisecond && s.Missed >= 38 && s.Errors == 0 }},
			{60, "is healthy", func(s Stats) bool { return s.Errors == 0 && s.Missed == 0 && s.Running == 0 }},
		} {
			name := string(rune('1' + i))
			if n := len(times[name]); n < f.samples-1 || n > f.samples || !f.shows(stats[i]) {
				t.Errorf("the input that %s: %d samples, figures %+v", f.what, n, stats[i])
			}
		}
		close(release)
	})
}
