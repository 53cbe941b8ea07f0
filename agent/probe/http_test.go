package probe

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nines/agent/discovery"
)

// try makes one attempt at the target as the job says.
func try(t *testing.T, j Job, target discovery.Target, timeout time.Duration) result {
	t.Helper()
	j.Name, j.Probe = "test", first(j.Probe, "http")
	c, err := compileJob(Config{}.withDefaults(j), env{boot: 0xb007, dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := c.target(target)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.shut()
	sp.timeout = timeout
	return runProbe(t.Context(), sp, 1_700_000_000_123)
}

func at(address string) discovery.Target { return discovery.Target{Address: address} }

func wantResult(t *testing.T, r result, ok bool, why reason, text string) {
	t.Helper()
	if r.ok != ok || !ok && (r.reason != why || !strings.Contains(fmt.Sprint(r.err), text)) {
		t.Errorf("got %v, want %v %v %q", r, ok, why, text)
	}
}

func TestHTTPVerdicts(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "all is well") })
	mux.HandleFunc("/503", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "ftp://x/", http.StatusFound) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(200)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1<<16), "needle")
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	})
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		fmt.Fprint(w, r.Method, " ", string(b), " ", r.Header.Get("X-Key"), " ", r.Host, " ", user, password)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	f := func(o HTTP, path string, ok bool, why reason, text string) {
		t.Helper()
		wantResult(t, try(t, Job{HTTP: o}, at(srv.URL+path), 5*time.Second), ok, why, text)
	}
	f(HTTP{}, "/ok", true, 0, "")
	f(HTTP{BodyRegexp: "well$"}, "/ok", true, 0, "")
	f(HTTP{BodyRegexp: "ill"}, "/ok", false, reasonStatus, "body does not match ill")
	f(HTTP{}, "/503", false, reasonStatus, "answered 503")
	f(HTTP{Status: []int{200, 503}}, "/503", true, 0, "")
	f(HTTP{Status: []int{204}}, "/ok", false, reasonStatus, "answered 200")
	f(HTTP{}, "/moved", false, reasonStatus, "answered 302")
	f(HTTP{Status: []int{302}}, "/moved", true, 0, "")
	f(HTTP{FollowRedirects: true, BodyRegexp: "well"}, "/moved", true, 0, "")
	f(HTTP{FollowRedirects: true}, "/loop", false, reasonStatus, "more than 10 redirects")
	f(HTTP{FollowRedirects: true}, "/away", false, reasonStatus, `got "ftp://x/"`)
	f(HTTP{}, "/early", true, 0, "")
	f(HTTP{Method: "HEAD"}, "/long", true, 0, "")
	f(HTTP{MaxBody: 1000}, "/long", true, 0, "")
	f(HTTP{MaxBody: 1000, BodyRegexp: "needle"}, "/long", false, reasonStatus, "does not match")
	f(HTTP{}, "/cut", false, reasonReset, "unexpected EOF")
	f(HTTP{Method: "POST", Body: "a=b", Headers: map[string]string{"x-key": "k", "Host": "other.example"},
		BodyRegexp: "^POST a=b k other.example $"}, "/form", true, 0, "")
	withUser := strings.Replace(srv.URL, "://", "://me:secret@", 1)
	wantResult(t, try(t, Job{HTTP: HTTP{BodyRegexp: "mesecret$"}}, at(withUser+"/form"), 5*time.Second), true, 0, "")
}

func TestHTTPWithoutAnAnswer(t *testing.T) {
	listener := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { serve(c) })
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() })
		return l.Addr().String()
	}
	readHead := func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }
	silent := listener(func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	closing := listener(func(c net.Conn) { readHead(c); c.Close() })
	resetting := listener(func(c net.Conn) { readHead(c); _ = c.(*net.TCPConn).SetLinger(0); c.Close() })
	garbage := listener(func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-x\r\n"); readHead(c); c.Close() })
	trickle := listener(func(c net.Conn) {
		readHead(c)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	})
	endless := listener(func(c net.Conn) {
		readHead(c)
		for _, err := fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"); err == nil; _, err = fmt.Fprint(c, "X: ", strings.Repeat("x", 1000), "\r\n") {
		}
		c.Close()
	})
	f := func(url string, why reason, text string) {
		t.Helper()
		start := time.Now()
		timeout := 5 * time.Second
		if why == reasonTimeout {
			timeout = 200 * time.Millisecond
		}
		wantResult(t, try(t, Job{}, at(url), timeout), false, why, text)
		if d := time.Since(start); why == reasonTimeout && d > 4*time.Second {
			t.Errorf("%s took %v", url, d)
		}
	}
	f("http://"+silent, reasonTimeout, "")
	f("https://"+silent, reasonTimeout, "")
	f("http://"+trickle, reasonTimeout, "")
	wantResult(t, try(t, Job{}, at("http://"+endless), 5*time.Second), false, reasonOther, "longer than it may be")
	f("http://"+closing, reasonReset, "")
	f("https://"+closing, reasonTLS, "TLS handshake")
	f("http://"+resetting, reasonReset, "")
	f("http://"+garbage, reasonOther, "malformed HTTP")
	f("https://"+garbage, reasonTLS, "TLS handshake")
	f("http://name.invalid", reasonDNS, "name.invalid")
	f("http://"+freePort(t), reasonRefused, "")
}

// freePort returns an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestHTTPPhasesAndCertificate(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(20 * time.Millisecond)
		fmt.Fprint(w, "a")
		w.(http.Flusher).Flush()
		<-time.After(30 * time.Millisecond)
		fmt.Fprint(w, "b")
	}))
	defer srv.Close()
	end := srv.Certificate().NotAfter
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(o HTTP, ok bool, why reason) result {
		t.Helper()
		r := try(t, Job{HTTP: o}, at(srv.URL), 5*time.Second)
		wantResult(t, r, ok, why, "certificate")
		if !r.expiry.Equal(end) {
			t.Errorf("expiry %v, want %v", r.expiry, end)
		}
		return r
	}
	f(HTTP{}, false, reasonCertUntrusted) // nobody vouches for it, and its expiry is known still
	f(HTTP{CAFile: ca}, true, 0)
	f(HTTP{CAFile: ca, ServerName: "example.com"}, true, 0)
	f(HTTP{CAFile: ca, ServerName: "nines.example"}, false, reasonCertName)
	r := f(HTTP{InsecureSkipVerify: true}, true, 0)
	p := r.phases
	if p[phaseDNS] >= 0 || p[phaseConnect] <= 0 || p[phaseTLS] <= 0 ||
		p[phaseFirstByte] < 20*time.Millisecond || p[phaseTransfer] <= 0 || p[phaseFirstByte]+p[phaseTransfer] < 50*time.Millisecond {
		t.Errorf("phases %v", p)
	}
	named := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	if r := try(t, Job{HTTP: HTTP{InsecureSkipVerify: true}}, at(named), 5*time.Second); r.ok && r.phases[phaseDNS] < 0 {
		t.Errorf("a name was resolved in no time: %v", r.phases)
	}
}

func TestExpiredCertificateIsTheEarliest(t *testing.T) {
	a, b := time.Unix(2000, 0), time.Unix(1000, 0)
	if got := earliestExpiry([]*x509.Certificate{{NotAfter: a}, {NotAfter: b}}); !got.Equal(b) {
		t.Error(got)
	}
}

// A target counts requests by the header that names the attempt. Whatever
// happens to the connection, no attempt arrives twice.
func TestATargetSeesEachAttemptAtMostOnce(t *testing.T) {
	for _, keep := range []bool{false, true} {
		var mu sync.Mutex
		seen := map[string]int{}
		conns := map[string]bool{}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Header.Get("Nines-Probe")]++
			conns[r.RemoteAddr] = true
			n := len(seen)
			mu.Unlock()
			if r.UserAgent() != "nines-agent" {
				t.Errorf("user agent %q", r.UserAgent())
			}
			switch n % 3 {
			case 1: // answers
			case 2: // drops the connection when the request is read
				c, _, _ := w.(http.Hijacker).Hijack()
				c.Close()
			case 0: // closes the connection behind the answer
				c, _, _ := w.(http.Hijacker).Hijack()
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				c.Close()
			}
		}))
		c, err := compileJob(Config{}.withDefaults(Job{Name: "x", Probe: "http", HTTP: HTTP{KeepAlive: keep}}), env{boot: 0xb007})
		if err != nil {
			t.Fatal(err)
		}
		sp, err := c.target(at(srv.URL))
		if err != nil {
			t.Fatal(err)
		}
		good := 0
		for i := range int64(30) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if sp.probe(ctx, 1_700_000_000_000+i).ok {
				good++
			}
			cancel()
		}
		sp.shut()
		srv.Close()
		// A kept connection may be closed just when the request is written; then
		// the attempt is lost, which is a failure, and not made again.
		if !keep && len(seen) != 30 || len(seen) < 20 || seen["000000000000b007-1700000000000"] != 1 {
			t.Errorf("keep=%v: %d attempts seen: %v", keep, len(seen), seen)
		}
		for a, n := range seen {
			if n != 1 {
				t.Errorf("keep=%v: %s came %d times", keep, a, n)
			}
		}
		if !keep && good != 20 || good > 20 || keep != (len(conns) < 30) {
			t.Errorf("keep=%v: %d good over %d connections", keep, good, len(conns))
		}
	}
}

func TestKeptConnectionMeasuresNoConnect(t *testing.T) {
	var n atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	c, err := compileJob(Config{}.withDefaults(Job{Name: "x", Probe: "http", HTTP: HTTP{KeepAlive: true, InsecureSkipVerify: true}}), env{})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := c.target(at(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.shut()
	sp.timeout = 5 * time.Second
	first, second := runProbe(t.Context(), sp, 1), runProbe(t.Context(), sp, 2)
	if !first.ok || !second.ok || first.phases[phaseTLS] <= 0 || second.phases[phaseTLS] >= 0 || second.expiry.IsZero() {
		t.Errorf("%v %v, %v %v", first, first.phases, second, second.phases)
	}
	if n.Load() != 1 {
		t.Errorf("%d connections", n.Load())
	}
}
