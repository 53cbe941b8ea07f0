package bus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// backoff doubles from 50 ms to 1 s, each wait between half and all of it, so
// that a fleet does not come back as one.
type backoff struct{ next time.Duration }

// wait returns the context's error if it ends first.
func (b *backoff) wait(ctx context.Context) error {
	if b.next == 0 {
		b.next = minBackoff
	}
	d := b.next/2 + rand.N(b.next/2)
	b.next = min(2*b.next, maxBackoff)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (b *backoff) reset() { b.next = 0 }

// trouble logs when something begins to fail and when it works again, and not
// every attempt between. A failure with other words is news.
type trouble struct {
	log  *slog.Logger
	what string

	mu       sync.Mutex
	said     string
	since    time.Time
	attempts int
}

func (t *trouble) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attempts++
	if t.said == "" {
		t.since = time.Now()
	}
	if text := err.Error(); text != t.said {
		t.said = text
		t.log.Warn(t.what+" fails, trying again", "err", text)
	}
}

func (t *trouble) ok() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == "" {
		return
	}
	t.log.Info(t.what+" works again", "after", time.Since(t.since).Round(time.Millisecond), "attempts", t.attempts)
	t.said, t.attempts = "", 0
}
