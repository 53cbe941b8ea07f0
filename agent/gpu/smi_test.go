package gpu

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// data returns a file of the shared data sets, or skips.
func data(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "..", "shared", "data"}, path...)...))
	if err != nil {
		t.Skipf("data set is not here: %v", err)
	}
	return b
}

// recorded is one metric of the data sets' expected.json.
type recorded struct {
	Measurement string            `json:"measurement"`
	Tags        map[string]string `json:"tags"`
	Fields      map[string]any    `json:"fields"`
}

// same tells whether two figures agree to what a text with a few digits keeps.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }

// smiField is where a field of the data set is found here, and in which unit it
// is given there.
type smiField struct {
	key   string
	scale float64
}

func smiFields() map[string]smiField {
	out := map[string]smiField{
		"fan_speed": {"gpu_fan_ratio", 0.01}, "power_draw": {"gpu_power_watts", 1}, "power_draw_average": {"gpu_power_average_watts", 1},
		"power_limit": {"gpu_power_limit_watts", 1}, "power_limit_default": {"gpu_power_limit_default_watts", 1},
		"power_limit_max": {"gpu_power_limit_max_watts", 1}, "power_limit_min": {"gpu_power_limit_min_watts", 1},
		"power_limit_requested": {"gpu_power_limit_requested_watts", 1},
		"pcie_link_gen_current": {"gpu_pcie_link_generation", 1}, "pcie_link_width_current": {"gpu_pcie_link_width", 1},
		"pcie_rx_util": {"gpu_pcie_receive_bytes_per_second", 1024}, "pcie_tx_util": {"gpu_pcie_transmit_bytes_per_second", 1024},
		"temperature_gpu": {"gpu_temperature_celsius", 1}, "temperature_memory": {"gpu_memory_temperature_celsius", 1},
		"temperature_gpu_tlimit": {"gpu_temperature_margin_celsius", 1}, "temperature_gpu_target": {"gpu_temperature_target_celsius", 1},
		"temperature_gpu_target_min": {"gpu_temperature_target_min_celsius", 1}, "temperature_gpu_target_max": {"gpu_temperature_target_max_celsius", 1},
		"temperature_max_threshold": {"gpu_temperature_threshold_celsius{threshold=shutdown}", 1}, "temperature_slow_threshold": {"gpu_temperature_threshold_celsius{threshold=slowdown}", 1},
		"temperature_max_gpu_threshold": {"gpu_temperature_threshold_celsius{threshold=max}", 1}, "temperature_max_mem_threshold": {"gpu_temperature_threshold_celsius{threshold=memory_max}", 1},
		"temperature_max_tlimit_threshold":     {"gpu_temperature_margin_threshold_celsius{threshold=shutdown}", 1},
		"temperature_slow_tlimit_threshold":    {"gpu_temperature_margin_threshold_celsius{threshold=slowdown}", 1},
		"temperature_max_gpu_tlimit_threshold": {"gpu_temperature_margin_threshold_celsius{threshold=max}", 1},
		"utilization_gpu":                      {"gpu_utilization_ratio", 0.01}, "utilization_memory": {"gpu_memory_utilization_ratio", 0.01},
		"current_ecc": {"gpu_ecc_enabled", 1}, "retired_pages_multiple_single_bit": {"gpu_retired_pages{cause=single_bit}", 1},
		"retired_pages_double_bit": {"gpu_retired_pages{cause=double_bit}", 1}, "retired_pages_pending": {"gpu_retired_pages_pending", 1},
		"retired_pages_blacklist": {"gpu_retired_pages_pending", 1}, "remapped_rows_correctable": {"gpu_remapped_rows{cause=correctable}", 1},
		"remapped_rows_uncorrectable": {"gpu_remapped_rows{cause=uncorrectable}", 1}, "remapped_rows_pending": {"gpu_row_remap_pending", 1},
		"remapped_rows_failure": {"gpu_row_remap_failure", 1}, "ecc_errors_channel_repair_pending": {"gpu_channel_repair_pending", 1},
		"ecc_errors_tpc_repair_pending": {"gpu_tpc_repair_pending", 1},
		"driver_version":                {"driver", 0}, "vbios_version": {"vbios", 0}, "serial": {"serial", 0},
		// What says nothing of a GPU's health is not measured.
		"cuda_version": {}, "display_active": {}, "display_mode": {},
	}
	for _, p := range []string{"total", "used", "free", "reserved"} {
		out["memory_"+p] = smiField{"gpu_memory_" + p + "_bytes", 1 << 20}
	}
	for _, u := range []string{"encoder", "decoder", "jpeg", "ofa"} {
		out["utilization_"+u] = smiField{"gpu_" + u + "_utilization_ratio", 0.01}
	}
	for _, c := range []string{"graphics", "sm", "memory", "video"} {
		out["clocks_current_"+c] = smiField{"gpu_clock_hertz{clock=" + c + "}", 1e6}
	}
	for ours, theirs := range map[string]string{"encoder": "encoder_stats_", "capture": "fbc_stats_"} {
		out[theirs+"session_count"] = smiField{"gpu_" + ours + "_sessions", 1}
		out[theirs+"average_fps"] = smiField{"gpu_" + ours + "_frames_per_second", 1}
		out[theirs+"average_latency"] = smiField{"gpu_" + ours + "_latency_seconds", 1e-6}
	}
	for _, r := range reasons {
		out["clocks_event_reason_"+r] = smiField{"gpu_clock_event{reason=" + r + "}", 1}
	}
	for theirs, ours := range map[string]string{"sw_power_cap": "sw_power_cap", "sync_boost": "sync_boost", "sw_therm_slowdown": "sw_thermal_slowdown", "hw_therm_slowdown": "hw_thermal_slowdown", "hw_power_brake": "hw_power_brake_slowdown"} {
		out["clocks_event_reasons_counters_"+theirs] = smiField{"gpu_clock_event_seconds_total{reason=" + ours + "}", 1e-6}
	}
	return out
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		n, ok := map[string]float64{"Enabled": 1, "Disabled": 0, "Yes": 1, "No": 0}[v]
		return n, ok
	}
	return 0, false
}

func TestEveryRecordedXMLGivesItsRecordedValues(t *testing.T) {
	var all map[string][]recorded
	if err := json.Unmarshal(data(t, "gpu-nvidia-smi-xml", "expected.json"), &all); err != nil {
		t.Fatal(err)
	}
	fields, compared := smiFields(), 0
	for _, file := range slices.Sorted(maps.Keys(all)) {
		t.Run(file, func(t *testing.T) {
			r, err := ParseSMI(strings.NewReader(string(data(t, "gpu-nvidia-smi-xml", file))), true)
			if err != nil || len(r.Devices) != 1 {
				t.Fatalf("%d GPUs: %v", len(r.Devices), err)
			}
			d := r.Devices[0]
			got := figures(d)
			check := func(key string, want float64) {
				t.Helper()
				compared++
				if v, ok := got[key]; !ok || !same(v, want) {
					t.Errorf("%s: %v (there: %v), want %v", key, v, ok, want)
				}
			}
			for _, m := range all[file] {
				switch m.Measurement {
				case "nvidia_smi":
					if d.Info["name"] != m.Tags["name"] || d.Info["uuid"] != m.Tags["uuid"] {
						t.Errorf("identity: %v, want %v", d.Info, m.Tags)
					}
					if p, ok := parseFigure(m.Tags["pstate"]); ok {
						check("gpu_performance_state", p)
					}
					for name, v := range m.Fields {
						f, known := fields[name]
						want, isNumber := number(v)
						switch {
						case !known:
							t.Errorf("%s: no metric for it", name)
						case isNumber && f.key != "" && f.scale != 0:
							check(f.key, want*f.scale)
						case f.key == "driver" && r.Driver != v, (f.key == "serial" || f.key == "vbios") && d.Info[f.key] != v:
							t.Errorf("%s: %q, want %q", f.key, d.Info[f.key], v)
						}
					}
				case "nvidia_smi_process":
					for _, kind := range []string{"compute", "graphics"} {
						if strings.Contains(m.Tags["type"], strings.ToUpper(kind[:1])) {
							check(fmt.Sprintf("gpu_process_memory_bytes{pid=%v,kind=%s,command=%s}", m.Fields["pid"], kind, shortCommand(m.Tags["name"])), m.Fields["used_memory"].(float64)*(1<<20))
						}
					}
				case "nvidia_smi_mig":
					labels := "{gpu_instance=" + m.Tags["gpu_index"] + ",compute_instance=" + m.Tags["compute_index"]
					for name, v := range m.Fields {
						part := name[strings.LastIndexByte(name, '_')+1:]
						switch {
						case name == "sram_uncorrectable":
							check("gpu_mig_ecc_errors_total"+labels+",counter=volatile,error=uncorrected,memory=sram}", v.(float64))
						case strings.HasPrefix(name, "memory_fb_"):
							check("gpu_mig_memory_"+part+"_bytes"+labels+"}", v.(float64)*(1<<20))
						case strings.HasPrefix(name, "memory_bar1_"):
							check("gpu_mig_bar1_"+part+"_bytes"+labels+"}", v.(float64)*(1<<20))
						default:
							t.Errorf("%s: no metric for it", name)
						}
					}
				default:
					t.Errorf("measurement %s is not known", m.Measurement)
				}
			}
			for key := range got {
				if strings.HasPrefix(key, "twice ") {
					t.Errorf("%s is there twice", key[6:])
				}
			}
		})
	}
	if len(all) != 12 || compared < 400 {
		t.Errorf("compared %d values of %d files", compared, len(all))
	}
}

func TestSMIGivesWhatNVMLGives(t *testing.T) {
	f, err := os.Open("testdata/smi.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ParseSMI(f, false)
	if err != nil || r.Driver != "595.71.05" || r.Count != 3 || len(r.Devices) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	d := r.Devices[0]
	if d.GPU != "0000:4b:00" || d.Info["serial"] != "1650522003803" || d.Info["vbios"] != "" {
		t.Errorf("identity: %+v", d)
	}
	compare(t, figures(d), map[string]float64{
		"gpu_memory_total_bytes": 81559 << 20, "gpu_memory_used_bytes": 13 << 30, "gpu_utilization_ratio": 0.57,
		"gpu_temperature_celsius": 43, "gpu_power_watts": 310.5, "gpu_power_limit_watts": 700, "gpu_power_limit_requested_watts": 650,
		"gpu_pcie_link_generation": 5, "gpu_pcie_link_generation_max": 5, "gpu_pcie_link_width": 8, "gpu_pcie_link_width_max": 16,
		"gpu_clock_event{reason=sw_power_cap}": 1, "gpu_clock_event{reason=hw_slowdown}": 0,
		"gpu_clock_event_seconds_total{reason=hw_thermal_slowdown}": 1.5, "gpu_recovery_action": 4,
		"gpu_ecc_errors_total{counter=volatile,error=uncorrected,memory=sram}": 3, "gpu_ecc_errors_total{counter=volatile,error=corrected,memory=dram}": 0,
		"gpu_ecc_errors_total{counter=aggregate,error=uncorrected,memory=dram}": 9,
		"gpu_row_remap_pending": 1, "gpu_mig_enabled": 1, "gpu_mig_instances": 1, "gpu_mig_info{gpu_instance=3,compute_instance=0,uuid=,name=}": 1,
		"gpu_mig_memory_used_bytes{gpu_instance=3,compute_instance=0}": 12 << 20,
		"gpu_processes{kind=compute}":                                  2, "gpu_processes{kind=graphics}": 1,
		"gpu_processes_memory_bytes{kind=compute}": 611 << 20, "gpu_processes_memory_bytes{kind=graphics}": 451 << 20,
	})
	// The second GPU is of before Turing, under a driver of before 535, and
	// answers most questions with [N/A].
	compare(t, figures(r.Devices[1]), map[string]float64{
		"gpu_clock_event{reason=gpu_idle}": 1, "gpu_power_watts": 25.58, "gpu_power_limit_watts": 250, "gpu_power_limit_requested_watts": 300,
		"gpu_ecc_errors_total{counter=volatile,error=corrected,memory=dram}": 4, "gpu_ecc_errors_total{counter=volatile,error=uncorrected,memory=dram}": 1,
		"gpu_retired_pages{cause=double_bit}": 2, "gpu_retired_pages_pending": 1,
	})
}

func TestBlanksAreAbsent(t *testing.T) {
	for _, s := range []string{"N/A", "[N/A]", "[Not Supported]", "Not Supported", "", " ", "[Unknown Error]", "[GPU requires reset]", "Insufficient Permissions",
		"Requested functionality has been deprecated", "N/A (Secondary die)", "NaN", "Inf", "9223372036854775794", "12 parsecs", "x", "P"} {
		if v, ok := parseFigure(s); ok {
			t.Errorf("%q is %v", s, v)
		}
	}
	for s, want := range map[string]float64{"-7 C": -7, "0": 0, "16x": 16, "P8": 8, "67.03 W": 67.03, "Not Active": 0, "Active": 1, "830 KB/s": 849920, "100 %": 1} {
		if v, ok := parseFigure(s); !ok || !same(v, want) {
			t.Errorf("%q is %v, %v, want %v", s, v, ok, want)
		}
	}
}

func TestAddressesAreOneForAllSources(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Address(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("00000000:3B:00.0", "0000:3b:00")
	f("0000:3b:00.0", "0000:3b:00")
	f("0000:1E:00", "0000:1e:00")
	f("00010000:01:1F.0", "10000:01:1f")
	f("3b:00.0", "0000:3b:00")
	f("N/A", "")
	f("0000:100:00.0", "")
	f("", "")
}

func FuzzParseSMI(f *testing.F) {
	b, err := os.ReadFile("testdata/smi.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("<nvidia_smi_log><gpu id=\"1:2:3\"><processes>N/A</processes></gpu></nvidia_smi_log>")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseSMI(strings.NewReader(s), true)
		if err == nil {
			sound(t, r)
		}
	})
}

// sound holds what is true of every reading.
func sound(t *testing.T, r Reading) {
	t.Helper()
	for _, d := range r.Devices {
		for _, v := range d.Values {
			if math.IsNaN(v.V) || math.IsInf(v.V, 0) || !strings.HasPrefix(v.Name, "gpu_") || len(v.Labels)%2 != 0 {
				t.Errorf("%+v", v)
			}
		}
	}
	if r.Count < len(r.Devices) {
		t.Errorf("%d GPUs of %d", len(r.Devices), r.Count)
	}
}
