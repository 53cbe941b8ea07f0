package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// slowEvery is how often facts that seldom change (CPUs, users) are read.
const slowEvery = 10 * time.Second

// System gives the figures of Telegraf's system input: load, uptime, and the
// numbers of CPUs and users, which may be ten seconds old.
type System struct {
	load  file
	table table
	slow  time.Time
	users users

	online  file   // which CPUs are
	counted string // its content when they were counted
}

// NewSystem returns the reader.
func NewSystem(r Roots) *System {
	r = r.fill()
	s := &System{load: file{path: r.Proc + "/loadavg", whole: true}, users: newUsers(r),
		online: file{path: r.Sys + "/devices/system/cpu/online", whole: true}}
	for _, f := range []string{"load1", "load5", "load15", "n_cpus", "n_physical_cpus", "n_users", "n_unique_users"} {
		s.table.add("system_"+f, telemetry.Gauge, nil)
	}
	s.table.add("system_uptime", telemetry.Counter, nil)
	return s
}

// Close closes the files.
func (s *System) Close() error {
	s.load.close()
	s.online.close()
	return nil
}

// Read measures once.
func (s *System) Read() ([]telemetry.Series, []float64, error) {
	data, err := s.load.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read load: %w", err)
	}
	v := s.table.values
	for i := range 3 {
		var f []byte
		f, data = cutField(data)
		n, ok := parseFixed(f)
		if !ok {
			return nil, nil, fmt.Errorf("read load: %q is no number", f)
		}
		v[i] = n
	}
	if now := time.Now(); now.Sub(s.slow) >= slowEvery {
		if err := s.readSlow(v); err != nil {
			return nil, nil, err
		}
		s.slow = now
	}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return nil, nil, fmt.Errorf("read uptime: %w", err)
	}
	v[7] = float64(si.Uptime)
	return s.table.result()
}

func (s *System) readSlow(v []float64) error {
	if err := s.countCPUs(v); err != nil {
		return fmt.Errorf("count CPUs: %w", err)
	}
	v[5], v[6] = s.users.read()
	return nil
}

// countCPUs counts anew where other CPUs are online than before, or where the
// kernel does not say which: counting reads a file of each.
func (s *System) countCPUs(v []float64) error {
	online, err := s.online.read()
	if err == nil && len(online) > 0 && string(online) == s.counted {
		return nil
	}
	s.counted = ""
	logical, errLogical := cpu.Counts(true)
	physical, errPhysical := cpu.Counts(false)
	if err := errors.Join(errLogical, errPhysical); err != nil {
		return err
	}
	v[3], v[4] = float64(logical), float64(physical)
	if err == nil {
		s.counted = string(online)
	}
	return nil
}

// KernelOptions are those of Telegraf's kernel input that the reader serves.
type KernelOptions struct {
	// Pressure adds the kernel's pressure stall information.
	Pressure bool
}

// Kernel gives the figures of Telegraf's kernel input: context switches,
// interrupts, forks, entropy, and on demand pressure stall information.
type Kernel struct {
	shared  *Shared
	entropy file
	psi     []psiFile
	table   table
	keys    []kernelKey
}

type kernelKey struct {
	line []byte // how the line of /proc/stat begins
	at   int
}

type psiFile struct {
	file file
	at   int      // of its first value
	rows []string // "some", "full"
}

// NewKernel returns the reader.
func NewKernel(r Roots, s *Shared, opt KernelOptions) (*Kernel, error) {
	r = r.fill()
	k := &Kernel{shared: s, entropy: file{path: r.Proc + "/sys/kernel/random/entropy_avail", whole: true}}
	k.table.add("kernel_entropy_avail", telemetry.Gauge, nil)
	for _, key := range []struct {
		line, field string
		kind        telemetry.Kind
	}{
		{"intr ", "interrupts", telemetry.Counter}, {"ctxt ", "context_switches", telemetry.Counter},
		{"processes ", "processes_forked", telemetry.Counter}, {"btime ", "boot_time", telemetry.Gauge},
	} {
		k.keys = append(k.keys, kernelKey{[]byte(key.line), len(k.table.series)})
		k.table.add("kernel_"+key.field, key.kind, nil)
	}
	if opt.Pressure {
		if err := k.addPressure(r); err != nil {
			k.Close()
			return nil, err
		}
	}
	return k, nil
}

// addPressure finds which resources and rows this kernel has.
func (k *Kernel) addPressure(r Roots) error {
	for _, resource := range []string{"cpu", "memory", "io"} {
		p := psiFile{file: file{path: r.Proc + "/pressure/" + resource, whole: true}, at: len(k.table.series)}
		data, err := p.file.read()
		if err != nil {
			return fmt.Errorf("read pressure: %w; remove psi from the kernel input's collect", err)
		}
		for _, row := range []string{"some", "full"} {
			// The kernel shows a full row for the CPU that means nothing.
			if !bytes.Contains(data, []byte(row+" ")) || resource == "cpu" && row == "full" {
				continue
			}
			p.rows = append(p.rows, row)
			ls := telemetry.NewLabels(map[string]string{"resource": resource, "type": row})
			for _, f := range []string{"avg10", "avg60", "avg300"} {
				k.table.add("pressure_"+f, telemetry.Gauge, ls)
			}
			k.table.add("pressure_total", telemetry.Counter, ls)
		}
		k.psi = append(k.psi, p)
	}
	return nil
}

// Close closes the reader's own files.
func (k *Kernel) Close() error {
	k.entropy.close()
	for i := range k.psi {
		k.psi[i].file.close()
	}
	return nil
}

// Read measures once.
func (k *Kernel) Read() ([]telemetry.Series, []float64, error) {
	v := k.table.values
	data, err := k.entropy.read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read entropy: %w", err)
	}
	v[0] = absent
	if n, _, ok := uintField(bytes.TrimSpace(data)); ok {
		v[0] = float64(n)
	}
	if err := k.shared.stat.with(k.parse); err != nil {
		return nil, nil, fmt.Errorf("read kernel figures: %w", err)
	}
	for i := range k.psi {
		if err := k.readPressure(&k.psi[i]); err != nil {
			return nil, nil, err
		}
	}
	return k.table.result()
}

func (k *Kernel) parse(data []byte) error {
	for _, key := range k.keys {
		k.table.values[key.at] = statValue(data, key.line)
	}
	return nil
}

// statValue returns the first number of the line of /proc/stat that begins with
// key, absent where there is none. The first line is a CPU's.
func statValue(data, key []byte) float64 {
	for at := 0; ; {
		i := bytes.Index(data[at:], key)
		if i < 0 {
			return absent
		}
		at += i
		if at > 0 && data[at-1] == '\n' {
			line, _ := cutLine(data[at+len(key):])
			if n, _, ok := uintField(line); ok {
				return float64(n)
			}
			return absent
		}
		at += len(key)
	}
}

func (k *Kernel) readPressure(p *psiFile) error {
	data, err := p.file.read()
	if err != nil {
		return fmt.Errorf("read pressure: %w", err)
	}
	v := k.table.values[p.at:]
	for r := range p.rows {
		for i := range 4 {
			v[4*r+i] = absent
		}
	}
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		name, line := cutField(line)
		for r, row := range p.rows {
			if string(name) == row {
				psiRow(line, v[4*r:4*r+4])
			}
		}
	}
	return nil
}

// psiRow reads avg10=0.00 avg60=0.00 avg300=0.00 total=0.
func psiRow(line []byte, v []float64) {
	for i := range v {
		var f []byte
		f, line = cutField(line)
		_, num, _ := bytes.Cut(f, []byte{'='})
		if n, ok := parseFixed(num); ok {
			v[i] = n
		}
	}
}
