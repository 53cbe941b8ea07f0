package probe

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// waits returns a pinger that waits for its request number n.
func waits(n uint64) (*pinger, *echo) {
	p := newPinger(slog.New(slog.DiscardHandler))
	e := &echo{sent: time.Now(), done: make(chan echoReply, 1)}
	p.count = n
	p.waiting[n] = e
	return p, e
}

// quote wraps a request of ours in the error message of a router.
func quote(t *testing.T, p *pinger, v4 bool, n uint64, code int) []byte {
	t.Helper()
	req, err := p.request(v4, n, 56)
	if err != nil {
		t.Fatal(err)
	}
	m := icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: code}
	head := make([]byte, 24) // an IPv4 header with options
	head[0], head[9] = 0x46, protocolICMP
	if !v4 {
		m.Type = ipv6.ICMPTypeDestinationUnreachable
		head = make([]byte, 40)
		head[6] = protocolICMPv6
	}
	m.Body = &icmp.DstUnreach{Data: append(head, req[:8]...)}
	b, err := m.Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARouterSaysUnreachable(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		p, e := waits(70_000) // beyond 16 bits
		p.take(quote(t, p, v4, 70_000, 1), v4, true, time.Now())
		select {
		case r := <-e.done:
			var u *unreachableError
			if !errors.As(r.err, &u) || reasonOf(r.err) != reasonUnreachable {
				t.Errorf("got %v", r.err)
			}
		default:
			t.Errorf("v4=%v: no answer", v4)
		}
	}
}

func TestOthersAnswersAreNotOurs(t *testing.T) {
	p, e := waits(7)
	q, _ := waits(7) // another process with the same sequence number
	foreign, err := q.request(true, 7, 56)
	if err != nil {
		t.Fatal(err)
	}
	foreign[0] = byte(ipv4.ICMPTypeEchoReply)
	p.take(foreign, true, true, time.Now())
	p.take(quote(t, q, true, 7, 1), true, true, time.Now())
	own, err := p.request(true, 7, 56) // our own request, as loopback shows it
	if err != nil {
		t.Fatal(err)
	}
	p.take(own, true, true, time.Now())
	if len(e.done) != 0 && p.id != q.id {
		t.Error("somebody else's packet was taken for an answer")
	}
	own[0] = byte(ipv4.ICMPTypeEchoReply)
	p.take(own, true, true, time.Now())
	p.take(own, true, true, time.Now()) // a duplicate
	if len(e.done) != 1 {
		t.Error("our answer was not taken")
	}
}

func FuzzICMPPacket(f *testing.F) {
	p, _ := waits(70_000)
	p.id, p.nonce = 1, 2
	req, _ := p.request(true, 70_000, 56)
	f.Add(req, true)
	f.Add(binary.BigEndian.AppendUint64([]byte{3, 1, 0, 0, 0, 0, 0, 0, 0x4f}, 1), true)
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0}, false)
	f.Fuzz(func(_ *testing.T, b []byte, v4 bool) {
		p, _ := waits(70_000)
		p.id, p.nonce = 1, 2
		p.take(b, v4, true, time.Now())
	})
}
