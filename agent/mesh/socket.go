package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket of one address family that tells of each packet when
// the kernel got it, with which hop limit, and on which of our addresses. Reading
// is for one goroutine, and so is writing.
type socket struct {
	conn *net.UDPConn
	v6   bool
	oob  []byte
}

// packet is what came in, besides its bytes.
type packet struct {
	n    int
	from netip.AddrPort
	to   netip.Addr // ours; invalid where the kernel did not say
	at   time.Time  // by the kernel's clock; zero where it did not say
	ttl  uint8
}

// openSocket binds to an address of this host; an unspecified one is all of its
// family.
func openSocket(local netip.AddrPort) (*socket, error) {
	network := "udp4"
	if local.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("open UDP port: %w", err)
	}
	s := &socket{conn: conn, v6: local.Addr().Is6(), oob: make([]byte, 256)}
	if err := s.configure(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("prepare UDP port %s: %w", conn.LocalAddr(), err)
	}
	return s, nil
}

// configure asks for what packets are to tell. Questions leave with the greatest
// hop limit, so that what arrives says how many hops there were.
func (s *socket) configure() error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	level, opts := unix.IPPROTO_IP, [][2]int{{unix.IP_RECVTTL, 1}, {unix.IP_PKTINFO, 1}, {unix.IP_TTL, 255}}
	if s.v6 {
		level, opts = unix.IPPROTO_IPV6, [][2]int{{unix.IPV6_RECVHOPLIMIT, 1}, {unix.IPV6_RECVPKTINFO, 1}, {unix.IPV6_UNICAST_HOPS, 255}}
	}
	var errs []error
	err = raw.Control(func(fd uintptr) {
		errs = append(errs, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
		for _, o := range opts {
			errs = append(errs, unix.SetsockoptInt(int(fd), level, o[0], o[1]))
		}
	})
	return errors.Join(append(errs, err)...)
}

func (s *socket) local() netip.AddrPort {
	return s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (s *socket) close() { _ = s.conn.Close() }

// read waits for a packet. What is longer than buf is cut.
func (s *socket) read(buf []byte) (packet, error) {
	n, oobn, _, from, err := s.conn.ReadMsgUDPAddrPort(buf, s.oob)
	if err != nil {
		return packet{}, err
	}
	p := packet{n: n, from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	messages, err := unix.ParseSocketControlMessage(s.oob[:oobn])
	if err != nil {
		return p, nil // the packet itself is good
	}
	for i := range messages {
		p.note(&messages[i])
	}
	return p, nil
}

// each hands over what comes in until the socket is closed or take returns false.
// The bytes are good until take returns.
func (s *socket) each(f *Figures, take func(b []byte, p packet) bool) {
	buf := make([]byte, 2048)
	for {
		p, err := s.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			f.readErrors.Add(1)
			time.Sleep(time.Millisecond) // keeps an error that stays from spinning
			continue
		}
		if !take(buf[:p.n], p) {
			return
		}
	}
}

// note takes what one control message says.
func (p *packet) note(m *unix.SocketControlMessage) {
	b, native := m.Data, binary.NativeEndian
	switch [2]int32{m.Header.Level, m.Header.Type} {
	case [2]int32{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}:
		switch len(b) { // two longs
		case 16:
			p.at = time.Unix(int64(native.Uint64(b)), int64(native.Uint64(b[8:])))
		case 8:
			p.at = time.Unix(int64(native.Uint32(b)), int64(native.Uint32(b[4:])))
		}
	case [2]int32{unix.IPPROTO_IP, unix.IP_TTL}, [2]int32{unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT}:
		if len(b) >= 4 {
			p.ttl = uint8(native.Uint32(b))
		}
	case [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}:
		if len(b) >= 8 { // interface, our address
			p.to = netip.AddrFrom4([4]byte(b[4:8]))
		}
	case [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
		if len(b) >= 16 {
			p.to = netip.AddrFrom16([16]byte(b))
		}
	}
}

// write sends b; where from is valid, that is the address it comes from.
func (s *socket) write(b []byte, to netip.AddrPort, from netip.Addr) error {
	var oob []byte
	switch {
	case !from.IsValid():
	case s.v6:
		oob = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
	default:
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	}
	_, _, err := s.conn.WriteMsgUDPAddrPort(b, oob, to)
	return err
}
