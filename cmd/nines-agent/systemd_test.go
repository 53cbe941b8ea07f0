package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// systemdHost is a socket as systemd has it; next waits for a message that has
// all of the words.
type systemdHost struct{ conn *net.UnixConn }

func newSystemdHost(t *testing.T) systemdHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "n") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "2000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	return systemdHost{conn}
}

func (s systemdHost) next(t *testing.T, words ...string) {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var seen []string
	for buf := make([]byte, 4096); ; {
		n, err := s.conn.Read(buf)
		if err != nil {
			t.Fatalf("waited in vain for %q after %q: %v", words, seen, err)
		}
		text := string(buf[:n])
		seen = append(seen, text)
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	host := newSystemdHost(t)
	file := write(t, "agent.yaml", "agent: x\nflush: 200ms\nlocal: {listen: \"off\"}\nkafka: {brokers: [\"127.0.0.1:1\"]}\n")
	said, stop := running(t, "--config", file, "--state-dir", t.TempDir(), "--log-level", "debug")
	host.next(t, "READY=1")
	host.next(t, "WATCHDOG=1")
	host.next(t, "WATCHDOG=1")
	said.count(t, "watching the configuration", 1)
	if err := os.WriteFile(file, []byte("agent: x\nflush: soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host.next(t, "RELOADING=1", "MONOTONIC_USEC=")
	host.next(t, "READY=1", "STATUS=configuration refused")
	host.next(t, "WATCHDOG=1") // it goes on
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	host.next(t, "STOPPING=1")
}

// The unit that ships is one that systemd accepts, and it stays closed.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here (Debian: apt-get install systemd)")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "systemd", "nines-agent.service"))
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/nines-agent"
	if !strings.Contains(string(text), "ExecStart="+program+" ") {
		t.Fatalf("the unit does not start %s", program)
	}
	// The program is not installed here: true stands in for it.
	unit := write(t, "nines-agent.service", strings.Replace(string(text), program, "/bin/true", 1))
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := run("verify", unit); strings.Contains(out, "nines-agent.service") {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	out := run("security", "--offline=yes", "--no-pager", unit)
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if level == nil {
		t.Fatalf("no level in:\n%s", out)
	}
	if v, err := strconv.ParseFloat(level[1], 64); err != nil || v > 3.5 {
		t.Errorf("exposure %s, want at most 3.5 of 10:\n%s", level[1], out)
	}
}
