package bus

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestConfigFromYAML(t *testing.T) {
	var c Config
	err := yaml.UnmarshalWithOptions([]byte(`
brokers: [kafka-1:9092, kafka-2:9092]
client_id: nines-eu-1
dial_timeout: 5s
request_timeout: 1m
tls: {ca_file: ca.pem}
sasl: {mechanism: scram-sha-512, user: nines, password: hunter2}
`), &c, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.DialTimeout != 5*time.Second || c.RequestTimeout != time.Minute || c.SASL.Password != "hunter2" || len(c.Brokers) != 2 {
		t.Errorf("got %+v", c)
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("config", "bus", c, "password", c.SASL.Password)
	for _, printed := range []string{string(out), fmt.Sprintf("%v %+v %#v %s", c, c, c, c.SASL.Password), logged.String()} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("the password is printed: %s", printed)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		err := c.Validate()
		if len(want) == 0 && err != nil {
			t.Errorf("got %v", err)
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("got %v, want %q", err, w)
			}
		}
	}
	ok := []string{"localhost:9092"}
	f(Config{Brokers: ok})
	f(Config{}, "brokers: name at least one host:port")
	f(Config{Brokers: []string{"kafka", "a:1,b:2"}}, `brokers[0]: want host:port, got "kafka"`, `brokers[1]`)
	f(Config{Brokers: ok, DialTimeout: -1, RequestTimeout: -1, FetchMaxBytes: -1}, "dial_timeout", "request_timeout", "fetch_max_bytes")
	f(Config{Brokers: ok, TLS: TLSConfig{CertFile: "x"}}, "cert_file and key_file go together")
	f(Config{Brokers: ok, SASL: SASLConfig{User: "u"}}, "sasl.mechanism: missing")
	f(Config{Brokers: ok, SASL: SASLConfig{Mechanism: "gssapi", User: "u", Password: "p"}}, `got "gssapi"`)
	f(Config{Brokers: ok, SASL: SASLConfig{Mechanism: "plain"}}, "sasl.user: missing", "exactly one of password, password_file and password_env, got 0")
	f(Config{Brokers: ok, SASL: SASLConfig{Mechanism: "plain", User: "u", Password: "p", PasswordEnv: "E"}}, "got 2")
}

func TestPasswordSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NINES_TEST_PASSWORD", "from env")
	f := func(s SASLConfig, want, wantErr string) {
		t.Helper()
		got, err := s.password().value()
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	f(SASLConfig{Password: "inline"}, "inline", "")
	f(SASLConfig{PasswordFile: file}, "from file", "")
	f(SASLConfig{PasswordEnv: "NINES_TEST_PASSWORD"}, "from env", "")
	f(SASLConfig{PasswordFile: file + ".gone"}, "", "read sasl.password_file: open "+file+".gone")
	f(SASLConfig{PasswordEnv: "NINES_TEST_GONE"}, "", "no variable NINES_TEST_GONE")
	_, err := New(Options{Config: Config{Brokers: []string{"a:1"}, TLS: TLSConfig{CAFile: file}}})
	if err == nil || !strings.Contains(err.Error(), "no certificate in "+file) {
		t.Errorf("a CA file without certificate: %v", err)
	}
}
