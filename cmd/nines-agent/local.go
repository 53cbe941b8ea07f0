package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"nines/agent"
)

// lookEvery is how often the local port is tried again where it was taken.
const lookEvery = 2 * time.Second

// local serves the agent's figures and health on a port of this host, and takes
// the request for a reload. That it cannot is said once and ends nothing.
type local struct {
	settings func() agent.Local
	handler  http.Handler
	log      *slog.Logger
	changed  chan struct{} // of one place: the settings may be others
	said     string        // what was logged last
}

// run serves until ctx ends, where the settings of the moment say.
func (l *local) run(ctx context.Context) {
	again := time.NewTimer(lookEvery)
	defer again.Stop()
	var server *http.Server
	at := "" // where server is
	for {
		if want := l.settings().Listen; want != at || server == nil {
			shut(server)
			server, at = l.open(want), want
		}
		again.Stop()
		if server == nil && at != "off" {
			again.Reset(lookEvery)
		}
		select {
		case <-ctx.Done():
			shut(server)
			return
		case <-l.changed:
		case <-again.C:
		}
	}
}

// look makes run look at the settings again.
func (l *local) look() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// open starts serving at an address, nil where that is off or impossible.
func (l *local) open(addr string) *http.Server {
	if addr == "off" {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		if l.said != err.Error() {
			l.log.Error("cannot serve /metrics and health; the agent goes on without, and tries again (local.listen)", "error", err)
			l.said = err.Error()
		}
		return nil
	}
	l.said = ""
	l.log.Info("serving /metrics, /healthz and /readyz", "address", ln.Addr().String())
	s := &http.Server{Handler: l.handler, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug)}
	go func() { _ = s.Serve(ln) }() // ends with shut
	return s
}

// shut ends a server after the requests under way.
func shut(s *http.Server) {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}

// pages are what the local port answers.
func pages(a *agent.Agent, reload func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.WriteMetrics(w)
	})
	mux.HandleFunc("GET /healthz", answer(a.Health))
	mux.HandleFunc("GET /readyz", answer(a.Ready))
	mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, r *http.Request) {
		if err := mayReload(a.Local(), r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if err := reload(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// answer tells a state: ok, or 503 with the reason.
func answer(state func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := state(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// mayReload tells whether a request may reload: with the token, or where there
// is none, from this host, and not by a page that a browser here shows.
func mayReload(l agent.Local, r *http.Request) error {
	if l.TokenFile == "" {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() || r.Header.Get("Origin") != "" {
			return fmt.Errorf("a reload is asked for from this host alone, or with a token (local.token_file)")
		}
		return nil
	}
	text, err := os.ReadFile(l.TokenFile)
	if err != nil {
		return fmt.Errorf("the token cannot be read; see local.token_file")
	}
	want := strings.TrimSpace(string(text))
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || want == "" || subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return fmt.Errorf("wrong or missing token: send Authorization: Bearer TOKEN")
	}
	return nil
}
