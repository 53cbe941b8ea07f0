package timesync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nines/internal/telemetry"
)

// ChronyOptions say where chronyd answers.
type ChronyOptions struct {
	// Server is udp://HOST:PORT or unix:///PATH of its socket; empty tries the
	// host's own: 127.0.0.1:323, [::1]:323, /run/chrony/chronyd.sock.
	Server string
	// Timeout is how long it may take; 0 means 1 s.
	Timeout time.Duration
}

// Chrony asks chronyd by its command protocol (the question that `chronyc
// tracking` asks):
//
//	clock_source_up                  1 where it answers
//	clock_offset_seconds             of the clock as it stands, by chronyd's estimate
//	clock_last_offset_seconds, clock_rms_offset_seconds  at the last update; long-term
//	clock_root_delay_seconds, clock_root_dispersion_seconds
//	clock_frequency_error_ratio      positive where the clock would run slow
//	clock_skew_ratio                 how far that may be wrong
//	clock_stratum, clock_leap        leap: 0 none, 1 second more, 2 less, 3 not synchronised
//	clock_synchronised               1 or 0; where 0, the others are absent
//	clock_reference_age_seconds      since chronyd last heard of true time
//	clock_update_interval_seconds
//	clock_reference_info{reference}
//	clock_source_failures_total{reason}
//
// all with source="chrony". Telegraf's plugin waits for an answer without an
// end, and has stratum and reference among the tags of every series.
type Chrony struct {
	timeout time.Duration
	servers []string
	source  *source
	table   table
}

// NewChrony returns the reader. It opens nothing.
func NewChrony(opt ChronyOptions) (*Chrony, error) {
	timeout, err := timeoutOf(opt.Timeout)
	if err != nil {
		return nil, err
	}
	c := &Chrony{timeout: timeout, servers: []string{opt.Server}}
	if opt.Server == "" {
		c.servers = []string{"udp://127.0.0.1:323", "udp://[::1]:323", "unix:///run/chrony/chronyd.sock"}
	} else if _, _, err := splitServer(opt.Server); err != nil {
		return nil, err
	}
	list := append(common(),
		figure{"clock_last_offset_seconds", func(f *figures) float64 { return f.lastOffset }},
		figure{"clock_rms_offset_seconds", func(f *figures) float64 { return f.rmsOffset }},
		figure{"clock_frequency_error_ratio", func(f *figures) float64 { return f.frequencyError }},
		figure{"clock_skew_ratio", func(f *figures) float64 { return f.skew }},
		figure{"clock_update_interval_seconds", func(f *figures) float64 { return f.updateInterval }})
	c.source = newSource(map[string]string{"source": "chrony"}, list, reasonDNS, reasonMalformed, reasonRefused, reasonTimeout, reasonUnreachable)
	return c, nil
}

// MissingChrony says why this host has no chronyd, or "".
func MissingChrony() string {
	for _, sign := range []string{"/run/chrony", "/usr/sbin/chronyd", "/etc/chrony.conf", "/etc/chrony/chrony.conf"} {
		if _, err := os.Stat(sign); err == nil {
			return ""
		}
	}
	return "no chronyd: neither its program nor its configuration is here"
}

// splitServer returns network and address of a server's URL.
func splitServer(server string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(server, "unix://"); ok && filepath.IsAbs(path) {
		return "unixgram", path, nil
	}
	address, ok := strings.CutPrefix(server, "udp://")
	if _, _, err := net.SplitHostPort(address); !ok || err != nil {
		return "", "", fmt.Errorf("server: want udp://HOST:PORT or unix:///PATH, got %q", server)
	}
	return "udp", address, nil
}

// Close does nothing: between rounds nothing is open.
func (c *Chrony) Close() error { return nil }

// Read asks once. That chronyd does not answer is a figure, no error.
func (c *Chrony) Read() ([]telemetry.Series, []float64, error) {
	f, err := c.ask()
	c.source.take(f, err)
	return c.table.result([]*source{c.source})
}

// ask asks the servers in turn until one answers, and begins with that one the
// next time. Its error is the first server's.
func (c *Chrony) ask() (figures, error) {
	var first error
	for i, server := range c.servers {
		f, err := c.exchange(server)
		if err == nil {
			c.servers[0], c.servers[i] = c.servers[i], c.servers[0]
			return f, nil
		}
		if first == nil || reasonOf(first) == reasonUnreachable {
			first = err
		}
	}
	return unknown(), first
}

func (c *Chrony) exchange(server string) (figures, error) {
	deadline := time.Now().Add(c.timeout)
	conn, err := dialChrony(server, deadline)
	if err != nil {
		return unknown(), fmt.Errorf("ask chronyd: %w", err)
	}
	defer conn.Close()
	sequence := rand.Uint32()
	return exchange(conn, deadline, "chronyd",
		func() []byte { return trackingRequest(nil, sequence) },
		func(b []byte) (figures, bool, error) { return parseTracking(b, sequence, time.Now()) })
}

// dialChrony connects. On a Unix socket chronyd answers to a path, which must be
// where it may write: beside its own, as chronyc has it.
func dialChrony(server string, deadline time.Time) (net.Conn, error) {
	network, address, err := splitServer(server)
	if err != nil {
		return nil, err
	}
	if network == "udp" {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	own := fmt.Sprintf("%s/nines-agent.%d.%08x.sock", filepath.Dir(address), os.Getpid(), rand.Uint32())
	conn, err := net.DialUnix(network, &net.UnixAddr{Name: own, Net: network}, &net.UnixAddr{Name: address, Net: network})
	if err != nil {
		_ = os.Remove(own)
		return nil, err
	}
	if err := os.Chmod(own, 0o666); err != nil { // chronyd is another user
		return nil, errors.Join(err, conn.Close(), os.Remove(own))
	}
	return unixConn{conn, own}, nil
}

// unixConn takes its own path away when it is closed.
type unixConn struct {
	*net.UnixConn
	own string
}

func (c unixConn) Close() error { return errors.Join(c.UnixConn.Close(), os.Remove(c.own)) }
