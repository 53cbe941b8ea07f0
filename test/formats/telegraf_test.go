// Package formats runs other fleets' real clients against aggregation.
package formats

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nines/collector/decode"
	"nines/internal/slo"
	"nines/internal/wire"
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
	stream := &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Vantage: "host", Bin: 1000, Rule: slot()}
	s := open(t, "telegraf", decode.Influx, stream)
	s.each = func(p *wire.Partial) {
		for _, g := range p.Groups {
			if got := g.Labels.String(); got != `{target="db, the \"first\""}` {
				t.Errorf("group %s", got)
			}
		}
		for _, c := range p.Counts {
			if c.Vantage != "tg-1" {
				t.Errorf("count %+v", c)
			}
		}
	}
	config := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, telegrafConfig, s.broker), 0o644); err != nil {
		t.Fatal(err)
	}
	sent := s.lines(start(t, binary, "--config", config))
	if good := s.counted(stream, sent); good != sent {
		t.Errorf("%d of %d are good", good, sent)
	}
	s.noDeadLetters()
}

// lines counts Telegraf's records in its topic: ten, and what it has left when it
// is told to end.
func (s *site) lines(telegraf *program) (n uint64) {
	s.t.Helper()
	for r, over := s.client.Reader(s.topic, 0, 0), false; ; {
		recs, err := r.Fetch(s.ctx, 500*time.Millisecond)
		if err != nil {
			s.t.Fatalf("read what Telegraf sent, %d records so far: %v\n%s", n, err, telegraf.end())
		}
		lines := uint64(0)
		for i := range recs {
			if bytes.HasPrefix(recs[i].Value, []byte("probe,")) {
				lines++
			}
		}
		if n += lines; over && lines == 0 {
			return n
		}
		if n >= 10 && !over {
			telegraf.end()
			over = true
		}
	}
}
