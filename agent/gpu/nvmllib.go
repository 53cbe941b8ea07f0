package gpu

import (
	"errors"
	"fmt"

	"github.com/ebitengine/purego"
)

// result is nvmlReturn_t.
type result uint32

// What NVML answers, as far as it matters here.
const (
	resultOK               result = 0
	resultNotSupported     result = 3
	resultInsufficientSize result = 7
	resultNoFunction       result = 13
	resultGPULost          result = 15
	resultResetRequired    result = 16
	resultUnknown          result = 999
)

func (r result) Error() string {
	names := map[result]string{
		1: "not initialised", 2: "invalid argument", resultNotSupported: "not supported", 4: "no permission",
		6: "not found", resultInsufficientSize: "insufficient size", 9: "driver not loaded", 10: "timeout",
		11: "interrupt issue", 12: "library not found", resultNoFunction: "function not found", 14: "corrupted inforom",
		resultGPULost: "GPU is lost", resultResetRequired: "GPU requires a reset", 17: "blocked by the operating system",
		18: "driver and library versions differ", 20: "out of memory", 28: "no GPU found", resultUnknown: "unknown error",
	}
	if n := names[r]; n != "" {
		return n
	}
	return fmt.Sprintf("NVML error %d", uint32(r))
}

// handle is nvmlDevice_t, an opaque pointer of the library's.
type handle uintptr

// The structures of nvml.h, in C's layout on 64-bit machines.
type (
	pciInfo struct {
		LegacyID              [16]byte
		Domain, Bus, Device   uint32
		DeviceID, SubSystemID uint32
		BusID                 [32]byte
	}
	utilization struct{ GPU, Memory uint32 }
	memoryV1    struct{ Total, Free, Used uint64 }
	memoryV2    struct {
		Version                     uint32
		_                           uint32
		Total, Reserved, Free, Used uint64
	}
	bar1Memory struct{ Total, Free, Used uint64 }
	fieldValue struct {
		Field, Scope       uint32
		Timestamp, Latency int64
		Type               uint32
		Return             result
		Value              uint64
	}
	processInfo struct {
		PID                          uint32
		_                            uint32
		UsedMemory                   uint64
		GPUInstance, ComputeInstance uint32
	}
	rowHistogram struct{ Max, High, Partial, Low, None uint32 }
	margin       struct {
		Version uint32
		Margin  int32
	}
	fbcStats struct{ Sessions, FPS, Latency uint32 }
)

// memoryV2Version is NVML_STRUCT_VERSION(Memory, 2): size and version.
const memoryV2Version = 40 | 2<<24

// marginVersion is NVML_STRUCT_VERSION(MarginTemperature, 1).
const marginVersion = 8 | 1<<24

// The shapes that most functions have.
type (
	getU32       func(handle, *uint32) result
	getU32At     func(handle, uint32, *uint32) result
	getU64       func(handle, *uint64) result
	getU32s      func(handle, *uint32, *uint32) result
	getText      func(handle, *byte, uint32) result
	getProcesses func(handle, *uint32, *processInfo) result
)

// nvml is the library with those of its functions that this driver has; the
// others are nil.
type nvml struct {
	lib uintptr

	init, shutdown   func() result
	driverVersion    func(*byte, uint32) result
	count            func(*uint32) result
	byIndex          func(uint32, *handle) result
	pci              func(handle, *pciInfo) result
	name, uuid       getText
	serial, vbios    getText
	utilization      func(handle, *utilization) result
	encoder, decoder getU32s
	jpeg, ofa        getU32s
	memory           func(handle, *memoryV1) result
	memory2          func(handle, *memoryV2) result
	bar1             func(handle, *bar1Memory) result
	temperature      getU32At
	threshold        getU32At
	margin           func(handle, *margin) result
	power            getU32
	powerLimit       getU32
	powerDefault     getU32
	powerRange       getU32s
	energy           getU64
	clock, clockMax  getU32At
	fan, pstate      getU32
	events           getU64
	eccMode          getU32s
	eccErrors        func(handle, uint32, uint32, uint32, *uint64) result
	remapped         func(handle, *uint32, *uint32, *uint32, *uint32) result
	remapBanks       func(handle, *rowHistogram) result
	retired          func(handle, uint32, *uint32, *uint64) result
	retiredPending   getU32
	linkState        getU32At
	linkErrors       func(handle, uint32, uint32, *uint64) result
	fields           func(handle, int32, *fieldValue) result
	pcieThroughput   getU32At
	pcieReplays      getU32
	linkGen          getU32
	linkGenMax       getU32
	linkWidth        getU32
	linkWidthMax     getU32
	migMode          getU32s
	migMax           getU32
	migByIndex       func(handle, uint32, *handle) result
	gpuInstance      getU32
	computeInstance  getU32
	computes         getProcesses
	graphics         getProcesses
	encoderStats     func(handle, *uint32, *uint32, *uint32) result
	fbcStats         func(handle, *fbcStats) result
}

// libraries are where the driver's installers put NVML; the first name leaves
// it to the dynamic linker.
func libraries() []string {
	return []string{
		"libnvidia-ml.so.1",
		"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
		"/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
		"/usr/lib64/libnvidia-ml.so.1",
		"/usr/local/nvidia/lib64/libnvidia-ml.so.1",
		"/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
		"/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
		"/usr/lib/wsl/lib/libnvidia-ml.so.1",
	}
}

// openNVML loads the library at path, or where it usually lies. It calls none
// of its functions.
func openNVML(path string) (*nvml, error) {
	paths := []string{path}
	if path == "" {
		paths = libraries()
	}
	var errs []error
	for _, p := range paths {
		lib, err := purego.Dlopen(p, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n := &nvml{lib: lib}
		if err := n.bind(); err != nil {
			_ = purego.Dlclose(lib)
			return nil, fmt.Errorf("use NVML of %s: %w", p, err)
		}
		return n, nil
	}
	// The first error is the linker's own word; the others repeat it.
	return nil, fmt.Errorf("load NVML: %w", errs[0])
}

// bind finds the functions. One that a driver lacks is never called: calling a
// symbol that does not exist would end the process.
func (n *nvml) bind() error {
	var missing []error
	for _, f := range n.functions() {
		if !n.find(f) && f.needed {
			missing = append(missing, fmt.Errorf("function %s is missing", f.symbols[0]))
		}
	}
	return errors.Join(missing...)
}

func (n *nvml) find(f function) bool {
	for _, symbol := range f.symbols {
		if addr, err := purego.Dlsym(n.lib, symbol); err == nil && addr != 0 {
			purego.RegisterFunc(f.fn, addr)
			return true
		}
	}
	return false
}
