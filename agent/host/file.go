package host

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// file is a kernel file kept open. A failed read closes it, so that the next
// one opens it anew.
type file struct {
	path string
	// whole says that the kernel hands the file over in one read where the
	// buffer is large enough, so that no read for the end is needed.
	whole bool
	open  bool
	fd    int
	buf   []byte
}

// maxFile bounds what a kernel file may grow to.
const maxFile = 64 << 20

// read returns the file's present content, valid until the next read.
func (k *file) read() ([]byte, error) {
	if !k.open {
		fd, err := unix.Open(k.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", k.path, err)
		}
		k.fd, k.open = fd, true
	}
	if k.buf == nil {
		k.buf = make([]byte, 4096)
	}
	for n := 0; ; {
		m, err := unix.Pread(k.fd, k.buf[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			k.close()
			return nil, fmt.Errorf("read %s: %w", k.path, err)
		}
		n += m
		switch {
		case m == 0, k.whole && n < len(k.buf):
			return k.buf[:n], nil
		case n == len(k.buf):
			// A longer file is read from the start: its parts belong together.
			if n >= maxFile {
				return nil, fmt.Errorf("read %s: more than %d bytes", k.path, maxFile)
			}
			k.buf = make([]byte, 4*len(k.buf))
			n = 0
		}
	}
}

func (k *file) close() {
	if k.open {
		_ = unix.Close(k.fd)
		k.open = false
	}
}

// Shared holds kernel files that several readers need at the same tick, so that
// each is read once. It is safe for concurrent use.
type Shared struct {
	stat cached
}

// NewShared returns the files below the roots.
func NewShared(r Roots) *Shared {
	return &Shared{stat: cached{file: file{path: r.fill().Proc + "/stat", whole: true}}}
}

// cached is a file whose content serves every reader for a moment.
type cached struct {
	mu   sync.Mutex
	file file
	data []byte
	at   time.Time
}

// freshFor is much shorter than any interval and longer than the readers of one
// tick take to come.
const freshFor = 40 * time.Millisecond

// with calls f with the content while no other reader changes it.
func (c *cached) with(f func(data []byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data == nil || time.Since(c.at) > freshFor {
		data, err := c.file.read()
		if err != nil {
			c.data = nil
			return err
		}
		c.data, c.at = data, time.Now()
	}
	return f(c.data)
}
