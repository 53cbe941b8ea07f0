package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"nines/agent/framing"
	"nines/agent/mesh"
	"nines/agent/spool"
	"nines/internal/telemetry"
	"nines/internal/topology"
)

// host is one simulated host with its agent.
type host struct {
	name, zone, region string
	place              topology.Location
	cores, gpus        int
	series             int // of itself; 0 is what cores and GPUs have
	prober             bool
	outside            bool // a vantage point outside of the zones
	labels             telemetry.Labels
	seed               uint64

	dice   *rand.Rand
	boots  int
	boot   uint64 // the one that runs
	framer *framing.Framer
	spool  *spool.Spool
	meters []meter
	peers  []mesh.Host // whom it asks in the mesh
	dead   bool        // its agent does not run

	skew     int64   // the clock's error, milliseconds
	busy     float64 // share of the processor's time, smoothed
	counters [6]float64
	heat     []float64 // of GPUs, degrees Celsius
	xids     []float64 // events of GPUs
	off      []bool    // GPUs that left the bus
	values   []float64 // room for what it measures of itself
}

// reboot starts the agent.
func (h *host) reboot(f *Fleet) error {
	if err := f.framerOf(h); err != nil {
		return err
	}
	h.meters = nil
	if h.prober {
		h.meters = f.metersOf(h)
	}
	if len(h.peers) > 0 {
		h.meters = append(h.meters, f.newMeshMeter(h))
	}
	h.xids = make([]float64, h.gpus)
	if h.heat == nil {
		h.heat = slices.Repeat([]float64{45}, h.gpus)
		h.off = make([]bool, h.gpus)
	}
	return nil
}

// step measures one interval that begins at t.
func (h *host) step(f *Fleet, w *weather, t int64) error {
	if silent := w.silent[h.name]; silent != h.dead {
		h.dead = silent
		if !silent {
			if err := h.reboot(f); err != nil {
				return err
			}
		}
	}
	if h.dead {
		return nil
	}
	h.skew = w.skew[h.name]
	load := f.load(h.place, t)
	if !f.bare {
		h.base(f, w, t, load)
	}
	_, dark := w.dark[h.zone]
	for _, m := range h.meters {
		m.measure(&moment{fleet: f, host: h, weather: w, start: t, load: load, offline: dark && !h.outside})
	}
	return nil
}

// send moves what was measured into the spool, and out of it where the zone is
// reached.
func (h *host) send(f *Fleet, out []Frame, w *weather) []Frame {
	if h.dead {
		return out
	}
	for _, it := range h.framer.Flush(f.next + h.skew) {
		f.tell(h, it.Seq, it.Seq, Made)
		if lost := h.spool.Put(it); lost.Frames > 0 {
			h.framer.RepeatSchemas()
			f.tell(h, lost.FirstSeq, lost.LastSeq, Lost)
		}
	}
	if _, dark := w.dark[h.zone]; dark && !h.outside {
		return out
	}
	for {
		it, ok := h.spool.Peek()
		if !ok {
			return out
		}
		out = append(out, Frame{Agent: h.name, Region: h.region, Zone: h.zone, Host: h.name, Item: it})
		f.tell(h, it.Seq, it.Seq, Sent)
		_ = h.spool.Ack(it.Seq) // the item just peeked
	}
}

// Counters of a host, as indexes.
const (
	bytesIn = iota
	bytesOut
	diskRead
	diskWritten
	packetsIn
	packetsOut
)

// cpuStates are the figures of each processor, as Telegraf's input names them.
var cpuStates = [...]string{"idle", "user", "system", "iowait", "irq", "softirq", "nice", "steal", "guest", "guest_nice"}

// hostSeries is how many series a host has besides those of its cores, and
// gpuSeries how many each GPU adds.
const (
	hostSeries = 17
	gpuSeries  = 4
)

// coresFor returns how many cores it takes to have at least so many series; 4
// where nothing is asked for.
func coresFor(series, gpus int) int {
	if series == 0 {
		return 4
	}
	each := len(cpuStates)
	return max(1, (series-hostSeries-gpuSeries*gpus+each-1)/each-1)
}

// leftOut returns how many of the host's first series are left out, so that it
// has as many as it was asked for.
func (h *host) leftOut() int {
	if h.series == 0 {
		return 0
	}
	return max(0, len(cpuStates)*(h.cores+1)+hostSeries+gpuSeries*h.gpus-h.series)
}

// hostSchema is shared by all hosts with as many cores and GPUs. The first left
// series, of all cores together, are left out.
func (f *Fleet) hostSchema(cores, gpus, left int) *telemetry.Schema {
	key := [3]int{cores, gpus, left}
	if s := f.schemas[key]; s != nil {
		return s
	}
	var list []telemetry.Series
	add := func(name string, kind telemetry.Kind, labels ...string) {
		m := map[string]string{}
		for i := 0; i+1 < len(labels); i += 2 {
			m[labels[i]] = labels[i+1]
		}
		list = append(list, telemetry.Series{Name: name, Kind: kind, Labels: telemetry.NewLabels(m)})
	}
	for c := -1; c < cores; c++ {
		name := "cpu-total"
		if c >= 0 {
			name = "cpu" + strconv.Itoa(c)
		}
		for _, s := range cpuStates {
			add("cpu_usage_"+s, telemetry.Gauge, "cpu", name)
		}
	}
	list = list[left:]
	for _, name := range []string{"mem_total", "mem_available", "mem_available_percent", "mem_used_percent", "system_load1", "processes_total"} {
		add(name, telemetry.Gauge)
	}
	for _, name := range []string{"disk_total", "disk_free", "disk_used_percent"} {
		add(name, telemetry.Gauge, "path", "/", "device", "nvme0n1p1", "fstype", "ext4", "mode", "rw")
	}
	for _, name := range []string{"net_bytes_recv", "net_bytes_sent", "net_packets_recv", "net_packets_sent"} {
		add(name, telemetry.Counter, "interface", "eth0")
	}
	for _, name := range []string{"diskio_read_bytes", "diskio_write_bytes"} {
		add(name, telemetry.Counter, "name", "nvme0n1")
	}
	add("clock_offset_seconds", telemetry.Gauge)
	add("nines_agent_info", telemetry.Gauge, "version", "simulated")
	for g := range gpus {
		for _, name := range []string{"utilization_gpu", "memory_used", "temperature_gpu", "power_draw"} {
			add("nvidia_smi_"+name, telemetry.Gauge, "index", strconv.Itoa(g), "name", "simulated")
		}
	}
	s := telemetry.NewSchema(list)
	f.schemas[key] = s
	return s
}

// base measures the host itself.
func (h *host) base(f *Fleet, w *weather, t int64, load float64) {
	left := h.leftOut()
	s := f.hostSchema(h.cores, h.gpus, left)
	v := h.values[:0]
	if cap(v) < len(s.Series)+left || f.flush != f.interval { // else it was sent
		v = make([]float64, 0, len(s.Series)+left)
	}
	h.values = v
	seconds := float64(f.interval) / 1000
	want := 0.1 + 0.5*load
	if _, dark := w.dark[h.zone]; dark && !h.outside {
		want = 0.03 // nobody reaches it
	} else if twin, ok := f.top.Twin(h.zone); ok {
		if _, dark := w.dark[twin.ID]; dark {
			want = min(0.95, 1.7*want) // it carries its twin's load too
		}
	}
	h.busy += (want - h.busy) * min(1, seconds/8)
	busy := min(1, max(0, h.busy+0.03*h.dice.NormFloat64()))
	for c := -1; c < h.cores; c++ {
		b := busy
		if c >= 0 {
			b = min(1, max(0, busy+0.05*h.dice.NormFloat64()))
		}
		b = round2(100 * b)
		user := round2(0.7 * b)
		v = append(v, round2(100-b), user, round2(0.8*(b-user)), round2(0.15*(b-user)), 0, round2(0.05*(b-user)), 0, 0, 0, 0)
	}
	v = v[left:]
	const total = 64 << 30
	used := 0.35 + 0.3*busy
	available := math.Trunc(total * (1 - used))
	v = append(v, total, available, round2(100*(1-used)), round2(100*used), round2(busy*float64(h.cores)), math.Trunc(180+40*busy))
	const disk = 960e9
	full := 0.41 + 0.05*float64(h.seed%100)/100
	v = append(v, disk, math.Trunc(disk*(1-full)), round2(100*full))
	h.grow(seconds, busy)
	for _, i := range []int{bytesIn, bytesOut, packetsIn, packetsOut, diskRead, diskWritten} {
		v = append(v, h.counters[i])
	}
	v = append(v, round6(float64(h.skew)/1000+50e-6*h.dice.NormFloat64()), 1)
	absent := h.figuresOfGPUs(w, &v, load, seconds)
	f.samples += uint64(len(v))
	h.framer.Sink(telemetry.Round{Schema: s, Time: t + h.skew, Values: v, Absent: absent})
	h.reportXIDs(t)
}

func (h *host) grow(seconds, busy float64) {
	for i, perSecond := range [...]float64{bytesIn: 4e6, bytesOut: 6e6, diskRead: 1e6, diskWritten: 3e6, packetsIn: 5e3, packetsOut: 6e3} {
		h.counters[i] += math.Trunc(perSecond * seconds * busy * (0.8 + 0.4*h.dice.Float64()))
	}
}

// figuresOfGPUs appends four figures for each, absent for one off the bus, and
// counts the event with which it leaves.
func (h *host) figuresOfGPUs(w *weather, v *[]float64, load, seconds float64) (absent []uint64) {
	lost := w.lost[h.name]
	for g := range h.gpus {
		use := min(1, max(0, 0.25+0.7*load+0.05*h.dice.NormFloat64()))
		h.heat[g] += (42 + 36*use - h.heat[g]) * min(1, seconds/30)
		gone := slices.Contains(lost, g)
		if gone && !h.off[g] {
			h.xids[g]++
		}
		if h.off[g] = gone; gone {
			absent = mark(absent, len(*v), 4)
		}
		*v = append(*v, round2(100*use), math.Trunc(20_000+55_000*use), math.Trunc(h.heat[g]), round2(90+560*use))
	}
	return absent
}

// mark marks n values from the index on as not measured.
func mark(absent []uint64, from, n int) []uint64 {
	for i := from; i < from+n; i++ {
		for len(absent) <= i>>6 {
			absent = append(absent, 0)
		}
		absent[i>>6] |= 1 << (i & 63)
	}
	return absent
}

// reportXIDs reports events of the driver once there was one: the agent's
// counters appear with their first event.
func (h *host) reportXIDs(t int64) {
	for g, n := range h.xids {
		if n == 0 {
			continue
		}
		s := telemetry.NewSchema([]telemetry.Series{{Name: "gpu_xid_events_total", Kind: telemetry.Counter, Fresh: true,
			Labels: telemetry.NewLabels(map[string]string{"gpu": fmt.Sprintf("0000:%02x:00", g+1), "xid": "79", "severity": "critical"})}})
		h.framer.Sink(telemetry.Round{Schema: s, Time: t + h.skew, Values: []float64{n}})
	}
}

func round2(v float64) float64 { return math.Round(v*100) / 100 }
func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }
