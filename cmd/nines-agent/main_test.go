package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command runs a command line and returns its exit code and output.
func command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot(&stdout, &stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	code = report(err)
	out = stdout.String()
	if err != nil {
		out += err.Error()
	}
	return code, out
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	return writeIn(t, t.TempDir(), name, text)
}

func writeIn(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExitCodes(t *testing.T) {
	f := func(want int, words string, args ...string) {
		t.Helper()
		code, out := command(t, args...)
		if code != want || !strings.Contains(out, words) {
			t.Errorf("%v: exit code %d, want %d with %q in:\n%s", args, code, want, words, out)
		}
	}
	shipped := filepath.Join("..", "..", "configs", "agent", "agent.yaml")
	f(0, "nines-agent dev", "version")
	f(0, "Exit codes", "--help")
	f(0, "agent.yaml: ok", "check", shipped)
	f(0, "inputs.toml: ok", "check", filepath.Join("..", "..", "configs", "agent", "inputs.toml"))
	f(2, "unknown command", "frobnicate")
	f(2, "unknown flag", "--nope")
	f(2, "requires at least 1 arg", "check")
	f(2, "agent.yaml:1:1: intervall", "check", write(t, "agent.yaml", "intervall: 1s\n"))
	f(2, "x.toml:2:1: inputs.cpu", "check", write(t, "x.toml", "[[inputs.cpu]]\nnope = 1\n"))
	f(2, "no such file", "run", "--config", filepath.Join(t.TempDir(), "none.yaml"))
	f(2, "brokers", "run", "--config", write(t, "agent.yaml", "agent: x\n"))
	f(2, "--log-level", "run", "--log-level", "loud")
}

// Standard error is the agent's: no library writes to it before main. (On a
// kernel that counts pressure none would.)
func TestLibrariesAreSilent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := func(want string, code int, args ...string) {
		t.Helper()
		cmd := exec.Command(self, args...)
		cmd.Env = append(os.Environ(), asAgent+"=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		cmd.Run()
		if got := strings.TrimSpace(stderr.String()); got != want || cmd.ProcessState.ExitCode() != code {
			t.Errorf("%v: exit code %d with %q on standard error, want %d and %q", args, cmd.ProcessState.ExitCode(), got, code, want)
		}
	}
	f("", 0, "version")
	f("unknown flag: --nope", 2, "--nope")
}

func TestTestPrintsWhatInputsGive(t *testing.T) {
	file := write(t, "agent.yaml", "agent: x\ninputs: |\n  [[inputs.mem]]\n  [[inputs.cpu]]\n    percpu = false\n")
	code, out := command(t, "test", "--config", file)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, want := range []string{"# mem: ", "mem_total ", `cpu_usage_idle{cpu="cpu-total"} `, " gauge"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestTestFailsWhereAnInputFails(t *testing.T) {
	file := write(t, "agent.yaml", "agent: x\ninputs: |\n  [[inputs.mem]]\n  [[inputs.conntrack]]\n    dirs = [\"/nowhere\"]\n")
	code, out := command(t, "test", "--config", file)
	if code != exitFailure || !strings.Contains(out, "conntrack: FAILED") || !strings.Contains(out, "mem_total ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// What an agent measured without Kafka is below its state directory when it
// ends.
func TestFramesWaitInTheStateDirectory(t *testing.T) {
	state := t.TempDir()
	file := write(t, "agent.yaml", "agent: x\nlocal: {listen: \"off\"}\nself_interval: 100ms\nspool: {dir: spool}\nkafka: {brokers: [\"127.0.0.1:1\"]}\n")
	ctx, cancel := context.WithCancel(context.Background())
	root := newRoot(&bytes.Buffer{}, &bytes.Buffer{})
	root.SetArgs([]string{"run", "--config", file, "--state-dir", state, "--log-level", "error"})
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	segments := func() int {
		found, _ := filepath.Glob(filepath.Join(state, "spool", "*.seg"))
		return len(found)
	}
	for deadline := time.Now().Add(30 * time.Second); segments() == 0; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the agent writes nothing")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := segments(); n != 1 {
		t.Errorf("%d segments are left", n)
	}
}
