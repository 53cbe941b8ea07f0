package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes what happened in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) is(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("got %v, want %v", j.lines, want)
	}
}

// obeys is a part that stops after a while when asked.
func (j *journal) obeys(name string, takes time.Duration) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(takes) // inside a synctest bubble: virtual time
		j.add("stopped " + name)
		return ctx.Err()
	}}
}

func TestStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := New(Options{})
		// The broker must outlive the collector, which must outlive the agent.
		g.Add(j.obeys("broker", 0))
		g.Add(j.obeys("collector", time.Second))
		g.Add(j.obeys("agent", time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		synctest.Wait()
		for name, err := range g.Health() {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		start := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("stopping took %s, want one after the other: 2s", took)
		}
		j.is(t, "stopped agent", "stopped collector", "stopped broker")
	})
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var out bytes.Buffer
		g := New(Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
		g.Add(j.obeys("broker", 0))
		boom := errors.New("disk full")
		g.Add(Part{Name: "ledger", Run: func(context.Context) error { time.Sleep(3 * time.Second); return boom }})
		// A part that is done is no failure.
		g.Add(Part{Name: "migration", Run: func(context.Context) error { return nil }})
		g.Add(Part{Name: "web", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("listener broke") }})
		err := g.Run(t.Context())
		if !errors.Is(err, boom) || err.Error() != "ledger: disk full" {
			t.Errorf("got %v", err)
		}
		j.is(t, "stopped broker")
		h := g.Health()
		if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"broker", "ledger", "migration", "web"}) {
			t.Errorf("health of %v", got)
		}
		if h["broker"] == nil || h["migration"] == nil || !errors.Is(h["ledger"], boom) {
			t.Errorf("health %v", h)
		}
		if !strings.Contains(out.String(), `part=ledger err="disk full"`) {
			t.Errorf("log %s", out.String())
		}
	})
}

func TestAFailureWhileStoppingIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		g.Add(Part{Name: "ledger", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("commit lost") }})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Run(ctx); err == nil || err.Error() != "ledger: commit lost" {
			t.Errorf("got %v", err)
		}
	})
}

func TestGraceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var out bytes.Buffer
		g := New(Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
		g.Add(j.obeys("broker", 0))
		stuck := j.obeys("stuck", 10*time.Second)
		g.Add(stuck)
		patient := j.obeys("patient", 3*time.Second)
		patient.Grace = 5 * time.Second
		g.Add(patient)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := g.Run(ctx); err != nil {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("stopping took %s, want 3s and the grace of 2s", took)
		}
		j.is(t, "stopped patient", "stopped broker")
		if !strings.Contains(out.String(), "part=stuck grace=2s") {
			t.Errorf("log %s", out.String())
		}
		time.Sleep(10 * time.Second) // let the stuck part end within the bubble
	})
}

func TestHealthAndReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		var lag error
		reloaded := 0
		wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
		g.Add(Part{Name: "evaluate", Run: wait, Health: func() error { return lag },
			Reload: func(context.Context) error { return errors.New("rules.yaml:3:1: no such metric") }})
		g.Add(Part{Name: "notify", Run: wait, Reload: func(context.Context) error { reloaded++; return nil }})
		g.Add(Part{Name: "agent", Run: wait})
		if err := g.Health()["agent"]; err == nil || err.Error() != "not started" {
			t.Errorf("before the start: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		synctest.Wait()
		lag = errors.New("evaluation stalled")
		if h := g.Health(); !errors.Is(h["evaluate"], lag) || h["notify"] != nil || h["agent"] != nil {
			t.Errorf("health %v", h)
		}
		err := g.Reload(ctx)
		if err == nil || err.Error() != "reload evaluate: rules.yaml:3:1: no such metric" {
			t.Errorf("reload: %v", err)
		}
		if reloaded != 1 {
			t.Error("one part's error kept another from reloading")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// One part's mistake keeps every part's last good configuration.
func TestAFailedCheckReloadsNothing(t *testing.T) {
	g := New(Options{})
	var wrong error
	reloaded := 0
	g.Add(Part{Name: "rules", Reload: func(context.Context) error { reloaded++; return nil }})
	g.Add(Part{Name: "notify", CheckReload: func(context.Context) error { return wrong }})
	wrong = errors.New("alertmanager.yml:3:1: undefined receiver")
	if err := g.Reload(t.Context()); err == nil || err.Error() != wrong.Error() || reloaded != 0 {
		t.Errorf("reload: %v; %d parts reloaded", err, reloaded)
	}
	wrong = nil
	if err := g.Reload(t.Context()); err != nil || reloaded != 1 {
		t.Errorf("reload: %v; %d parts reloaded", err, reloaded)
	}
}

func TestEmptyGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(Options{}).Run(ctx); err != nil {
		t.Error(err)
	}
}
