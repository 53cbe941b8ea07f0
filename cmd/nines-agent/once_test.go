package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
	"nines/test/kafka"
)

// run --once sends what the inputs gave and ends when Kafka has it.
func TestRunOnce(t *testing.T) {
	server := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	config := func(addr string) string {
		return write(t, "agent.yaml", fmt.Sprintf("agent: x\nspool: {dir: spool}\nkafka: {brokers: [%q]}\ninputs: |\n  [[inputs.mem]]\n", addr))
	}
	if code, out := command(t, "run", "--once", "--config", config(server.Addr), "--state-dir", t.TempDir()); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	_, end, err := client.Offsets(ctx, wire.TopicTelemetry, 0)
	if err != nil || end != 1 {
		t.Errorf("%d frames are in Kafka, want 1: %v", end, err)
	}
	state := t.TempDir()
	code, out := command(t, "run", "--once", "--timeout", "3s", "--config", config("127.0.0.1:1"), "--state-dir", state)
	if code != exitFailure || !strings.Contains(out, "1 not acknowledged in time, 1 of them wait on disk") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if found, _ := filepath.Glob(filepath.Join(state, "spool", "*.seg")); len(found) != 1 {
		t.Errorf("segments: %v", found)
	}
}
