package collector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"nines/bench/program"
)

// Contestant is somebody who reads the log.
type Contestant struct {
	Name string
	// What it does, for the report.
	What string
	// run measures once, within limit, with a folder that is removed afterwards.
	run func(ctx context.Context, s *Session, dir string) (*Measurement, error)
}

// limit is how long one run may take: Prometheus with rules takes about 100 CPU
// seconds, of which a busy machine gives few.
const limit = 5 * time.Minute

// Native is nines on its own agents' frames.
func Native() Contestant {
	return Contestant{"nines, frames", "frames of nines' agents → aggregate, evaluate, ledger", func(ctx context.Context, s *Session, dir string) (*Measurement, error) {
		return s.runNines(ctx, dir, "{"+topicFrames+": nines}", "nines_aggregate_samples_total")
	}}
}

// Lines is nines on Telegraf's line protocol.
func Lines() Contestant {
	return Contestant{"nines, line protocol", "Telegraf's line protocol → aggregate, evaluate, ledger", func(ctx context.Context, s *Session, dir string) (*Measurement, error) {
		return s.runNines(ctx, dir, "{"+topicLines+": influx}", "nines_aggregate_foreign_samples_total")
	}}
}

const ninesConfig = `kafka: {brokers: [%q]}
topics: {telemetry_partitions: %d, formats: %s}
objectives: [%s]
web: {listen: %q}
`

// runNines lets a fresh collector with a ledger of its own read the log to its
// end, as a process that starts after an outage does.
func (s *Session) runNines(ctx context.Context, dir, formats, counter string) (*Measurement, error) {
	s.dirty = true
	at, err := program.Ports(1)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nines.yaml")
	text := fmt.Sprintf(ninesConfig, s.brokers(), partitions, formats, filepath.Join(s.dir, "objectives.yaml"), at[0])
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	p, err := program.Start(dir, "nines", s.tools.nines, "collector", "--config", config, "--data-dir", filepath.Join(dir, "data"), "--roles", "aggregate,evaluate,web")
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	want := s.samples(s.o.Seconds)
	var last program.Usage
	seen := 0
	err = program.Until(ctx, "nines has read and judged everything", []*program.Process{p}, func() (bool, error) {
		text, err := program.Get(ctx, "http://"+at[0]+"/metrics")
		if err != nil {
			return false, nil // it has not begun to listen
		}
		if last, err = p.Usage(); err != nil {
			return false, err
		}
		n, _ := program.Metric(text, counter)
		aggregate, a := program.Metric(text, "nines_aggregate_lag_records")
		evaluate, e := program.Metric(text, "nines_evaluate_lag_records")
		if int(n) > want {
			return false, fmt.Errorf("it counted %d samples of %d", int(n), want)
		}
		if !a || !e || int(n) < want || aggregate > 0 || evaluate > 0 {
			seen = 0
			return false, nil
		}
		seen++ // twice, so that what was published last has been judged
		return seen > 1, nil
	})
	return &Measurement{Samples: want, Processes: []program.Usage{last}, Shown: []string{s.shown(p, text)}}, err
}

func (s *Session) samples(seconds int) int { return s.o.Hosts * s.fleet.series * seconds }

// Telegraf reads line protocol and throws it away: with its defaults, or tuned.
func Telegraf(tuned bool) Contestant {
	if !tuned {
		return Contestant{"Telegraf, defaults", "the same for half a minute: it waits most of the time", starved}
	}
	return Contestant{"Telegraf, tuned", "kafka_consumer → discard, nothing is judged", func(ctx context.Context, s *Session, dir string) (*Measurement, error) {
		return s.runTelegraf(ctx, dir, topicLines, s.o.Seconds, agentTuned, undelivered)
	}}
}

const (
	agentTuned = `  metric_batch_size = 5000
  metric_buffer_limit = 100000
  flush_interval = "1s"
`
	undelivered = "  max_undelivered_messages = 50000\n"
	discard     = "[[outputs.discard]]\n"
)

const telegrafConfig = `[agent]
  hostname = "collector"
  omit_hostname = true
%s[[inputs.kafka_consumer]]
  brokers = [%q]
  topics = [%q]
  consumer_group = %q
  offset = "oldest"
  kafka_version = "3.9.0"
  data_format = "influx"
%s%s`

func (s *Session) runTelegraf(ctx context.Context, dir, topic string, seconds int, agent, input string) (*Measurement, error) {
	t, err := s.startTelegraf(dir, topic, agent, input, discard)
	if err != nil {
		return nil, err
	}
	defer t.Stop()
	if err := s.delivered(ctx, t, topic); err != nil {
		return nil, err
	}
	u, err := t.Usage()
	return &Measurement{Samples: s.samples(seconds), Processes: []program.Usage{u}, Shown: []string{s.shown(t, configOf(t))}}, err
}

// patience is how long Telegraf runs with its defaults.
const patience = 30 * time.Second

// starved runs Telegraf with its defaults, by which it takes a thousand records
// and then waits for its outputs' next flush: as far as it gets in patience.
func starved(ctx context.Context, s *Session, dir string) (*Measurement, error) {
	t, err := s.startTelegraf(dir, topicLines, "", "", discard)
	if err != nil {
		return nil, err
	}
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.Done():
		return nil, t.Failure("it ended")
	case <-time.After(patience):
	}
	u, err := t.Usage()
	if err != nil {
		return nil, err
	}
	var records int64
	for p := range int32(partitions) {
		n, _, err := s.client.Committed(ctx, filepath.Base(dir), topicLines, p)
		if err != nil {
			return nil, err
		}
		records += max(n, 0)
	}
	samples := int(records) * s.fleet.series / len(s.fleet.inputs)
	if samples == 0 {
		return nil, t.Failure("it delivered nothing")
	}
	return &Measurement{Samples: samples, Processes: []program.Usage{u}, Shown: []string{s.shown(t, configOf(t))}}, nil
}

func (s *Session) startTelegraf(dir, topic, agent, input, output string) (*program.Process, error) {
	group := filepath.Base(dir)
	config := filepath.Join(dir, "telegraf.conf")
	text := fmt.Sprintf(telegrafConfig, agent, s.brokers(), topic, group, input, output)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return program.Start(dir, "telegraf", s.tools.telegraf, "--config", config)
}

// delivered waits until Telegraf has committed all of the topic, which it does
// for what its output has taken.
func (s *Session) delivered(ctx context.Context, t *program.Process, topic string) error {
	group := filepath.Base(t.Dir())
	return program.Until(ctx, "Telegraf has delivered everything", []*program.Process{t}, func() (bool, error) {
		for p := range int32(partitions) {
			_, end, err := s.client.Offsets(ctx, topic, p)
			if err != nil {
				return false, err
			}
			at, _, err := s.client.Committed(ctx, group, topic, p)
			if err != nil || at < end {
				return false, err
			}
		}
		return true, nil
	})
}

// configOf is what a Telegraf was configured with.
func configOf(t *program.Process) string {
	b, _ := os.ReadFile(filepath.Join(t.Dir(), "telegraf.conf"))
	return string(b)
}

// shown is a process's command line and configuration for the report: folders
// and addresses, which differ in each run, by names.
func (s *Session) shown(p *program.Process, config string) string {
	text := filepath.Base(p.Args()[0]) + " " + strings.Join(p.Args()[1:], " ") + "\n"
	if config != "" {
		text += "\n" + config
	}
	text = strings.NewReplacer(p.Dir(), "RUN", s.dir, "DIR", s.o.Root+"/", "ROOT/", filepath.Base(p.Dir()), "GROUP", s.brokers(), "KAFKA").Replace(text)
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "HOST:PORT")
}
