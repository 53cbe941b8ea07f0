package timesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"nines/agent/apart"
	"nines/internal/telemetry"
)

const (
	// MaxServers bounds the servers that one reader asks.
	MaxServers = 16
	// MinPoll is the least time between two requests to a server (RFC 5905,
	// MINPOLL), and maxPoll what a server that is asked too often gets at most.
	MinPoll = 16 * time.Second
	maxPoll = time.Hour
)

// NTPOptions say whom to ask.
type NTPOptions struct {
	// Servers are HOST or HOST:PORT; the port is 123.
	Servers []string
	// Poll is how often each is asked; 0 means a minute.
	Poll time.Duration
	// Timeout is how long one may take, its name's resolution included; 0 means
	// 1 s.
	Timeout time.Duration
}

// NTP compares the clock with servers, one packet each (SNTP, RFC 5905 section
// 14), and sets nothing:
//
//	clock_source_up                  1 where the last answer is good
//	clock_offset_seconds             wrong by half of clock_delay_seconds at most
//	clock_delay_seconds              there and back
//	clock_root_delay_seconds, clock_root_dispersion_seconds  the server's own
//	clock_stratum, clock_leap, clock_synchronised, clock_reference_age_seconds,
//	clock_reference_info{reference}  the server's own, as of Chrony
//	clock_source_stopped             1: it wants no more requests (DENY, RSTR) and gets none
//	clock_source_failures_total{reason}
//
// all with source="ntp" and server. Between two requests the last answer
// stands. A server that says RATE is asked half as often from then on.
type NTP struct {
	timeout time.Duration
	servers []*server
	sources []*source
	calls   []*apart.Call
	group   apart.Group
	table   table
}

// server is one that is asked. Its call owns got while it is under way.
type server struct {
	address string
	*source
	poll    time.Duration
	due     time.Time
	asked   bool
	stopped bool
	call    *apart.Call
	got     figures
}

// NewNTP returns the reader. It sends nothing yet.
func NewNTP(opt NTPOptions) (*NTP, error) {
	timeout, err := timeoutOf(opt.Timeout)
	if err != nil {
		return nil, err
	}
	poll := cmp.Or(opt.Poll, time.Minute)
	if err := checkNTP(opt.Servers, poll); err != nil {
		return nil, err
	}
	n := &NTP{timeout: timeout}
	for _, name := range opt.Servers {
		n.add(name, poll)
	}
	return n, nil
}

// checkNTP says what is wrong with servers and the time between requests.
func checkNTP(servers []string, poll time.Duration) error {
	if poll < MinPoll || poll > maxPoll {
		return fmt.Errorf("poll: must be between %s and %s, got %s", MinPoll, maxPoll, poll)
	}
	if len(servers) == 0 || len(servers) > MaxServers {
		return fmt.Errorf("servers: want 1 to %d, got %d", MaxServers, len(servers))
	}
	seen := map[string]bool{}
	for _, s := range servers {
		address := withPort(s)
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("servers: want HOST or HOST:PORT, got %q", s)
		}
		if seen[address] {
			return fmt.Errorf("servers: %q is named twice", s)
		}
		seen[address] = true
	}
	return nil
}

// withPort adds NTP's port where none is named.
func withPort(s string) string {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s
	}
	if ip := net.ParseIP(s); ip != nil {
		return net.JoinHostPort(s, "123")
	}
	return s + ":123"
}

func (n *NTP) add(name string, poll time.Duration) {
	list := append(common(), figure{"clock_delay_seconds", func(f *figures) float64 { return f.delay }})
	s := &server{address: withPort(name), poll: poll}
	list = append(list, figure{"clock_source_stopped", func(*figures) float64 {
		if s.stopped {
			return 1
		}
		return 0
	}})
	s.source = newSource(map[string]string{"source": "ntp", "server": name}, list,
		reasonDNS, reasonMalformed, reasonRate, reasonRefused, reasonTimeout, reasonUnreachable)
	s.call = apart.New(func() error {
		f, err := exchangeNTP(s.address, n.timeout)
		s.got = f
		return err
	})
	n.servers, n.sources = append(n.servers, s), append(n.sources, s.source)
}

// Close ends the goroutines.
func (n *NTP) Close() error {
	for _, s := range n.servers {
		s.call.Close()
	}
	return nil
}

// Read asks the servers that are due, all at once. One that does not answer is a
// figure, no error.
func (n *NTP) Read() ([]telemetry.Series, []float64, error) {
	now := time.Now()
	n.calls = n.calls[:0]
	for _, s := range n.servers {
		if s.due.After(now) || s.stopped {
			continue
		}
		// A tenth less, so that an interval of the same length asks every time.
		s.due, s.asked = now.Add(s.poll-s.poll/10), true
		n.calls = append(n.calls, s.call)
	}
	if len(n.calls) > 0 {
		// The exchange has its own time limit; this one is for what should not be.
		n.group.Do(n.calls, n.timeout+time.Second)
	}
	for _, s := range n.servers {
		if s.asked {
			s.judge(time.Now())
		}
	}
	return n.table.result(n.sources)
}

// judge takes the answer, and what follows from it for the next request.
func (s *server) judge(now time.Time) {
	s.asked = false
	if s.call.Stuck(now) > 0 {
		s.take(unknown(), fail(reasonTimeout, "the exchange does not return"))
		return
	}
	err := s.call.Err()
	s.take(s.got, err)
	var k kiss
	switch {
	case !errors.As(err, &k):
	case k.final():
		s.stopped = true
	case reasonOf(err) == reasonRate:
		s.poll = min(2*s.poll, maxPoll)
		s.due = now.Add(s.poll)
	}
}

// exchangeNTP asks once.
func exchangeNTP(address string, timeout time.Duration) (figures, error) {
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address)
	if err != nil {
		return unknown(), fmt.Errorf("ask NTP server: %w", err)
	}
	defer conn.Close()
	nonce := rand.Uint64()
	var sent time.Time
	return exchange(conn, deadline, "NTP server",
		func() []byte {
			sent = time.Now()
			return ntpRequest(nil, nonce)
		},
		func(b []byte) (figures, bool, error) {
			// By the monotonic clock: a clock that is set meanwhile is not the server's.
			received := sent.Add(time.Since(sent))
			return parseNTP(b, nonce, toNTP(sent), toNTP(received))
		})
}
