package bus

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// vanished bounds how long what was sent may stay without the other machine's
// receipt: a broker that was cut off is given up long before a slow one, whose
// machine does answer.
const vanished = 4 * time.Second

// sockopts is called with each connection before it is made.
func sockopts(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanished.Milliseconds()))
	}); cerr != nil {
		return cerr
	}
	return err
}
