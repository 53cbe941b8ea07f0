package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// Processes gives the totals that the kernel keeps, under names of Telegraf's
// processes input, which reads a file per process instead (three quarters of
// what a Telegraf with base inputs costs):
//
//   - running: threads that run or wait for a CPU (procs_running of
//     /proc/stat). Telegraf counts processes whose first thread does.
//   - blocked: threads that wait for I/O (procs_blocked).
//   - total_threads: threads of this host (/proc/loadavg).
//   - total: processes, from the number of links of /proc, or by counting its
//     entries where that number is not this namespace's.
//
// Not given are sleeping, stopped, zombies, dead, paging, idle and unknown:
// only a look at every process can tell. readers: telegraf brings them back.
type Processes struct {
	shared *Shared
	proc   string
	load   file
	table  table
	links  bool   // the link count can be trusted
	other  uint64 // links of /proc that are no processes
}

// NewProcesses returns the reader.
func NewProcesses(r Roots, s *Shared) *Processes {
	r = r.fill()
	p := &Processes{shared: s, proc: r.Proc, load: file{path: r.Proc + "/loadavg", whole: true}}
	for _, f := range []string{"running", "blocked", "total_threads", "total"} {
		p.table.add("processes_"+f, telemetry.Gauge, nil)
	}
	p.calibrate()
	return p
}

// Close closes the file.
func (p *Processes) Close() error { p.load.close(); return nil }

// Read measures once.
func (p *Processes) Read() ([]telemetry.Series, []float64, error) {
	v := p.table.values
	err := p.shared.stat.with(func(data []byte) error {
		v[0] = statValue(data, []byte("procs_running "))
		v[1] = statValue(data, []byte("procs_blocked "))
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read process totals: %w", err)
	}
	data, err := p.load.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read process totals: %w", err)
	}
	v[2] = loadThreads(data)
	if v[3], err = p.total(); err != nil {
		return nil, nil, fmt.Errorf("count processes: %w", err)
	}
	return p.table.result()
}

// loadThreads reads the second number of running/threads, the fourth field of
// /proc/loadavg.
func loadThreads(data []byte) float64 {
	for range 3 {
		_, data = cutField(data)
	}
	f, _ := cutField(data)
	for i, c := range f {
		if c == '/' {
			if n, ok := parseUint(f[i+1:]); ok {
				return float64(n)
			}
		}
	}
	return absent
}

func (p *Processes) total() (float64, error) {
	if p.links {
		if n, err := p.linkCount(); err == nil && n > p.other {
			return float64(n - p.other), nil
		}
	}
	processes, _, err := p.count()
	return float64(processes), err
}

// calibrate finds out whether the kernel's link count of /proc (its fixed
// directories, plus one per process of the whole machine) is the number of
// processes seen here: in a container it is not. Processes come and go between
// the two readings, so a few tries are made.
func (p *Processes) calibrate() {
	for range 5 {
		before, err1 := p.linkCount()
		processes, dirs, err := p.count()
		after, err2 := p.linkCount()
		if err != nil || err1 != nil || err2 != nil {
			return
		}
		if before == after && before == processes+dirs+2 {
			p.links, p.other = true, dirs+2
			return
		}
	}
}

func (p *Processes) linkCount() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(p.proc, &st); err != nil {
		return 0, err
	}
	return uint64(st.Nlink), nil
}

// count lists /proc: processes are the directories named by a number.
func (p *Processes) count() (processes, others uint64, err error) {
	entries, err := os.ReadDir(p.proc)
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case e.Name()[0] >= '0' && e.Name()[0] <= '9':
			processes++
		default:
			others++
		}
	}
	return processes, others, err
}
