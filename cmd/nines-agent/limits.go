package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"nines/agent"
)

// limiter applies the agent's limits to this process.
type limiter struct {
	memory int64 // GOMEMLIMIT, in force where the configuration has none
	cpus   int   // GOMAXPROCS from the environment, likewise; 0 where it has none
}

func newLimiter() limiter {
	l := limiter{memory: debug.SetMemoryLimit(-1)}
	if os.Getenv("GOMAXPROCS") != "" {
		l.cpus = runtime.GOMAXPROCS(0)
	}
	return l
}

// apply puts limits in force; cpus is what the configuration asks for, 0 for all.
func (l limiter) apply(to agent.Limits, cpus int) {
	memory := l.memory
	if to.MemoryBytes > 0 {
		memory = to.MemoryBytes
	}
	debug.SetMemoryLimit(memory)
	if to.CPUs == 0 && l.cpus > 0 {
		cpus = l.cpus
	}
	if cpus > 0 {
		runtime.GOMAXPROCS(cpus)
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
