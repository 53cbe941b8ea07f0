package collector

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"nines/agent/framing"
	"nines/internal/telemetry"
	"nines/internal/topology"
)

// inputs are what every host measures, each a line of Telegraf's with its fields
// and their kind: a hundred series, the fields that Telegraf's inputs have.
// A kind is a gauge unless it is a counter, see draw.
func inputs() []input {
	cpu := "usage_user:pct usage_system:pct usage_idle:pct usage_iowait:zero usage_softirq:pct usage_nice:zero usage_irq:zero usage_steal:zero usage_guest:zero usage_guest_nice:zero"
	http := "requests_total:requests errors_total:errors slow_total:slow bytes_total:bytes active:small"
	table := []struct{ name, tags, fields string }{
		{"cpu", "cpu=cpu-total", cpu}, {"cpu", "cpu=cpu0", cpu}, {"cpu", "cpu=cpu1", cpu},
		{"mem", "", "total:fixed available:size used:size free:size buffered:size cached:size active:size inactive:size used_percent:pct available_percent:pct slab:size sreclaimable:size dirty:small committed_as:size commit_limit:fixed page_tables:size shared:size vmalloc_used:size swap_free:zeros mapped:size"},
		{"swap", "", "total:zeros used:zeros free:zeros used_percent:zero in:zeros out:zeros"},
		{"system", "", "load1:load load5:load load15:load n_cpus:fixed n_users:small uptime:age"},
		{"processes", "", "running:small sleeping:small blocked:zeros total:small zombies:zeros"},
		{"disk", "device=vda1,fstype=ext4,mode=rw,path=/", "total:fixed free:size used:size used_percent:pct inodes_total:fixed inodes_free:size inodes_used:size"},
		{"diskio", "name=vda", "reads:count writes:count read_bytes:bytes write_bytes:bytes read_time:count write_time:count io_time:count iops_in_progress:zeros"},
		{"net", "interface=eth0", "bytes_sent:bytes bytes_recv:bytes packets_sent:count packets_recv:count err_in:idle err_out:idle drop_in:idle drop_out:idle"},
		{"http", "service=checkout", http}, {"http", "service=search", http},
	}
	var out []input
	for _, row := range table {
		in := input{measurement: row.name, tags: row.tags, labels: map[string]string{}}
		for tag := range strings.SplitSeq(row.tags, ",") {
			if k, v, ok := strings.Cut(tag, "="); ok {
				in.labels[k] = v
			}
		}
		for f := range strings.FieldsSeq(row.fields) {
			name, kind, _ := strings.Cut(f, ":")
			in.fields = append(in.fields, field{name, kind})
		}
		out = append(out, in)
	}
	return out
}

// input is one line of what a host measures.
type input struct {
	measurement, tags string
	labels            map[string]string
	fields            []field
}

type field struct{ name, kind string }

func (f field) counter() bool {
	switch f.kind {
	case "count", "bytes", "idle", "requests", "errors", "slow":
		return true
	}
	return false
}

// integer tells whether Telegraf sends the field as an integer.
func (f field) integer() bool { return f.kind != "pct" && f.kind != "zero" && f.kind != "load" }

// draw returns the field's value of a host of some age, in seconds. A tenth of
// a percent of the requests fails, and another is slow.
func (f field) draw(dice *rand.Rand, host, age int) float64 {
	grown := func(each int) float64 { return float64(each*(age+1) + dice.IntN(each)) }
	switch f.kind {
	case "pct":
		return 100 * float64(dice.IntN(101)) / 101
	case "load":
		return float64(dice.IntN(400)) / 100
	case "fixed":
		return 8 << 30
	case "size":
		return float64(dice.IntN(1<<21)) * 4096
	case "small":
		return float64(dice.IntN(300))
	case "age":
		return float64(1_000_000 + age)
	case "count":
		return grown(200)
	case "bytes":
		return grown(1_000_000)
	case "requests":
		return grown(20)
	case "errors", "slow":
		return float64((age + host%50) / 50)
	}
	return 0
}

// host is one of the fleet.
type host struct {
	number     int
	name, zone string
	region     string
	partition  int32
}

// fleet are hosts spread evenly over the regions and zones that ship, each in
// the partition that an agent chooses.
type fleet struct {
	hosts  []host
	inputs []input
	series int // of a host
}

func newFleet(root string, hosts, partitions int) (*fleet, error) {
	top, err := topology.Load(filepath.Join(root, "configs", "topology"))
	if err != nil {
		return nil, err
	}
	var zones []topology.Zone
	for _, r := range top.Regions {
		zones = append(zones, r.Zones...)
	}
	f := &fleet{inputs: inputs()}
	for _, in := range f.inputs {
		f.series += len(in.fields)
	}
	for i := range hosts {
		z := zones[i%len(zones)]
		h := host{number: i, name: fmt.Sprintf("host-%d", i), zone: z.ID, region: z.Region}
		h.partition = framing.Partition(z.ID, h.name, partitions)
		f.hosts = append(f.hosts, h)
	}
	return f, nil
}

// second draws what a host measures at an age, field by field.
func (f *fleet) second(dst []float64, h *host, age int) []float64 {
	dice := rand.New(rand.NewPCG(uint64(h.number), uint64(age)))
	for _, in := range f.inputs {
		for _, fd := range in.fields {
			dst = append(dst, fd.draw(dice, h.number, age))
		}
	}
	return dst
}

// lines are the values in line protocol, a line an input, as Telegraf writes
// them; ms is their time.
func (f *fleet) lines(h *host, values []float64, ms int64) (out [][]byte) {
	for _, in := range f.inputs {
		b := append([]byte(in.measurement), ',')
		if in.tags != "" {
			b = append(append(b, in.tags...), ',')
		}
		b = fmt.Appendf(b, "host=%s,region=%s,zone=%s ", h.name, h.region, h.zone)
		for i, fd := range in.fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, fd.name...), '=')
			if fd.integer() {
				b = append(strconv.AppendInt(b, int64(values[i]), 10), 'i')
			} else {
				b = strconv.AppendFloat(b, values[i], 'f', -1, 64)
			}
		}
		values = values[len(in.fields):]
		b = append(b, ' ')
		b = strconv.AppendInt(b, ms, 10)
		out = append(out, append(b, "000000\n"...))
	}
	return out
}

// schemas are the same series as our agents describe them, a block for all lines
// of a measurement.
func (f *fleet) schemas() []*telemetry.Schema {
	var out []*telemetry.Schema
	var series []telemetry.Series
	for i, in := range f.inputs {
		for _, fd := range in.fields {
			s := telemetry.Series{Name: in.measurement + "_" + fd.name, Labels: telemetry.NewLabels(in.labels), Kind: telemetry.Gauge}
			if fd.counter() {
				s.Kind = telemetry.Counter
			}
			series = append(series, s)
		}
		if i+1 == len(f.inputs) || f.inputs[i+1].measurement != in.measurement {
			out, series = append(out, telemetry.NewSchema(series)), nil
		}
	}
	return out
}

// frame puts the values into a frame of our agents.
func frame(fr *telemetry.Frame, h *host, schemas []*telemetry.Schema, values []float64, ms int64, seq int) {
	fr.Agent, fr.Boot, fr.Seq, fr.SendTime = h.name, uint64(h.number)+1, uint64(seq), ms
	fr.Host = telemetry.NewLabels(map[string]string{"host": h.name, "zone": h.zone, "region": h.region})
	fr.Blocks = fr.Blocks[:0]
	for _, s := range schemas {
		n := len(s.Series)
		fr.Blocks = append(fr.Blocks, telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Columns: n, Times: []int64{ms}, Values: values[:n]})
		values = values[n:]
	}
}
