package probe

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// read hands answers to who waits for them, until the socket is closed.
func (p *pinger) read(conn *icmp.PacketConn, v4, raw bool) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buf)
		now := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An error of one request that the kernel keeps for the socket; the
			// request itself runs into its timeout. The pause keeps an error that
			// stays from spinning.
			time.Sleep(time.Millisecond)
			continue
		}
		p.take(buf[:n], v4, raw, now)
	}
}

const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// take deals with one packet: an answer to us, or one to somebody else.
func (p *pinger) take(packet []byte, v4, raw bool, now time.Time) {
	protocol := protocolICMPv6
	if v4 {
		protocol = protocolICMP
	}
	m, err := icmp.ParseMessage(protocol, packet)
	if err != nil {
		return
	}
	switch body := m.Body.(type) {
	case *icmp.Echo:
		isReply := m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply
		if isReply && len(body.Data) >= minPayload && binary.BigEndian.Uint64(body.Data) == p.nonce {
			p.answer(binary.BigEndian.Uint64(body.Data[8:]), now, nil)
		}
	case *icmp.DstUnreach:
		if n, ok := p.quoted(body.Data, v4); raw && ok {
			p.answer(n, now, &unreachableError{m.Code})
		}
	}
}

// quoted finds the number of our request of which an error message quotes the
// beginning: an IP header and at least 8 bytes of ICMP.
func (p *pinger) quoted(b []byte, v4 bool) (uint64, bool) {
	header, echoType := 40, byte(ipv6.ICMPTypeEchoRequest)
	if v4 {
		if len(b) < 20 || b[9] != protocolICMP {
			return 0, false
		}
		header, echoType = int(b[0]&0x0f)*4, byte(ipv4.ICMPTypeEcho)
	} else if len(b) < 40 || b[6] != protocolICMPv6 {
		return 0, false
	}
	if len(b) < header+8 || b[header] != echoType || binary.BigEndian.Uint16(b[header+4:]) != p.id {
		return 0, false
	}
	seq := binary.BigEndian.Uint16(b[header+6:])
	p.mu.Lock()
	defer p.mu.Unlock()
	// The newest request with this sequence number.
	return p.count - uint64(uint16(p.count)-seq), true
}

func (p *pinger) answer(n uint64, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.waiting[n]
	if e == nil {
		return
	}
	delete(p.waiting, n)
	e.done <- echoReply{rtt: now.Sub(e.sent), err: err}
}
