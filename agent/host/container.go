package host

import (
	"bytes"
	"path/filepath"
	"time"

	"nines/internal/telemetry"
)

// ContainerOptions bound what is measured.
type ContainerOptions struct {
	// Max is how many groups are measured; 0 means 300. Each has seven files open.
	Max int
}

// Containers reads the control groups (cgroup v2) of containers that Docker,
// containerd, CRI-O and Podman run, with or without Kubernetes, and of the
// host's top slices: CPU time and throttling, memory, out-of-memory kills, block
// I/O, processes. Labels: container (its whole id), pod (its UID) and slice;
// a top slice has only slice. Limits that are not set are absent.
// container_groups tells how many there are, container_groups_dropped how many
// of them were beyond the bound. Groups are looked for every ten seconds.
type Containers struct {
	dir     string
	max     int
	groups  []group
	table   table
	scanned time.Time
	dropped int
}

// group is one measured control group.
type group struct {
	path   string
	labels telemetry.Labels
	files  [len(groupFiles)]file
}

// groupFiles are a group's files; a group lacks those of controllers that are off.
var groupFiles = [...]string{"cpu.stat", "memory.current", "memory.max", "memory.events", "io.stat", "pids.current", "pids.max"}

// groupSeries are the series of a group: which file, how it reads, and how many
// of the file's unit are one of the series'. An empty key is the whole file.
var groupSeries = [...]struct {
	name string
	kind telemetry.Kind
	file int
	key  string
	per  float64
}{
	{"container_cpu_seconds_total", telemetry.Counter, 0, "usage_usec", 1e6},
	{"container_cpu_user_seconds_total", telemetry.Counter, 0, "user_usec", 1e6},
	{"container_cpu_system_seconds_total", telemetry.Counter, 0, "system_usec", 1e6},
	{"container_cpu_periods_total", telemetry.Counter, 0, "nr_periods", 1},
	{"container_cpu_throttled_periods_total", telemetry.Counter, 0, "nr_throttled", 1},
	{"container_cpu_throttled_seconds_total", telemetry.Counter, 0, "throttled_usec", 1e6},
	{"container_memory_bytes", telemetry.Gauge, 1, "", 1},
	{"container_memory_max_bytes", telemetry.Gauge, 2, "", 1},
	{"container_memory_high_total", telemetry.Counter, 3, "high", 1},
	{"container_memory_max_total", telemetry.Counter, 3, "max", 1},
	{"container_oom_total", telemetry.Counter, 3, "oom", 1},
	{"container_oom_kills_total", telemetry.Counter, 3, "oom_kill", 1},
	{"container_io_read_bytes_total", telemetry.Counter, 4, "rbytes", 1},
	{"container_io_write_bytes_total", telemetry.Counter, 4, "wbytes", 1},
	{"container_io_reads_total", telemetry.Counter, 4, "rios", 1},
	{"container_io_writes_total", telemetry.Counter, 4, "wios", 1},
	{"container_pids", telemetry.Gauge, 5, "", 1},
	{"container_pids_max", telemetry.Gauge, 6, "", 1},
}

const (
	ioStat       = 4
	groupsEvery  = 10 * time.Second
	groupsAtMost = 300
)

// NewContainers returns the reader, or a MissingError without cgroup v2.
func NewContainers(r Roots, opt ContainerOptions) (*Containers, error) {
	dir := r.fill().Sys + "/fs/cgroup"
	if !exists(dir, "cgroup.controllers") {
		return nil, MissingError("no cgroup v2 at " + dir)
	}
	if opt.Max <= 0 {
		opt.Max = groupsAtMost
	}
	return &Containers{dir: dir, max: opt.Max}, nil
}

// Close closes the files.
func (c *Containers) Close() error {
	for i := range c.groups {
		c.groups[i].close()
	}
	c.groups, c.table.series = nil, nil
	return nil
}

func (g *group) close() {
	for i := range g.files {
		g.files[i].close()
	}
}

// Read measures once.
func (c *Containers) Read() ([]telemetry.Series, []float64, error) {
	if now := time.Now(); now.Sub(c.scanned) >= groupsEvery {
		c.scanned = now
		c.rescan()
	}
	for i := range c.groups {
		c.groups[i].read(c.table.values[i*len(groupSeries):][:len(groupSeries)])
	}
	v := c.table.values[len(c.groups)*len(groupSeries):]
	v[0], v[1] = float64(len(c.groups)+c.dropped), float64(c.dropped)
	return c.table.result()
}

// rescan keeps the open files of the groups that stayed.
func (c *Containers) rescan() {
	found, dropped := findGroups(c.dir, c.max)
	c.dropped = dropped
	same := len(found) == len(c.groups) && c.table.series != nil
	for i := range found {
		same = same && found[i].path == c.groups[i].path
	}
	if same {
		return
	}
	old := map[string]*group{}
	for i := range c.groups {
		old[c.groups[i].path] = &c.groups[i]
	}
	buf := make([]byte, 4096)
	c.table.reset()
	for i := range found {
		g := &found[i]
		if o := old[g.path]; o != nil {
			g.files = o.files
			delete(old, g.path)
		} else {
			for f, name := range groupFiles {
				// What a group lacks stays without path, and is not tried each time.
				if path := filepath.Join(c.dir, g.path, name); exists(path) {
					g.files[f] = file{path: path, whole: true, buf: buf}
				}
			}
		}
		for _, s := range groupSeries {
			c.table.add(s.name, s.kind, g.labels)
		}
	}
	c.table.add("container_groups", telemetry.Gauge, nil)
	c.table.add("container_groups_dropped", telemetry.Gauge, nil)
	for _, gone := range old {
		gone.close()
	}
	c.groups = found
}

// read fills the values of a group; groupSeries stand in the order of their files.
func (g *group) read(v []float64) {
	last, text := -1, []byte(nil)
	for i, s := range groupSeries {
		if s.file != last {
			last, text = s.file, nil
			if f := &g.files[last]; f.path != "" {
				text, _ = f.read()
			}
		}
		n, ok := 0.0, false
		switch {
		case s.key == "":
			n, ok = parseInt(bytes.TrimSpace(text)) // "max" is no number
		case s.file == ioStat:
			n, ok = ioSum(text, s.key)
		default:
			n, ok = keyed(text, s.key)
		}
		if v[i] = absent; ok {
			v[i] = n / s.per
		}
	}
}

// keyed returns the number after a key at the beginning of a line.
func keyed(text []byte, key string) (float64, bool) {
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		name, rest := cutField(line)
		if string(name) == key {
			v, _, ok := uintField(rest)
			return float64(v), ok
		}
	}
	return 0, false
}

// ioSum adds key=N over all devices. An empty text is a group that did none.
func ioSum(text []byte, key string) (sum float64, ok bool) {
	ok = text != nil
	for len(text) > 0 {
		var line, f []byte
		line, text = cutLine(text)
		for len(line) > 0 {
			f, line = cutField(line)
			name, num, _ := bytes.Cut(f, []byte{'='})
			if string(name) != key {
				continue
			}
			if v, good := parseUint(num); good {
				sum += float64(v)
			}
		}
	}
	return sum, ok
}
