package gpu

// figure says where nvidia-smi keeps a metric: at the first path that has a
// value, or at all of them where it is a sum. The text's unit is converted on
// reading; scale is for figures written without one.
type figure struct {
	name   string
	labels []string
	scale  float64
	sum    bool
	paths  []string
}

func one(name string, paths ...string) figure { return figure{name: name, scale: 1, paths: paths} }

func with(f figure, labels ...string) figure { f.labels = labels; return f }

// smiFigures maps nvidia-smi's XML to the metrics that NVML gives under the same
// names.
func smiFigures() []figure {
	var out []figure
	for _, part := range [][]figure{smiLoad(), smiPower(), smiClocks(), smiPCIe(), smiECC()} {
		out = append(out, part...)
	}
	return out
}

func smiLoad() []figure {
	out := []figure{
		one("gpu_utilization_ratio", "utilization/gpu_util"),
		one("gpu_memory_utilization_ratio", "utilization/memory_util"),
		one("gpu_encoder_utilization_ratio", "utilization/encoder_util"),
		one("gpu_decoder_utilization_ratio", "utilization/decoder_util"),
		one("gpu_jpeg_utilization_ratio", "utilization/jpeg_util"),
		one("gpu_ofa_utilization_ratio", "utilization/ofa_util"),
		one("gpu_performance_state", "performance_state"),
		one("gpu_fan_ratio", "fan_speed"),
		one("gpu_mig_enabled", "mig_mode/current_mig"),
		one("gpu_memory_reserved_bytes", "fb_memory_usage/reserved"),
	}
	for _, part := range []string{"total", "used", "free"} {
		out = append(out,
			one("gpu_memory_"+part+"_bytes", "fb_memory_usage/"+part),
			one("gpu_bar1_"+part+"_bytes", "bar1_memory_usage/"+part))
	}
	for _, s := range [][2]string{{"gpu_encoder_", "encoder_stats/"}, {"gpu_capture_", "fbc_stats/"}} {
		latency := one(s[0]+"latency_seconds", s[1]+"average_latency")
		latency.scale = 1e-6
		out = append(out, latency,
			one(s[0]+"sessions", s[1]+"session_count"),
			one(s[0]+"frames_per_second", s[1]+"average_fps"))
	}
	return out
}

func smiPower() []figure {
	out := []figure{
		one("gpu_temperature_celsius", "temperature/gpu_temp"),
		one("gpu_memory_temperature_celsius", "temperature/memory_temp"),
		one("gpu_temperature_margin_celsius", "temperature/gpu_temp_tlimit"),
		one("gpu_temperature_target_celsius", "temperature/gpu_target_temperature"),
		one("gpu_temperature_target_min_celsius", "supported_gpu_target_temp/gpu_target_temp_min"),
		one("gpu_temperature_target_max_celsius", "supported_gpu_target_temp/gpu_target_temp_max"),
		one("gpu_graphics_volts", "voltage/graphics_volt"),
	}
	for _, t := range [][3]string{
		{"shutdown", "gpu_temp_max_threshold", "gpu_temp_max_tlimit_threshold"},
		{"slowdown", "gpu_temp_slow_threshold", "gpu_temp_slow_tlimit_threshold"},
		{"max", "gpu_temp_max_gpu_threshold", "gpu_temp_max_gpu_tlimit_threshold"},
		{"memory_max", "gpu_temp_max_mem_threshold", "gpu_temp_max_mem_tlimit_threshold"},
	} {
		out = append(out,
			with(one("gpu_temperature_threshold_celsius", "temperature/"+t[1]), "threshold", t[0]),
			with(one("gpu_temperature_margin_threshold_celsius", "temperature/"+t[2]), "threshold", t[0]))
	}
	// The element's name and those below it changed with schema v12 and v13.
	for _, p := range []struct {
		name  string
		below []string
	}{
		{"gpu_power_watts", []string{"instant_power_draw", "power_draw"}},
		{"gpu_power_average_watts", []string{"average_power_draw"}},
		{"gpu_power_limit_watts", []string{"current_power_limit", "enforced_power_limit", "power_limit"}},
		{"gpu_power_limit_requested_watts", []string{"requested_power_limit", "power_limit"}},
		{"gpu_power_limit_default_watts", []string{"default_power_limit"}},
		{"gpu_power_limit_min_watts", []string{"min_power_limit"}},
		{"gpu_power_limit_max_watts", []string{"max_power_limit"}},
	} {
		f := one(p.name)
		for _, group := range []string{"gpu_power_readings/", "power_readings/"} {
			for _, b := range p.below {
				f.paths = append(f.paths, group+b)
			}
		}
		out = append(out, f)
	}
	return out
}

func smiClocks() []figure {
	var out []figure
	for _, c := range [][2]string{{"graphics", "graphics_clock"}, {"sm", "sm_clock"}, {"memory", "mem_clock"}, {"video", "video_clock"}} {
		out = append(out,
			with(one("gpu_clock_hertz", "clocks/"+c[1]), "clock", c[0]),
			with(one("gpu_clock_max_hertz", "max_clocks/"+c[1]), "clock", c[0]))
	}
	for _, e := range [][2]string{
		{"sw_power_cap", "sw_power_cap"}, {"sync_boost", "sync_boost"}, {"sw_thermal_slowdown", "sw_therm_slowdown"},
		{"hw_thermal_slowdown", "hw_therm_slowdown"}, {"hw_power_brake_slowdown", "hw_power_brake"},
	} {
		const group = "clocks_event_reasons_counters"
		out = append(out, with(one("gpu_clock_event_seconds_total", group+"/"+group+"_"+e[1]), "reason", e[0]))
	}
	return out
}

func smiPCIe() []figure {
	const link = "pci/pci_gpu_link_info/"
	return []figure{
		one("gpu_pcie_transmit_bytes_per_second", "pci/tx_util"),
		one("gpu_pcie_receive_bytes_per_second", "pci/rx_util"),
		one("gpu_pcie_replays_total", "pci/replay_counter"),
		one("gpu_pcie_link_generation", link+"pcie_gen/current_link_gen"),
		one("gpu_pcie_link_generation_max", link+"pcie_gen/max_link_gen"),
		one("gpu_pcie_link_width", link+"link_widths/current_link_width"),
		one("gpu_pcie_link_width_max", link+"link_widths/max_link_width"),
	}
}

func smiECC() []figure {
	out := []figure{
		one("gpu_ecc_enabled", "ecc_mode/current_ecc"),
		with(one("gpu_remapped_rows", "remapped_rows/remapped_row_corr"), "cause", "correctable"),
		with(one("gpu_remapped_rows", "remapped_rows/remapped_row_unc"), "cause", "uncorrectable"),
		one("gpu_row_remap_pending", "remapped_rows/remapped_row_pending"),
		one("gpu_row_remap_failure", "remapped_rows/remapped_row_failure"),
		with(one("gpu_retired_pages", "retired_pages/multiple_single_bit_retirement/retired_count"), "cause", "single_bit"),
		with(one("gpu_retired_pages", "retired_pages/double_bit_retirement/retired_count"), "cause", "double_bit"),
		one("gpu_retired_pages_pending", "retired_pages/pending_retirement", "retired_pages/pending_blacklist"),
		one("gpu_channel_repair_pending", "ecc_errors/channel_repair_pending"),
		one("gpu_tpc_repair_pending", "ecc_errors/tpc_repair_pending"),
	}
	for _, banks := range []string{"max", "high", "partial", "low", "none"} {
		out = append(out, with(one("gpu_row_remap_banks", "remapped_rows/row_remapper_histogram/row_remapper_histogram_"+banks), "spare", banks))
	}
	for _, counter := range []string{"volatile", "aggregate"} {
		for _, e := range [][3]string{
			// Name, element since Turing, element before.
			{"corrected", "_correctable", "single_bit/device_memory"},
			{"uncorrected", "_uncorrectable", "double_bit/device_memory"},
		} {
			base := "ecc_errors/" + counter + "/"
			name := func(memory string, paths ...string) figure {
				return with(one("gpu_ecc_errors_total", paths...), "counter", counter, "error", e[0], "memory", memory)
			}
			sram := name("sram", base+"sram"+e[1])
			if e[0] == "uncorrected" {
				// Newer drivers tell the two kinds of uncorrected errors apart.
				sram.paths = append(sram.paths, base+"sram_uncorrectable_parity", base+"sram_uncorrectable_secded")
				sram.sum = true
			}
			out = append(out, name("dram", base+"dram"+e[1], base+e[2]), sram)
		}
	}
	return out
}
