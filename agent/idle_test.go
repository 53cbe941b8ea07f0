package agent

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nines/agent/mesh"
	"nines/agent/probe"
)

// An agent that measures every ten seconds sleeps in between: its loop turns for
// what was measured, and to say that it lives.
func TestAnAgentSleepsBetweenRounds(t *testing.T) {
	f := func(turnEvery time.Duration, least, most int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var turns atomic.Int64
			book := newLogbook(t)
			a, err := New(Options{Config: Config{Agent: "a"}, Sender: book, TurnEvery: turnEvery, Turned: func() { turns.Add(1) }})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			defer stop()
			if err := a.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if n := turns.Load(); n < least || n > most {
				t.Errorf("it turned %d times in ten minutes, want %d to %d", n, least, most)
			}
			if n := len(book.frames); n < 59 || n > 61 {
				t.Errorf("%d frames in ten minutes of ten seconds each", n)
			}
		})
	}
	f(0, 120, 125)
	f(time.Hour, 120, 125) // no more than six seconds, or it does not seem well
	f(time.Second, 600, 670)
}

func TestHowManyCPUs(t *testing.T) {
	f := func(c Config, want int) {
		t.Helper()
		if got := c.CPUs(); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	f(Config{}, 1)
	f(Config{Limits: Limits{CPUs: 3}}, 3)
	f(Config{Probes: probe.Config{Jobs: []probe.Job{{Name: "web"}}}}, 0)
	f(Config{Mesh: mesh.Config{Listen: ":9862"}}, 0)
	f(Config{Mesh: mesh.Config{Listen: ":9862"}, Limits: Limits{CPUs: 1}}, 1)
}
