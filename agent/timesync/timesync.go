// Package timesync asks how far the host's clock is off: the chronyd that
// disciplines it, and NTP servers that it is compared with. It promises that
// what is asked gets bounded time and packets, that an answer counts only if it
// is one to the question, and that a figure which was not measured is absent.
// Package agent configures its readers as inputs; what the kernel itself says
// of its clock is agent/host's.
//
// Offsets are true time less the clock: positive where the clock is behind.
package timesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"nines/internal/telemetry"
)

// figures are what one source says about the clock; NaN is absent.
type figures struct {
	offset, lastOffset, rmsOffset float64 // seconds
	delay                         float64 // seconds, there and back
	rootDelay, rootDispersion     float64 // seconds, to the source of true time
	frequencyError, skew          float64 // ratios
	referenceAge, updateInterval  float64 // seconds
	stratum, leap, synchronised   float64
	reference                     string
}

// Leap indicators of RFC 5905, figure 9.
const leapUnsynchronised = 3

// unknown has every figure absent.
func unknown() figures {
	n := math.NaN()
	return figures{offset: n, lastOffset: n, rmsOffset: n, delay: n, rootDelay: n, rootDispersion: n, frequencyError: n, skew: n,
		referenceAge: n, updateInterval: n, stratum: n, leap: n, synchronised: n}
}

// figure names one of them.
type figure struct {
	name string
	of   func(*figures) float64
}

// common are the figures of every source.
func common() []figure {
	return []figure{
		{"clock_offset_seconds", func(f *figures) float64 { return f.offset }},
		{"clock_root_delay_seconds", func(f *figures) float64 { return f.rootDelay }},
		{"clock_root_dispersion_seconds", func(f *figures) float64 { return f.rootDispersion }},
		{"clock_stratum", func(f *figures) float64 { return f.stratum }},
		{"clock_leap", func(f *figures) float64 { return f.leap }},
		{"clock_synchronised", func(f *figures) float64 { return f.synchronised }},
		{"clock_reference_age_seconds", func(f *figures) float64 { return f.referenceAge }},
	}
}

// Reasons for which a source gave no figures.
const (
	reasonDNS         = "dns"
	reasonUnreachable = "unreachable"
	reasonTimeout     = "timeout"
	reasonMalformed   = "malformed"
	reasonRefused     = "refused" // chronyd's status; a kiss code but RATE
	reasonRate        = "rate"    // asked too often, it says
)

// failure is an error that counts under a reason.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.reason + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(reason, text string) error { return &failure{reason, errors.New(text)} }

// reasonOf names what an exchange failed of.
func reasonOf(err error) string {
	var f *failure
	var dns *net.DNSError
	switch {
	case errors.As(err, &f):
		return f.reason
	case errors.As(err, &dns):
		return reasonDNS
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout
	}
	return reasonUnreachable
}

// maxTimeout bounds what a source may take, and so a round.
const maxTimeout = 10 * time.Second

// timeoutOf is how long a source may take: a second, if nothing is said.
func timeoutOf(d time.Duration) (time.Duration, error) {
	if d < 0 || d > maxTimeout {
		return 0, fmt.Errorf("timeout: must be between 0s and %s, got %s", maxTimeout, d)
	}
	return cmp.Or(d, time.Second), nil
}

// source is one that is asked, and its series.
type source struct {
	labels   telemetry.Labels
	figures  []figure
	reasons  []string
	last     figures
	up       float64
	failures map[string]uint64
}

func newSource(labels map[string]string, figures []figure, reasons ...string) *source {
	return &source{labels: telemetry.NewLabels(labels), figures: figures, reasons: reasons, last: unknown(), up: math.NaN(), failures: map[string]uint64{}}
}

// take keeps what an exchange gave.
func (s *source) take(f figures, err error) {
	s.last, s.up = f, 1
	if err != nil {
		s.last, s.up = unknown(), 0
		s.failures[reasonOf(err)]++
	}
}

func (s *source) with(name, value string) telemetry.Labels {
	m := s.labels.Map()
	m[name] = value
	return telemetry.NewLabels(m)
}

// table lays out the series of sources anew when a source follows another
// reference, and fills them.
type table struct {
	series     []telemetry.Series
	values     []float64
	references []string
}

func (t *table) result(sources []*source) ([]telemetry.Series, []float64, error) {
	var references []string
	for _, s := range sources {
		references = append(references, s.last.reference)
	}
	if t.series == nil || !slices.Equal(references, t.references) {
		t.series, t.references = []telemetry.Series{}, references
		for _, s := range sources {
			t.add(s)
		}
	}
	t.values = t.values[:0]
	for _, s := range sources {
		t.fill(s)
	}
	return t.series, t.values, nil
}

func (t *table) add(s *source) {
	put := func(name string, kind telemetry.Kind, labels telemetry.Labels) {
		t.series = append(t.series, telemetry.Series{Name: name, Kind: kind, Labels: labels})
	}
	put("clock_source_up", telemetry.Gauge, s.labels)
	for _, f := range s.figures {
		put(f.name, telemetry.Gauge, s.labels)
	}
	for _, r := range s.reasons {
		put("clock_source_failures_total", telemetry.Counter, s.with("reason", r))
	}
	if ref := s.last.reference; ref != "" {
		put("clock_reference_info", telemetry.Gauge, s.with("reference", ref))
	}
}

func (t *table) fill(s *source) {
	t.values = append(t.values, s.up)
	for _, f := range s.figures {
		t.values = append(t.values, f.of(&s.last))
	}
	for _, r := range s.reasons {
		t.values = append(t.values, float64(s.failures[r]))
	}
	if s.last.reference != "" {
		t.values = append(t.values, 1)
	}
}

// maxStray bounds how many packets that answer nothing are read in one exchange.
const maxStray = 16

// exchange asks once and reads until parse knows a packet as the answer. ask is
// called at the moment of sending.
func exchange(conn net.Conn, deadline time.Time, who string, ask func() []byte, parse func([]byte) (f figures, mine bool, err error)) (figures, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return unknown(), fmt.Errorf("ask %s: %w", who, err)
	}
	if _, err := conn.Write(ask()); err != nil {
		return unknown(), fmt.Errorf("ask %s: %w", who, err)
	}
	var buf [1024]byte
	for range maxStray {
		n, err := conn.Read(buf[:])
		if err != nil {
			return unknown(), fmt.Errorf("ask %s: %w", who, err)
		}
		if f, mine, err := parse(buf[:n]); mine {
			return f, err
		}
	}
	return unknown(), fail(reasonMalformed, who+"'s port sends packets that answer nothing")
}

// printable keeps letters, digits and the like of a name that a packet carries.
func printable(b []byte) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c > ' ' && c < 0x7f {
			out = append(out, c)
		}
	}
	return string(out)
}
