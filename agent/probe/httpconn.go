package probe

import (
	"bufio"
	"crypto/x509"
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
	certs []*x509.Certificate
}

func newBufferedConn(c, plain net.Conn) *bufferedConn {
	return &bufferedConn{Conn: c, r: bufio.NewReaderSize(c, 2048), plain: plain}
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
