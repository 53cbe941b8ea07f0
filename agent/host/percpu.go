package host

import (
	"strconv"

	"nines/internal/telemetry"
)

// PerCPUOptions choose the series of a table that has a line per CPU.
type PerCPUOptions struct {
	// Total adds the CPUs up, as cpu="all".
	Total bool
	// PerCPU gives each CPU its own series, cpu="cpu0" and so on.
	PerCPU bool
}

// perCPU keeps a table of 32-bit counters with a line per CPU. The kernel lets
// them wrap; here they only grow. A sum of raw values would fall by 2³² whenever
// one CPU wraps or goes offline, which a collector must take for a restart.
// begin, then row and count for each CPU, then done.
type perCPU struct {
	rows  []*cpuRow // of this round, in the kernel's order
	sum   []uint64
	known map[int]*cpuRow // by CPU, also those that went offline
	at    int
	same  bool
}

// cpuRow is one CPU.
type cpuRow struct {
	cpu   int
	seen  bool
	last  []uint32
	total []uint64
}

// begin starts a round of a table with so many columns.
func (p *perCPU) begin(columns int) {
	if len(p.sum) != columns || p.known == nil {
		*p = perCPU{sum: make([]uint64, columns), known: map[int]*cpuRow{}}
	}
	p.at, p.same = 0, len(p.rows) > 0
}

// row returns the row of a CPU.
func (p *perCPU) row(cpu int) *cpuRow {
	at := p.at
	p.at++
	if at < len(p.rows) && p.rows[at].cpu == cpu {
		return p.rows[at]
	}
	p.same = false
	r := p.known[cpu]
	if r == nil {
		r = &cpuRow{cpu: cpu, last: make([]uint32, len(p.sum)), total: make([]uint64, len(p.sum))}
		p.known[cpu] = r
	}
	p.rows = append(p.rows[:min(at, len(p.rows))], r)
	return r
}

// done returns whether the CPUs stayed the same.
func (p *perCPU) done() bool {
	if p.at < len(p.rows) {
		p.same = false
		p.rows = p.rows[:p.at]
	}
	for _, r := range p.rows {
		r.seen = true
	}
	return p.same
}

// count takes the present value of a column.
func (p *perCPU) count(r *cpuRow, column int, v uint32) {
	grown := uint64(v - r.last[column])
	if !r.seen {
		grown = uint64(v) // what it counted before it was first seen
	}
	r.last[column] = v
	r.total[column] += grown
	p.sum[column] += grown
}

// forget begins anew, for tables whose lines cannot be told apart once their
// number has changed.
func (p *perCPU) forget() { *p = perCPU{} }

func cpuLabels(cpu int) telemetry.Labels { return label("cpu", "cpu"+strconv.Itoa(cpu)) }

// parseHex32 reads a hexadecimal number of the kernel; ok is false where it is
// none or does not fit.
func parseHex32(f []byte) (v uint32, ok bool) {
	if len(f) == 0 || len(f) > 8 {
		return 0, false
	}
	for _, c := range f {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint32(c)
	}
	return v, true
}
