package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lines collects what a running agent says.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count waits until a text has come n times.
func (l *lines) count(t *testing.T, text string, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); strings.Count(l.String(), text) < n; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %d × %q in:\n%s", n, text, l.String())
		}
	}
}

// running starts nines-agent run and returns what it says and how to stop it.
func running(t *testing.T, args ...string) (said *lines, stop func() error) {
	t.Helper()
	said = &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	root := newRoot(said, said)
	root.SetArgs(append([]string{"run"}, args...))
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return said, stop
}

// An operator edits the files of a running agent, once wrongly, and then asks
// by SIGHUP although nothing changed.
func TestChangedFilesAreTakenUp(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put("agent.yaml", "agent: x\nlocal: {listen: \"off\"}\ninputs_files: [inputs.toml]\nkafka: {brokers: [\"127.0.0.1:1\"]}\n")
	put("inputs.toml", "[[inputs.mem]]\n")
	said, stop := running(t, "--config", filepath.Join(dir, "agent.yaml"), "--state-dir", t.TempDir(), "--log-level", "debug")
	said.count(t, "watching the configuration", 1)
	put("inputs.toml", "[[inputs.mem]]\n[[inputs.swap]]\n")
	said.count(t, "configuration reloaded", 1)
	said.count(t, "added=swap", 1)
	put("inputs.toml", "[[inputs.mem]]\nnope = 1\n")
	said.count(t, "configuration refused; the old one goes on", 1)
	said.count(t, "inputs.toml:2:1: inputs.mem", 1)
	put("inputs.toml", "[[inputs.mem]]\n")
	said.count(t, "removed=swap", 1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said.count(t, "SIGHUP: reading the configuration", 1)
	said.count(t, "configuration reloaded", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(said.String(), "agent starts") != 1 {
		t.Errorf("the agent began anew:\n%s", said.String())
	}
}

// Where the kernel tells of no change, a look at the files' stamps finds each.
func TestStampsTellOfEachChange(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		return writeIn(t, dir, name, text)
	}
	files := []string{put("agent.yaml", "agent: x\n"), filepath.Join(dir, "inputs.toml")}
	last := stamps(files)
	changes := func(want bool, what string) {
		t.Helper()
		now := stamps(files)
		if (now != last) != want {
			t.Errorf("%s: %q after %q", what, now, last)
		}
		last = now
	}
	changes(false, "nothing happened")
	put("inputs.toml", "[[inputs.mem]]\n")
	changes(true, "a file came")
	put("inputs.toml", "[[inputs.mem]]\n[[inputs.cpu]]\n")
	changes(true, "a file grew")
	if err := os.Rename(put("new", "agent: y\n"), files[0]); err != nil { // as long as the old one
		t.Fatal(err)
	}
	changes(true, "a file took another one's place")
	if err := os.Chtimes(files[1], time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	changes(true, "a file was touched")
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	changes(true, "a file went")
	put("elsewhere", "x")
	changes(false, "another file came")
}
