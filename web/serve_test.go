package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"nines/internal/alert"
	"nines/internal/ledger"
)

// running starts Run on a free port and returns the server's URL and what ends
// it and gives Run's answer.
func running(t *testing.T, s *scenario, more func(*Options)) (url string, stop func() error) {
	t.Helper()
	srv := newServer(t, s, func(o *Options) {
		o.Config.Listen = "127.0.0.1:0"
		o.Now = nil
		if more != nil {
			more(o)
		}
	})
	addr, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	return "http://" + addr.String(), func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			return errors.New("Run did not return within 5 s")
		}
	}
}

// events reads server-sent events from a stream.
type events struct {
	t    *testing.T
	body *bufio.Scanner
	resp *http.Response
}

func openEvents(t *testing.T, url string) *events {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/api/nines/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/event-stream") {
		t.Fatalf("Content-Type is %q", ct)
	}
	b := bufio.NewScanner(resp.Body)
	b.Buffer(nil, 1<<20)
	return &events{t, b, resp}
}

// next returns the next event that is no ping.
func (e *events) next() (name, data string) {
	e.t.Helper()
	for e.body.Scan() {
		line := e.body.Text()
		switch {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		case line == "" && name != "" && name != "ping":
			return name, data
		case line == "":
			name, data = "", ""
		}
	}
	e.t.Fatalf("the stream ended: %v", e.body.Err())
	return "", ""
}

func TestPagesHearOfACommitWithinASecondOrTwo(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	url, stop := running(t, s, nil)
	e := openEvents(t, url)
	defer http.DefaultClient.CloseIdleConnections()
	var first, second overviewView
	name, data := e.next()
	if err := json.Unmarshal([]byte(data), &first); name != "status" || err != nil || first.LogTime != s.now {
		t.Fatalf("the first event is %s %s (%v)", name, data, err)
	}
	s.now += 5000
	down := s.api[0].Labels.Map()
	down["alertname"], down["severity"] = "ConfirmedDown", alert.Page
	s.commit(&ledger.Batch{Statuses: s.statuses(), Alerts: []alert.Alert{
		{Status: alert.Firing, Labels: down, StartsAt: s.now, LogTime: s.now, Source: "evaluate/0"}}})
	began := time.Now()
	for second.LogTime != s.now {
		name, data = e.next()
		if name == "status" {
			if err := json.Unmarshal([]byte(data), &second); err != nil {
				t.Fatal(err)
			}
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the commit reached the page after %s", took)
	}
	if second.Alerts.Page != first.Alerts.Page+1 {
		t.Errorf("the page counts %d pages, was %d", second.Alerts.Page, first.Alerts.Page)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for e.body.Scan() { // what was under way
	}
	if err := e.body.Err(); err != nil {
		t.Errorf("the stream was cut off rather than ended: %v", err)
	}
}

func TestRunEndsAtOnceAndLeavesNothing(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	before := goleak.IgnoreCurrent()
	url, stop := running(t, s, nil)
	var open []*events
	for range 5 {
		e := openEvents(t, url)
		e.next()
		open = append(open, e)
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Run took %s to end with pages open", took)
	}
	for _, e := range open {
		for e.body.Scan() { // to the stream's end
		}
		_ = e.resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

func TestASlowPageSkipsStates(t *testing.T) {
	c := &subscriber{ready: make(chan struct{}, 1)}
	if c.put([]byte("1"), []byte("a")) {
		t.Error("the first status replaced one")
	}
	if !c.put([]byte("2"), nil) {
		t.Error("the second status was queued, not put in place of the first")
	}
	if status, al := c.take(); string(status) != "2" || string(al) != "a" {
		t.Errorf("took %q and %q", status, al)
	}
	if status, al := c.take(); status != nil || al != nil {
		t.Errorf("took %q and %q twice", status, al)
	}
}

func TestAPortInUseSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &scenario{t: t, l: openLedger(t), now: scenarioNow}
	srv := newServer(t, s, func(o *Options) { o.Config.Listen = l.Addr().String() })
	err = srv.Run(context.Background())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error is %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	l := openLedger(t)
	f := func(c Config, words string) {
		t.Helper()
		_, err := New(Options{Ledger: l, Config: c})
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%+v: error %v, want %q", c, err, words)
		}
	}
	f(Config{}, "")
	f(Config{Listen: "0.0.0.0:80"}, "")
	f(Config{Listen: "9999"}, "give host:port")
	f(Config{AllowedHosts: []string{"nines.example:80"}}, "without port")
	if _, err := New(Options{}); err == nil {
		t.Error("no ledger, no error")
	}
}

// A web site that the operator visits, or a name that somebody points at
// 127.0.0.1, gets nothing and changes nothing.
func TestOtherSitesAreKeptOut(t *testing.T) {
	s := &scenario{t: t, l: openLedger(t), now: scenarioNow}
	reloads := 0
	permissive := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		_, _ = w.Write([]byte("{}"))
	})
	o := func(o *Options) {
		o.Prometheus, o.Alertmanager = permissive, permissive
		o.Config.AllowedHosts = []string{"nines.example"}
		o.Reload = func(context.Context) error { reloads++; return nil }
	}
	h := newServer(t, s, o).Handler()
	f := func(h http.Handler, method, target, host, origin, site string, want int) {
		t.Helper()
		w := request(h, method, target, func(r *http.Request) {
			r.Host = host
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
		})
		if w.Code != want {
			t.Errorf("%s %s, Host %s, Origin %q, site %q: status %d, want %d", method, target, host, origin, site, w.Code, want)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s: answers with %s", method, target, name)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s %s: policy %q", method, target, csp)
		}
	}
	const local = "127.0.0.1:9999"
	f(h, "GET", "/", local, "", "none", 200)
	f(h, "GET", "/", "localhost:9999", "", "", 200)
	f(h, "GET", "/", "[::1]:9999", "", "", 200)
	f(h, "GET", "/", "[::1]", "", "", 200)
	f(h, "GET", "/", "NINES.example", "", "", 200)
	f(h, "GET", "/", "evil.example:9999", "", "", 421)
	f(h, "GET", "/", "127.0.0.1.evil.example", "", "", 421)
	f(h, "GET", "/", "", "", "", 421)
	f(h, "GET", "/api/v1/query?query=up", local, "https://evil.example", "cross-site", 200)
	f(h, "POST", "/api/v1/query", local, "", "", 200)
	f(h, "POST", "/-/reload", local, "", "", 200)
	f(h, "POST", "/-/reload", local, "http://127.0.0.1:9999", "same-origin", 200)
	f(h, "POST", "/-/reload", local, "https://evil.example", "cross-site", 403)
	f(h, "POST", "/-/reload", local, "https://evil.example", "", 403)
	f(h, "POST", "/-/reload", local, "http://127.0.0.1:8080", "", 403)
	f(h, "POST", "/-/reload", local, "", "same-site", 403)
	f(h, "POST", "/api/v2/silences", local, "https://evil.example", "cross-site", 403)
	f(h, "DELETE", "/api/v2/silence/x", local, "null", "", 403)
	if reloads != 2 {
		t.Errorf("%d reloads, want 2", reloads)
	}
	open := newServer(t, s, func(op *Options) { o(op); op.Config.Listen = "0.0.0.0:9999" }).Handler()
	f(open, "GET", "/", "nines.corp.example:9999", "", "", 200)
	f(open, "POST", "/-/reload", "nines.corp.example:9999", "https://evil.example", "", 403)
}

func TestThePageIsServedFromMemory(t *testing.T) {
	script := strings.Repeat("let a = 1;\n", 500)
	as, err := loadAssets(fstest.MapFS{
		".gitkeep":         {},
		"index.html":       {Data: []byte("<!doctype html>")},
		"assets/x-1234.js": {Data: []byte(script)},
		"favicon.svg":      {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(target, kind, cache string, code int, edit func(*http.Request)) http.Header {
		t.Helper()
		w := request(as, "GET", target, edit)
		if w.Code != code || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || !strings.Contains(w.Header().Get("Cache-Control"), cache) {
			t.Errorf("%s: status %d, headers %v", target, w.Code, w.Header())
		}
		return w.Header()
	}
	etag := f("/", "text/html", "no-cache", 200, nil).Get("ETag")
	f("/", "text/html", "no-cache", 304, func(r *http.Request) { r.Header.Set("If-None-Match", etag) })
	f("/index.html", "text/html", "no-cache", 200, nil)
	f("/assets/x-1234.js", "text/javascript", "immutable", 200, nil)
	h := f("/assets/x-1234.js", "text/javascript", "immutable", 200, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	if h.Get("Content-Encoding") != "gzip" {
		t.Error("a script of 5 kB was not compressed")
	}
	f("/favicon.svg", "image/svg+xml", "no-cache", 200, nil)
	f("/.gitkeep", "application/json", "no-store", 404, nil)
	f("/../web.go", "application/json", "no-store", 404, nil)
}

func TestWithoutABuiltPageItSaysSo(t *testing.T) {
	as, err := loadAssets(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	if w := request(as, "GET", "/", nil); w.Code != 200 || !strings.Contains(w.Body.String(), "UI not built: run <code>make build</code>") {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
}

func TestMetricsOfEverySetOnce(t *testing.T) {
	s := &scenario{t: t, l: openLedger(t), now: scenarioNow}
	own, other := metrics.NewSet(), metrics.NewSet()
	other.NewCounter("nines_aggregate_frames_total").Set(7)
	h := newServer(t, s, func(o *Options) { o.Metrics, o.Sets = own, []*metrics.Set{other, nil, own, other} }).Handler()
	request(h, "GET", "/api/nines/v1/hosts", nil)
	request(h, "GET", "/api/nines/v1/slots", nil)
	body := request(h, "GET", "/metrics", nil).Body.String()
	for _, line := range []string{
		"nines_aggregate_frames_total 7",
		`nines_web_requests_total{route="/api/nines/v1/hosts",code="200"} 1`,
		`nines_web_requests_total{route="/api/nines/v1/slots",code="400"} 1`,
		"nines_web_event_clients 0",
	} {
		if strings.Count(body, line+"\n") != 1 {
			t.Errorf("%q is in /metrics %d times", line, strings.Count(body, line+"\n"))
		}
	}
}
