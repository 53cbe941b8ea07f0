package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// kfakeLog routes kfake's log to slog at debug level, except for what the
// operator must know: that records cannot be written.
type kfakeLog struct {
	log *slog.Logger
	dir string

	mu     sync.Mutex
	failed time.Time // the last failed write
	told   time.Time
	reason string
}

// tellEvery keeps a full disk from filling the log.
const tellEvery = time.Minute

// Logf implements kfake.Logger.
func (l *kfakeLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level <= kfake.LogLevelWarn && strings.HasPrefix(format, "persist ") {
		l.fail(time.Now(), fmt.Sprintf(format, args...))
		return
	}
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("kfake: " + fmt.Sprintf(format, args...))
	}
}

func (l *kfakeLog) fail(now time.Time, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed, l.reason = now, reason
	if now.Sub(l.told) >= tellEvery {
		l.told = now
		l.log.Error("the broker cannot write to its data directory, producers wait", "dir", l.dir, "err", reason)
	}
}

// recent returns an error if a write failed just before now.
func (l *kfakeLog) recent(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed.IsZero() || now.Sub(l.failed) > 10*time.Second {
		return nil
	}
	return fmt.Errorf("cannot write to the broker's data directory %s: %s", l.dir, l.reason)
}
