package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheSameTroubleIsToldOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	h := (&once{Handler: slog.NewTextHandler(&out, nil), told: &told{at: map[string]*telling{}}}).WithAttrs([]slog.Attr{slog.String("role", "ruler")})
	start := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	say := func(after time.Duration, level slog.Level, err string) {
		r := slog.NewRecord(start.Add(after), level, "save failed", 0)
		r.AddAttrs(slog.Any("err", errors.New(err)))
		if e := h.Handle(context.Background(), r); e != nil {
			t.Fatal(e)
		}
	}
	f := func(after time.Duration, level slog.Level, err, want string) {
		t.Helper()
		out.Reset()
		say(after, level, err)
		got := strings.TrimSpace(out.String())
		if _, rest, ok := strings.Cut(got, "role="); ok {
			got = "role=" + rest
		}
		if got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
	f(0, slog.LevelError, "full", "role=ruler err=full")
	f(time.Second, slog.LevelError, "full", "")
	f(2*time.Second, slog.LevelError, "read-only", "role=ruler err=read-only")
	f(3*time.Second, slog.LevelError, "full", "")
	f(4*time.Second, slog.LevelInfo, "full", "role=ruler err=full")
	f(61*time.Second, slog.LevelError, "full", "role=ruler err=full unsaid_repeats=2")
	f(62*time.Second, slog.LevelError, "full", "")
	f(-time.Hour, slog.LevelError, "full", "role=ruler err=full unsaid_repeats=1") // the clock was set back
}
