package host

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// attr is an attribute of sysfs: one value in a file that is kept open. Unlike
// file it has no buffer, because a host has hundreds of them.
type attr struct {
	path string
	open bool
	fd   int
}

// attrSize is enough for every attribute that is read here; the kernel gives a
// page at most.
const attrSize = 256

// read returns the value without blanks around it, valid until buf is used
// again. A failed read closes the file, so that the next one opens it anew.
func (a *attr) read(buf *[attrSize]byte) ([]byte, error) {
	if !a.open {
		fd, err := unix.Open(a.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", a.path, err)
		}
		a.fd, a.open = fd, true
	}
	for {
		n, err := unix.Pread(a.fd, buf[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			a.close()
			return nil, fmt.Errorf("read %s: %w", a.path, err)
		}
		return bytes.TrimSpace(buf[:n]), nil
	}
}

// number reads the value as a decimal number; what is none ("N/A (no PMA)"), or
// cannot be read, is absent.
func (a *attr) number(buf *[attrSize]byte) float64 {
	text, err := a.read(buf)
	if err != nil {
		return absent
	}
	v, ok := parseInt(text)
	if !ok {
		return absent
	}
	return v
}

func (a *attr) close() {
	if a.open {
		_ = unix.Close(a.fd)
		a.open = false
	}
}
