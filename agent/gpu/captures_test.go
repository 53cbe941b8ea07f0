package gpu

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// column is a column of nvidia-smi --query-gpu, the metric that an exporter made
// of it, and ours. Where ours is read from, says the table that the parser uses.
type column struct{ name, theirs, key string }

func columns() []column {
	out := []column{
		{"pcie.link.gen.current", "pcie_link_gen_current", "gpu_pcie_link_generation"},
		{"pcie.link.gen.max", "pcie_link_gen_max", "gpu_pcie_link_generation_max"},
		{"pcie.link.width.current", "pcie_link_width_current", "gpu_pcie_link_width"},
		{"pcie.link.width.max", "pcie_link_width_max", "gpu_pcie_link_width_max"},
		{"fan.speed", "fan_speed_ratio", "gpu_fan_ratio"},
		{"pstate", "pstate", "gpu_performance_state"},
		{"ecc.mode.current", "ecc_mode_current", "gpu_ecc_enabled"},
		{"mig.mode.current", "mig_mode_current", "gpu_mig_enabled"},
		{"retired_pages.single_bit_ecc.count", "retired_pages_single_bit_ecc_count", "gpu_retired_pages{cause=single_bit}"},
		{"retired_pages.double_bit.count", "retired_pages_double_bit_count", "gpu_retired_pages{cause=double_bit}"},
		{"retired_pages.pending", "retired_pages_pending", "gpu_retired_pages_pending"},
		{"remapped_rows.correctable", "remapped_rows_correctable", "gpu_remapped_rows{cause=correctable}"},
		{"remapped_rows.uncorrectable", "remapped_rows_uncorrectable", "gpu_remapped_rows{cause=uncorrectable}"},
		{"remapped_rows.pending", "remapped_rows_pending", "gpu_row_remap_pending"},
		{"remapped_rows.failure", "remapped_rows_failure", "gpu_row_remap_failure"},
		{"temperature.gpu", "temperature_gpu", "gpu_temperature_celsius"},
		{"temperature.gpu.tlimit", "temperature_gpu_tlimit", "gpu_temperature_margin_celsius"},
		{"temperature.memory", "temperature_memory", "gpu_memory_temperature_celsius"},
		{"power.draw.instant", "power_draw_instant_watts", "gpu_power_watts"},
		{"power.draw.average", "power_draw_average_watts", "gpu_power_average_watts"},
		{"enforced.power.limit", "enforced_power_limit_watts", "gpu_power_limit_watts"},
		{"power.default_limit", "power_default_limit_watts", "gpu_power_limit_default_watts"},
		{"power.min_limit", "power_min_limit_watts", "gpu_power_limit_min_watts"},
		{"power.max_limit", "power_max_limit_watts", "gpu_power_limit_max_watts"},
		{"encoder.stats.sessionCount", "encoder_stats_session_count", "gpu_encoder_sessions"},
		{"encoder.stats.averageFps", "encoder_stats_average_fps", "gpu_encoder_frames_per_second"},
	}
	for _, u := range []string{"gpu", "memory", "encoder", "decoder", "jpeg", "ofa"} {
		key := "gpu_" + u + "_utilization_ratio"
		if u == "gpu" {
			key = "gpu_utilization_ratio"
		}
		out = append(out, column{"utilization." + u, "utilization_" + u + "_ratio", key})
	}
	for _, m := range []string{"total", "used", "free", "reserved"} {
		out = append(out, column{"memory." + m, "memory_" + m + "_bytes", "gpu_memory_" + m + "_bytes"})
	}
	for _, c := range []string{"graphics", "sm", "memory", "video"} {
		out = append(out, column{"clocks.current." + c, "clocks_current_" + c + "_clock_hz", "gpu_clock_hertz{clock=" + c + "}"})
		if c != "video" {
			out = append(out, column{"clocks.max." + c, "clocks_max_" + c + "_clock_hz", "gpu_clock_max_hertz{clock=" + c + "}"})
		}
	}
	for _, r := range reasons[:8] {
		out = append(out, column{"clocks_event_reasons." + r, "clocks_event_reasons_" + r, "gpu_clock_event{reason=" + r + "}"})
		if r == "sw_power_cap" || strings.Contains(r, "_thermal_") || strings.Contains(r, "brake") || r == "sync_boost" {
			out = append(out, column{"clocks_event_reasons_counters." + r, "clocks_event_reasons_counters_" + r + "_seconds", "gpu_clock_event_seconds_total{reason=" + r + "}"})
		}
	}
	for _, b := range []string{"max", "high", "partial", "low", "none"} {
		out = append(out, column{"remapped_rows.histogram." + b, "remapped_rows_histogram_" + b, "gpu_row_remap_banks{spare=" + b + "}"})
	}
	for _, counter := range []string{"volatile", "aggregate"} {
		for _, kind := range []string{"corrected", "uncorrected"} {
			key := "gpu_ecc_errors_total{counter=" + counter + ",error=" + kind + ",memory="
			out = append(out, column{"ecc.errors." + kind + "." + counter + ".dram", "ecc_errors_" + kind + "_" + counter + "_dram", key + "dram}"},
				column{"ecc.errors." + kind + "." + counter + ".sram", "ecc_errors_" + kind + "_" + counter + "_sram", key + "sram}"})
		}
	}
	return out
}

// xmlPaths are where the parser looks first for each of our metrics.
func xmlPaths() map[string]string {
	out := map[string]string{}
	for _, f := range smiFigures() {
		d := Device{}
		d.set(f.name, 1, f.labels...)
		for key := range figures(d) {
			out[key] = f.paths[0]
		}
	}
	for _, r := range reasons {
		out["gpu_clock_event{reason="+r+"}"] = "clocks_event_reasons/clocks_event_reason_" + r
	}
	return out
}

// asXML writes values at paths.
func asXML(values map[string]string) string {
	var b strings.Builder
	b.WriteString(`<nvidia_smi_log><driver_version>1</driver_version><gpu id="00000000:83:00.0">`)
	groups := map[string]string{}
	for path, v := range values {
		group, leaf, _ := cutLast(path)
		var text strings.Builder
		_ = xml.EscapeText(&text, []byte(v)) // a Builder takes everything
		groups[group] += "<" + leaf + ">" + text.String() + "</" + leaf + ">"
	}
	nest(&b, groups, "")
	b.WriteString("</gpu></nvidia_smi_log>")
	return b.String()
}

func cutLast(path string) (group, leaf string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:], i >= 0
}

// nest writes the leaves of a group and the groups below it.
func nest(b *strings.Builder, groups map[string]string, at string) {
	b.WriteString(groups[at])
	below := map[string]bool{}
	for g := range groups {
		rest, ok := strings.CutPrefix(g, at)
		if rest = strings.TrimPrefix(rest, "/"); ok && rest != "" && (at == "" || strings.HasPrefix(g, at+"/")) {
			name, _, _ := strings.Cut(rest, "/")
			below[name] = true
		}
	}
	for name := range below {
		b.WriteString("<" + name + ">")
		nest(b, groups, strings.TrimPrefix(at+"/"+name, "/"))
		b.WriteString("</" + name + ">")
	}
}

// query returns the first GPU's columns in a part (idle or load) of a capture.
func query(t *testing.T, capture, part string) map[string]string {
	t.Helper()
	_, rest, ok := strings.Cut(capture, "# "+part+" :: query-gpu (csv")
	lines := strings.SplitN(rest, "\n", 6)
	if !ok || len(lines) < 6 {
		t.Fatalf("no %s in the capture", part)
	}
	names, values := strings.Split(lines[3], ", "), strings.Split(strings.TrimSpace(lines[4]), ", ")
	if len(names) != len(values) {
		t.Fatalf("%d columns, %d values", len(names), len(values))
	}
	out := map[string]string{}
	for i, n := range names {
		n, _, _ = strings.Cut(strings.TrimSpace(n), " [")
		out[n] = values[i]
	}
	return out
}

func TestCapturesOfLaterDriversGiveWhatAnExporterMadeOfThem(t *testing.T) {
	data(t, "gpu-nvidia-smi-captures", "README.md")
	files, err := filepath.Glob("../../../shared/data/gpu-nvidia-smi-captures/captures/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	exported := regexp.MustCompile(`(?m)^nvidia_smi_(\w+)\{[^}]*\} (\S+)$`)
	paths, compared, absent := xmlPaths(), 0, 0
	for _, file := range files {
		for _, part := range []string{"idle", "load"} {
			name := strings.TrimSuffix(filepath.Base(file), ".txt") + "__" + part
			t.Run(name, func(t *testing.T) {
				capture, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				want := map[string]float64{}
				for _, m := range exported.FindAllStringSubmatch(string(data(t, "gpu-nvidia-smi-captures", "expected-metrics", name+".metrics")), -1) {
					if want[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
						t.Fatal(err)
					}
				}
				cells, values := query(t, string(capture), part), map[string]string{}
				for _, c := range columns() {
					v, ok := cells[c.name]
					if !ok || paths[c.key] == "" {
						t.Fatalf("no column %s, or no path of %s", c.name, c.key)
					}
					values[paths[c.key]] = v
				}
				r, err := ParseSMI(strings.NewReader(asXML(values)), false)
				if err != nil || len(r.Devices) != 1 {
					t.Fatal(err)
				}
				got := figures(r.Devices[0])
				for _, c := range columns() {
					g, ok := got[c.key]
					w, has := want[c.theirs]
					if ok != has || !same(g, w) {
						t.Errorf("%s (%s): %v (there: %v), want %v (there: %v)", c.key, cells[c.name], g, ok, w, has)
					}
					if compared++; !has {
						absent++
					}
				}
			})
		}
	}
	if t.Failed() {
		return
	}
	if compared < 500 || absent < 20 {
		t.Errorf("compared %d values, %d of them absent", compared, absent)
	}
	t.Logf("%d values, %d of them absent", compared, absent)
}

// TestDCGMsFieldsAreMeasured: what DCGM's exporter gives without being told to,
// has a metric here, and its blank is none.
func TestDCGMsFieldsAreMeasured(t *testing.T) {
	ours := map[string]string{
		"SM_CLOCK": "gpu_clock_hertz{clock=sm}", "MEM_CLOCK": "gpu_clock_hertz{clock=memory}", "MEMORY_TEMP": "gpu_memory_temperature_celsius",
		"GPU_TEMP": "gpu_temperature_celsius", "POWER_USAGE": "gpu_power_watts", "TOTAL_ENERGY_CONSUMPTION": "gpu_energy_joules_total",
		"PCIE_REPLAY_COUNTER": "gpu_pcie_replays_total", "GPU_UTIL": "gpu_utilization_ratio", "MEM_COPY_UTIL": "gpu_memory_utilization_ratio",
		"ENC_UTIL": "gpu_encoder_utilization_ratio", "DEC_UTIL": "gpu_decoder_utilization_ratio", "FB_FREE": "gpu_memory_free_bytes",
		"FB_USED": "gpu_memory_used_bytes", "FB_RESERVED": "gpu_memory_reserved_bytes",
		"UNCORRECTABLE_REMAPPED_ROWS": "gpu_remapped_rows{cause=uncorrectable}", "CORRECTABLE_REMAPPED_ROWS": "gpu_remapped_rows{cause=correctable}",
		"ROW_REMAP_FAILURE": "gpu_row_remap_failure", "NVLINK_BANDWIDTH_TOTAL": "gpu_nvlink_transmit_bytes_total{link=0}",
		"XID_ERRORS":          "", // counted from the kernel's log, by code
		"VGPU_LICENSE_STATUS": "", // not about the GPU's health
	}
	counters := string(data(t, "gpu-dcgm", "etc", "default-counters.csv"))
	got := figures(pollOnce(t, library(t)).Devices[0])
	seen := 0
	for line := range strings.Lines(counters) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), ",")
		field, ok := strings.CutPrefix(strings.TrimSpace(name), "DCGM_FI_DEV_")
		if !ok || strings.HasPrefix(strings.TrimSpace(kind), "label") {
			continue
		}
		seen++
		key, known := ours[field]
		if _, ok := got[key]; !known || key != "" && !ok {
			t.Errorf("%s: no metric (%q)", field, key)
		}
	}
	if seen < 15 {
		t.Errorf("found %d fields", seen)
	}
	_, blank, ok := strings.Cut(string(data(t, "gpu-dcgm", "sample-metrics-from-README.txt")), `DCGM_FI_DEV_MEMORY_TEMP{gpu="0", UUID="GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52"} `)
	blank, _, _ = strings.Cut(blank, "\n")
	n, err := strconv.ParseUint(blank, 10, 64)
	if !ok || err != nil || !blank64(n) || blank64(1<<62) {
		t.Errorf("%q (%v) is taken for a reading", blank, err)
	}
	if v, ok := parseFigure(blank); ok {
		t.Errorf("%q is taken for %v", blank, v)
	}
}
