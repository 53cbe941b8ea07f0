package discovery

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a directory must be quiet before its files are read, so
// that a file is not read half written. maxSettle bounds the wait where
// something writes beside the files all the time.
const (
	settle    = 100 * time.Millisecond
	maxSettle = time.Second
)

// maxFile bounds what is read of one source, in bytes.
const maxFile = 64 << 20

// watchFiles reads the files now and after every event in their directories,
// until ctx ends. Directories are watched instead of files because writers
// replace files by rename.
func (d *Discovery) watchFiles(ctx context.Context) {
	events := make(<-chan fsnotify.Event)
	var faults <-chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Warn("watch targets: falling back to polling", "discovery", d.opt.Name, "error", err, "every", d.opt.Poll)
	} else {
		defer w.Close()
		events, faults = w.Events, w.Errors
	}
	d.readFiles(w)
	poll := time.NewTicker(d.opt.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	var since time.Time // of the first event not yet acted on
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Op == fsnotify.Chmod && d.faultless() {
				continue
			}
			if since.IsZero() {
				since = time.Now()
			}
			quiet.Reset(min(settle, max(0, maxSettle-time.Since(since))))
		case <-faults:
			// An overflow of the kernel's queue: events were lost, so read.
			quiet.Reset(settle)
		case <-quiet.C:
			since = time.Time{}
			d.readFiles(w)
		case <-poll.C:
			d.readFiles(w)
		}
	}
}

// faultless tells whether a change of permissions alone is of no interest.
func (d *Discovery) faultless() bool { return len(d.Faults()) == 0 }

// readFiles reads what the patterns match, drops what they match no more, and
// publishes. Watches are renewed each time, since a directory may have been
// replaced.
func (d *Discovery) readFiles(w *fsnotify.Watcher) {
	d.renewWatches(w)
	found := map[string]bool{}
	for _, pattern := range d.opt.Files {
		names, _ := filepath.Glob(pattern) // the pattern was checked by New
		if len(names) == 0 && !isGlob(pattern) {
			names = []string{pattern}
		}
		for _, name := range names {
			if !found[name] {
				found[name] = true
				d.readFile(name)
			}
		}
	}
	d.dropUnmatched(found)
	d.publish()
}

func (d *Discovery) dropUnmatched(found map[string]bool) {
	d.mu.Lock()
	names := slices.DeleteFunc(d.sortedLocked(), func(n string) bool {
		return found[n] || slices.Contains(d.opt.URLs, n)
	})
	d.mu.Unlock()
	for _, n := range names {
		d.forget(n)
	}
}

func (d *Discovery) readFile(name string) {
	content, err := readLimited(name)
	if errors.Is(err, fs.ErrNotExist) {
		// Named without a glob, so somebody expects it: its absence is a fault,
		// but deleting it is how its targets are withdrawn.
		d.withdraw(name)
	}
	if err != nil {
		d.update(name, "", nil, err)
		return
	}
	if d.unchanged(name, string(content)) {
		return
	}
	targets, err := Parse(name, content)
	d.update(name, string(content), targets, err)
}

func (d *Discovery) withdraw(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sources[name]; s != nil {
		s.targets = nil
	}
}

func (d *Discovery) unchanged(name, content string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[name]
	return s != nil && content != "" && s.content == content
}

func readLimited(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if st.Size() > maxFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("larger than 64 MiB")}
	}
	return os.ReadFile(name)
}

func (d *Discovery) renewWatches(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	for _, pattern := range d.opt.Files {
		// A directory that does not exist yet is found by the poll.
		_ = w.Add(filepath.Dir(pattern))
	}
}

func isGlob(p string) bool { return strings.ContainsAny(filepath.Base(p), "*?[") }
