package ruler

import (
	"context"
	"log/slog"
)

// quiet lowers Prometheus' information to details: its store and its rule
// manager narrate every start, and every block and checkpoint after that.
// Warnings and errors stay what they are.
type quiet struct{ slog.Handler }

func quieter(l *slog.Logger) *slog.Logger { return slog.New(quiet{l.Handler()}) }

func lowered(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}

// Enabled implements slog.Handler, as do the methods below.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, lowered(l))
}

// Handle passes the record on at its lowered level.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs keeps what it wraps quiet.
func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }

// WithGroup keeps what it wraps quiet.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
