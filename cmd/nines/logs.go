package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// logs is the process's log on standard error. Tools tell warnings and errors
// only; what runs for long tells more, once it has said what it is.
type logs struct {
	verbose bool // --verbose
	level   slog.LevelVar
}

// logger returns a logger for a tool.
func (l *logs) logger() *slog.Logger {
	l.level.Set(slog.LevelWarn)
	if l.verbose {
		l.level.Set(slog.LevelDebug)
	}
	text := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &l.level})
	return slog.New(&once{Handler: text, told: &told{at: map[string]*telling{}}})
}

// open lets information through from now on.
func (l *logs) open() {
	if !l.verbose {
		l.level.Set(slog.LevelInfo)
	}
}

// sayAgain is how long the same trouble stays unsaid after it was told.
const sayAgain = time.Minute

// once tells the same warning or error once a minute: a disk that stays full
// makes several parts fail every second. The next line says how often.
type once struct {
	slog.Handler
	bound string // attributes that With added
	told  *told
}

// told is shared by a logger and all that With made of it.
type told struct {
	mu sync.Mutex
	at map[string]*telling
}

type telling struct {
	at     time.Time
	unsaid int
}

// Handle implements slog.Handler, as do the methods below.
func (o *once) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return o.Handler.Handle(ctx, r)
	}
	var key strings.Builder
	key.WriteString(o.bound)
	key.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&key, " %s", a)
		return true
	})
	unsaid, say := o.told.count(key.String(), r.Time)
	if !say {
		return nil
	}
	if unsaid > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("unsaid_repeats", unsaid))
	}
	return o.Handler.Handle(ctx, r)
}

// count tells whether to say it now, and how often it was not said before.
func (t *told) count(key string, now time.Time) (unsaid int, say bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.at[key]
	if last != nil && now.Sub(last.at) < sayAgain && now.Sub(last.at) >= 0 {
		last.unsaid++
		return 0, false
	}
	if last != nil {
		unsaid = last.unsaid
	}
	if len(t.at) >= 1000 { // texts that are never the same
		clear(t.at)
	}
	t.at[key] = &telling{at: now}
	return unsaid, true
}

// WithAttrs remembers the attributes as part of what is the same.
func (o *once) WithAttrs(as []slog.Attr) slog.Handler {
	return &once{Handler: o.Handler.WithAttrs(as), bound: o.bound + fmt.Sprint(as), told: o.told}
}

// WithGroup remembers the group as part of what is the same.
func (o *once) WithGroup(name string) slog.Handler {
	return &once{Handler: o.Handler.WithGroup(name), bound: o.bound + name + ".", told: o.told}
}
