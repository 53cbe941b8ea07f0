package timesync

import (
	"encoding/binary"
	"math"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"nines/internal/telemetry"
)

type reader interface {
	Read() ([]telemetry.Series, []float64, error)
}

// values reads once; absent figures are left out.
func values(t testing.TB, r reader) map[string]float64 {
	t.Helper()
	series, vs, err := r.Read()
	if err != nil || len(series) != len(vs) {
		t.Fatalf("%d series, %d values: %v", len(series), len(vs), err)
	}
	got := map[string]float64{}
	for i, s := range series {
		name := s.Name + s.Labels.String()
		if _, twice := got[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		if !math.IsNaN(vs[i]) {
			got[name] = vs[i]
		}
	}
	return got
}

// timeServer is an NTP server whose clock is ahead, and which may misbehave.
type timeServer struct {
	conn  net.PacketConn
	ahead time.Duration

	mu    sync.Mutex
	spoil func(answer []byte) [][]byte // what is sent in an answer's place
	asked int
}

func newTimeServer(t testing.TB, ahead time.Duration) *timeServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &timeServer{conn: conn, ahead: ahead}
	done := make(chan struct{})
	go func() { defer close(done); s.serve() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return s
}

func (s *timeServer) address() string { return s.conn.LocalAddr().String() }

func (s *timeServer) set(spoil func([]byte) [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = spoil
}

func (s *timeServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *timeServer) serve() {
	var buf [512]byte
	for {
		n, from, err := s.conn.ReadFrom(buf[:])
		if err != nil {
			return
		}
		answer := answerTo(buf[:n], time.Now().Add(s.ahead))
		s.mu.Lock()
		s.asked++
		out := [][]byte{answer}
		if s.spoil != nil {
			out = s.spoil(answer)
		}
		s.mu.Unlock()
		for _, b := range out {
			_, _ = s.conn.WriteTo(b, from)
		}
	}
}

// answerTo is a stratum 1 server's answer to a request at a time of its clock.
func answerTo(request []byte, now time.Time) []byte {
	b := make([]byte, ntpSize)
	b[0], b[1], b[2], b[3] = 4<<3|modeServer, 1, request[2], 0xec
	binary.BigEndian.PutUint32(b[4:], 1<<16/100) // 10 ms
	binary.BigEndian.PutUint32(b[8:], 1<<16/50)  // 20 ms
	copy(b[12:], "GPS")
	binary.BigEndian.PutUint64(b[16:], uint64(toNTP(now.Add(-5*time.Second))))
	copy(b[24:32], request[40:48])
	binary.BigEndian.PutUint64(b[32:], uint64(toNTP(now)))
	binary.BigEndian.PutUint64(b[40:], uint64(toNTP(now)))
	return b
}

// program finds a real one, or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skip("no " + name + " on this machine (apt-get install chrony)")
	return ""
}

func near(t testing.TB, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s: got %v, want %v ± %v", what, got, want, within)
	}
}

func hasPrefix(got map[string]float64, prefix string) (name string, ok bool) {
	for n := range got {
		if strings.HasPrefix(n, prefix) {
			return n, true
		}
	}
	return "", false
}
