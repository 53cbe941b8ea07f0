package alerting

import (
	"errors"
	"sync"
	"time"
)

// errPaused is what a notification gets that would begin while the member hands
// over.
var errPaused = errors.New("notify is handing over to another member")

// inflight knows which notifications are between their sending and their entry
// in the log, so that a member that hands over can wait for both.
type inflight struct {
	mu     sync.Mutex
	keys   map[string]int
	closed bool
	idle   chan struct{} // closed when a drain finds nothing under way
}

func newInflight() *inflight { return &inflight{keys: map[string]int{}} }

// begin notes that a notification begins; false means that it must not.
func (f *inflight) begin(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.keys[key]++
	return true
}

// end notes that it failed or is logged. A log entry without a notification,
// which Alertmanager makes for resolved notices that nobody wants, is no news.
func (f *inflight) end(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[key]--; f.keys[key] <= 0 {
		delete(f.keys, key)
	}
	if len(f.keys) == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// drain lets no more begin and waits, up to limit, until none is under way.
func (f *inflight) drain(limit time.Duration) {
	f.mu.Lock()
	f.closed = true
	if len(f.keys) == 0 {
		f.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	f.idle = idle
	f.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(limit):
	}
}

// open lets notifications begin again.
func (f *inflight) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.idle = false, nil
	clear(f.keys)
}
