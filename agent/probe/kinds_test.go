package probe

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"nines/agent/discovery"
)

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := try(t, Job{Probe: "tcp"}, at(l.Addr().String()), 5*time.Second)
	wantResult(t, r, true, 0, "")
	wantResult(t, try(t, Job{Probe: "tcp"}, at(freePort(t)), 5*time.Second), false, reasonRefused, "refused")
	wantResult(t, try(t, Job{Probe: "tcp"}, at("name.invalid:1"), 5*time.Second), false, reasonDNS, "name.invalid")
}

// nameServer answers like a small zone over udp and tcp.
func nameServer(t *testing.T) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Skip("the tcp port beside the udp port is taken: ", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, b := range answersTo(buf[:n]) {
				_, _ = udp.WriteTo(b, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			_, _ = io.ReadFull(c, size[:])
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			_, _ = io.ReadFull(c, q)
			for _, b := range answersTo(q) {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			}
			c.Close()
		}
	})
	t.Cleanup(func() { udp.Close(); tcp.Close(); wg.Wait() })
	return udp.LocalAddr().String()
}

// answersTo returns the packets that answer a query.
func answersTo(q []byte) [][]byte {
	var m dnsmessage.Message
	if m.Unpack(q) != nil || len(m.Questions) == 0 {
		return nil
	}
	m.Response = true
	head := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}
	switch name := strings.ToLower(m.Questions[0].Name.String()); {
	case name == "silent.test.":
		return nil
	case name == "www.test." && m.Questions[0].Type == dnsmessage.TypeA:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}})
	case name == "www.test." && m.Questions[0].Type == dnsmessage.TypeTXT:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.TXTResource{TXT: []string{"v=", "1"}}})
	case name == "www.test." && m.Questions[0].Type == dnsmessage.TypeMX:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.MXResource{Pref: 10, MX: head.Name}})
	case name == "noisy.test.": // others' answers come before the right one
		wrong := m
		wrong.ID++
		b, _ := wrong.Pack()
		right, _ := m.Pack()
		return [][]byte{{1, 2, 3}, b, right}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	b, _ := m.Pack()
	return [][]byte{b}
}

func TestDNS(t *testing.T) {
	server := nameServer(t)
	f := func(o DNS, target string, ok bool, why reason, text string) {
		t.Helper()
		timeout := 5 * time.Second
		if why == reasonTimeout && !ok {
			timeout = 100 * time.Millisecond
		}
		wantResult(t, try(t, Job{Probe: "dns", DNS: o}, at(target), timeout), ok, why, text)
	}
	f(DNS{Name: "www.test"}, server, true, 0, "")
	f(DNS{Server: server}, "www.test.", true, 0, "")
	f(DNS{Server: server, Transport: "tcp"}, "www.test.", true, 0, "")
	f(DNS{Name: "WWW.test", AnswerRegexp: `^192\.0\.2\.7$`}, server, true, 0, "")
	f(DNS{Name: "www.test", AnswerRegexp: "^10"}, server, false, reasonStatus, "none of 1 answers")
	f(DNS{Name: "www.test", Type: "txt", AnswerRegexp: "^v=1$"}, server, true, 0, "")
	f(DNS{Name: "www.test", Type: "MX", AnswerRegexp: "^10 www.test.$"}, server, true, 0, "")
	f(DNS{Name: "nowhere.test"}, server, false, reasonStatus, "answered NXDOMAIN, want NOERROR")
	f(DNS{Name: "nowhere.test", RCode: "NXDOMAIN"}, server, true, 0, "")
	f(DNS{Name: "noisy.test"}, server, true, 0, "")
	f(DNS{Name: "silent.test"}, server, false, reasonTimeout, "")
	f(DNS{Name: "silent.test", Transport: "tcp"}, server, false, reasonReset, "EOF")
	f(DNS{Name: "www.test"}, freePort(t), false, reasonRefused, "")
}

func TestICMP(t *testing.T) {
	p := newPinger(slog.New(slog.DiscardHandler))
	defer p.close()
	if _, err := p.socket(true); errors.Is(err, errNotPermitted) {
		t.Skip("needs CAP_NET_RAW or net.ipv4.ping_group_range: ", err)
	}
	f := func(target string, o ICMP, ok bool, why reason) result {
		t.Helper()
		c, err := compileJob(Config{}.withDefaults(Job{Name: "x", Probe: "icmp", ICMP: o}), env{ping: p})
		if err != nil {
			t.Fatal(err)
		}
		sp, err := c.target(discovery.Target{Address: target})
		if err != nil {
			t.Fatal(err)
		}
		sp.timeout = 5 * time.Second
		r := runProbe(t.Context(), sp, 1)
		wantResult(t, r, ok, why, "")
		return r
	}
	if r := f("127.0.0.1", ICMP{}, true, 0); r.latency <= 0 || r.latency > time.Second {
		t.Errorf("latency %v", r.latency)
	}
	f("127.0.0.1", ICMP{Size: 1400}, true, 0)
	f("name.invalid", ICMP{}, false, reasonDNS)
	// Hundreds at once share the socket and get each its own answer.
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { f("127.0.0.1", ICMP{}, true, 0) })
	}
	wg.Wait()
	if len(p.waiting) > 0 {
		t.Errorf("%d requests are still waited for", len(p.waiting))
	}
	if l, err := net.ListenPacket("ip6:ipv6-icmp", "::1"); err == nil {
		l.Close()
		f("::1", ICMP{}, true, 0)
	}
}
