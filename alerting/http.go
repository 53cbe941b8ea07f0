package alerting

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
)

// durable lets a request that changes silences succeed only when the change is
// saved: what a person was told holds after a crash.
func (s *session) durable(h http.Handler) http.Handler {
	var turn sync.Mutex // an error of a write belongs to the request that made it
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			h.ServeHTTP(w, r)
			return
		}
		turn.Lock()
		defer turn.Unlock()
		_ = s.saved.take() // what a reload of the state met is not this request's
		held := &heldResponse{header: http.Header{}, code: http.StatusOK}
		h.ServeHTTP(held, r)
		if err := s.saved.take(); err != nil {
			http.Error(w, fmt.Sprintf("the silence is in force, but it could not be saved and would be lost in a crash: %v", err), http.StatusInternalServerError)
			return
		}
		held.send(w)
	})
}

// heldResponse keeps a small response until it may be sent.
type heldResponse struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (h *heldResponse) Header() http.Header         { return h.header }
func (h *heldResponse) WriteHeader(code int)        { h.code = code }
func (h *heldResponse) Write(b []byte) (int, error) { return h.body.Write(b) }

func (h *heldResponse) send(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
	w.WriteHeader(h.code)
	_, _ = w.Write(h.body.Bytes())
}
