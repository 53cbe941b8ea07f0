package gpu

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// library compiles testdata/nvml.c.
func library(t *testing.T, defines ...string) string {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc here to build the test's NVML")
	}
	lib := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	args := []string{"-shared", "-fPIC", "-O1", "-o", lib, "testdata/nvml.c"}
	for _, d := range defines {
		args = append(args, "-D"+d)
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("compile NVML: %v\n%s", err, out)
	}
	return lib
}

// figures are a device's values as name{labels}.
func figures(d Device) map[string]float64 {
	out := map[string]float64{}
	for _, v := range d.Values {
		var l []string
		for i := 0; i+1 < len(v.Labels); i += 2 {
			l = append(l, v.Labels[i]+"="+v.Labels[i+1])
		}
		key := v.Name
		if len(l) > 0 {
			key += "{" + strings.Join(l, ",") + "}"
		}
		if _, twice := out[key]; twice {
			out["twice "+key] = v.V
		}
		out[key] = v.V
	}
	return out
}

func pollOnce(t *testing.T, lib string) Reading {
	t.Helper()
	w := &worker{opt: WorkerOptions{Library: lib, Limit: time.Minute}}
	r, _ := w.poll()
	return r
}

func TestNVMLGivesEveryFigureInItsUnit(t *testing.T) {
	r := pollOnce(t, library(t))
	if r.Err != "" || r.Count != 8 || len(r.Devices) != 8 || r.Driver != "595.71.05" {
		t.Fatalf("reading: %+v", r)
	}
	d := r.Devices[3]
	if d.GPU != "0000:4b:00" || d.Info["uuid"] != "GPU-00000003" || d.Info["name"] != "Test GPU" || d.Info["serial"] != "1650522003803" || d.Info["vbios"] != "96.00.89.00.01" {
		t.Errorf("identity: %+v", d)
	}
	want := map[string]float64{
		"gpu_utilization_ratio": 0.13, "gpu_memory_utilization_ratio": 0.57,
		"gpu_encoder_utilization_ratio": 0.03, "gpu_decoder_utilization_ratio": 0.04, "gpu_performance_state": 0,
		"gpu_memory_total_bytes": 80 << 30, "gpu_memory_used_bytes": 13 << 30, "gpu_memory_free_bytes": 66 << 30, "gpu_memory_reserved_bytes": 1 << 30,
		"gpu_bar1_total_bytes": 128 << 30, "gpu_bar1_used_bytes": 1 << 30, "gpu_bar1_free_bytes": 127 << 30,
		"gpu_temperature_celsius": 43, "gpu_memory_temperature_celsius": 61, "gpu_temperature_margin_celsius": -3,
		"gpu_temperature_threshold_celsius{threshold=shutdown}": 95, "gpu_temperature_threshold_celsius{threshold=slowdown}": 92,
		"gpu_temperature_threshold_celsius{threshold=memory_max}": 95, "gpu_temperature_threshold_celsius{threshold=max}": 87,
		"gpu_temperature_margin_threshold_celsius{threshold=slowdown}": -2,
		"gpu_power_watts": 310.5, "gpu_power_average_watts": 290.2505, "gpu_power_limit_watts": 700, "gpu_power_limit_default_watts": 700,
		"gpu_power_limit_min_watts": 200, "gpu_power_limit_max_watts": 700, "gpu_energy_joules_total": 123456789.015,
		"gpu_clock_hertz{clock=graphics}": 1.98e9, "gpu_clock_hertz{clock=sm}": 1.98e9, "gpu_clock_hertz{clock=memory}": 2.619e9, "gpu_clock_hertz{clock=video}": 1.98e9,
		"gpu_clock_max_hertz{clock=graphics}": 1.98e9, "gpu_clock_max_hertz{clock=sm}": 1.98e9, "gpu_clock_max_hertz{clock=memory}": 2.619e9, "gpu_clock_max_hertz{clock=video}": 1.98e9,
		"gpu_clock_event_seconds_total{reason=sw_power_cap}": 1.5, "gpu_ecc_enabled": 1,
		"gpu_ecc_errors_total{counter=volatile,error=corrected,memory=dram}": 2, "gpu_ecc_errors_total{counter=volatile,error=corrected,memory=sram}": 7,
		"gpu_ecc_errors_total{counter=volatile,error=uncorrected,memory=dram}": 1002, "gpu_ecc_errors_total{counter=volatile,error=uncorrected,memory=sram}": 1007,
		"gpu_ecc_errors_total{counter=aggregate,error=corrected,memory=dram}": 102, "gpu_ecc_errors_total{counter=aggregate,error=corrected,memory=sram}": 107,
		"gpu_ecc_errors_total{counter=aggregate,error=uncorrected,memory=dram}": 1102, "gpu_ecc_errors_total{counter=aggregate,error=uncorrected,memory=sram}": 1107,
		"gpu_remapped_rows{cause=correctable}": 5, "gpu_remapped_rows{cause=uncorrectable}": 1, "gpu_row_remap_pending": 0, "gpu_row_remap_failure": 0,
		"gpu_row_remap_banks{spare=max}": 636, "gpu_row_remap_banks{spare=high}": 3, "gpu_row_remap_banks{spare=partial}": 1, "gpu_row_remap_banks{spare=low}": 0, "gpu_row_remap_banks{spare=none}": 0,
		"gpu_retired_pages{cause=single_bit}": 2, "gpu_retired_pages{cause=double_bit}": 0, "gpu_retired_pages_pending": 0,
		"gpu_pcie_transmit_bytes_per_second": 830 << 10, "gpu_pcie_receive_bytes_per_second": 439 << 10, "gpu_pcie_replays_total": 12,
		"gpu_pcie_link_generation": 5, "gpu_pcie_link_generation_max": 5, "gpu_pcie_link_width": 16, "gpu_pcie_link_width_max": 16,
		"gpu_mig_enabled": 0, "gpu_recovery_action": 0,
		"gpu_processes{kind=compute}": 0, "gpu_processes{kind=graphics}": 0, "gpu_processes_memory_bytes{kind=compute}": 0, "gpu_processes_memory_bytes{kind=graphics}": 0,
		"gpu_encoder_sessions": 2, "gpu_encoder_frames_per_second": 60, "gpu_encoder_latency_seconds": 0.0015,
		"gpu_capture_sessions": 0, "gpu_capture_frames_per_second": 0, "gpu_capture_latency_seconds": 0,
	}
	for i, reason := range reasons {
		want["gpu_clock_event{reason="+reason+"}"] = float64(uint(0x84) >> i & 1)
	}
	for link := range 4 {
		l := fmt.Sprintf("{link=%d", link)
		want["gpu_nvlink_up"+l+"}"] = bool01(link != 3)
		want["gpu_nvlink_transmit_bytes_total"+l+"}"] = float64(1024 * (1000 + link))
		for kind, name := range []string{"replay", "recovery", "crc_flit"} {
			want["gpu_nvlink_errors_total"+l+",error="+name+"}"] = float64(10*link + kind)
		}
	}
	compare(t, figures(d), want)
}

// compare wants the same figures, no more and no less.
func compare(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("%s: %v (there: %v), want %v", k, g, ok, v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %v, want it absent", k, v)
		}
	}
}

func TestNVMLsSpecialCases(t *testing.T) {
	r := pollOnce(t, library(t))
	has := func(index int, key string, want float64) {
		t.Helper()
		if got, ok := figures(r.Devices[index])[key]; !ok || got != want {
			t.Errorf("GPU %d: %s = %v (there: %v), want %v", index, key, got, ok, want)
		}
	}
	absent := func(index int, key string) {
		t.Helper()
		if got, ok := figures(r.Devices[index])[key]; ok {
			t.Errorf("GPU %d: %s = %v, want it absent", index, key, got)
		}
	}
	has(0, "gpu_recovery_action", 4)
	has(0, "gpu_row_remap_pending", 1)
	has(0, "gpu_pcie_link_width", 8)
	// One of 40 processes has no figure; 39 have 1 MiB each.
	has(0, "gpu_processes{kind=compute}", 40)
	has(0, "gpu_processes_memory_bytes{kind=compute}", 39<<20)
	absent(4, "gpu_utilization_ratio") // not supported with MIG
	has(4, "gpu_mig_enabled", 1)
	has(4, "gpu_mig_instances", 2)
	has(4, "gpu_mig_info{gpu_instance=2,compute_instance=0,uuid=MIG-00000002,name=Test GPU MIG 3g}", 1)
	has(4, "gpu_mig_memory_used_bytes{gpu_instance=1,compute_instance=0}", 14<<30)
	has(4, "gpu_mig_ecc_errors_total{gpu_instance=2,compute_instance=0,counter=volatile,error=uncorrected,memory=sram}", 2)
	absent(6, "gpu_performance_state")          // 32 is unknown
	absent(7, "gpu_memory_temperature_celsius") // a blank of DCGM's
	if _, ok := r.Devices[1].Info["serial"]; ok {
		t.Error("a GPU without a serial number has one")
	}
}

func TestAnOldDriverGivesWhatItHas(t *testing.T) {
	r := pollOnce(t, library(t, "OLD"))
	if r.Err != "" || len(r.Devices) != 8 {
		t.Fatalf("reading: %+v", r)
	}
	want := map[string]float64{
		"gpu_utilization_ratio": 0.12, "gpu_memory_utilization_ratio": 0.57, "gpu_temperature_celsius": 42, "gpu_power_watts": 300.502,
		"gpu_memory_total_bytes": 80 << 30, "gpu_memory_used_bytes": 20 << 30, "gpu_memory_free_bytes": 60 << 30,
		"gpu_clock_hertz{clock=graphics}": 1.98e9, "gpu_clock_hertz{clock=sm}": 1.98e9, "gpu_clock_hertz{clock=memory}": 2.619e9, "gpu_clock_hertz{clock=video}": 1.98e9,
		"gpu_retired_pages{cause=single_bit}": 2, "gpu_retired_pages{cause=double_bit}": 0,
	}
	for i, reason := range reasons {
		want["gpu_clock_event{reason="+reason+"}"] = float64(uint(0x84) >> i & 1)
	}
	compare(t, figures(r.Devices[2]), want)
}

func TestNVMLThatCannotBeUsedSaysWhy(t *testing.T) {
	f := func(lib, want string, unusable bool) {
		t.Helper()
		r := pollOnce(t, lib)
		if !strings.Contains(r.Err, want) || r.Unusable != unusable || len(r.Devices) != 0 {
			t.Errorf("%+v, want %q and unusable %v", r, want, unusable)
		}
	}
	f("/nonexistent/libnvidia-ml.so.1", "load NVML", true)
	f(library(t, "BROKEN"), "function nvmlDeviceGetHandleByIndex_v2 is missing", true)
	f(library(t, "NODRIVER"), "start NVML: driver not loaded", false)
}

// serving starts Serve and returns how to poll it.
func serving(t *testing.T, opt WorkerOptions) func() Reading {
	t.Helper()
	in, questions := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(in, out, opt) }()
	t.Cleanup(func() {
		_ = questions.Close()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	dec := json.NewDecoder(answers)
	return func() (r Reading) {
		t.Helper()
		if _, err := questions.Write([]byte("poll\n")); err != nil {
			t.Fatal(err)
		}
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// TestALostGPUAndAHangingOneLeaveTheOthersAlone: GPU 3 fell off the bus before
// the agent came, a call about GPU 5 never returns, GPU 2 is lost on the way.
func TestALostGPUAndAHangingOneLeaveTheOthersAlone(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	dir := t.TempDir()
	release, lose := filepath.Join(dir, "release"), filepath.Join(dir, "lose")
	poll := serving(t, WorkerOptions{Limit: time.Second, Library: library(t, "LOST=3", "HANG=5",
		fmt.Sprintf("HANGFILE=%q", release), fmt.Sprintf("LOSTFILE=%q", lose))})
	check := func(r Reading, lost, stuck string) {
		t.Helper()
		var gotLost, gotStuck string
		for _, d := range r.Devices {
			switch {
			case d.Stuck:
				gotStuck += fmt.Sprint(d.Index)
			case d.Lost != "":
				gotLost += fmt.Sprint(d.Index)
			case len(d.Values) < 60 && d.Index != 4:
				t.Errorf("GPU %d has %d figures", d.Index, len(d.Values))
			}
			if d.Lost != "" && d.Lost != "GPU is lost" || (d.Lost != "" || d.Stuck) && len(d.Values) > 0 {
				t.Errorf("GPU %d: %q with %d figures", d.Index, d.Lost, len(d.Values))
			}
		}
		if gotLost != lost || gotStuck != stuck || len(r.Devices) != 8 || r.Count != 8 {
			t.Errorf("lost %s, stuck %s of %d; want %s and %s of 8", gotLost, gotStuck, len(r.Devices), lost, stuck)
		}
	}
	check(poll(), "3", "5")
	if err := os.WriteFile(lose, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := poll()
	check(r, "23", "5")
	if r.Devices[2].GPU != "0000:3b:00" || r.Devices[2].Info["uuid"] != "GPU-00000002" {
		t.Errorf("the lost GPU has no name any more: %+v", r.Devices[2])
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if r = poll(); !r.Devices[5].Stuck || time.Now().After(deadline) {
			break
		}
	}
	check(r, "23", "")
}

func TestTheRealGPU(t *testing.T) {
	n, err := openNVML("")
	if err != nil {
		t.Skipf("no GPU here: %v", err)
	}
	if res := n.init(); res != resultOK {
		t.Skipf("no GPU here: %v", res)
	}
	r := pollOnce(t, "")
	if r.Err != "" || len(r.Devices) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, d := range r.Devices {
		got := figures(d)
		if d.Lost != "" || d.Stuck || d.GPU == "" || d.Info["uuid"] == "" {
			t.Errorf("GPU %d: %+v", d.Index, d)
		}
		if total := got["gpu_memory_total_bytes"]; total < 1<<28 || total > 1<<40 || got["gpu_memory_used_bytes"] > total {
			t.Errorf("memory: %v", got)
		}
		if c := got["gpu_temperature_celsius"]; c < 1 || c > 120 {
			t.Errorf("temperature: %v", c)
		}
		if w := got["gpu_pcie_link_width"]; w < 1 || w > got["gpu_pcie_link_width_max"] {
			t.Errorf("link width: %v", w)
		}
	}
	smi, err := exec.LookPath("nvidia-smi")
	if err != nil {
		t.Skip("no nvidia-smi to compare with")
	}
	out := execute(smi, []string{"-q", "-x"}, time.Minute)
	if out.err != nil {
		t.Fatal(out.err)
	}
	other, err := ParseSMI(strings.NewReader(string(out.data)), false)
	if err != nil {
		t.Fatal(err)
	}
	// Both sources name what does not change alike, and give it the same value.
	for i, d := range other.Devices {
		a, b := figures(r.Devices[i]), figures(d)
		for _, k := range []string{
			"gpu_memory_total_bytes", "gpu_power_limit_max_watts", "gpu_clock_max_hertz{clock=sm}", "gpu_clock_max_hertz{clock=memory}",
			"gpu_pcie_link_generation_max", "gpu_pcie_link_width_max", "gpu_ecc_enabled", "gpu_mig_enabled",
		} {
			x, ok := a[k]
			y, ok2 := b[k]
			if diff := x - y; ok != ok2 || diff > 1<<20 || diff < -(1<<20) {
				t.Errorf("%s: NVML %v (%v), nvidia-smi %v (%v)", k, x, ok, y, ok2)
			}
		}
		if r.Devices[i].GPU != d.GPU {
			t.Errorf("NVML calls it %s, nvidia-smi %s", r.Devices[i].GPU, d.GPU)
		}
	}
}
