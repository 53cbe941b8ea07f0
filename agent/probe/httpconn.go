package probe

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// bufferedConn is a connection with the reader that may hold bytes of it.
type bufferedConn struct {
	net.Conn
	r     *bufio.Reader
	plain net.Conn // below TLS
	state tls.ConnectionState
	left  int64 // bytes that may still be read of the answer under way
}

// maxHead bounds what of an answer is not its body, in bytes: a target that
// sends header fields without end must not fill our memory.
const maxHead = 1 << 20

var errTooLong = errors.New("answer is longer than it may be")

func newBufferedConn(c, plain net.Conn) *bufferedConn {
	b := &bufferedConn{Conn: c, plain: plain}
	b.r = bufio.NewReaderSize(b, 2048)
	return b
}

// Read is what the buffered reader reads through.
func (c *bufferedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// alive tells whether the connection can carry a request: the peer has neither
// closed it nor sent something unasked. A request on a connection that is
// closed already would fail, and is not repeated.
func (c *bufferedConn) alive() bool {
	sc, ok := c.plain.(syscall.Conn)
	if !ok || c.r.Buffered() > 0 {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		alive = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && alive
}

// idleConn keeps one connection between attempts. A nil idleConn keeps none.
type idleConn struct {
	mu     sync.Mutex
	conn   *bufferedConn
	origin string
	closed bool
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// take returns the kept connection if it leads to u and is alive.
func (i *idleConn) take(u *url.URL) *bufferedConn {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.conn
	if c == nil || i.origin != origin(u) {
		return nil
	}
	i.conn = nil
	if !c.alive() {
		c.Close()
		return nil
	}
	return c
}

// put keeps the connection unless one is kept already, and tells whether.
func (i *idleConn) put(c *bufferedConn, u *url.URL) bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || i.conn != nil || c.SetDeadline(time.Time{}) != nil {
		return false
	}
	i.conn, i.origin = c, origin(u)
	return true
}

func (i *idleConn) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.conn != nil {
		i.conn.Close()
		i.conn = nil
	}
}

// earliestExpiry returns when the first of the certificates ends, or the zero
// time without certificates.
func earliestExpiry(certs []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range certs {
		if t.IsZero() || c.NotAfter.Before(t) {
			t = c.NotAfter
		}
	}
	return t
}
