package host

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// smartLog is log page 02h, SMART / Health Information, of the NVM Express Base
// Specification: little-endian, counters of 16 bytes.
type smartLog [512]byte

func (l *smartLog) byte(at int) float64 { return float64(l[at]) }

func (l *smartLog) uint16(at int) float64 { return float64(binary.LittleEndian.Uint16(l[at:])) }

func (l *smartLog) uint32(at int) float64 { return float64(binary.LittleEndian.Uint32(l[at:])) }

func (l *smartLog) uint128(at int) float64 {
	return float64(binary.LittleEndian.Uint64(l[at:])) + float64(binary.LittleEndian.Uint64(l[at+8:]))*(1<<32)*(1<<32)
}

// smartFields are the series of the log. Data units are of 512,000 bytes.
var smartFields = [...]struct {
	name string
	kind telemetry.Kind
	read func(*smartLog) float64
}{
	{"nvme_critical_warning", telemetry.Gauge, func(l *smartLog) float64 { return l.byte(0) }},
	{"nvme_temperature_celsius", telemetry.Gauge, celsius},
	{"nvme_available_spare_ratio", telemetry.Gauge, func(l *smartLog) float64 { return l.byte(3) / 100 }},
	{"nvme_available_spare_threshold_ratio", telemetry.Gauge, func(l *smartLog) float64 { return l.byte(4) / 100 }},
	{"nvme_used_ratio", telemetry.Gauge, func(l *smartLog) float64 { return l.byte(5) / 100 }},
	{"nvme_read_bytes_total", telemetry.Counter, func(l *smartLog) float64 { return 512000 * l.uint128(32) }},
	{"nvme_written_bytes_total", telemetry.Counter, func(l *smartLog) float64 { return 512000 * l.uint128(48) }},
	{"nvme_read_commands_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(64) }},
	{"nvme_write_commands_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(80) }},
	{"nvme_busy_seconds_total", telemetry.Counter, func(l *smartLog) float64 { return 60 * l.uint128(96) }},
	{"nvme_power_cycles_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(112) }},
	{"nvme_power_on_seconds_total", telemetry.Counter, func(l *smartLog) float64 { return 3600 * l.uint128(128) }},
	{"nvme_unsafe_shutdowns_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(144) }},
	{"nvme_media_errors_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(160) }},
	{"nvme_error_log_entries_total", telemetry.Counter, func(l *smartLog) float64 { return l.uint128(176) }},
	{"nvme_warning_temperature_seconds_total", telemetry.Counter, func(l *smartLog) float64 { return 60 * l.uint32(192) }},
	{"nvme_critical_temperature_seconds_total", telemetry.Counter, func(l *smartLog) float64 { return 60 * l.uint32(196) }},
}

// celsius reads whole kelvins; 0 is a controller that does not say.
func celsius(l *smartLog) float64 {
	k := l.uint16(1)
	if k == 0 {
		return absent
	}
	return k - 273
}

// adminCommand is struct nvme_admin_cmd of linux/nvme_ioctl.h.
type adminCommand struct {
	opcode, flags              uint8
	_                          uint16
	nsid, cdw2, cdw3           uint32
	metadata, addr             uint64
	metadataLen, dataLen       uint32
	cdw10, cdw11, cdw12, cdw13 uint32
	cdw14, cdw15               uint32
	timeoutMillis, result      uint32
}

const (
	nvmeAdmin     = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD, _IOWR('N', 0x41, 72 bytes)
	getLogPage    = 0x02
	allNamespaces = 0xffffffff
	smartPage     = 0x02
	smartDwords   = uint32(len(smartLog{})/4 - 1)
)

// askSmart reads the SMART log of a controller's device file. It changes nothing.
func askSmart(device string, log *smartLog) error {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", device, err)
	}
	defer unix.Close(fd)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(log)
	cmd := adminCommand{
		opcode: getLogPage, nsid: allNamespaces, addr: uint64(uintptr(unsafe.Pointer(log))), dataLen: uint32(len(log)),
		// No time limit of ours: the kernel resets a controller that passes it.
		cdw10: smartPage | smartDwords<<16,
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), nvmeAdmin, uintptr(unsafe.Pointer(&cmd)))
	if errno != 0 {
		return fmt.Errorf("read SMART log of %s: %w", device, errno)
	}
	if status != 0 {
		return fmt.Errorf("read SMART log of %s: NVMe status %#x", device, status)
	}
	return nil
}
