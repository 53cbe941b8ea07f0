package bus

import (
	"context"
	"net"
	"sync"
	"time"
)

// conns dials for the client library, TLS included, and keeps track of what it
// opened, for two reasons: the library leaves connections without a deadline while it
// authenticates, so a broker that accepts and stays silent would hang it for
// ever; and Close must not leave a goroutine that waits for an answer.
type conns struct {
	dialer net.Dialer
	tls    TLSConfig
	// limit bounds one request and its answer on any connection.
	limit   time.Duration
	connect func()                  // counts; may be nil
	wrap    func(net.Conn) net.Conn // what tests look through; may be nil

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

func newConns(dial, limit time.Duration, tls TLSConfig) *conns {
	return &conns{
		dialer: net.Dialer{Timeout: dial, KeepAlive: 15 * time.Second},
		tls:    tls,
		limit:  limit,
		open:   map[*conn]struct{}{},
	}
}

func (s *conns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &dialError{addr: address, err: err}
	}
	if s.wrap != nil {
		nc = s.wrap(nc)
	}
	c := &conn{Conn: nc, set: s, implicit: true}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.open[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		_ = nc.Close()
		return nil, &dialError{addr: address, err: net.ErrClosed}
	}
	if s.connect != nil {
		s.connect()
	}
	if !s.tls.on() {
		return c, nil
	}
	hctx, cancel := context.WithTimeout(ctx, s.dialer.Timeout)
	defer cancel()
	secured, err := s.tls.secure(hctx, c, address)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

// closeAll breaks every connection; final refuses new ones too.
func (s *conns) closeAll(final bool) {
	s.mu.Lock()
	s.closed = s.closed || final
	all := make([]*conn, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// conn sees to it that each request has a deadline, at most limit away. Both
// sides are driven by one goroutine at a time.
type conn struct {
	net.Conn
	set      *conns
	implicit bool // no deadline of the library's own is in force
}

func (c *conn) SetDeadline(t time.Time) error {
	if last := time.Now().Add(c.set.limit); t.IsZero() || t.After(last) {
		c.implicit = true
		return c.Conn.SetDeadline(last)
	}
	c.implicit = false
	return c.Conn.SetDeadline(t)
}

func (c *conn) Write(b []byte) (int, error) {
	if c.implicit {
		if err := c.Conn.SetDeadline(time.Now().Add(c.set.limit)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}
