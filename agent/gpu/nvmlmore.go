package gpu

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Fields that NVML has no function for, by their numbers in nvml.h.
const (
	fieldMemoryTemp   = 82
	fieldLinkTransmit = 138 // KiB of data since the link came up, per link
	fieldLinkReceive  = 139
	fieldPower        = 186 // milliwatts at this moment
	fieldRecovery     = 230
	maxLinks          = 18
)

// field is one figure read through nvmlDeviceGetFieldValues.
type field struct {
	id    uint32
	scope uint32
	name  string
	scale float64
	label []string
}

// singleFields are those without a scope. Times of event reasons are
// nanoseconds.
func singleFields() []field {
	reason := func(id uint32, name string) field {
		return field{id: id, name: "gpu_clock_event_seconds_total", scale: 1e-9, label: []string{"reason", name}}
	}
	margin := func(id uint32, name string) field {
		return field{id: id, name: "gpu_temperature_margin_threshold_celsius", scale: 1, label: []string{"threshold", name}}
	}
	return []field{
		{id: 185, name: "gpu_power_average_watts", scale: 1e-3},
		{id: fieldPower, name: "gpu_power_watts", scale: 1e-3},
		margin(193, "shutdown"), margin(194, "slowdown"), margin(195, "memory_max"), margin(196, "max"),
		{id: fieldMemoryTemp, name: "gpu_memory_temperature_celsius", scale: 1},
		{id: fieldRecovery, name: "gpu_recovery_action", scale: 1},
		reason(74, "sw_power_cap"), reason(76, "sync_boost"), reason(251, "sw_thermal_slowdown"),
		reason(252, "hw_thermal_slowdown"), reason(253, "hw_power_brake_slowdown"),
	}
}

func (r *reader) fieldValues() { r.ask(singleFields()) }

// ask reads fields in one call. Each has its own result.
func (r *reader) ask(want []field) {
	if r.fields == nil || len(want) == 0 {
		return
	}
	values := make([]fieldValue, len(want))
	for i, w := range want {
		values[i] = fieldValue{Field: w.id, Scope: w.scope, Return: resultUnknown}
	}
	if !r.ok(r.fields(r.h, int32(len(values)), &values[0])) {
		return
	}
	for i, v := range values {
		if n, ok := v.number(); ok {
			r.d.set(want[i].name, n*want[i].scale, want[i].label...)
		}
	}
}

// number reads nvmlValue_t by its type; ok is false for what is none.
func (v fieldValue) number() (float64, bool) {
	if v.Return != resultOK {
		return 0, false
	}
	switch low := uint32(v.Value); v.Type {
	case 0:
		f := math.Float64frombits(v.Value)
		return f, f < 1e18 // DCGM's and NVML's blank doubles lie above
	case 1:
		return float64(low), !blank32(low)
	case 2, 3:
		return float64(v.Value), !blank64(v.Value)
	case 4:
		return float64(int64(v.Value)), !blank64(v.Value)
	case 5:
		return float64(int32(low)), !blank32(low)
	case 6:
		return float64(uint16(v.Value)), uint16(v.Value) != math.MaxUint16
	}
	return 0, false
}

// links reads the NVLinks that this GPU has; those beyond answer with an error.
func (r *reader) links() {
	if r.linkState == nil {
		return
	}
	var traffic []field
	for link := range uint32(maxLinks) {
		up, ok := r.u32At(r.linkState, link)
		if !ok {
			continue
		}
		name := strconv.Itoa(int(link))
		r.d.set("gpu_nvlink_up", up, "link", name)
		for code, kind := range []string{"replay", "recovery", "crc_flit", "crc_data"} {
			if r.linkErrors == nil {
				break
			}
			r.put("gpu_nvlink_errors_total", 1, "link", name, "error", kind)(
				r.u64(func(h handle, v *uint64) result { return r.linkErrors(h, link, uint32(code), v) }))
		}
		traffic = append(traffic,
			field{id: fieldLinkTransmit, scope: link, name: "gpu_nvlink_transmit_bytes_total", scale: 1024, label: []string{"link", name}},
			field{id: fieldLinkReceive, scope: link, name: "gpu_nvlink_receive_bytes_total", scale: 1024, label: []string{"link", name}})
	}
	r.ask(traffic)
}

// mig reads the instances of a GPU that is cut up.
func (r *reader) mig() {
	on, _, ok := r.u32s(r.migMode)
	if !ok {
		return
	}
	r.d.set("gpu_mig_enabled", on)
	slots, ok := r.u32(r.migMax)
	if on == 0 || !ok || r.migByIndex == nil {
		return
	}
	found := 0
	for i := range uint32(slots) {
		var h handle
		if r.migByIndex(r.h, i, &h) != resultOK {
			continue // an empty slot
		}
		found++
		r.instance(h)
	}
	r.d.set("gpu_mig_instances", float64(found))
}

func (r *reader) instance(h handle) {
	part := *r
	part.h = h
	gi, ok := part.u32(r.gpuInstance)
	ci, ok2 := part.u32(r.computeInstance)
	if !ok || !ok2 {
		return
	}
	labels := []string{"gpu_instance", strconv.Itoa(int(gi)), "compute_instance", strconv.Itoa(int(ci))}
	r.d.set("gpu_mig_info", 1, append(slices.Clone(labels), "uuid", part.text(r.uuid), "name", part.text(r.name))...)
	m := memoryV2{Version: memoryV2Version}
	if r.memory2 != nil && r.memory2(h, &m) == resultOK {
		setBytes(r.d, "gpu_mig_memory_", labels, "total", m.Total, "used", m.Used, "free", m.Free, "reserved", m.Reserved)
	}
	var b bar1Memory
	if r.bar1 != nil && r.bar1(h, &b) == resultOK {
		setBytes(r.d, "gpu_mig_bar1_", labels, "total", b.Total, "used", b.Used, "free", b.Free)
	}
	var n uint64
	if r.eccErrors != nil && r.eccErrors(h, 1, 0, 7, &n) == resultOK && !blank64(n) {
		r.d.set("gpu_mig_ecc_errors_total", float64(n), append(slices.Clone(labels), "counter", "volatile", "error", "uncorrected", "memory", "sram")...)
	}
}

// running counts the processes that hold a context.
func (r *reader) running() {
	for _, k := range []struct {
		kind string
		f    getProcesses
	}{{"compute", r.computes}, {"graphics", r.graphics}} {
		if k.f == nil {
			continue
		}
		list, ok := r.list(k.f)
		if !ok {
			continue
		}
		used := 0.0
		for _, p := range list {
			memory := math.NaN()
			if !blank64(p.UsedMemory) {
				memory = float64(p.UsedMemory)
				used += memory
			}
			if r.processes {
				setProcess(r.d, int(p.PID), k.kind, commandOf(int(p.PID)), memory)
			}
		}
		r.d.set("gpu_processes", float64(len(list)), "kind", k.kind)
		r.d.set("gpu_processes_memory_bytes", used, "kind", k.kind)
	}
}

// list makes room until the processes fit: they may become more between calls.
func (r *reader) list(f getProcesses) ([]processInfo, bool) {
	for room := uint32(32); room <= 1<<14; room *= 4 {
		infos, n := make([]processInfo, room), room
		res := f(r.h, &n, &infos[0])
		if res == resultInsufficientSize {
			continue
		}
		return infos[:min(n, room)], r.ok(res)
	}
	return nil, false
}

func setProcess(d *Device, pid int, kind, command string, memory float64) {
	d.set("gpu_process_memory_bytes", memory, "pid", strconv.Itoa(pid), "kind", kind, "command", command)
}

// commandOf is the kernel's short name of a process, "" when it has gone.
func commandOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
