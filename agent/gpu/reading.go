package gpu

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Reading is what one source said about its GPUs in one poll. It crosses a pipe
// as one line of JSON.
type Reading struct {
	// Vendor is nvidia or amd, Source is nvml, nvidia-smi or rocm-smi.
	Vendor, Source string
	// Driver is the kernel driver's version, "" where unknown.
	Driver string `json:",omitempty"`
	// Count is how many GPUs the driver says it has.
	Count   int
	Devices []Device `json:",omitempty"`
	// Err says why the source could not be asked at all.
	Err string `json:",omitempty"`
	// Unusable says that asking again is of no use: the library or one of the
	// functions without which nothing can be read is missing.
	Unusable bool `json:",omitempty"`
}

// Device is one GPU in one poll.
type Device struct {
	// GPU is its PCI address as the kernel's log has it, such as 0000:3b:00; ""
	// where the driver would not say.
	GPU   string
	Index int
	// Info are labels that do not change: uuid, name, serial, vbios.
	Info map[string]string `json:",omitempty"`
	// Lost says why the GPU cannot be read, "" where it can.
	Lost string `json:",omitempty"`
	// Stuck says that a call about this GPU has not returned.
	Stuck  bool    `json:",omitempty"`
	Values []Value `json:",omitempty"`
}

// Value is one figure in its metric's unit. Names that end in _total count up.
type Value struct {
	Name string `json:"n"`
	// Labels are names and values in turn, beside the GPU's own.
	Labels []string `json:"l,omitempty"`
	V      float64  `json:"v"`
}

// set adds a figure; what is no number is absent.
func (d *Device) set(name string, v float64, labels ...string) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if math.Abs(v) < 1e9 {
		v = math.Round(v*1e6) / 1e6 // what scaling leaves behind is no reading
	}
	d.Values = append(d.Values, Value{Name: name, Labels: labels, V: v})
}

func (d *Device) has(name string) bool {
	return slices.ContainsFunc(d.Values, func(v Value) bool { return v.Name == name })
}

// add sums figures that one source gives in parts.
func (d *Device) add(name string, v float64, labels ...string) {
	for i := range d.Values {
		if o := &d.Values[i]; o.Name == name && strings.Join(o.Labels, "\x00") == strings.Join(labels, "\x00") {
			o.V += v
			return
		}
	}
	d.set(name, v, labels...)
}

// inform keeps a label unless the source has nothing to say.
func (d *Device) inform(name, value string) {
	if value = strings.TrimSpace(value); isBlank(value) {
		return
	}
	if d.Info == nil {
		d.Info = map[string]string{}
	}
	d.Info[name] = value
}

// isBlank tells whether a tool's text stands for no value.
func isBlank(s string) bool {
	s = strings.Trim(s, "[] ")
	switch strings.ToLower(s) {
	case "", "n/a", "not supported", "unknown error", "unknown", "insufficient permissions", "gpu is lost", "gpu requires reset", "no data":
		return true
	}
	return strings.HasPrefix(s, "N/A ") || strings.Contains(s, "deprecated")
}

// blank64 tells whether a 64-bit value of NVML or DCGM stands for none: NVML's
// NOT_AVAILABLE is all ones, and DCGM's blanks (not found, not supported, no
// permission) begin at 0x7ffffffffffffff0.
func blank64(v uint64) bool { return v >= 0x7ffffffffffffff0 }

// blank32 is blank64 for 32 bits: NVML's NOT_AVAILABLE is all ones, and DCGM's
// blanks are 0x7ffffff0 to 0x7ffffff3.
func blank32(v uint32) bool { return v == math.MaxUint32 || v >= 0x7ffffff0 && v <= 0x7ffffff3 }

// Address brings PCI addresses of all sources to one form, the one that XID
// events have: domain of four digits, bus and device, in small letters. "" is
// what is no address.
func Address(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(s)), ".")
	parts := strings.Split(s, ":")
	if len(parts) == 2 {
		parts = append([]string{"0"}, parts...)
	}
	if len(parts) != 3 {
		return ""
	}
	var n [3]uint64
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 16, []int{32, 8, 8}[i])
		if err != nil {
			return ""
		}
		n[i] = v
	}
	return address(uint32(n[0]), uint32(n[1]), uint32(n[2]))
}

func address(domain, bus, device uint32) string {
	hex := func(v uint32, width int) string {
		s := strconv.FormatUint(uint64(v), 16)
		return strings.Repeat("0", max(width-len(s), 0)) + s
	}
	return hex(domain, 4) + ":" + hex(bus, 2) + ":" + hex(device, 2)
}

// reasons are the clock event reasons by their bits in NVML.
var reasons = []string{
	"gpu_idle", "applications_clocks_setting", "sw_power_cap", "hw_slowdown", "sync_boost",
	"sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "display_clocks_setting",
}
