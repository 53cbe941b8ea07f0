package probe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"nines/internal/telemetry"
)

// BenchmarkSchedule is the cost of an attempt beside its network: queue,
// goroutine, result, round. 5,000 targets at 1 s are 5,000 of these a second.
func BenchmarkSchedule(b *testing.B) {
	const targets = 5000
	var now atomic.Int64
	now.Store(1_700_000_000_000)
	e, _ := newTestEngine(now.Load)
	e.sink = func(telemetry.Round) {}
	p := &plan{inFlight: 64}
	for i := range targets {
		sp := fakeSpec(fmt.Sprint(i), time.Second, 900*time.Millisecond, func(context.Context, int64) result {
			r := newResult()
			r.ok = true
			return r
		})
		sp.phase = int64(i) * 1000 / targets
		p.specs = append(p.specs, sp)
	}
	s := &schedule{byKey: map[string]*target{}, retired: map[string]counts{}, now: now.Load()}
	e.apply(s, p)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += targets / 1000 {
		now.Add(1)
		e.startDue(b.Context(), s)
		e.attempts.Wait()
	}
}

func benchProbe(b *testing.B, j Job, address string, ev env) {
	j.Name = "bench"
	sp, err := compileTarget(Config{}.withDefaults(j), at(address), ev)
	if err != nil {
		b.Fatal(err)
	}
	sp.timeout = 5 * time.Second
	b.ReportAllocs()
	for b.Loop() {
		if r := runProbe(b.Context(), sp, 1); !r.ok {
			b.Fatal(r)
		}
	}
}

// The server is a bare listener, so that the cost is the prober's and the
// kernel's.
func BenchmarkHTTPAttempt(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		buf := make([]byte, 1024)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			c.Close()
		}
	}()
	benchProbe(b, Job{Probe: "http"}, "http://"+l.Addr().String(), env{})
}

// BenchmarkHTTPAttemptNetHTTP is the same attempt through net/http, for
// comparison.
func BenchmarkHTTPAttemptNetHTTP(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Get("http://" + l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

func BenchmarkICMPAttempt(b *testing.B) {
	p := newPinger(slog.New(slog.DiscardHandler))
	defer p.close()
	if _, err := p.echo(b.Context(), netip.MustParseAddr("127.0.0.1"), 56); err != nil {
		b.Skip(err)
	}
	benchProbe(b, Job{Probe: "icmp"}, "127.0.0.1", env{ping: p})
}
