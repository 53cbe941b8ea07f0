package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"nines/agent"
)

// limiter applies the agent's limits to this process.
type limiter struct {
	memory int64 // GOMEMLIMIT, in force where the configuration has none
	cpus   int   // GOMAXPROCS from the environment, likewise; 0 where it has none
}

// gcPercent lets the heap grow by half between collections. There is little to
// collect: of 2 MB in use, which Go's default would let become 4 and more, and a
// collection each half minute costs no CPU time that could be measured.
const gcPercent = 50

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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if to.CPUs == 0 && l.cpus > 0 {
		cpus = l.cpus
	}
	if cpus > 0 {
		runtime.GOMAXPROCS(cpus)
		return
	}
	runtime.SetDefaultGOMAXPROCS()
}
