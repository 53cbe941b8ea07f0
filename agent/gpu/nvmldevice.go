package gpu

import "bytes"

// reader reads one GPU through NVML. A figure that this GPU or driver does not
// have is left out; lost says when the GPU itself is what fails.
type reader struct {
	*nvml
	h         handle
	d         *Device
	processes bool
	lost      result
}

// device reads all there is of the GPU with this index. It says who the GPU is
// as soon as it knows: what comes after may hang.
func (n *nvml) device(index int, processes bool, known func(Device)) Device {
	d := Device{Index: index}
	r := &reader{nvml: n, d: &d, processes: processes}
	if res := n.byIndex(uint32(index), &r.h); res != resultOK {
		d.Lost = res.Error()
		return d
	}
	named := func() { r.identity(); known(Device{GPU: d.GPU, Info: d.Info}) }
	for _, read := range []func(){
		named, r.load, r.memories, r.temperatures, r.fieldValues, r.powers, r.clocks, r.reasons,
		r.ecc, r.rows, r.pages, r.links, r.pcie, r.mig, r.running, r.sessions,
	} {
		if read(); r.lost != resultOK {
			d.Lost, d.Values = r.lost.Error(), nil
			break
		}
	}
	return d
}

// ok tells whether a call gave a value. A lost GPU answers every call alike;
// one that wants a reset still answers some.
func (r *reader) ok(res result) bool {
	if res == resultGPULost {
		r.lost = res
	}
	return res == resultOK
}

func (r *reader) u32(f getU32) (float64, bool) {
	var v uint32
	if f == nil || !r.ok(f(r.h, &v)) || blank32(v) {
		return 0, false
	}
	return float64(v), true
}

func (r *reader) u32At(f getU32At, at uint32) (float64, bool) {
	if f == nil {
		return 0, false
	}
	return r.u32(func(h handle, v *uint32) result { return f(h, at, v) })
}

func (r *reader) u64(f getU64) (float64, bool) {
	var v uint64
	if f == nil || !r.ok(f(r.h, &v)) || blank64(v) {
		return 0, false
	}
	return float64(v), true
}

// u32s reads a function of two results.
func (r *reader) u32s(f getU32s) (a, b float64, ok bool) {
	var x, y uint32
	if f == nil || !r.ok(f(r.h, &x, &y)) || blank32(x) {
		return 0, 0, false
	}
	return float64(x), float64(y), true
}

// put scales what a read gave to the metric's unit.
func (r *reader) put(name string, scale float64, labels ...string) func(float64, bool) {
	return func(v float64, ok bool) {
		if ok {
			r.d.set(name, v*scale, labels...)
		}
	}
}

func (r *reader) text(f getText) string {
	buf := make([]byte, 128)
	if f == nil || !r.ok(f(r.h, &buf[0], uint32(len(buf)))) {
		return ""
	}
	return cString(buf)
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func (r *reader) identity() {
	var p pciInfo
	if r.ok(r.nvml.pci(r.h, &p)) {
		r.d.GPU = address(p.Domain, p.Bus, p.Device)
	}
	r.d.inform("name", r.text(r.name))
	r.d.inform("uuid", r.text(r.uuid))
	r.d.inform("serial", r.text(r.serial))
	r.d.inform("vbios", r.text(r.vbios))
}

func (r *reader) load() {
	var u utilization
	if r.utilization != nil && r.ok(r.utilization(r.h, &u)) {
		r.put("gpu_utilization_ratio", 0.01)(float64(u.GPU), !blank32(u.GPU))
		r.put("gpu_memory_utilization_ratio", 0.01)(float64(u.Memory), !blank32(u.Memory))
	}
	for _, e := range []struct {
		name string
		f    getU32s
	}{{"encoder", r.encoder}, {"decoder", r.decoder}, {"jpeg", r.jpeg}, {"ofa", r.ofa}} {
		v, _, ok := r.u32s(e.f)
		r.put("gpu_"+e.name+"_utilization_ratio", 0.01)(v, ok)
	}
	r.put("gpu_performance_state", 1)(r.pstateNumber())
	r.put("gpu_fan_ratio", 0.01)(r.u32(r.fan))
}

// pstateNumber leaves out 32, NVML's word for an unknown state.
func (r *reader) pstateNumber() (float64, bool) {
	v, ok := r.u32(r.pstate)
	return v, ok && v <= 15
}

func (r *reader) memories() {
	m2 := memoryV2{Version: memoryV2Version}
	var m1 memoryV1
	switch {
	case r.memory2 != nil && r.ok(r.memory2(r.h, &m2)):
		r.bytes("gpu_memory_", "total", m2.Total, "used", m2.Used, "free", m2.Free, "reserved", m2.Reserved)
	case r.memory != nil && r.ok(r.memory(r.h, &m1)):
		r.bytes("gpu_memory_", "total", m1.Total, "used", m1.Used, "free", m1.Free)
	}
	var b bar1Memory
	if r.bar1 != nil && r.ok(r.bar1(r.h, &b)) {
		r.bytes("gpu_bar1_", "total", b.Total, "used", b.Used, "free", b.Free)
	}
}

// bytes sets names and values in turn.
func (r *reader) bytes(prefix string, pairs ...any) {
	setBytes(r.d, prefix, nil, pairs...)
}

func setBytes(d *Device, prefix string, labels []string, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1].(uint64); !blank64(v) {
			d.set(prefix+pairs[i].(string)+"_bytes", float64(v), labels...)
		}
	}
}

func (r *reader) temperatures() {
	r.put("gpu_temperature_celsius", 1)(r.u32At(r.temperature, 0))
	m := margin{Version: marginVersion}
	if r.margin != nil && r.ok(r.margin(r.h, &m)) {
		r.d.set("gpu_temperature_margin_celsius", float64(m.Margin))
	}
	for at, name := range []string{"shutdown", "slowdown", "memory_max", "max"} {
		r.put("gpu_temperature_threshold_celsius", 1, "threshold", name)(r.u32At(r.threshold, uint32(at)))
	}
}

// powers are milliwatts and millijoules in NVML.
func (r *reader) powers() {
	if !r.d.has("gpu_power_watts") { // older drivers have no field for it
		r.put("gpu_power_watts", 1e-3)(r.u32(r.power))
	}
	r.put("gpu_power_limit_watts", 1e-3)(r.u32(r.powerLimit))
	r.put("gpu_power_limit_default_watts", 1e-3)(r.u32(r.powerDefault))
	if low, high, ok := r.u32s(r.powerRange); ok {
		r.put("gpu_power_limit_min_watts", 1e-3)(low, true)
		r.put("gpu_power_limit_max_watts", 1e-3)(high, true)
	}
	r.put("gpu_energy_joules_total", 1e-3)(r.u64(r.energy))
}

func (r *reader) clocks() {
	for at, name := range []string{"graphics", "sm", "memory", "video"} {
		r.put("gpu_clock_hertz", 1e6, "clock", name)(r.u32At(r.clock, uint32(at)))
		r.put("gpu_clock_max_hertz", 1e6, "clock", name)(r.u32At(r.clockMax, uint32(at)))
	}
}

func (r *reader) reasons() {
	var bits uint64
	if r.events == nil || !r.ok(r.events(r.h, &bits)) || blank64(bits) {
		return
	}
	for i, name := range reasons {
		r.d.set("gpu_clock_event", float64(bits>>i&1), "reason", name)
	}
}

func (r *reader) ecc() {
	if on, _, ok := r.u32s(r.eccMode); ok {
		r.d.set("gpu_ecc_enabled", on)
	}
	if r.eccErrors == nil {
		return
	}
	places := []struct {
		name string
		code uint32
	}{{"dram", 2}, {"sram", 7}}
	for c, counter := range []string{"volatile", "aggregate"} {
		for k, kind := range []string{"corrected", "uncorrected"} {
			for _, p := range places {
				r.put("gpu_ecc_errors_total", 1, "counter", counter, "error", kind, "memory", p.name)(
					r.u64(func(h handle, v *uint64) result { return r.eccErrors(h, uint32(k), uint32(c), p.code, v) }))
			}
		}
	}
}

func (r *reader) rows() {
	var correctable, uncorrectable, pending, failure uint32
	if r.remapped != nil && r.ok(r.remapped(r.h, &correctable, &uncorrectable, &pending, &failure)) {
		r.d.set("gpu_remapped_rows", float64(correctable), "cause", "correctable")
		r.d.set("gpu_remapped_rows", float64(uncorrectable), "cause", "uncorrectable")
		r.d.set("gpu_row_remap_pending", float64(pending))
		r.d.set("gpu_row_remap_failure", float64(failure))
	}
	var b rowHistogram
	if r.remapBanks == nil || !r.ok(r.remapBanks(r.h, &b)) {
		return
	}
	for i, v := range []uint32{b.Max, b.High, b.Partial, b.Low, b.None} {
		r.d.set("gpu_row_remap_banks", float64(v), "spare", []string{"max", "high", "partial", "low", "none"}[i])
	}
}

// pages asks for the number of retired pages alone, with no room for them.
func (r *reader) pages() {
	for code, cause := range []string{"single_bit", "double_bit"} {
		if r.retired == nil {
			break
		}
		var count uint32
		res := r.retired(r.h, uint32(code), &count, nil)
		if res == resultInsufficientSize || r.ok(res) {
			r.d.set("gpu_retired_pages", float64(count), "cause", cause)
		}
	}
	r.put("gpu_retired_pages_pending", 1)(r.u32(r.retiredPending))
}

func (r *reader) pcie() {
	// NVML counts for 20 ms to answer each of these two.
	for at, name := range []string{"transmit", "receive"} {
		r.put("gpu_pcie_"+name+"_bytes_per_second", 1024)(r.u32At(r.pcieThroughput, uint32(at)))
	}
	r.put("gpu_pcie_replays_total", 1)(r.u32(r.pcieReplays))
	r.put("gpu_pcie_link_generation", 1)(r.u32(r.linkGen))
	r.put("gpu_pcie_link_generation_max", 1)(r.u32(r.linkGenMax))
	r.put("gpu_pcie_link_width", 1)(r.u32(r.linkWidth))
	r.put("gpu_pcie_link_width_max", 1)(r.u32(r.linkWidthMax))
}

func (r *reader) sessions() {
	var n, fps, latency uint32
	if r.encoderStats != nil && r.ok(r.encoderStats(r.h, &n, &fps, &latency)) {
		setSessions(r.d, "gpu_encoder_", n, fps, latency)
	}
	var f fbcStats
	if r.nvml.fbcStats != nil && r.ok(r.nvml.fbcStats(r.h, &f)) {
		setSessions(r.d, "gpu_capture_", f.Sessions, f.FPS, f.Latency)
	}
}

// setSessions takes a latency in microseconds.
func setSessions(d *Device, prefix string, n, fps, latency uint32) {
	d.set(prefix+"sessions", float64(n))
	d.set(prefix+"frames_per_second", float64(fps))
	d.set(prefix+"latency_seconds", float64(latency)*1e-6)
}
