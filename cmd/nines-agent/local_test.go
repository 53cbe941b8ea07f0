package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"nines/agent"
)

// served waits for the address that an agent says it serves.
func served(t *testing.T, said *lines) string {
	t.Helper()
	said.count(t, "serving /metrics", 1)
	m := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(said.String())
	return "http://" + m[1]
}

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestLocalPort(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	text := "agent: x\nflush: 100ms\nself_interval: 100ms\nlocal: {listen: \"127.0.0.1:0\"}\nkafka: {brokers: [\"127.0.0.1:1\"]}\ninputs: |\n  [[inputs.mem]]\n"
	file := write(t, "agent.yaml", text)
	said, _ := running(t, "--config", file, "--state-dir", t.TempDir())
	url := served(t, said)
	f := func(method, path string, status int, words ...string) {
		t.Helper()
		code, body := get(t, method, url+path)
		for _, w := range words {
			if code != status || !strings.Contains(body, w) {
				t.Errorf("%s %s: %d, want %d with %q in:\n%s", method, path, code, status, w, body)
			}
		}
	}
	for code := 0; code != http.StatusOK; {
		code, _ = get(t, http.MethodGet, url+"/readyz")
	}
	f(http.MethodGet, "/healthz", 200, "ok")
	f(http.MethodGet, "/metrics", 200, "# TYPE nines_agent_config_reload_success gauge\nnines_agent_config_reload_success 1\n",
		`nines_agent_input_series{input="mem"} `, "nines_agent_resident_bytes ", "\nnines_agent_frames_total ", `nines_agent_info{version="dev"} 1`)
	f(http.MethodPost, "/-/reload", 200, "ok")
	f(http.MethodGet, "/-/reload", 405, "Method Not Allowed")
	if err := os.WriteFile(file, []byte(text+"nope: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(http.MethodPost, "/-/reload", 422, "agent.yaml:8:1: nope")
	f(http.MethodGet, "/metrics", 200, "\nnines_agent_config_reload_success 0\n")
	f(http.MethodGet, "/readyz", 503, "refused")
	f(http.MethodGet, "/healthz", 200, "ok")
	seen := map[string]bool{} // a name's lines stand together and once
	_, body := get(t, http.MethodGet, url+"/metrics")
	for line := range strings.Lines(body) {
		series, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(line, "#") && seen[series] {
			t.Errorf("%s comes twice", series)
		}
		seen[series] = true
	}
}

// A port that is taken is said once, ends nothing, and is opened when it is free.
func TestLocalPortIsTaken(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file := write(t, "agent.yaml", fmt.Sprintf("agent: x\nlocal: {listen: %q}\nkafka: {brokers: [\"127.0.0.1:1\"]}\n", ln.Addr()))
	said, _ := running(t, "--config", file, "--state-dir", t.TempDir())
	said.count(t, "address already in use", 1)
	ln.Close()
	url := served(t, said)
	if code, _ := get(t, http.MethodGet, url+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d", code)
	}
	if n := strings.Count(said.String(), "address already in use"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
}

func TestWhoMayReload(t *testing.T) {
	token := write(t, "token", "s3cret-token\n")
	f := func(want bool, tokenFile, from string, headers ...string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/-/reload", nil)
		r.RemoteAddr = from
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		err := mayReload(agent.Local{TokenFile: tokenFile}, r)
		if (err == nil) != want {
			t.Errorf("%s %v with token %q: %v", from, headers, tokenFile, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the token is shown: %v", err)
		}
	}
	f(true, "", "127.0.0.1:1234")
	f(true, "", "[::1]:1234")
	f(false, "", "192.0.2.1:1234")
	f(false, "", "127.0.0.1:1234", "Origin", "https://example.com")
	f(false, token, "127.0.0.1:1234")
	f(false, token, "192.0.2.1:1234", "Authorization", "Bearer wrong")
	f(true, token, "192.0.2.1:1234", "Authorization", "Bearer s3cret-token")
	f(false, write(t, "empty", "\n"), "127.0.0.1:1234", "Authorization", "Bearer ")
	f(false, token+".none", "127.0.0.1:1234", "Authorization", "Bearer s3cret-token")
}
