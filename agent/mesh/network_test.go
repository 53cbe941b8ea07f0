package mesh

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is hosts in network namespaces of their own, on a switch in one more. Its
// addresses are of the range for tests of network devices (RFC 2544), and nothing
// of it can reach anything else.
type lab struct {
	*testing.T
	name string
}

func newLab(t *testing.T, hosts int) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the program ip is not installed (test/setup installs Debian's package iproute2)")
	}
	l := &lab{t, fmt.Sprintf("nm%d", os.Getpid())}
	l.space("switch")
	l.ip("-n %s-switch link add br0 type bridge", l.name)
	l.ip("-n %s-switch link set br0 up", l.name)
	for h := range hosts {
		ns := fmt.Sprint(h)
		l.space(ns)
		l.ip("link add eth0 netns %s-%s type veth peer name port%s netns %s-switch", l.name, ns, ns, l.name)
		l.ip("-n %s-switch link set port%s master br0 up", l.name, ns)
		l.ip("-n %s-%s addr add %s/24 dev eth0", l.name, ns, l.addr(h))
		l.ip("-n %s-%s link set eth0 up", l.name, ns)
	}
	return l
}

func (l *lab) space(name string) {
	l.Helper()
	l.ip("netns add %s-%s", l.name, name)
	l.Cleanup(func() { l.ip("netns del %s-%s", l.name, name) })
}

func (l *lab) ip(format string, args ...any) {
	l.Helper()
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		if strings.HasPrefix(line, "netns add") {
			l.Skipf("this machine makes no network namespaces: %s", out)
		}
		l.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

func (l *lab) addr(host int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(host + 1)}) }

// cut parts a host from all others; false joins it again.
func (l *lab) cut(host int, off bool) {
	l.ip("-n %s-switch link set port%d %s", l.name, host, map[bool]string{true: "down", false: "up"}[off])
}

// within calls f in a host's namespace; sockets that it opens stay there.
func (l *lab) within(host int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open(filepath.Join("/run/netns", fmt.Sprintf("%s-%d", l.name, host)))
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // the thread is lost to all others
	}
	return err
}

// station is a host of the lab whose mesh runs.
type station struct {
	samples
	figures Figures
	at      netip.AddrPort
}

// station runs host's mesh until the test ends.
func (l *lab) station(host int, name, zone string, key string, b *memoryBoard) *station {
	l.Helper()
	s := &station{at: netip.AddrPortFrom(l.addr(host), DefaultPort)}
	m, err := New(Options{
		Config: Config{Listen: fmt.Sprintf(":%d", DefaultPort), Advertise: l.addr(host).String(), PacketsPerSecond: 20, KeyFile: key},
		Host:   Host{Name: name, Zone: zone, Region: "r"}, Boot: rand.Uint64(), Board: &view{memoryBoard: b},
		Now: func() int64 { return time.Now().UnixMilli() }, Clock: func() ClockState { return ClockState{} }, Sink: s.sink, Figures: &s.figures,
	})
	if err != nil {
		l.Fatal(err)
	}
	m.open = func(at netip.AddrPort) (sock *socket, err error) {
		err = l.within(host, func() (err error) {
			sock, err = openSocket(at)
			return err
		})
		return sock, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	l.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Three hosts in two zones with real packets: all pairs are measured; rubbish and
// strangers are refused; one that is cut off is lost for all, and only it; and it
// comes back.
func TestHostsOnANetwork(t *testing.T) {
	l := newLab(t, 4)
	key := filepath.Join(t.TempDir(), "mesh.key")
	if err := os.WriteFile(key, []byte("sixteen or more bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &memoryBoard{}
	all := map[string]*station{"a": l.station(0, "a", "za", key, b), "b": l.station(1, "b", "za", key, b), "c": l.station(2, "c", "zb", key, b)}
	pairs := []ends{{"a", "b"}, {"b", "a"}, {"a", "c"}, {"b", "c"}, {"c", "a"}, {"c", "b"}}
	each := func(ok func(s *station, p ends) bool) func() bool {
		return func() bool { return !slices.ContainsFunc(pairs, func(p ends) bool { return !ok(all[p.from], p) }) }
	}
	until(t, "answers between all", each(func(s *station, p ends) bool { return len(s.of(p.to, "mesh_rtt_seconds")) >= 10 }))
	for _, p := range pairs {
		for i, rtt := range all[p.from].of(p.to, "mesh_rtt_seconds") {
			if !math.IsNaN(rtt) && (rtt <= 0 || rtt > Timeout.Seconds()) {
				t.Errorf("%v: round trip of %v s", p, rtt)
			}
			if math.IsNaN(rtt) != (all[p.from].of(p.to, "mesh_success")[i] == 0) {
				t.Errorf("%v: round trip %v of a packet that has success %v", p, rtt, all[p.from].of(p.to, "mesh_success")[i])
			}
		}
		if v := all[p.from].of(p.to, "mesh_forward_seconds"); slices.ContainsFunc(v, func(v float64) bool { return !math.IsNaN(v) }) {
			t.Errorf("%v: one way by clocks that nobody disciplines: %v", p, v)
		}
	}

	l.refuses(all["b"])

	l.cut(2, true)
	now := time.Now().UnixMilli()
	until(t, "samples after the cut", each(func(s *station, p ends) bool { return len(s.since(now, p.to, "mesh_success")) >= 20 }))
	for _, p := range pairs {
		v := all[p.from].since(now, p.to, "mesh_success")
		lost := slices.IndexFunc(v, func(v float64) bool { return v != 0 }) < 0
		if cut := p.from == "c" || p.to == "c"; cut && !lost || !cut && slices.Max(v) == 0 {
			t.Errorf("%v while c is cut off: %v", p, v)
		}
	}
	l.cut(2, false)
	now = time.Now().UnixMilli()
	until(t, "answers between all after the cut", each(func(s *station, p ends) bool {
		return slices.Contains(s.since(now, p.to, "mesh_success"), 1)
	}))
}

// refuses sends what a reflector must not answer, from a host that the roster does
// not know and from one that it knows, and sees that nothing comes back.
func (l *lab) refuses(victim *station) {
	l.Helper()
	ask := func(host int, packets ...[]byte) {
		l.Helper()
		var conn *net.UDPConn
		err := l.within(host, func() (err error) {
			conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(victim.at))
			return err
		})
		if err != nil {
			l.Fatal(err)
		}
		defer conn.Close()
		for _, p := range packets {
			if _, err := conn.Write(p); err != nil {
				l.Fatal(err)
			}
		}
		before := victim.figures.refused[refusedShort].Load()
		_, _ = conn.Write([]byte("x"))
		until(l.T, "the reflector to have seen all", func() bool { return victim.figures.refused[refusedShort].Load() > before })
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 2048)); err == nil {
			l.Errorf("%d bytes came back", n)
		}
	}
	c := newCodec([]byte("sixteen or more bytes"))
	good := c.appendQuestion(nil, vectorQ)
	forged := append(good[:100:100], make([]byte, 12)...)
	ask(3, good, forged, make([]byte, 1400), nil)
	ask(0, forged, c.appendAnswer(nil, vectorA), newCodec(nil).appendQuestion(nil, vectorQ))
	for why, least := range map[refusal]uint64{refusedStranger: 3, refusedForged: 1, refusedEcho: 1, refusedShort: 4} {
		if n := victim.figures.refused[why].Load(); n < least {
			l.Errorf("%d refused as %s, want %d at least", n, why, least)
		}
	}
}

// A way that is longer by 40 ms is measured as such, and the time that the peer's
// program took is not.
func TestALongerWay(t *testing.T) {
	open := func() *socket {
		s, err := openSocket(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return s
	}
	r := testReflector(nil, "127.0.0.1")
	clock := func() ClockState { return ClockState{Synchronised: true, Bound: ms} }
	r.sock, r.clock = open(), clock
	go r.run()
	way := open() // hands packets on after 20 ms, both ways
	go func() {
		var asker netip.AddrPort
		buf := make([]byte, 2048)
		for {
			p, err := way.read(buf)
			if err != nil {
				return
			}
			b, to := slices.Clone(buf[:p.n]), asker
			if p.from != r.sock.local() {
				asker, to = p.from, r.sock.local()
			}
			time.AfterFunc(20*ms, func() { _ = way.write(b, to, netip.Addr{}) })
		}
	}()
	s := &samples{}
	p := newProber()
	p.sock, p.codec, p.every, p.now, p.sink, p.figures = open(), newCodec(nil), 20*ms, func() int64 { return 0 }, s.sink, &Figures{}
	p.clock = clock
	ctx, cancel := context.WithCancel(t.Context())
	replies, peers := make(chan reply), make(chan []Host, 1)
	peers <- []Host{{Name: "b", Zone: "z", Addr: way.local()}}
	var wg sync.WaitGroup
	wg.Go(func() { p.read(newCodec(nil), replies, ctx.Done()) })
	wg.Go(func() { p.loop(ctx, replies, peers) })
	until(t, "samples", func() bool { return len(s.of("b", "mesh_rtt_seconds")) >= 10 })
	cancel()
	p.sock.close()
	wg.Wait()
	for i, rtt := range s.of("b", "mesh_rtt_seconds") {
		there, back := s.of("b", "mesh_forward_seconds")[i], s.of("b", "mesh_backward_seconds")[i]
		if rtt < 0.04 || there < 0.02 || back < 0.02 || math.Abs(there+back-rtt) > 0.002 {
			t.Errorf("round trip %v s, there %v s, back %v s", rtt, there, back)
		}
	}
}
