package agent

import (
	"cmp"
	"errors"
	"fmt"
)

// Limits bound what the agent takes of its host. The zero value bounds the
// series of an input alone.
type Limits struct {
	// MemoryBytes is what the Go runtime aims to stay below, by collecting garbage
	// more often: a soft limit, as GOMEMLIMIT. 0 leaves GOMEMLIMIT in force. It
	// applies to nines-agent, not to an agent within another program.
	MemoryBytes int64 `yaml:"memory_bytes,omitempty"`
	// CPUs is how many CPUs run Go code at a time, as GOMAXPROCS; where 0, see
	// Config.CPUs. It applies to nines-agent.
	CPUs int `yaml:"cpus,omitempty"`
	// SeriesPerInput is the most series that one input may have; 50000. Those that
	// come later are dropped, counted and named.
	SeriesPerInput int `yaml:"series_per_input,omitempty"`
}

// CPUs is how many CPUs run Go code at a time: limits.cpus, or 0 for GOMAXPROCS
// or what the host or its cgroup has, which those need who time packets, or 1 for
// those who read the kernel's figures: a thread that wakes for a millisecond's
// work wakes no others, which is a quarter of the agent's CPU time.
func (c Config) CPUs() int {
	if c.Limits.CPUs == 0 && len(c.Probes.Jobs) == 0 && !c.Mesh.Enabled() {
		return 1
	}
	return c.Limits.CPUs
}

// Bounds of Limits. An agent with Telegraf's plugins needs some 40 MiB.
const (
	minMemoryLimit  = 64 << 20
	maxCPUs         = 1024
	maxInputSeries  = 1_000_000
	defaultSpoolRAM = 64 << 20
)

// validate returns all that is wrong, joined. spool is spool.memory_bytes.
func (l Limits) validate(spool int) error {
	var errs []error
	bad := func(path, f string, a ...any) { errs = append(errs, fmt.Errorf("limits."+path+": "+f, a...)) }
	least := int64(minMemoryLimit + cmp.Or(spool, defaultSpoolRAM))
	if n := l.MemoryBytes; n != 0 && n < least {
		bad("memory_bytes", "must be at least %d: 64 MiB and spool.memory_bytes, got %d", least, n)
	}
	if n := l.CPUs; n < 0 || n > maxCPUs {
		bad("cpus", "must lie within 1 and %d, got %d", maxCPUs, n)
	}
	if n := l.SeriesPerInput; n < 0 || n > maxInputSeries {
		bad("series_per_input", "must lie within 1 and %d, got %d", maxInputSeries, n)
	}
	return errors.Join(errs...)
}
