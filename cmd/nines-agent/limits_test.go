package main

import (
	"runtime"
	"testing"

	"nines/agent"
)

// limits.cpus goes first, then what the environment says, then what the
// configuration needs.
func TestHowManyCPUsAreInForce(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	f := func(env, limit, needs, want int) {
		t.Helper()
		l := newLimiter()
		l.cpus = env
		l.apply(agent.Limits{CPUs: limit}, needs)
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("environment %d, limit %d, needs %d: %d, want %d", env, limit, needs, got, want)
		}
	}
	f(0, 0, 1, 1)
	f(3, 0, 1, 3)
	f(3, 0, 0, 3)
	f(3, 2, 2, 2)
	f(0, 4, 4, 4)
	runtime.SetDefaultGOMAXPROCS()
	host := runtime.GOMAXPROCS(0)
	f(0, 0, 1, 1)
	f(0, 0, 0, host)
}
