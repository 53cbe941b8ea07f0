package web

import (
	"context"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// healthView is the answer of /-/healthy and /-/ready.
type healthView struct {
	// Status is "ok" or "failing".
	Status string `json:"status"`
	// Parts says "ok" or what is wrong, by part.
	Parts map[string]string `json:"parts"`
}

// ledgerTimeout bounds the read that tells whether the ledger answers.
const ledgerTimeout = 2 * time.Second

// getHealthy tells whether this process can do its work at all; restarting it
// helps where it cannot. A broker that is away does not count.
func (s *Server) getHealthy(w http.ResponseWriter, r *http.Request) {
	v := s.parts(r.Context())
	code := http.StatusOK
	if v.Parts["ledger"] != "ok" {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, r, code, v)
}

// getReady tells whether every part is well.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	v := s.parts(r.Context())
	code := http.StatusOK
	if v.Status != "ok" {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, r, code, v)
}

func (s *Server) parts(ctx context.Context) healthView {
	v := healthView{Status: "ok", Parts: map[string]string{}}
	set := func(name string, err error) {
		if err == nil {
			v.Parts[name] = "ok"
			return
		}
		v.Status, v.Parts[name] = "failing", err.Error()
	}
	if s.o.Health != nil {
		for name, err := range s.o.Health() {
			set(name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	_, err := s.o.Ledger.LogTime(ctx)
	set("ledger", err)
	return v
}

// reload reads configuration and rules again, as SIGHUP does.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		writeError(w, r, http.StatusMethodNotAllowed, "use POST to reload")
		return
	}
	if s.o.Reload == nil {
		writeError(w, r, http.StatusNotImplemented, "this process has nothing to reload")
		return
	}
	if err := s.o.Reload(r.Context()); err != nil {
		writeError(w, r, http.StatusUnprocessableEntity, "not reloaded, the old configuration stays: "+err.Error())
		return
	}
	writeJSON(w, r, http.StatusOK, map[string]string{"status": "reloaded"})
}

// getMetrics writes every set of the process once, and the process's own.
func (s *Server) getMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	seen := map[*metrics.Set]bool{nil: true}
	for _, set := range append([]*metrics.Set{s.o.Metrics}, s.o.Sets...) {
		if !seen[set] {
			seen[set] = true
			set.WritePrometheus(w)
		}
	}
	metrics.WriteProcessMetrics(w)
}
