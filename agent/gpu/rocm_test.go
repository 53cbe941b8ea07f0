package gpu

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestEveryRecordedROCmJSONGivesItsRecordedValues(t *testing.T) {
	var all map[string][]recorded
	if err := json.Unmarshal(data(t, "gpu-rocm-smi-json", "expected.json"), &all); err != nil {
		t.Fatal(err)
	}
	fields := map[string]smiField{
		"fan_speed": {"gpu_fan_ratio", 0.01}, "power_draw": {"gpu_power_watts", 1},
		"memory_total": {"gpu_memory_total_bytes", 1}, "memory_used": {"gpu_memory_used_bytes", 1}, "memory_free": {"gpu_memory_free_bytes", 1},
		"temperature_sensor_edge": {"gpu_temperature_celsius", 1}, "temperature_sensor_junction": {"gpu_junction_temperature_celsius", 1},
		"temperature_sensor_memory": {"gpu_memory_temperature_celsius", 1}, "utilization_gpu": {"gpu_utilization_ratio", 0.01},
		"utilization_memory": {"gpu_memory_utilization_ratio", 0.01}, "clocks_current_sm": {"gpu_clock_hertz{clock=sm}", 1e6},
		"clocks_current_memory": {"gpu_clock_hertz{clock=memory}", 1e6}, "clocks_current_system": {"gpu_clock_hertz{clock=system}", 1e6},
		"clocks_current_display": {"gpu_clock_hertz{clock=display}", 1e6}, "clocks_current_fabric": {"gpu_clock_hertz{clock=fabric}", 1e6},
		// Names, which the recording cuts at the first blank or squeezes to a number.
		"card_model": {}, "card_series": {}, "card_vendor": {}, "driver_version": {},
	}
	compared, cards := 0, 0
	for _, file := range slices.Sorted(maps.Keys(all)) {
		t.Run(file, func(t *testing.T) {
			r, err := ParseROCm(strings.NewReader(string(data(t, "gpu-rocm-smi-json", file))))
			if err != nil || len(r.Devices) != len(all[file]) || r.Driver == "" {
				t.Fatalf("%d cards, driver %q: %v; want %d", len(r.Devices), r.Driver, err, len(all[file]))
			}
			sound(t, r)
			for _, m := range all[file] {
				i, _ := cardIndex(m.Tags["name"])
				at := slices.IndexFunc(r.Devices, func(d Device) bool { return d.Index == i })
				if at < 0 {
					t.Fatalf("no %s", m.Tags["name"])
				}
				cards++
				d := r.Devices[at]
				if d.GPU == "" || m.Tags["gpu_unique_id"] != "N/A" && d.Info["uuid"] != m.Tags["gpu_unique_id"] {
					t.Errorf("identity: %+v, want %v", d, m.Tags)
				}
				got := figures(d)
				for name, v := range m.Fields {
					f, known := fields[name]
					if name == "utilization_memory" && v.(float64) != 0 && got[f.key] == 0 {
						// ROCm 6.1 split what was one key. The recording took the share of
						// memory that is allocated, which is another figure here.
						compared++
						if share := got["gpu_memory_used_bytes"] / got["gpu_memory_total_bytes"]; math.Round(100*share) != v.(float64) {
							t.Errorf("memory in use: %v, want %v%%", share, v)
						}
						continue
					}
					if !known {
						t.Errorf("%s: no metric for it", name)
					} else if f.key != "" {
						compared++
						if g, ok := got[f.key]; !ok || !same(g, v.(float64)*f.scale) {
							t.Errorf("%s: %v (there: %v), want %v", f.key, g, ok, v.(float64)*f.scale)
						}
					}
				}
			}
		})
	}
	if len(all) != 8 || cards != 16 || compared < 150 {
		t.Errorf("compared %d values of %d cards in %d files", compared, cards, len(all))
	}
}

func TestROCmJSON(t *testing.T) {
	f, err := os.Open("testdata/rocm.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ParseROCm(f)
	if err != nil || r.Driver != "6.3.6" || r.Count != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := r.Devices[0]; d.GPU != "0000:1e:00" || d.Info["uuid"] != "0x79ccd55167a2124a" || d.Info["serial"] != "" || d.Info["vbios"] != "113-D3431401-101" {
		t.Errorf("identity: %+v", d)
	}
	compare(t, figures(r.Devices[0]), map[string]float64{
		"gpu_utilization_ratio": 0.57, "gpu_memory_utilization_ratio": 0.12, "gpu_temperature_celsius": 53, "gpu_junction_temperature_celsius": 55,
		"gpu_power_watts": 36, "gpu_power_limit_watts": 290, "gpu_clock_hertz{clock=sm}": 3e8, "gpu_clock_hertz{clock=memory}": 1.2e9,
		"gpu_memory_total_bytes": 34342961152, "gpu_memory_used_bytes": 6750208, "gpu_memory_free_bytes": 34336210944,
		"gpu_pcie_replays_total": 3, "gpu_pcie_link_generation": 4, "gpu_pcie_link_width": 16, "gpu_energy_joules_total": 1234.567891,
	})
	// The second card answers nothing: it is there, without figures.
	if d := r.Devices[1]; d.Index != 10 || len(d.Values) != 0 {
		t.Errorf("%+v", d)
	}
	for _, bad := range []string{"", "{}", "[]", `{"card0": 3}`, `{"system": {}}`, "ERROR: no amdgpu driver"} {
		if r, err := ParseROCm(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gave %+v", bad, r)
		}
	}
}

func FuzzParseROCm(f *testing.F) {
	b, err := os.ReadFile("testdata/rocm.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseROCm(strings.NewReader(s)); err == nil {
			sound(t, r)
		}
	})
}
