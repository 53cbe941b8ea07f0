package host

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// memKeys map lines of /proc/meminfo to fields of Telegraf's mem input. Values
// are kilobytes but for counts of pages.
var memKeys = map[string]string{
	"MemTotal": "total", "MemFree": "free", "MemAvailable": "available", "Buffers": "buffered",
	"Cached": "cached", "SwapCached": "swap_cached", "Active": "active", "Inactive": "inactive",
	"HighTotal": "high_total", "HighFree": "high_free", "LowTotal": "low_total", "LowFree": "low_free",
	"SwapTotal": "swap_total", "SwapFree": "swap_free", "Dirty": "dirty", "Writeback": "write_back",
	"Mapped": "mapped", "Shmem": "shared", "Slab": "slab", "SReclaimable": "sreclaimable",
	"SUnreclaim": "sunreclaim", "PageTables": "page_tables", "WritebackTmp": "write_back_tmp",
	"CommitLimit": "commit_limit", "Committed_AS": "committed_as", "VmallocTotal": "vmalloc_total",
	"VmallocUsed": "vmalloc_used", "VmallocChunk": "vmalloc_chunk", "HugePages_Total": "huge_pages_total",
	"HugePages_Free": "huge_pages_free", "Hugepagesize": "huge_page_size",
}

// Mem reads /proc/meminfo as Telegraf's mem input does. Fields that this kernel
// does not have are 0, as there.
type Mem struct {
	file  file
	table table
	at    map[string]int // line of meminfo → position
	pos   map[string]int // field → position
}

// NewMem returns the reader.
func NewMem(r Roots) *Mem {
	m := &Mem{file: file{path: r.fill().Proc + "/meminfo", whole: true}, at: map[string]int{}, pos: map[string]int{}}
	for key, field := range memKeys {
		m.at[key] = m.add(field)
	}
	for _, field := range []string{"used", "used_percent", "available_percent"} {
		m.add(field)
	}
	return m
}

func (m *Mem) add(field string) int {
	m.pos[field] = len(m.table.series)
	m.table.add("mem_"+field, telemetry.Gauge, nil)
	return m.pos[field]
}

// Close closes the file.
func (m *Mem) Close() error { m.file.close(); return nil }

// Read measures once.
func (m *Mem) Read() ([]telemetry.Series, []float64, error) {
	data, err := m.file.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read memory: %w", err)
	}
	v := m.table.values
	clear(v)
	hasAvailable := false
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		key, rest, _ := bytes.Cut(line, []byte{':'})
		i, ok := m.at[string(key)]
		if !ok {
			continue
		}
		n, unit, ok := uintField(rest)
		if !ok {
			continue
		}
		v[i] = float64(n)
		if bytes.HasSuffix(unit, []byte("kB")) {
			v[i] = float64(n * 1024)
		}
		hasAvailable = hasAvailable || i == m.pos["available"]
	}
	m.derive(v, hasAvailable)
	return m.table.result()
}

// derive counts reclaimable slab as cache, as free(1) and gopsutil do.
func (m *Mem) derive(v []float64, hasAvailable bool) {
	v[m.pos["cached"]] += v[m.pos["sreclaimable"]]
	total := v[m.pos["total"]]
	if !hasAvailable {
		v[m.pos["available"]] = v[m.pos["free"]] + v[m.pos["cached"]]
	}
	available := v[m.pos["available"]]
	v[m.pos["used"]] = total - available
	v[m.pos["used_percent"]] = percent(total-available, total)
	v[m.pos["available_percent"]] = percent(available, total)
}

// Swap reads the swap's size by sysinfo(2) and its traffic from /proc/vmstat as
// Telegraf's swap input does.
type Swap struct {
	vmstat file
	table  table
}

// NewSwap returns the reader.
func NewSwap(r Roots) *Swap {
	s := &Swap{vmstat: file{path: r.fill().Proc + "/vmstat"}}
	for _, f := range []string{"total", "used", "free", "used_percent"} {
		s.table.add("swap_"+f, telemetry.Gauge, nil)
	}
	s.table.add("swap_in", telemetry.Counter, nil)
	s.table.add("swap_out", telemetry.Counter, nil)
	return s
}

// Close closes the file.
func (s *Swap) Close() error { s.vmstat.close(); return nil }

// Read measures once.
func (s *Swap) Read() ([]telemetry.Series, []float64, error) {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return nil, nil, fmt.Errorf("read swap: %w", err)
	}
	data, err := s.vmstat.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read swap: %w", err)
	}
	v := s.table.values
	total, free := float64(si.Totalswap)*float64(si.Unit), float64(si.Freeswap)*float64(si.Unit)
	v[0], v[1], v[2], v[3] = total, total-free, free, 0
	if total > 0 {
		v[3] = percent(total-free, total)
	}
	// Pages of 4 KiB, as gopsutil counts them.
	v[4] = vmstatValue(data, "\npswpin ") * 4096
	v[5] = vmstatValue(data, "\npswpout ") * 4096
	return s.table.result()
}

func vmstatValue(data []byte, key string) float64 {
	i := bytes.Index(data, []byte(key))
	if i < 0 {
		return 0
	}
	line, _ := cutLine(data[i+len(key):])
	n, _, _ := uintField(line)
	return float64(n)
}
