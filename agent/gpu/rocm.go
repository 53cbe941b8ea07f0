package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxOutput bounds what a tool may print.
const maxOutput = 16 << 20

// rocmKeys are the metrics and the keys that rocm-smi gave them from release to
// release, in small letters; the first that has a value counts.
func rocmKeys() []figure {
	scaled := func(scale float64, name string, keys ...string) figure {
		return figure{name: name, scale: scale, paths: keys}
	}
	clock := func(name, key string) figure {
		return with(scaled(1e6, "gpu_clock_hertz", key+" clock speed:", key+" clock level"), "clock", name)
	}
	return []figure{
		scaled(0.01, "gpu_utilization_ratio", "gpu use (%)"),
		scaled(0.01, "gpu_memory_utilization_ratio", "gpu memory use (%)", "gpu memory read/write activity (%)"),
		scaled(0.01, "gpu_fan_ratio", "fan speed (%)"),
		one("gpu_memory_total_bytes", "vram total memory (b)"),
		one("gpu_memory_used_bytes", "vram total used memory (b)"),
		one("gpu_temperature_celsius", "temperature (sensor edge) (c)"),
		one("gpu_junction_temperature_celsius", "temperature (sensor junction) (c)"),
		one("gpu_memory_temperature_celsius", "temperature (sensor memory) (c)", "temperature (sensor hbm 0) (c)"),
		one("gpu_power_watts", "average graphics package power (w)", "current socket graphics package power (w)", "current graphics package power (w)"),
		one("gpu_power_limit_watts", "max graphics package power (w)"),
		scaled(1e-6, "gpu_energy_joules_total", "accumulated energy (uj)"),
		one("gpu_pcie_replays_total", "pcie replay count"),
		clock("sm", "sclk"), clock("memory", "mclk"), clock("system", "socclk"), clock("display", "dcefclk"), clock("fabric", "fclk"),
	}
}

// ParseROCm reads what rocm-smi prints as JSON, of ROCm 4 to 6: an object for
// each card, and one for the system. Keys differ between releases.
func ParseROCm(in io.Reader) (Reading, error) {
	r := Reading{Vendor: "amd", Source: "rocm-smi"}
	data, err := io.ReadAll(io.LimitReader(in, maxOutput))
	if err != nil {
		return r, fmt.Errorf("read rocm-smi's JSON: %w", err)
	}
	// Some releases print warnings before the object.
	if i := strings.IndexByte(string(data), '{'); i > 0 {
		data = data[i:]
	}
	var groups map[string]map[string]any
	if err := json.Unmarshal(data, &groups); err != nil {
		return r, fmt.Errorf("read rocm-smi's JSON: %w", err)
	}
	if s, ok := groups["system"]; ok {
		r.Driver = rocmText(lower(s), "driver version")
	}
	for name, card := range groups {
		if index, ok := cardIndex(name); ok {
			r.Devices = append(r.Devices, rocmDevice(index, lower(card)))
		}
	}
	if len(r.Devices) == 0 {
		return r, errors.New("read rocm-smi's JSON: no card in it")
	}
	slices.SortFunc(r.Devices, func(a, b Device) int { return a.Index - b.Index })
	r.Count = len(r.Devices)
	return r, nil
}

func cardIndex(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "card")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n < 1<<10
}

func lower(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = v
	}
	return out
}

func rocmText(m map[string]any, keys ...string) string {
	for _, k := range keys {
		if s, ok := m[k].(string); ok && !isBlank(s) {
			return s
		}
	}
	return ""
}

func rocmDevice(index int, card map[string]any) Device {
	d := Device{Index: index, GPU: Address(rocmText(card, "pci bus"))}
	d.inform("name", rocmText(card, "device name", "card series", "card model"))
	d.inform("uuid", rocmText(card, "unique id"))
	if serial := rocmText(card, "serial number"); serial != "0" {
		d.inform("serial", serial)
	}
	d.inform("vbios", rocmText(card, "vbios version"))
	for _, f := range rocmKeys() {
		for _, key := range f.paths {
			if v, ok := rocmNumber(card[key]); ok {
				d.set(f.name, v*f.scale, f.labels...)
				break
			}
		}
	}
	total, ok := rocmNumber(card["vram total memory (b)"])
	used, ok2 := rocmNumber(card["vram total used memory (b)"])
	if ok && ok2 && used <= total {
		d.set("gpu_memory_free_bytes", total-used)
	}
	rocmLink(&d, rocmText(card, "pcie clock level"))
	return d
}

// rocmNumber reads "31.0", "(1402Mhz)", "1 (500Mhz)" or a number. In the last
// two the clock counts.
func rocmNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		if isBlank(v) {
			return 0, false
		}
		if _, inside, ok := strings.Cut(v, "("); ok {
			v, _, _ = strings.Cut(inside, ")")
		}
		v = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(v)), "mhz")
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil && n == n && n < 1e18 && n > -1e18
	}
	return 0, false
}

// rocmLink reads "1 (16.0GT/s x16)".
func rocmLink(d *Device, s string) {
	_, inside, ok := strings.Cut(s, "(")
	rate, width, ok2 := strings.Cut(strings.TrimSuffix(inside, ")"), "GT/s x")
	if !ok || !ok2 {
		return
	}
	generations := map[string]float64{"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
	if g, ok := generations[rate]; ok {
		d.set("gpu_pcie_link_generation", g)
	}
	if w, err := strconv.Atoi(width); err == nil {
		d.set("gpu_pcie_link_width", float64(w))
	}
}
