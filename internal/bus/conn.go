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
	// silent are addresses that did not answer, with the time of that.
	silent map[string]time.Time
}

// Of several brokers one may be cut off, and the library tries them in turn: one
// that did not answer is given little time for a while.
const (
	silentFor   = 20 * time.Second
	silentLimit = 400 * time.Millisecond
)

// keepAlive finds out that the other machine is gone while an answer is awaited:
// within five seconds, before Kafka has another leader.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}

func newConns(cfg Config, limit time.Duration) *conns {
	s := &conns{
		dialer: net.Dialer{Timeout: cfg.DialTimeout, KeepAliveConfig: keepAlive, Control: sockopts},
		tls:    cfg.TLS,
		limit:  limit,
		open:   map[*conn]struct{}{},
		silent: map[string]time.Time{},
	}
	if len(cfg.Brokers) > 1 {
		s.dialer.Timeout /= 2 // the library's limit is for all of them together
	}
	return s
}

// patience is how long the address may take to answer.
func (s *conns) patience(address string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.silent[address]; ok && time.Since(at) < silentFor {
		return min(silentLimit, s.dialer.Timeout)
	}
	return s.dialer.Timeout
}

// heard notes whether the address answered. One that was given little time
// remains as it was.
func (s *conns) heard(address string, patience time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil || !isTimeout(err):
		delete(s.silent, address)
	case patience == s.dialer.Timeout:
		s.silent[address] = time.Now()
	}
}

func (s *conns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := s.dialer
	dialer.Timeout = s.patience(address)
	nc, err := dialer.DialContext(ctx, network, address)
	s.heard(address, dialer.Timeout, err)
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
