package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"nines/bench/program"
	"nines/internal/bus"
	"nines/internal/wire"
)

const ninesConfig = `agent: bench
labels: {zone: zone-a, region: local}
interval: %s
inputs_files: [inputs.toml]
spool: {dir: spool}
local: {listen: %q}
topic: %s
kafka: {brokers: [%q]}
`

// Telegraf's gathers begin half a second after ours, so that the two do not get
// into each other's way; it sends as often as it measures.
const telegrafConfig = `[global_tags]
  zone = "zone-a"
  region = "local"
[agent]
  interval = "%[1]s"
  round_interval = true
  collection_offset = "500ms"
  flush_interval = "%[1]s"
  metric_batch_size = 1000
  metric_buffer_limit = 10000
  hostname = "bench"
  quiet = true
[[outputs.kafka]]
  brokers = [%[2]q]
  topic = "%[3]s"
  data_format = "influx"
  compression_codec = 4
  required_acks = -1
`

// pair are both programs at one interval, each with a topic of its own.
type pair struct {
	s               *Session
	interval        time.Duration
	nines, telegraf *program.Process
	ours, theirs    *reader
}

// warm is how long both run before they are measured: until the slower inputs,
// each 10 s, have been read twice, and memory is what it stays.
func warm(interval time.Duration) time.Duration { return 20*time.Second + 2*interval }

// start starts nines-agent, and Telegraf with the inputs that nines-agent found
// on this host.
func (s *Session) start(ctx context.Context, interval time.Duration) (*pair, error) {
	p := &pair{s: s, interval: interval}
	suffix := "each" + strings.ReplaceAll(interval.String(), ".", "-")
	p.ours = newReader(s.client, wire.TopicTelemetry+"."+suffix, false)
	p.theirs = newReader(s.client, "telegraf."+suffix, true)
	for _, r := range []*reader{p.ours, p.theirs} {
		if _, err := s.client.EnsureTopic(ctx, bus.Topic{Name: r.topic, Partitions: 1}); err != nil {
			return nil, err
		}
	}
	if err := p.launch(ctx); err != nil {
		p.stop()
		return nil, err
	}
	deadline := time.Now().Add(warm(interval))
	ctx, cancel := context.WithTimeout(ctx, 2*warm(interval)+time.Minute)
	defer cancel()
	err := program.Until(ctx, "both agents are warm and send", p.processes(), func() (bool, error) {
		for _, r := range []*reader{p.ours, p.theirs} {
			if _, next, err := s.client.Offsets(ctx, r.topic, 0); err != nil || next == 0 {
				return false, err
			}
		}
		return time.Now().After(deadline), nil
	})
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// launch starts the programs.
func (p *pair) launch(ctx context.Context) error {
	s := p.s
	dir := filepath.Join(s.dir, p.ours.topic)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	at, err := program.Ports(1)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(ninesConfig, p.interval, at[0], p.ours.topic, s.cluster.Addrs()[0])
	if err := write(dir, map[string]string{"agent.yaml": config, "inputs.toml": choose(s.inputs, compared())}); err != nil {
		return err
	}
	p.nines, err = program.Start(dir, "nines-agent", s.nines, "--config", filepath.Join(dir, "agent.yaml"), "--state-dir", filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	err = program.Until(ctx, "nines-agent says what it measures", p.processes(), func() (bool, error) {
		text, err := os.ReadFile(p.nines.Log())
		if err != nil {
			return false, err
		}
		s.left, err = absentOf(string(text))
		return err == nil, err
	})
	if err != nil {
		return err
	}
	inputs := choose(s.inputs, slices.DeleteFunc(compared(), func(name string) bool { return slices.Contains(s.left, name) }))
	theirs := fmt.Sprintf(telegrafConfig, p.interval, s.cluster.Addrs()[0], p.theirs.topic)
	if err := write(dir, map[string]string{"telegraf.conf": theirs + inputs}); err != nil {
		return err
	}
	if p.telegraf, err = program.Start(dir, "telegraf", s.telegraf, "--config", filepath.Join(dir, "telegraf.conf")); err != nil {
		return err
	}
	s.shown = []string{s.show(p.nines, config), s.show(p.telegraf, theirs), "inputs.toml, of both, as configs/agent has it\n\n" + inputs}
	return nil
}

func write(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// show is a command line with its configuration, without what differs each time.
func (s *Session) show(p *program.Process, config string) string {
	text := filepath.Base(p.Args()[0]) + " " + strings.Join(p.Args()[1:], " ") + "\n\n" + config
	text = strings.NewReplacer(p.Dir(), "RUN", s.cluster.Addrs()[0], "KAFKA").Replace(text)
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "HOST:PORT")
}

func (p *pair) processes() (out []*program.Process) {
	for _, q := range []*program.Process{p.nines, p.telegraf} {
		if q != nil {
			out = append(out, q)
		}
	}
	return out
}

func (p *pair) stop() {
	if p == nil {
		return
	}
	p.telegraf.Stop()
	p.nines.Stop()
}
