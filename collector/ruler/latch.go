package ruler

import (
	"context"
	"log/slog"
	"sync"
)

// latch opens when every part that was added is done. It is never closed again.
type latch struct {
	mu      sync.Mutex
	waiting int
}

func newLatch() *latch { return &latch{} }

func (l *latch) add() {
	l.mu.Lock()
	l.waiting++
	l.mu.Unlock()
}

func (l *latch) done() {
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
}

func (l *latch) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting == 0
}

// complaint logs trouble once when it begins and once when it is over.
type complaint struct {
	log  *slog.Logger
	what string
	last string
}

func newComplaint(log *slog.Logger, what string) *complaint {
	return &complaint{log: log, what: what}
}

func (c *complaint) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil && c.last != "":
		c.log.Info(c.what + " works again")
		c.last = ""
	case err != nil && err.Error() != c.last:
		c.log.Error(c.what+" failed; trying again", "err", err)
		c.last = err.Error()
	}
}
