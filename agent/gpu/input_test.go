package gpu

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/telemetry"
)

// TestMain lets the test's own program be the worker, as nines-agent is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "gpu-worker" {
		opt := WorkerOptions{Limit: 3 * time.Second}
		for i, a := range os.Args {
			switch a {
			case "--library":
				opt.Library = os.Args[i+1]
			case "--limit":
				opt.Limit, _ = time.ParseDuration(os.Args[i+1])
			case "--processes":
				opt.Processes = true
			}
		}
		if err := Serve(os.Stdin, os.Stdout, opt); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// bus makes a sysfs with NVIDIA's GPUs at these addresses, and what is none of
// this host's GPUs: an NVSwitch, a GPU given to a virtual machine, another
// vendor's.
func bus(t *testing.T, addresses ...string) string {
	t.Helper()
	sys := t.TempDir()
	add := func(address, vendor, class, driver string) {
		dir := filepath.Join(sys, "bus/pci/devices", address)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"vendor": vendor, "class": class} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if driver != "" {
			if err := os.Symlink("../../../bus/pci/drivers/"+driver, filepath.Join(dir, "driver")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(sys, "module/nvidia"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, a := range addresses {
		// The driver may have failed to take one.
		add(a+".0", "0x10de", "0x030200", []string{"nvidia", ""}[i%2])
	}
	add("0000:05:00.0", "0x10de", "0x068000", "nvidia")
	add("0000:06:00.0", "0x10de", "0x030000", "vfio-pci")
	add("0000:07:00.0", "0x1002", "0x030000", "amdgpu")
	return sys
}

func eight() []string {
	var out []string
	for i := range uint32(8) {
		out = append(out, address(0, 0x1b+16*i, 0))
	}
	return out
}

// read reads once; keys are name{labels}.
func read(t *testing.T, r *Reader) map[string]float64 {
	t.Helper()
	series, values, err := r.Read()
	if err != nil || len(series) != len(values) {
		t.Fatalf("%d series, %d values: %v", len(series), len(values), err)
	}
	out := map[string]float64{}
	for i, s := range series {
		if math.IsNaN(values[i]) {
			continue
		}
		key := strings.TrimSuffix(s.Name+s.Labels.String(), "{}")
		if _, twice := out[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		out[key] = values[i]
		if counts := strings.HasSuffix(s.Name, "_total"); counts != (s.Kind == telemetry.Counter) {
			t.Errorf("%s is of kind %v", s.Name, s.Kind)
		}
	}
	return out
}

func expect(t *testing.T, got map[string]float64, key string, want float64) {
	t.Helper()
	if v, ok := got[key]; !ok || v != want {
		t.Errorf("%s: %v (there: %v), want %v", key, v, ok, want)
	}
}

// newReader reads with fake tools alone; nothing of this machine's is found.
func newReader(t *testing.T, opt InputOptions) *Reader {
	t.Helper()
	if opt.NvidiaSMI == "" {
		opt.NvidiaSMI = "/nonexistent/nvidia-smi"
	}
	if opt.ROCmSMI == "" {
		opt.ROCmSMI = "/nonexistent/rocm-smi"
	}
	if opt.Library == "" {
		opt.Library = "/nonexistent/libnvidia-ml.so.1"
	}
	r := NewReader(opt)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func workerCommand(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, "gpu-worker"}
}

// TestOneLostAndOneHangingGPUOfEight goes through the worker's process.
func TestOneLostAndOneHangingGPUOfEight(t *testing.T) {
	release := fmt.Sprintf("HANGFILE=%q", filepath.Join(t.TempDir(), "release"))
	t.Run("hanging later", func(t *testing.T) { oneLostOneHanging(t, 3, library(t, "LOST=3", "HANG=5", release)) })
	// A GPU that hangs before it says which one it is, is told by the bus.
	t.Run("hanging at once", func(t *testing.T) { oneLostOneHanging(t, -1, library(t, "HANG=5", "HANGEARLY", release)) })
}

func oneLostOneHanging(t *testing.T, lost int, lib string) {
	now := time.Unix(1_700_000_000, 0)
	r := newReader(t, InputOptions{
		Sys: bus(t, eight()...), Worker: workerCommand(t), Timeout: time.Second, Now: func() time.Time { return now }, Library: lib,
	})
	found := 7.0
	if lost >= 0 {
		found = 6
	}
	for range 2 {
		got := read(t, r)
		expect(t, got, `gpu_expected`, 8)
		expect(t, got, `gpu_found`, found)
		expect(t, got, `gpu_source_up{source="nvml"}`, 1)
		expect(t, got, `gpu_source_stuck{source="nvml"}`, 0)
		for i, a := range eight() {
			expect(t, got, fmt.Sprintf(`gpu_up{gpu=%q}`, a), bool01(i != lost && i != 5))
			expect(t, got, fmt.Sprintf(`gpu_poll_stuck{gpu=%q}`, a), bool01(i == 5))
			if _, ok := got[fmt.Sprintf(`gpu_temperature_celsius{gpu=%q}`, a)]; ok != (i != lost && i != 5) {
				t.Errorf("GPU %d has a temperature: %v", i, ok)
			}
		}
		expect(t, got, `gpu_info{driver="595.71.05",gpu="0000:1b:00",index="0",name="Test GPU",serial="1650522003800",source="nvml",uuid="GPU-00000000",vbios="96.00.89.00.01",vendor="nvidia"}`, 1)
		expect(t, got, `gpu_nvlink_errors_total{error="replay",gpu="0000:2b:00",link="2"}`, 20)
		now = now.Add(10 * time.Second)
	}
}

func TestTheLayoutStaysWhileTheGPUsDo(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	lose := filepath.Join(t.TempDir(), "lose")
	r := newReader(t, InputOptions{Sys: t.TempDir(), Worker: workerCommand(t), Library: library(t, fmt.Sprintf("LOSTFILE=%q", lose)),
		Timeout: 30 * time.Second, Now: func() time.Time { return now }})
	read(t, r)
	first, _, _ := r.Read()
	second, _, _ := r.Read()
	if &first[0] != &second[0] || len(first) != len(second) {
		t.Error("the same figures are laid out anew")
	}
	if err := os.WriteFile(lose, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := read(t, r)
	expect(t, got, `gpu_expected`, 8)
	expect(t, got, `gpu_found`, 7)
	expect(t, got, `gpu_up{gpu="0000:3b:00"}`, 0)
	now = now.Add(keepSeries + time.Second)
	read(t, r)
	now = now.Add(time.Second)
	after := read(t, r)
	third, _, _ := r.Read()
	if len(third) >= len(second) {
		t.Errorf("%d series, and %d after one GPU has been lost for long", len(second), len(third))
	}
	expect(t, after, `gpu_up{gpu="0000:3b:00"}`, 0)
}

func TestAWorkerThatDiesIsReplaced(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := newReader(t, InputOptions{Sys: bus(t, eight()...), Worker: workerCommand(t), Library: library(t), Timeout: 30 * time.Second, Now: func() time.Time { return now }})
	expect(t, read(t, r), `gpu_found`, 8)
	nv := r.sources[0].(*nvmlSource)
	nv.peer.kill()
	<-nv.peer.answers // closed once the process has gone
	got := read(t, r)
	expect(t, got, `gpu_found`, 0)
	expect(t, got, `gpu_source_up{source="nvml"}`, 0)
	expect(t, got, `gpu_up{gpu="0000:1b:00"}`, 0)
	expect(t, read(t, r), `gpu_found`, 0) // not at once: it would die again
	now = now.Add(pause)
	expect(t, read(t, r), `gpu_found`, 8)
}

// tool writes a program for the test.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNvidiaSMIStandsInForNVML(t *testing.T) {
	f := func(lib string) {
		t.Helper()
		r := newReader(t, InputOptions{Sys: bus(t, "0000:4b:00", "0000:5b:00"), Worker: workerCommand(t), Library: lib, Timeout: 30 * time.Second,
			NvidiaSMI: script(t, `[ "$*" = "-q -x" ] && exec cat `+testdata(t, "smi.xml"))})
		got := read(t, r)
		expect(t, got, `gpu_expected`, 3) // nvidia-smi says that three are attached
		expect(t, got, `gpu_found`, 2)
		expect(t, got, `gpu_source_up{source="nvidia-smi"}`, 1)
		expect(t, got, `gpu_power_watts{gpu="0000:4b:00"}`, 310.5)
		expect(t, got, `gpu_power_watts{gpu="0000:5b:00"}`, 25.58)
	}
	f("/nonexistent/libnvidia-ml.so.1")
	f(library(t, "BROKEN"))
}

// TestNvidiaSMIThatFailsForAllIsAskedOneByOne: with one GPU off the bus it
// prints an error and nothing else; asked for that one alone it hangs.
func TestNvidiaSMIThatFailsForAllIsAskedOneByOne(t *testing.T) {
	r := newReader(t, InputOptions{Sys: bus(t, "0000:4b:00", "0000:5b:00", "0000:6b:00"), Timeout: 2 * time.Second, NvidiaSMI: script(t, `
case "$*" in
"-q -x -i 0000:4b:00.0") sed '/<gpu id="00000000:5B/,/<\/gpu>/d' `+testdata(t, "smi.xml")+` ;;
"-q -x -i 0000:5b:00.0") exec sleep 1000 ;;
*) echo "Unable to determine the device handle for GPU 0000:6B:00.0: GPU is lost."; exit 15 ;;
esac`)})
	got := read(t, r)
	expect(t, got, `gpu_expected`, 3)
	expect(t, got, `gpu_found`, 1)
	expect(t, got, `gpu_power_watts{gpu="0000:4b:00"}`, 310.5)
	expect(t, got, `gpu_up{gpu="0000:4b:00"}`, 1)
	expect(t, got, `gpu_poll_stuck{gpu="0000:5b:00"}`, 1)
	expect(t, got, `gpu_up{gpu="0000:6b:00"}`, 0)
	expect(t, got, `gpu_poll_stuck{gpu="0000:6b:00"}`, 0)
}

func TestROCmBesideMissingNVIDIA(t *testing.T) {
	r := newReader(t, InputOptions{Sys: t.TempDir(), Expected: 4, ROCmSMI: script(t, "exec cat "+testdata(t, "rocm.json")), Timeout: 30 * time.Second})
	got := read(t, r)
	expect(t, got, `gpu_expected`, 4)
	expect(t, got, `gpu_found`, 2)
	expect(t, got, `gpu_source_up{source="rocm-smi"}`, 1)
	expect(t, got, `gpu_power_watts{gpu="0000:1e:00"}`, 36)
	expect(t, got, `gpu_up{gpu="card10"}`, 1)
}

func TestAToolThatHangsIsNotStartedAgain(t *testing.T) {
	dir := t.TempDir()
	starts := func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "starts"))
		return strings.Count(string(b), "x")
	}
	tl := &tool{path: script(t, "echo x >>"+dir+"/starts\nexec sleep 1000")}
	tl.done = make(chan output, 1) // a run that does not end
	if _, err := tl.run(time.Second); !errors.Is(err, errStuck) || starts() != 0 {
		t.Errorf("started %d times beside one that hangs: %v", starts(), err)
	}
	tl.done <- output{data: []byte("old")}
	if out, err := tl.run(time.Second); !errors.Is(err, errStuck) || len(out) > 0 || starts() != 1 {
		t.Errorf("started %d times when it had ended: %q, %v", starts(), out, err)
	}
}

func TestMissingHardwareIsNamed(t *testing.T) {
	none := InputOptions{Sys: t.TempDir(), NvidiaSMI: "/nonexistent/a", ROCmSMI: "/nonexistent/b"}
	if Present() {
		t.Skip("this machine has NVIDIA's driver")
	}
	if why := Missing(none); !strings.Contains(why, "no NVIDIA driver") {
		t.Errorf("%q", why)
	}
	f := func(change func(*InputOptions)) {
		t.Helper()
		opt := none
		change(&opt)
		if why := Missing(opt); why != "" {
			t.Errorf("left out: %s", why)
		}
	}
	f(func(o *InputOptions) { o.Expected = 8 })
	f(func(o *InputOptions) { o.Sys = bus(t, "0000:3b:00") })
	f(func(o *InputOptions) { o.ROCmSMI = script(t, "") })
}
