package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/bus"
	"nines/internal/wire"
	"nines/test/kafka"
)

const localYAML = `agent: local
labels: {zone: z1}
interval: 100ms
flush: 100ms
self_interval: 100ms
inputs: |
  [[inputs.mem]]
`

// startLocal runs the agent of `nines up` against a broker.
func startLocal(t *testing.T, file string) (l *localAgent, stop func() error) {
	t.Helper()
	server := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Agent: file, DataDir: t.TempDir()}
	cfg.Web.Listen = "127.0.0.1:9"
	if l, err = newLocalAgent(cfg); err != nil {
		t.Fatal(err)
	}
	if err := l.start(client, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	return l, func() error { cancel(); return <-ended }
}

// A reload of `nines up` keeps the agent's boot, and so its samples, unless what
// changed belongs to a boot; what is wrong changes nothing.
func TestReloadOfUpKeepsTheAgentsBoot(t *testing.T) {
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "token")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "one-token\n")
	yaml := localYAML + "probes:\n  jobs: [{name: nines-x, probe: http, targets: [\"http://127.0.0.1:9/\"], http: {headers_file: {Authorization: token}}}]\n"
	write(file, yaml)
	l, stop := startLocal(t, file)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	reload := func() error { return l.reload(ctx) }
	boot := l.boot
	done := func(want string) {
		t.Helper()
		var b bytes.Buffer
		l.boot.WriteMetrics(&b)
		if !strings.Contains(b.String(), "nines_agent_config_reloads_total "+want+"\n") {
			t.Errorf("want %s reloads: %s", want, b.String())
		}
	}
	same := func(what string) {
		t.Helper()
		if l.boot != boot {
			t.Errorf("%s took a new boot", what)
		}
	}
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	done("0")
	write(file, strings.Replace(yaml, "z1", "z2", 1)+"# and a comment\n")
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	same("another zone")
	done("1")
	write(secret, "another-token\n")
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	same("another secret")
	done("2")
	write(file, strings.Replace(yaml, "inputs.mem", "inputs.nothing", 1))
	if err := reload(); err == nil || !strings.Contains(err.Error(), "agent.yaml:7:") {
		t.Errorf("an input that there is not: %v", err)
	}
	same("what is wrong")
	done("2")

	write(file, strings.Replace(yaml, "agent: local", "agent: other", 1))
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	if l.boot == boot || l.boot.Boot() == boot.Boot() || l.setup().cfg.Agent != "other" {
		t.Errorf("another name is the same boot")
	}
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
