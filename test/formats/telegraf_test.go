// Package formats runs other fleets' real clients against aggregation.
package formats

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nines/collector/aggregate"
	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
	"nines/test/kafka"
	"nines/test/module"
)

// buildTelegraf builds Telegraf with what the test needs of it, from its module.
func buildTelegraf(t *testing.T) string {
	t.Helper()
	return module.Build(t, "../telegraf", "github.com/influxdata/telegraf/cmd/telegraf", "custom", "inputs.mock", "outputs.kafka", "serializers.influx")
}

const telegrafConfig = `
[agent]
  interval = "200ms"
  flush_interval = "200ms"
  hostname = "tg-1"
[[inputs.mock]]
  metric_name = "probe"
  [inputs.mock.tags]
    target = "db, the \"first\""
  [[inputs.mock.constant]]
    name = "success"
    value = 1
[[outputs.kafka]]
  brokers = [%q]
  topic = "telegraf"
  routing_tag = "host"
  data_format = "influx"
`

func TestTelegraf(t *testing.T) {
	binary := buildTelegraf(t)
	broker := kafka.Serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{broker.Addr}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, topic := range []bus.Topic{{Name: wire.TopicTelemetry}, {Name: "telegraf"}, {Name: wire.TopicPartials},
		{Name: wire.TopicCheckpoints, Compact: true}, {Name: wire.TopicRules, Compact: true}, {Name: wire.TopicDeadLetter}} {
		if _, err := client.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	stop := startRole(ctx, t, client)
	defer stop()
	// Objectives count from the first tick on.
	if recs, err := client.Reader("telegraf", 0, 0).Fetch(ctx, time.Minute); err != nil || len(recs) == 0 {
		t.Fatalf("no tick: %v", err)
	}

	config := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, telegrafConfig, broker.Addr), 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "--config", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	sent := countLines(ctx, t, client, func(n uint64) {
		if n == 10 { // enough: what it has left comes when it is told to stop
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}, ended)
	if sent < 10 {
		t.Fatalf("Telegraf sent %d records\n%s", sent, log.Bytes())
	}
	total := uint64(0)
	for r := client.Reader(wire.TopicPartials, 0, 0); total < sent; {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			t.Fatalf("counted %d of %d: %v", total, sent, err)
		}
		for i := range recs {
			var p wire.Partial
			if err := wire.DecodePartial(recs[i].Value, &p); err != nil {
				t.Fatal(err)
			}
			for _, g := range p.Groups {
				if got := g.Labels.String(); got != `{target="db, the \"first\""}` {
					t.Errorf("group %s", got)
				}
			}
			for _, c := range p.Counts {
				if c.Vantage != "tg-1" || c.Good != c.Total {
					t.Errorf("count %+v", c)
				}
				total += c.Total
			}
		}
	}
	if total != sent {
		t.Errorf("counted %d samples of %d", total, sent)
	}
	if _, dead, err := client.Offsets(ctx, wire.TopicDeadLetter, 0); err != nil || dead != 0 {
		t.Errorf("%d dead letters, %v", dead, err)
	}
}

// startRole aggregates with one objective over Telegraf's metric.
func startRole(ctx context.Context, t *testing.T, client *bus.Client) (stop func()) {
	t.Helper()
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		t.Fatal(err)
	}
	stream := &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Vantage: "host", Bin: 1000,
		Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1}}
	if _, err := rules.Publish(ctx, &slo.RuleSet{Streams: map[string]*slo.Stream{stream.ID(): stream}}); err != nil {
		t.Fatal(err)
	}
	role, err := aggregate.New(aggregate.Options{Client: client, Rules: rules, Owner: "test", Log: slog.New(slog.DiscardHandler),
		Formats: map[string]decode.Format{"telegraf": decode.Influx}})
	if err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- role.Run(run) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// countLines counts Telegraf's records in its topic until it has ended and no
// more of them come.
func countLines(ctx context.Context, t *testing.T, client *bus.Client, each func(n uint64), ended <-chan error) (n uint64) {
	t.Helper()
	over := false
	for r := client.Reader("telegraf", 0, 0); ; {
		recs, err := r.Fetch(ctx, 500*time.Millisecond)
		if err != nil {
			t.Fatalf("read what Telegraf sent, %d records so far: %v", n, err)
		}
		lines := uint64(0)
		for i := range recs {
			if bytes.HasPrefix(recs[i].Value, []byte("probe,")) {
				lines++
				n++
				each(n)
			}
		}
		if over && lines == 0 {
			return n
		}
		select {
		case <-ended:
			over = true
		default:
		}
	}
}
