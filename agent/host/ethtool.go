package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands and sizes of linux/ethtool.h. None of these needs a right.
const (
	ethtoolStrings      = 0x1b // ETHTOOL_GSTRINGS
	ethtoolStats        = 0x1d // ETHTOOL_GSTATS
	ethtoolLinkSettings = 0x4c // ETHTOOL_GLINKSETTINGS
	setOfStats          = 1    // ETH_SS_STATS

	nameSize       = 32 // ETH_GSTRING_LEN
	stringsHeader  = 12
	statsHeader    = 8
	settingsHeader = 48
	maxMaskWords   = 127

	// maxStats bounds what a driver may have; those of today have up to some
	// thousands.
	maxStats = 1 << 15
	// spareStats is room for those that a driver gains between two questions:
	// the kernel writes as many as there are, not as many as fit.
	spareStats = 1 << 12
)

// driverInfo is what a driver says of itself.
type driverInfo struct {
	driver, firmware, bus string
	stats                 int
}

// ethtool asks the driver of one interface. It belongs to one goroutine.
type ethtool struct {
	name string
	fd   int
	open bool
}

// info asks who the driver is, and how many statistics it has.
func (e *ethtool) info() (driverInfo, error) {
	if !e.open {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return driverInfo{}, fmt.Errorf("open socket: %w", err)
		}
		e.fd, e.open = fd, true
	}
	d, err := unix.IoctlGetEthtoolDrvinfo(e.fd, e.name)
	if err != nil {
		return driverInfo{}, fmt.Errorf("ask driver of %s: %w", e.name, err)
	}
	word := func(b []byte) string {
		b, _, _ = bytes.Cut(b, []byte{0})
		return string(bytes.ToValidUTF8(bytes.TrimSpace(b), nil))
	}
	return driverInfo{word(d.Driver[:]), word(d.Fw_version[:]), word(d.Bus_info[:]), int(min(d.N_stats, maxStats))}, nil
}

func (e *ethtool) close() {
	if e.open {
		_ = unix.Close(e.fd)
		e.open = false
	}
}

// request is struct ifreq with a pointer in it.
type request struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// call makes a request whose answer takes the place of b.
func (e *ethtool) call(b []byte) error {
	r := request{data: unsafe.Pointer(&b[0])}
	copy(r.name[:unix.IFNAMSIZ-1], e.name)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&b[0])
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("ask driver of %s: command %#x: %w", e.name, binary.NativeEndian.Uint32(b), errno)
	}
	return nil
}

// names asks how the driver's statistics are called.
func (e *ethtool) names(stats int) ([]string, error) {
	b := make([]byte, stringsHeader+nameSize*(stats+spareStats))
	binary.NativeEndian.PutUint32(b, ethtoolStrings)
	binary.NativeEndian.PutUint32(b[4:], setOfStats)
	binary.NativeEndian.PutUint32(b[8:], uint32(stats))
	if err := e.call(b); err != nil {
		return nil, err
	}
	return statNames(b), nil
}

// statNames reads the answer's names.
func statNames(b []byte) []string {
	n := min(int(binary.NativeEndian.Uint32(b[8:])), (len(b)-stringsHeader)/nameSize)
	out := make([]string, n)
	for i := range out {
		name, _, _ := bytes.Cut(b[stringsHeader+i*nameSize:][:nameSize], []byte{0})
		out[i] = string(bytes.TrimSpace(name))
	}
	return out
}

// statBuffer has room for a driver's statistics.
func statBuffer(stats int) []byte { return make([]byte, statsHeader+8*(stats+spareStats)) }

// stats fills the buffer and returns how many statistics are in it.
func (e *ethtool) stats(b []byte, stats int) (int, error) {
	binary.NativeEndian.PutUint32(b, ethtoolStats)
	binary.NativeEndian.PutUint32(b[4:], uint32(stats))
	if err := e.call(b); err != nil {
		return 0, err
	}
	return min(int(binary.NativeEndian.Uint32(b[4:])), (len(b)-statsHeader)/8), nil
}

// stat is one of the statistics in a buffer.
func stat(b []byte, i int) uint64 { return binary.NativeEndian.Uint64(b[statsHeader+8*i:]) }

// speeds asks how fast the link is, and how fast port and medium could be, in
// bits a second; what is not known is absent. The first question only asks how
// wide the masks are.
func (e *ethtool) speeds() (now, most float64, err error) {
	b := make([]byte, settingsHeader+3*4*maxMaskWords)
	binary.NativeEndian.PutUint32(b, ethtoolLinkSettings)
	if err := e.call(b); err != nil {
		return absent, absent, err
	}
	words := int8(b[15])
	if words >= 0 {
		return absent, absent, fmt.Errorf("ask driver of %s: masks of %d words", e.name, words)
	}
	clear(b)
	binary.NativeEndian.PutUint32(b, ethtoolLinkSettings)
	b[15] = byte(-words)
	if err := e.call(b); err != nil {
		return absent, absent, err
	}
	now, most = linkSpeeds(b)
	return now, most, nil
}

// linkSpeeds reads struct ethtool_link_settings and the mask of what is
// supported, which follows it.
func linkSpeeds(b []byte) (now, most float64) {
	now, most = absent, absent
	if v := binary.NativeEndian.Uint32(b[4:]); v > 0 && v < 1<<31 {
		now = float64(v) * 1e6
	}
	words := int(int8(b[15]))
	if words < 0 || settingsHeader+4*words > len(b) {
		return now, most
	}
	for _, m := range linkModes {
		for bit := m.first; bit <= m.last && bit/32 < words; bit++ {
			v := float64(m.megabits) * 1e6
			if binary.NativeEndian.Uint32(b[settingsHeader+bit/32*4:])>>(bit%32)&1 == 1 && !(most >= v) {
				most = v
			}
		}
	}
	return now, most
}

// linkModes are the bits of enum ethtool_link_mode_bit_indices that are speeds.
var linkModes = [...]struct{ first, last, megabits int }{
	{0, 1, 10}, {2, 3, 100}, {4, 5, 1000}, {12, 12, 10000}, {15, 15, 2500}, {17, 17, 1000}, {18, 20, 10000}, {21, 22, 20000},
	{23, 26, 40000}, {27, 30, 56000}, {31, 33, 25000}, {34, 35, 50000}, {36, 39, 100000}, {40, 40, 50000}, {41, 41, 1000},
	{42, 46, 10000}, {47, 47, 2500}, {48, 48, 5000}, {52, 56, 50000}, {57, 61, 100000}, {62, 66, 200000}, {67, 67, 100},
	{68, 68, 1000}, {69, 73, 400000}, {75, 79, 100000}, {80, 84, 200000}, {85, 89, 400000}, {90, 91, 100}, {92, 92, 10},
	{93, 98, 800000}, {99, 102, 10}, {103, 108, 200000}, {109, 114, 400000}, {115, 120, 800000}, {121, 124, 1600000},
}
