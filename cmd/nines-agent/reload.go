package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"nines/agent"
)

// settle is how long the configuration must be quiet before it is read, so that
// no file is read half written.
const settle = 200 * time.Millisecond

// pollEvery finds changes where the kernel does not tell of them (a network's
// file system).
const pollEvery = 30 * time.Second

// reloader takes up changed configuration: when asked by SIGHUP or over HTTP,
// and by itself when the text of the files changes. One goroutine does it.
type reloader struct {
	file   string
	log    *slog.Logger
	reload func() error    // takes up the files as they are
	asked  chan chan error // by HTTP
	hup    <-chan os.Signal
	seen   string // the text that was taken up or refused last
}

// run serves until ctx ends.
func (r *reloader) run(ctx context.Context) {
	events, faults, renew, stop := watch(r.log)
	defer stop()
	r.seen = agent.Fingerprint(r.file)
	renew(r.dirs())
	r.log.Debug("watching the configuration", "file", r.file)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hup:
			r.log.Info("SIGHUP: reading the configuration")
			_ = r.take() // the agent says itself what is wrong
		case done := <-r.asked:
			done <- r.take()
		case <-events:
			quiet.Reset(settle)
		case <-faults: // events were lost
			quiet.Reset(settle)
		case <-quiet.C:
			r.look()
		case <-poll.C:
			r.look()
		}
		renew(r.dirs())
	}
}

// look reloads where the text differs from what was read last.
func (r *reloader) look() {
	if agent.Fingerprint(r.file) != r.seen {
		r.log.Info("configuration changed: reading it")
		_ = r.take()
	}
}

func (r *reloader) take() error {
	r.seen = agent.Fingerprint(r.file)
	return r.reload()
}

// dirs are the directories whose events tell of a change: writers replace files
// by rename, so files themselves are not watched.
func (r *reloader) dirs() []string {
	var dirs []string
	for _, f := range agent.Files(r.file) {
		dirs = append(dirs, filepath.Dir(f))
	}
	return dirs
}

// watch returns what tells of changes; without inotify nothing does, and polling
// finds them.
func watch(log *slog.Logger) (events <-chan fsnotify.Event, faults <-chan error, renew func([]string), stop func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("cannot watch the configuration; looking at it from time to time", "error", err, "every", pollEvery)
		return nil, nil, func([]string) {}, func() {}
	}
	renew = func(dirs []string) {
		for _, d := range dirs {
			_ = w.Add(d) // one that is gone is found by polling
		}
	}
	return w.Events, w.Errors, renew, func() { _ = w.Close() }
}

// ask reloads on behalf of another goroutine.
func (r *reloader) ask(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.asked <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
