package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	requestsExample = "../../configs/examples/replay/requests/"
	uptimeExample   = "../../configs/examples/replay/uptime/"
)

// replays runs nines replay into a new directory.
func replays(t *testing.T, example string, args ...string) (out, dir string, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "led")
	out, err = replaysInto(t, dir, example, args...)
	return out, dir, err
}

func replaysInto(t *testing.T, dir, example string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"replay", "--mapping", example + "mapping.yaml", "--objectives", example + "objectives.yaml", "--ledger", dir}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

// steady leaves out what differs from run to run: speed and folders.
func steady(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if before, after, ok := strings.Cut(line, "): "); ok && strings.Contains(before, " rows in ") {
			line = after
		}
		if !strings.HasPrefix(line, "next: ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestReplay runs the shipped example on a made-up table.
func TestReplay(t *testing.T) {
	out, dir, err := replays(t, requestsExample, "--daily", "testdata/replay/requests.csv")
	if err != nil {
		t.Fatal(out, err)
	}
	const golden = "testdata/replay/requests.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(steady(out)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if steady(out) != string(want) {
		t.Errorf("%s\nwant\n%s", steady(out), want)
	}
	// The ledger is whole, and is neither overwritten nor counted twice.
	var verified bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"ledger", "verify", "--data-dir", dir})
	root.SetOut(&verified)
	if err := root.ExecuteContext(context.Background()); err != nil {
		t.Errorf("verify: %v", err)
	}
	if _, err := replaysInto(t, dir, requestsExample, "testdata/replay/requests.csv"); err == nil || !strings.Contains(err.Error(), "--append") {
		t.Errorf("a second replay into the ledger: %v", err)
	}
	again, err := replaysInto(t, dir, requestsExample, "--append", "testdata/replay/requests.csv")
	if !strings.Contains(again, "samples are older than what the ledger holds and were left out") || err == nil {
		t.Errorf("the same file again:\n%s%v", again, err)
	}
}

func TestReplayRefuses(t *testing.T) {
	f := func(code int, want string, args ...string) {
		t.Helper()
		out, _, err := replays(t, requestsExample, args...)
		got := exitUsage
		if failure := (failure{}); errors.As(err, &failure) {
			got = exitFailure
		}
		if err == nil || !strings.Contains(err.Error(), want) || got != code {
			t.Errorf("%v: exit %d, %v\n%s\nwant exit %d, %q", args, got, err, out, code, want)
		}
	}
	f(exitFailure, "testdata/replay/requests.csv:42:1: \"yesterday\"", "--strict", "testdata/replay/requests.csv")
	f(exitUsage, "no such file", "testdata/replay/nothing.csv")
	f(exitUsage, `has no column "gmt_create"`, write(t, "x.csv", "a,b\n"))
	f(exitFailure, "no row could be used", write(t, "x.csv", "gmt_create,predict_type,predict_status,exec_time_seconds\n"))
	f(exitUsage, "--until", "--until", "tomorrow", "testdata/replay/requests.csv")
	f(exitFailure, "ticks are", "--tick", "1h", "testdata/replay/requests.csv")
	f(exitUsage, "which the mapping does not make", "--objectives", "../../configs/objectives/probe-latency.yaml", "testdata/replay/requests.csv")
	f(exitFailure, "the data goes on", "--until", "2026-03-02T00:00:00Z", "testdata/replay/requests.csv")
}

// TestReplayOnRealData runs the worked examples of docs/replay.md: what they
// print stands there.
func TestReplayOnRealData(t *testing.T) {
	docs, err := os.ReadFile("../../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	f := func(example, file string, args ...string) {
		t.Helper()
		path := filepath.Join("../../../shared/data", file)
		if _, err := os.Stat(path); err != nil {
			t.Logf("%s is not there: %v", file, err)
			return
		}
		out, _, err := replays(t, example, append(args, path)...)
		if err != nil {
			t.Fatal(out, err)
		}
		if !strings.Contains(string(docs), strings.TrimSpace(steady(out))) {
			t.Errorf("docs/replay.md does not show what the example prints:\n%s", steady(out))
		}
	}
	if _, err := os.Stat("../../../shared/data"); err != nil {
		t.Skip("the data of the worked examples is not beside the repository: ", err)
	}
	f(requestsExample, "alibaba-genai-trace/lora_request_trace.tar.gz", "--daily", "--tick", "1m")
	f(uptimeExample, "availability-upptime/events.csv", "--tick", "1m")
}

// TestReplayWithAnInventory: what runs and is not in the data is unknown, and not
// absent.
func TestReplayWithAnInventory(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := file("d.csv", "service,checked_at,status\ndocs,2026-11-02T10:00:00Z,up\ndocs,2026-11-02T11:00:00Z,down\n")
	facts := file("i.csv", "resource,from,match.target,state\ndocs,2026-01-01T00:00:00Z,docs,running\nshop,2026-01-01T00:00:00Z,shop,running\n")
	args := []string{"--until", "2026-11-02T12:00:00Z", data}
	out, _, err := replays(t, uptimeExample, append([]string{"--inventory", facts}, args...)...)
	if err != nil || !strings.Contains(out, "shop   -         no data  0     0    120") {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := file("w.csv", "resource,from,match.target,state\ndocs,2026-01-01T00:00:00Z,docs,stopped\n")
	if out, _, err = replays(t, uptimeExample, append([]string{"--inventory", wrong}, args...)...); err == nil || !strings.Contains(err.Error(), "w.csv:2:") {
		t.Errorf("got %v\n%s", err, out)
	}
}
