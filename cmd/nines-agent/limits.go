package main

import (
	"runtime"
	"runtime/debug"

	"nines/agent"
)

// limiter applies the agent's limits to this process.
type limiter struct {
	memory int64 // GOMEMLIMIT, in force where the configuration has none
}

func newLimiter() limiter { return limiter{memory: debug.SetMemoryLimit(-1)} }

func (l limiter) apply(to agent.Limits) {
	memory := l.memory
	if to.MemoryBytes > 0 {
		memory = to.MemoryBytes
	}
	debug.SetMemoryLimit(memory)
	if to.CPUs > 0 {
		runtime.GOMAXPROCS(to.CPUs)
		return
	}
	runtime.SetDefaultGOMAXPROCS()
}
