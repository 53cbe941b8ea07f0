package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// errNotPermitted says what to do when no ICMP socket can be opened.
var errNotPermitted = errors.New("ICMP is not permitted to this process: give it CAP_NET_RAW " +
	"(systemd: AmbientCapabilities=CAP_NET_RAW), or let sysctl net.ipv4.ping_group_range include its group")

// pinger sends echo requests for all targets through one socket per address
// family and hands the answers to who waits for them. Sockets are opened at
// first use; where that fails it is tried again every reopenEvery.
type pinger struct {
	log *slog.Logger

	id    uint16
	nonce uint64 // tells our payloads from everybody else's

	mu      sync.Mutex
	closed  bool
	v4, v6  pingSocket
	count   uint64 // requests so far; its low 16 bits are the last sequence number
	waiting map[uint64]*echo
	readers sync.WaitGroup
}

// pingSocket is the socket of one address family, or why there is none.
type pingSocket struct {
	conn  *icmp.PacketConn
	raw   bool
	err   error
	tried time.Time
}

// echo is a request under way.
type echo struct {
	sent time.Time
	done chan echoReply // capacity 1
}

type echoReply struct {
	rtt time.Duration
	err error
}

const (
	reopenEvery = 10 * time.Second
	// minPayload holds nonce and number of a request.
	minPayload = 16
)

func newPinger(log *slog.Logger) *pinger {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return &pinger{
		log: log, waiting: map[uint64]*echo{},
		id: binary.BigEndian.Uint16(b[:]), nonce: binary.BigEndian.Uint64(b[2:]),
	}
}

// echo sends one request and waits for its answer until ctx ends.
func (p *pinger) echo(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	s, err := p.socket(to.Is4())
	if err != nil {
		return 0, err
	}
	e := &echo{done: make(chan echoReply, 1)}
	n := p.expect(e)
	defer p.forget(n)
	packet, err := p.request(to.Is4(), n, size)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	e.sent = time.Now()
	p.mu.Unlock()
	if _, err := s.conn.WriteTo(packet, s.address(to)); err != nil {
		return 0, fmt.Errorf("send echo request: %w", err)
	}
	select {
	case r := <-e.done:
		return r.rtt, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s pingSocket) address(to netip.Addr) net.Addr {
	if s.raw {
		return &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	}
	return &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
}

func (p *pinger) expect(e *echo) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	p.waiting[p.count] = e
	return p.count
}

func (p *pinger) forget(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, n)
}

func (p *pinger) request(v4 bool, n uint64, size int) ([]byte, error) {
	data := make([]byte, size)
	binary.BigEndian.PutUint64(data, p.nonce)
	binary.BigEndian.PutUint64(data[8:], n)
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: int(uint16(n)), Data: data}}
	if !v4 {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in its checksum
	}
	return m.Marshal(nil)
}

// socket returns the family's socket, opening it where needed.
func (p *pinger) socket(v4 bool) (pingSocket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.v6
	if v4 {
		s = &p.v4
	}
	if s.conn == nil && p.closed {
		return *s, net.ErrClosed
	}
	if s.conn == nil && (s.err == nil || time.Since(s.tried) >= reopenEvery) {
		p.openLocked(s, v4)
	}
	if s.conn == nil {
		return *s, s.err
	}
	return *s, nil
}

func (p *pinger) openLocked(s *pingSocket, v4 bool) {
	conn, raw, err := openICMP(v4)
	if err != nil {
		if s.err == nil {
			p.log.Error("open ICMP socket: icmp targets are recorded as blindness until it succeeds", "error", err)
		}
		*s = pingSocket{err: err, tried: time.Now()}
		return
	}
	if s.err != nil {
		p.log.Info("ICMP socket is open now")
	}
	*s = pingSocket{conn: conn, raw: raw}
	p.readers.Go(func() { p.read(conn, v4, raw) })
}

// openICMP opens a raw socket, which also shows that a target is unreachable,
// else an unprivileged one.
func openICMP(v4 bool) (conn *icmp.PacketConn, raw bool, err error) {
	rawNet, anyAddr, pingNet := "ip6:ipv6-icmp", "::", "udp6"
	if v4 {
		rawNet, anyAddr, pingNet = "ip4:icmp", "0.0.0.0", "udp4"
	}
	if conn, err = icmp.ListenPacket(rawNet, anyAddr); err == nil {
		filterICMP(conn, v4)
		return conn, true, nil
	}
	rawErr := err
	if conn, err = icmp.ListenPacket(pingNet, anyAddr); err == nil {
		return conn, false, nil
	}
	if errors.Is(rawErr, syscall.EPERM) || errors.Is(rawErr, syscall.EACCES) {
		return nil, false, fmt.Errorf("%w (%w; %w)", errNotPermitted, rawErr, err)
	}
	return nil, false, fmt.Errorf("open ICMP socket: %w; %w", rawErr, err)
}

// filterICMP lets the kernel keep back what we do not read. Where it is not
// supported everything is read and sorted out here.
func filterICMP(conn *icmp.PacketConn, v4 bool) {
	if v4 {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		f.Accept(ipv4.ICMPTypeDestinationUnreachable)
		_ = conn.IPv4PacketConn().SetICMPFilter(&f)
		return
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv6.ICMPTypeEchoReply)
	f.Accept(ipv6.ICMPTypeDestinationUnreachable)
	_ = conn.IPv6PacketConn().SetICMPFilter(&f)
}

// close ends the readers. Requests under way get no answer.
func (p *pinger) close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range []*pingSocket{&p.v4, &p.v6} {
		if s.conn != nil {
			s.conn.Close()
		}
	}
	p.mu.Unlock()
	p.readers.Wait()
}

// fault returns why ICMP does not work, or nil.
func (p *pinger) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return first(p.v4.err, p.v6.err)
}
