package host

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Process reads what the calling process costs.
type Process struct {
	statm file
	page  float64
}

// NewProcess returns the reader.
func NewProcess() *Process {
	return &Process{statm: file{path: "/proc/self/statm", whole: true}, page: float64(os.Getpagesize())}
}

// Close closes the file.
func (p *Process) Close() error { p.statm.close(); return nil }

// Read returns the CPU time used so far, user and system, and the resident
// memory in bytes; NaN where the kernel does not say.
func (p *Process) Read() (cpuSeconds, residentBytes float64) {
	cpuSeconds, residentBytes = absent, absent
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) == nil {
		cpuSeconds = time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
	}
	data, err := p.statm.read()
	if err != nil {
		return cpuSeconds, residentBytes
	}
	_, data = cutField(data)
	if n, _, ok := uintField(data); ok {
		residentBytes = float64(n) * p.page
	}
	return cpuSeconds, residentBytes
}
