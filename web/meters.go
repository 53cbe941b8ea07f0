package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// meters are web's own metrics.
type meters struct {
	set       *metrics.Set
	broadcast *metrics.Counter
	dropped   *metrics.Counter
}

func newMeters(set *metrics.Set, clients func() int) *meters {
	set.GetOrCreateGauge("nines_web_event_clients", func() float64 { return float64(clients()) })
	return &meters{
		set:       set,
		broadcast: set.GetOrCreateCounter("nines_web_events_total"),
		dropped:   set.GetOrCreateCounter("nines_web_events_dropped_total"),
	}
}

// measure counts requests by route and status, and how long they took.
func (m *meters) measure(route string, next http.Handler) http.Handler {
	took := m.set.GetOrCreatePrometheusHistogram(fmt.Sprintf("nines_web_request_duration_seconds{route=%q}", route))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &codeRecorder{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			took.UpdateDuration(start)
			m.set.GetOrCreateCounter(fmt.Sprintf("nines_web_requests_total{route=%q,code=\"%d\"}", route, c.code)).Inc()
		}()
		next.ServeHTTP(c, r)
	})
}

type codeRecorder struct {
	http.ResponseWriter
	code int
}

func (c *codeRecorder) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (c *codeRecorder) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Flush serves handlers that ask for http.Flusher.
func (c *codeRecorder) Flush() {
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
