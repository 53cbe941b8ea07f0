package probe

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// startProber runs a prober and returns it with its book and a stop that waits.
func startProber(t *testing.T, c Config, dir string, set *metrics.Set) (*Prober, *book, func()) {
	t.Helper()
	b := &book{}
	p, err := New(Options{Config: c, Dir: dir, Sink: b.sink, Clock: wallClock, Boot: 0xb007, Metrics: set})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, b, stop
}

// What the target's own log holds and what the prober sent are the same
// attempts, one by one.
func TestLedgerEqualsTheTargetsLog(t *testing.T) {
	var mu sync.Mutex
	log := map[int64]bool{} // scheduled ms → answered well
	var sick atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		boot, at, _ := strings.Cut(r.Header.Get("Nines-Probe"), "-")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil || boot != "000000000000b007" {
			t.Errorf("header %q", r.Header.Get("Nines-Probe"))
		}
		well := !sick.Load()
		mu.Lock()
		if _, twice := log[ms]; twice {
			t.Errorf("attempt %d came twice", ms)
		}
		log[ms] = well
		n := len(log)
		mu.Unlock()
		sick.Store(n%5 == 4)
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	set := metrics.NewSet()
	_, b, stop := startProber(t, Config{Interval: 20 * time.Millisecond, Timeout: 5 * time.Second, InFlight: 1000,
		Jobs: []Job{{Name: "web", Probe: "http", Targets: []string{srv.URL + "/healthz"}, Labels: map[string]string{"team": "x"}}}}, "", set)
	eventually(t, "fifty attempts", func() bool { return len(b.samples("probe_success", "team", "x", "job", "web", "probe", "http")) >= 50 })
	stopped := wallClock()
	stop()
	srv.Close()
	for _, s := range b.samples("probe_success", "target", srv.URL+"/healthz") {
		well, seen := log[s.at]
		if !seen || (s.v == 1) != well {
			t.Errorf("sample %d %v, the target's log says %v %v", s.at, s.v, seen, well)
		}
		delete(log, s.at)
	}
	for at := range log {
		if at < stopped-1000 { // what was under way at the stop is dropped
			t.Errorf("no sample of the attempt %d", at)
		}
	}
	if s, ok := b.last("probe_http_status"); !ok || s.v != 200 && s.v != 503 {
		t.Errorf("status %v", s)
	}
	if len(b.samples("probe_phase_seconds", "phase", "first_byte")) < 50 || len(b.samples("probe_phase_seconds", "phase", "tls")) > 0 {
		t.Error("phases are missing or invented")
	}
	var out bytes.Buffer
	set.WritePrometheus(&out)
	for _, name := range []string{`nines_probe_attempts_total{probe="http"}`, `nines_probe_failures_total{reason="status"}`,
		"nines_probe_targets 1", "nines_probe_in_flight 0", "nines_probe_start_delay_seconds_bucket"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("no %s in own metrics", name)
		}
	}
}

func TestTargetsFollowTheirFile(t *testing.T) {
	var hits sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hits.Store(r.URL.Path, true) }))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()
	put := func(content string) {
		tmp := filepath.Join(dir, "targets", "tmp")
		if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "targets", "a.yml")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(fmt.Sprintf("- targets: [%q]\n  labels: {__path: /a, service: a, reason: mine}\n", host))
	c := Config{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second, InFlight: 1000,
		Jobs: []Job{{Name: "web", Probe: "http", FileSD: []string{"targets/*.yml"}, Labels: map[string]string{"service": "?"}}}}
	p, b, _ := startProber(t, c, dir, nil)
	count := func(service string) int { return len(b.samples("probe_success", "service", service)) }
	eventually(t, "a is probed", func() bool { return count("a") > 2 })
	if len(b.samples("probe_success", "exported_reason", "mine")) == 0 {
		t.Error("a label of a reserved name was lost")
	}
	put(fmt.Sprintf("- targets: [%q]\n  labels: {__path: /b, service: b}\n- targets: [%q]\n  labels: {__probe: tcp, service: c}\n", host, host))
	eventually(t, "b and c are probed", func() bool { return count("b") > 2 && count("c") > 2 })
	if s, ok := b.last("probe_success", "service", "c", "probe", "tcp"); !ok || s.v != 1 {
		t.Errorf("c: %v", s)
	}
	a := count("a")
	put("- targets: [\n")
	eventually(t, "the broken file shows", func() bool {
		return slices.ContainsFunc(p.Faults(), func(f string) bool { return strings.Contains(f, "a.yml:1:") })
	})
	// A reload with the broken file keeps what was good.
	c.Jobs[0].Labels = map[string]string{"reloaded": "yes"}
	if err := p.Reload(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is probed still", func() bool { return len(b.samples("probe_success", "service", "b", "reloaded", "yes")) > 2 })
	if n := count("a"); n > a+1 {
		t.Errorf("a was probed %d more times", n-a)
	}
	// A target that cannot be probed is told, and its neighbours go on.
	put(fmt.Sprintf("- targets: [%q, 'http://bad host/']\n  labels: {service: d}\n- targets: [x]\n  labels: {__probe: smtp}\n", host))
	eventually(t, "rejected targets show", func() bool {
		return slices.ContainsFunc(p.Faults(), func(f string) bool {
			return strings.Contains(f, "2 targets are not probed") && strings.Contains(f, `got "smtp"`)
		})
	})
	eventually(t, "d is probed", func() bool { return count("d") > 2 })
	if _, ok := hits.Load("/b"); !ok {
		t.Error("__path was not used")
	}
}

func TestControlTargetsOverTheNetwork(t *testing.T) {
	var up atomic.Bool
	up.Store(true)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	_, b, _ := startProber(t, Config{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second, InFlight: 1000,
		Control: []string{srv.URL, "tcp://" + freePort(t)},
		Jobs:    []Job{{Name: "dead", Probe: "tcp", Targets: []string{freePort(t)}}}}, "", nil)
	eventually(t, "the dead target is blamed", func() bool {
		s, ok := b.last("probe_failures_total", "job", "dead", "reason", "refused")
		return ok && s.v > 2
	})
	if n := len(b.samples("probe_blind")); n > 0 {
		t.Errorf("%d blind while a control target answers", n)
	}
	up.Store(false)
	eventually(t, "the prober is blind", func() bool {
		s, ok := b.last("probe_offline")
		return ok && s.v == 1 && len(b.samples("probe_blind")) > 2
	})
	up.Store(true)
	n := len(b.samples("probe_success"))
	eventually(t, "it sees again", func() bool { return len(b.samples("probe_success")) > n+2 })
	if len(b.samples("probe_control_success", "probe", "http")) == 0 {
		t.Error("control targets are not shown")
	}
}

func TestReloadRefusesNonsenseAndKeepsTheOld(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	c := Config{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second, InFlight: 1000,
		Jobs: []Job{{Name: "web", Probe: "http", Targets: []string{srv.URL}}}}
	p, b, _ := startProber(t, c, t.TempDir(), nil)
	eventually(t, "it is probed", func() bool { return len(b.samples("probe_success")) > 2 })
	bad := c
	bad.Jobs = []Job{{Name: "web", Probe: "ftp", Targets: []string{srv.URL}}}
	if err := p.Reload(bad); err == nil || !strings.Contains(err.Error(), "jobs[0].probe: must be one of dns, grpc, http, icmp, llm, tcp, tls, got \"ftp\"") {
		t.Errorf("got %v", err)
	}
	bad.Jobs = []Job{{Name: "web", Probe: "http", Targets: []string{srv.URL}, HTTP: HTTP{CAFile: "no.pem"}}}
	if err := p.Reload(bad); err == nil || !strings.Contains(err.Error(), "jobs[0].http.ca_file: open ") {
		t.Errorf("got %v", err)
	}
	n := len(b.samples("probe_success"))
	eventually(t, "it is probed still", func() bool { return len(b.samples("probe_success")) > n+2 })
}
