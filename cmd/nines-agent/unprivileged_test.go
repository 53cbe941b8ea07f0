package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asAgent makes the test's own program the agent: see TestMain.
const asAgent = "NINES_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main() // exits
	}
	os.Exit(m.Run())
}

// public copies this test's program to a directory that anybody may enter.
func public(t *testing.T) (dir, program string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	program = filepath.Join(dir, "nines-agent")
	to, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, program
}

// A user without any right runs the agent: the base inputs work, and what lacks
// a right is named with the right that it lacks.
func TestUnprivileged(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and setpriv (Debian: util-linux) to become nobody")
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	dir, program := public(t)
	config := filepath.Join(dir, "agent.yaml")
	text := `agent: x
flush: 100ms
self_interval: 100ms
local: {listen: "127.0.0.1:0"}
spool: {dir: spool}
kafka: {brokers: ["127.0.0.1:1"]}
inputs_files: [inputs.toml]
probes: {jobs: [{name: p, probe: icmp, targets: ["127.0.0.1"]}]}
`
	shipped, err := os.ReadFile(filepath.Join("..", "..", "configs", "agent", "inputs.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"agent.yaml": text, "inputs.toml": string(shipped)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	said := &lines{}
	cmd := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
		program, "run", "--config", config, "--state-dir", filepath.Join(dir, "state"))
	cmd.Env = append(os.Environ(), asAgent+"=1")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	url := served(t, said)
	said.count(t, "the spool's directory cannot be used", 1)
	if !icmpForAll(t) {
		said.count(t, "CAP_NET_RAW", 1)
	}
	var body string
	for _, input := range []string{"cpu", "mem", "net", "diskio", "processes", "nstat"} {
		for want := `nines_agent_input_gathers_total{input="` + input + `"} `; !gathered(body, want); {
			_, body = get(t, http.MethodGet, url+"/metrics")
		}
		if bad := `nines_agent_input_errors_total{input="` + input + `"} `; !strings.Contains(body, bad+"0\n") {
			t.Errorf("%s fails without rights", input)
		}
	}
	t.Logf("what an agent without rights says:\n%s", said.String())
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

// gathered tells whether a counter in the text is above 0.
func gathered(body, series string) bool {
	_, rest, ok := strings.Cut(body, series)
	return ok && !strings.HasPrefix(rest, "0\n")
}

// icmpForAll tells whether this host lets every group send ICMP echoes.
func icmpForAll(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
	if err != nil {
		return false
	}
	f := bytes.Fields(text)
	return len(f) == 2 && string(f[0]) == "0" && len(f[1]) > 4
}
