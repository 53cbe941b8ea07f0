package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"time"
)

const (
	// pushEvery is the least time between two looks for news.
	pushEvery = 500 * time.Millisecond
	// lookEvery is the longest: the notifier and other processes do not signal.
	lookEvery = time.Second
	// pingEvery tells pages that the connection lives, and the server's clock.
	pingEvery = 5 * time.Second
	// pushTimeout is how long a client may take to accept an event.
	pushTimeout = 10 * time.Second
	// maxClients bounds the open event streams.
	maxClients = 1000
)

// hub pushes the overview to every open page when something changed. One
// goroutine (run) reads the ledger, however many pages there are; each page's
// request goroutine writes what it is handed.
type hub struct {
	s      *Server
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	subs map[*subscriber]bool
}

// subscriber is one open page. Its status is replaced, never queued: a slow
// page skips states, it does not fall behind.
type subscriber struct {
	mu     sync.Mutex
	status []byte
	alert  []byte
	ready  chan struct{} // capacity 1
}

func (c *subscriber) put(status, alert []byte) (replaced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status != nil {
		replaced = c.status != nil
		c.status = status
	}
	if alert != nil {
		c.alert = alert
	}
	select {
	case c.ready <- struct{}{}:
	default: // a signal is waiting already
	}
	return replaced
}

func (c *subscriber) take() (status, alert []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	status, alert = c.status, c.alert
	c.status, c.alert = nil, nil
	return status, alert
}

func newHub(s *Server) *hub {
	return &hub{s: s, closed: make(chan struct{}), subs: map[*subscriber]bool{}}
}

// close ends all event streams, and those that come later.
func (h *hub) close() { h.once.Do(func() { close(h.closed) }) }

func (h *hub) clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}

// run looks for news until the context ends.
func (h *hub) run(ctx context.Context) {
	defer h.close()
	signal, stop := h.s.o.Ledger.Watch()
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var n news
	for {
		select {
		case <-ctx.Done():
			return
		case <-signal:
		case <-look.C:
		}
		if h.clients() > 0 {
			h.push(ctx, &n)
		}
		select { // no more often than this, however fast commits come
		case <-ctx.Done():
			return
		case <-time.After(pushEvery):
		}
	}
}

// news remembers what was pushed last.
type news struct {
	cursor int64
	alerts uint64 // hash of the alerts
	told   bool
}

// push tells every page what changed since the last call.
func (h *hub) push(ctx context.Context, n *news) {
	next, changed, err := h.s.o.Ledger.Changes(ctx, h.s.who, n.cursor)
	if err != nil {
		return // readiness says so; the page sees log time stand still
	}
	alerts, err := h.s.alerts(ctx)
	if err != nil {
		return
	}
	hash := hashOf(alerts)
	newAlerts := hash != n.alerts
	if n.told && !newAlerts && changed.Empty() {
		return
	}
	o, err := h.s.overview(ctx)
	if err != nil {
		return
	}
	status := event("status", o)
	var alert []byte
	if newAlerts && n.told {
		alert = event("alert", map[string]any{"now": o.Now, "alerts": o.Alerts})
	}
	*n = news{cursor: next, alerts: hash, told: true}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subs {
		h.s.met.broadcast.Inc()
		if c.put(status, alert) {
			h.s.met.dropped.Inc()
		}
	}
}

func hashOf(v any) uint64 {
	f := fnv.New64a()
	_ = json.NewEncoder(f).Encode(v) // to memory, and every view encodes
	return f.Sum64()
}

// event is one server-sent event.
func event(name string, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte("{}") // cannot happen: views hold no NaN and no cycle
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
	return b.Bytes()
}

func (h *hub) subscribe() (*subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) >= maxClients {
		return nil, &apiError{http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open, the most that are served; close some", maxClients)}
	}
	c := &subscriber{ready: make(chan struct{}, 1)}
	h.subs[c] = true
	return c, nil
}

func (h *hub) unsubscribe(c *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, c)
}

// serve streams events to one page until it leaves or the server stops.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	first, err := h.s.overview(r.Context())
	if err != nil {
		fail(w, r, err)
		return
	}
	c, err := h.subscribe()
	if err != nil {
		fail(w, r, err)
		return
	}
	defer h.unsubscribe(c)
	head := w.Header()
	head.Set("Content-Type", "text/event-stream; charset=utf-8")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // reverse proxies: pass events on at once
	rc := http.NewResponseController(w)
	send := func(b []byte) bool {
		if len(b) == 0 {
			return true
		}
		_ = rc.SetWriteDeadline(time.Now().Add(pushTimeout)) // not supported in tests' recorders
		_, err := w.Write(b)
		return err == nil && rc.Flush() == nil
	}
	if !send(append([]byte("retry: 1000\n\n"), event("status", first)...)) {
		return
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		ok := true
		select {
		case <-r.Context().Done():
			return
		case <-h.closed:
			return
		case <-ping.C:
			ok = send(event("ping", map[string]int64{"now": h.s.now().UnixMilli()}))
		case <-c.ready:
			status, alert := c.take()
			ok = send(status) && send(alert)
		}
		if !ok {
			return
		}
	}
}
