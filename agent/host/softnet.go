package host

import (
	"fmt"

	"nines/internal/telemetry"
)

// softnetFields are the columns of /proc/net/softnet_stat. The others are zero
// in every kernel, or parts of these.
var softnetFields = [...]struct {
	column int
	name   string
	kind   telemetry.Kind
}{
	{0, "softnet_processed_total", telemetry.Counter},
	{1, "softnet_dropped_total", telemetry.Counter},
	{2, "softnet_time_squeeze_total", telemetry.Counter},
	{9, "softnet_received_rps_total", telemetry.Counter},
	{10, "softnet_flow_limit_total", telemetry.Counter},
	{softnetBacklog, "softnet_backlog_packets", telemetry.Gauge},
}

const (
	softnetBacklog = 11 // packets that wait, since Linux 5.10
	softnetCPU     = 12 // the line's CPU, since Linux 5.10
	softnetColumns = 13
)

// Softnet reads /proc/net/softnet_stat: what each CPU took from its network
// cards' queues (processed), dropped because its own backlog was full, how often
// it ran out of its share of time or packets (time squeeze), was woken by
// another CPU to take packets (received RPS), and reached a flow's limit.
// Columns that the kernel does not have are absent.
type Softnet struct {
	opt   PerCPUOptions
	file  file
	cpus  perCPU
	table table
	have  int // columns of the kernel's shortest line
	last  int // lines of the round before
}

// NewSoftnet returns the reader, or a MissingError where the kernel has no
// network.
func NewSoftnet(r Roots, opt PerCPUOptions) (*Softnet, error) {
	path := r.fill().Proc + "/net/softnet_stat"
	if !exists(path) {
		return nil, MissingError("nothing at " + path)
	}
	return &Softnet{opt: opt, file: file{path: path}}, nil
}

// Close closes the file.
func (s *Softnet) Close() error { s.file.close(); return nil }

// Read measures once.
func (s *Softnet) Read() ([]telemetry.Series, []float64, error) {
	data, err := s.file.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read softnet: %w", err)
	}
	lines, have := softnetShape(data)
	if lines == 0 {
		return nil, nil, fmt.Errorf("read softnet: no CPU in %s", s.file.path)
	}
	if have <= softnetCPU && lines != s.last {
		s.cpus.forget() // which line is whose cannot be told
	}
	fits := have == s.have && s.table.series != nil
	s.have, s.last = have, lines
	s.cpus.begin(softnetColumns)
	s.take(data)
	if same := s.cpus.done(); !same || !fits {
		s.layOut()
	}
	s.fill()
	return s.table.result()
}

// softnetShape returns how many lines have a counter, and the columns that all
// of them have.
func softnetShape(data []byte) (lines, columns int) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		n := 0
		for n < softnetColumns {
			var f []byte
			f, line = cutField(line)
			if _, ok := parseHex32(f); !ok {
				break
			}
			n++
		}
		if n == 0 {
			continue
		}
		if lines == 0 || n < columns {
			columns = n
		}
		lines++
	}
	return lines, columns
}

// take counts every line's columns.
func (s *Softnet) take(data []byte) {
	var v [softnetColumns]uint32
	for n := 0; len(data) > 0; {
		var line []byte
		line, data = cutLine(data)
		found := 0
		for ; found < s.have; found++ {
			var f []byte
			f, line = cutField(line)
			x, ok := parseHex32(f)
			if !ok {
				break
			}
			v[found] = x
		}
		if found == 0 {
			continue
		}
		cpu := n
		if s.have > softnetCPU {
			cpu = int(v[softnetCPU])
		}
		n++
		row := s.cpus.row(cpu)
		for _, f := range softnetFields {
			if f.column < s.have {
				s.cpus.count(row, f.column, v[f.column])
			}
		}
	}
}

func (s *Softnet) layOut() {
	s.table.reset()
	add := func(ls telemetry.Labels) {
		for _, f := range softnetFields {
			if f.column < s.have {
				s.table.add(f.name, f.kind, ls)
			}
		}
	}
	if s.opt.Total {
		add(label("cpu", "all"))
	}
	if s.opt.PerCPU {
		for _, r := range s.cpus.rows {
			add(cpuLabels(r.cpu))
		}
	}
}

func (s *Softnet) fill() {
	at := 0
	put := func(v uint64) { s.table.values[at] = float64(v); at++ }
	backlog := uint64(0)
	for _, r := range s.cpus.rows {
		backlog += uint64(r.last[softnetBacklog])
	}
	if s.opt.Total {
		for _, f := range softnetFields {
			switch {
			case f.column >= s.have:
			case f.column == softnetBacklog:
				put(backlog)
			default:
				put(s.cpus.sum[f.column])
			}
		}
	}
	if !s.opt.PerCPU {
		return
	}
	for _, r := range s.cpus.rows {
		for _, f := range softnetFields {
			switch {
			case f.column >= s.have:
			case f.column == softnetBacklog:
				put(uint64(r.last[softnetBacklog]))
			default:
				put(r.total[f.column])
			}
		}
	}
}
