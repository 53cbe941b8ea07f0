package torture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// link is one client's way to the broker: a proxy for each of its nodes that
// passes Kafka's messages whole, puts its own addresses where the broker names
// its, and fails on demand.
type link struct {
	ports []port

	mu    sync.Mutex
	conns map[net.Conn]bool
	state linkState
	until chan struct{} // closed when the state changes
	wg    sync.WaitGroup
}

// port is the way to one node.
type port struct {
	ln       net.Listener
	upstream string
	own, far []byte // the addresses as metadata carries them
}

// linkState is what a link does with messages.
type linkState int

const (
	linkUp     linkState = iota
	linkCut              // connections are closed and refused
	linkHalf             // messages stop, connections stay open
	linkSlow             // each message takes 300 ms
	linkMuted            // produce requests arrive, their answers do not
	linkStates           // how many there are
)

var linkNames = [...]string{"up", "cut", "half-open", "slow", "muted"}

func newLink(t *testing.T, upstreams []string) *link {
	t.Helper()
	l := &link{conns: map[net.Conn]bool{}, until: make(chan struct{})}
	for _, up := range upstreams {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.ports = append(l.ports, port{ln: ln, upstream: up, own: advertised(ln.Addr().String()), far: advertised(up)})
	}
	for _, p := range l.ports {
		l.wg.Go(func() { l.serve(p) })
	}
	t.Cleanup(func() {
		l.set(linkCut)
		for _, p := range l.ports {
			p.ln.Close()
		}
		l.wg.Wait()
	})
	return l
}

// advertised is how a response carries an address: the host, then the port in
// four bytes. All of ours have the same length.
func advertised(addr string) []byte {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return binary.BigEndian.AppendUint32([]byte(host), uint32(n))
}

func (l *link) addrs() (out []string) {
	for _, p := range l.ports {
		out = append(out, p.ln.Addr().String())
	}
	return out
}

// set changes what the link does. A cut closes what is open.
func (l *link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.until)
	l.until = make(chan struct{})
	if s == linkCut {
		for c := range l.conns {
			c.Close()
		}
	}
}

func (l *link) now() (linkState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.until
}

func (l *link) serve(at port) {
	for {
		near, err := at.ln.Accept()
		if err != nil {
			return
		}
		if s, _ := l.now(); s == linkCut {
			near.Close()
			continue
		}
		far, err := net.DialTimeout("tcp", at.upstream, time.Second)
		if err != nil {
			near.Close()
			continue
		}
		l.mu.Lock()
		l.conns[near], l.conns[far] = true, true
		l.mu.Unlock()
		p := &pipe{link: l, produces: map[uint32]bool{}}
		l.wg.Go(func() { p.pump(near, far, p.request) })
		l.wg.Go(func() { p.pump(far, near, p.response) })
	}
}

// pipe is one connection.
type pipe struct {
	*link
	mu       sync.Mutex
	produces map[uint32]bool // correlation ids without an answer
}

// pump passes messages until either side ends.
func (p *pipe) pump(from, to net.Conn, look func([]byte) error) {
	defer func() {
		from.Close()
		to.Close()
		p.link.mu.Lock()
		delete(p.conns, from)
		p.link.mu.Unlock()
	}()
	for head := make([]byte, 4); ; {
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head)
		if n < 4 || n > 64<<20 {
			return
		}
		msg := make([]byte, 4+n)
		copy(msg, head)
		if _, err := io.ReadFull(from, msg[4:]); err != nil {
			return
		}
		if p.hold() != nil || look(msg[4:]) != nil {
			return
		}
		if _, err := to.Write(msg); err != nil {
			return
		}
	}
}

var errCut = errors.New("cut")

// hold waits as the link's state wants it.
func (p *pipe) hold() error {
	for {
		switch s, until := p.now(); s {
		case linkCut:
			return errCut
		case linkHalf:
			<-until
		case linkSlow:
			select {
			case <-until:
			case <-time.After(300 * time.Millisecond):
			}
			return nil
		default:
			return nil
		}
	}
}

// request notes produce requests: key 0.
func (p *pipe) request(msg []byte) error {
	if len(msg) >= 8 && binary.BigEndian.Uint16(msg) == 0 {
		p.mu.Lock()
		p.produces[binary.BigEndian.Uint32(msg[4:])] = true
		p.mu.Unlock()
	}
	return nil
}

// response puts this link's addresses in, and drops the connection instead of the
// answer to a produce request while the link is muted: what was produced is in
// the log, and its producer does not know.
func (p *pipe) response(msg []byte) error {
	id := binary.BigEndian.Uint32(msg)
	p.mu.Lock()
	produce := p.produces[id]
	delete(p.produces, id)
	p.mu.Unlock()
	if s, _ := p.now(); s == linkMuted && produce {
		return errCut
	}
	if produce || len(msg) > 1<<16 {
		return nil
	}
	for _, port := range p.ports {
		replace(msg, port.far, port.own)
	}
	return nil
}

// replace writes one address over another, of the same length, wherever it stands.
func replace(msg, far, own []byte) {
	for at := msg; ; {
		i := bytes.Index(at, far)
		if i < 0 {
			return
		}
		copy(at[i:], own)
		at = at[i+len(own):]
	}
}
