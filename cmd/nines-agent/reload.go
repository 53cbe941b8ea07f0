package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	seen   string   // the text that was taken up or refused last
	files  []string // whose text that is
	stamps string   // of files, from before they were read
}

// run serves until ctx ends.
func (r *reloader) run(ctx context.Context) {
	events, faults, renew, stop := watch(r.log)
	defer stop()
	r.seen = r.read()
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
			// Reading and parsing costs as much as a round of all inputs: only
			// where a file is another one or was written to.
			if stamps(r.files) == r.stamps {
				continue
			}
			r.look()
		}
		renew(r.dirs())
	}
}

// look reloads where the text differs from what was read last.
func (r *reloader) look() {
	if r.read() != r.seen {
		r.log.Info("configuration changed: reading it")
		_ = r.take()
	}
}

func (r *reloader) take() error {
	r.seen = r.read()
	return r.reload()
}

// read returns the fingerprint of the text on disk, and notes which files have it.
func (r *reloader) read() string {
	r.files = agent.Files(r.file)
	r.stamps = stamps(r.files)
	return agent.Fingerprint(r.file)
}

// stamps change when one of the files is written to or is another one.
func stamps(files []string) string {
	var b strings.Builder
	for _, name := range files {
		st, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(&b, "%s\n", err)
			continue
		}
		fmt.Fprintf(&b, "%d %d", st.Size(), st.ModTime().UnixNano())
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(&b, " %d %d %d", sys.Dev, sys.Ino, sys.Ctim.Nano())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// dirs are the directories whose events tell of a change: writers replace files
// by rename, so files themselves are not watched.
func (r *reloader) dirs() []string {
	var dirs []string
	for _, f := range r.files {
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
