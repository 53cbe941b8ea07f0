package collector

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// target is something that is probed and scraped until it fails: then its port
// refuses connections.
type target struct {
	addr   string
	srv    *http.Server
	failed time.Time // zero while it is well
}

func newTarget() (*target, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &target{addr: l.Addr().String()}
	t.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("build_info{version=\"1\"} 1\n"))
	})}
	go func() { _ = t.srv.Serve(l) }()
	return t, nil
}

// fail is the fault.
func (t *target) fail() {
	t.failed = time.Now()
	_ = t.srv.Close()
}

// hooks receives webhooks: each contestant has a path of its own.
type hooks struct {
	url string
	srv *http.Server

	mu    sync.Mutex
	first map[string]map[string]time.Time // by contestant and target
}

func newHooks() (*hooks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hooks{url: "http://" + l.Addr().String() + "/", first: map[string]map[string]time.Time{}}
	h.srv = &http.Server{Handler: h}
	go func() { _ = h.srv.Serve(l) }()
	return h, nil
}

// ServeHTTP notes when each target was first told of, by the target's address in
// the label target or instance.
func (h *hooks) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var msg struct {
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&msg); err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	who := strings.TrimPrefix(r.URL.Path, "/")
	if h.first[who] == nil {
		h.first[who] = map[string]time.Time{}
	}
	for _, a := range msg.Alerts {
		at := strings.Trim(strings.TrimPrefix(a.Labels["target"]+a.Labels["instance"], "http://"), "/")
		if _, told := h.first[who][at]; !told && a.Status == "firing" {
			h.first[who][at] = now
		}
	}
}

// told returns when the contestant first told of the target.
func (h *hooks) told(who, addr string) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.first[who][addr]
	return t, ok
}
