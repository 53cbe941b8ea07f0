package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"

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

// settled is how long an agent runs before it gives back what only its start
// needed: every input has been read by then.
const settled = 15 * time.Second

// giveBack returns memory to the kernel that only the start needed, a fifth of
// what an agent holds of its own; the runtime by itself would keep it for minutes.
func giveBack(ctx context.Context) {
	timer := time.NewTimer(settled)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		debug.FreeOSMemory()
	}
}
