package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Inputs that fail say with what they failed, and some of that is a secret, of a
// file or of the environment: no output of any command shows it.
func TestSecretsAreShownNowhere(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	const ofFile, ofEnv, ofKafka = `pa"ss$HOME\w0rd-of-a-file`, "t0ken-of-the-environment", "kafka-s3cret"
	t.Setenv("SHOP_TOKEN", ofEnv)
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		return writeIn(t, dir, name, text)
	}
	put("password", ofFile+"\n")
	put("kafka", ofKafka+"\n")
	const head = "agent: x\nflush: 100ms\nself_interval: 100ms\ninterval: 100ms\nlocal: {listen: \"127.0.0.1:0\"}\n" +
		"kafka: {brokers: [\"127.0.0.1:1\"], sasl: {mechanism: plain, user: u, password_file: kafka}}\ninputs_files: [inputs.toml]\n"
	config := put("agent.yaml", head)
	shows := func(what, text string) {
		t.Helper()
		for _, secret := range []string{ofFile, "w0rd-of-a-file", ofEnv, ofKafka} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s:\n%s", what, secret, text)
			}
		}
	}
	input := func(where string) string {
		return fmt.Sprintf("# ${file:not-read}\n[[inputs.procstat]]\n  alias = %q\n  pid_file = \"/nowhere/%s\"\n", strings.Trim(where, "${}"), where)
	}
	good := input("${file:password}") + input("${SHOP_TOKEN}")
	bad := good + "[[inputs.mem]]\n  interval = \"${file:password}\"\n[[inputs.swap]]\n  interval = \"${SHOP_TOKEN}\"\n"

	put("inputs.toml", bad)
	code, out := command(t, "check", config)
	if code != exitUsage || !strings.Contains(out, "inputs.mem") || !strings.Contains(out, "<hidden>") {
		t.Errorf("check: exit code %d:\n%s", code, out)
	}
	shows("check", out)

	put("inputs.toml", good)
	code, out = command(t, "test", "--config", config, "--log-level", "debug")
	if code != exitFailure || !strings.Contains(out, "/nowhere/<hidden>") {
		t.Errorf("test: exit code %d:\n%s", code, out)
	}
	shows("test", out)

	said, stop := running(t, "--config", config, "--state-dir", t.TempDir(), "--log-level", "debug")
	url := served(t, said)
	said.count(t, "/nowhere/<hidden>", 2)
	put("inputs.toml", bad)
	code, out = get(t, http.MethodPost, url+"/-/reload")
	if code != http.StatusUnprocessableEntity || !strings.Contains(out, "<hidden>") {
		t.Errorf("reload: %d:\n%s", code, out)
	}
	shows("/-/reload", out)
	put("inputs.toml", good)
	put("password", "rotated-"+ofFile)
	said.count(t, "configuration reloaded", 1)
	_, out = get(t, http.MethodGet, url+"/metrics")
	shows("/metrics", out)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	shows("the log", said.String())
}
