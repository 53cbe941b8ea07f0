package probe

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book keeps every round that a prober sent.
type book struct {
	mu     sync.Mutex
	rounds []telemetry.Round
}

func (b *book) sink(r telemetry.Round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds = append(b.rounds, r)
}

// sample is one value of one series.
type sample struct {
	at int64
	v  float64
	h  *hist.Histogram
}

// samples returns what was sent of a series, in the order of sending. Labels
// that are not given are not looked at.
func (b *book) samples(name string, labels ...string) []sample {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []sample
	for _, r := range b.rounds {
		block := telemetry.Block{Absent: r.Absent}
		for i, s := range r.Schema.Series {
			if s.Name != name || !hasLabels(s.Labels, labels) || block.IsAbsent(i) {
				continue
			}
			x := sample{at: r.Time, v: r.Values[i]}
			if r.Hists != nil {
				x.h = r.Hists[i]
			}
			out = append(out, x)
		}
	}
	return out
}

func hasLabels(ls telemetry.Labels, want []string) bool {
	for i := 0; i < len(want); i += 2 {
		if ls.Get(want[i]) != want[i+1] {
			return false
		}
	}
	return true
}

func values(ss []sample) []float64 {
	out := make([]float64, len(ss))
	for i, s := range ss {
		out[i] = s.v
	}
	return out
}

func times(ss []sample) []int64 {
	out := make([]int64, len(ss))
	for i, s := range ss {
		out[i] = s.at
	}
	return out
}

func (b *book) last(name string, labels ...string) (sample, bool) {
	ss := b.samples(name, labels...)
	if len(ss) == 0 {
		return sample{}, false
	}
	return ss[len(ss)-1], true
}

// eventually waits for a condition on real time.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func wallClock() int64 { return time.Now().UnixMilli() }

// newTestEngine returns an engine over the clock and the book of its rounds.
func newTestEngine(clock func() int64) (*engine, *book) {
	b := &book{}
	return newEngine(clock, b.sink, slog.New(slog.DiscardHandler), newOwnMetrics(metrics.NewSet())), b
}

// fakeSpec is a target without a network.
func fakeSpec(name string, interval, timeout time.Duration, probe probeFunc) *spec {
	return &spec{
		key: name, kind: "tcp", interval: interval.Milliseconds(), timeout: timeout, probe: probe,
		labels: telemetry.NewLabels(map[string]string{"target": name, "job": "test", "probe": "tcp"}),
	}
}

// answers is a probe of a target that answers after d.
func answers(d time.Duration) probeFunc {
	return func(ctx context.Context, _ int64) result {
		r := newResult()
		select {
		case <-ctx.Done():
			r.fail(ctx.Err())
		case <-time.After(d):
			r.ok = true
		}
		return r
	}
}

// refuses is a probe of a target on which nothing listens.
func refuses(context.Context, int64) result {
	r := newResult()
	r.reason = reasonRefused
	return r
}

// runEngine runs e for d of the bubble's time.
func runEngine(e *engine, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	e.run(ctx)
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func every(from, step int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = from + int64(i)*step
	}
	return out
}

func repeat(v float64, n int) []float64 { return slices.Repeat([]float64{v}, n) }

func (r result) String() string { return fmt.Sprint(r.ok, " ", r.reason, " ", r.err) }
