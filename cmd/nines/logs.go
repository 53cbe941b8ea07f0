package main

import (
	"log/slog"
	"os"
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
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &l.level}))
}

// open lets information through from now on.
func (l *logs) open() {
	if !l.verbose {
		l.level.Set(slog.LevelInfo)
	}
}
