package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nines/bench/agent"
	"nines/bench/collector"
	"nines/bench/program"
)

// sideBySide is what the benchmarks against other programs share: one Kafka with
// one log, and what was measured on it, so that each contestant is measured once
// a run whoever asks.
type sideBySide struct {
	// hosts and seconds are the size of the log; 0 for the usual one.
	hosts, seconds int
	// fleet is how many hosts detection is timed among; 0 for the usual number.
	fleet int
	// ctx ends when the program is told to: what the session started is stopped
	// then.
	ctx  context.Context
	stop context.CancelFunc
	// runs is how often each benchmark is run.
	runs int
	// window is how long agents are measured at a time; 0 for the usual.
	window time.Duration
	// report is where the report goes; nowhere where empty.
	report    string
	session   *collector.Session
	footprint *agent.Session
}

func (s *sideBySide) open() (*collector.Session, error) {
	if s.session == nil {
		root, err := filepath.Abs(".")
		if err != nil {
			return nil, err
		}
		s.begin()
		s.session = collector.New(collector.Options{Root: root, Hosts: s.hosts, Seconds: s.seconds, Fleet: s.fleet, Log: os.Stderr})
	}
	return s.session, nil
}

// begin makes the context of all sessions, once.
func (s *sideBySide) begin() {
	if s.ctx == nil {
		s.ctx, s.stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	}
}

// close writes the report of what was measured, if anything was, and removes
// what it took.
func (s *sideBySide) close(results []result, args []string) error {
	if s.ctx == nil {
		return nil
	}
	defer s.stop()
	var errs []error
	if s.report != "" && (len(results) > 0 || s.session != nil && s.session.Measured()) {
		r := s.written(results, args)
		errs = append(errs, r.Write(s.report))
	}
	if s.session != nil {
		errs = append(errs, s.session.Close())
	}
	if s.footprint != nil {
		errs = append(errs, s.footprint.Close())
	}
	return errors.Join(errs...)
}

// written is the report on the results.
func (s *sideBySide) written(results []result, args []string) program.Report {
	r := program.Report{Title: "nines side by side", Again: "make compare", Told: "side-by-side", Args: args}
	for _, one := range results {
		r.Figures = append(r.Figures, program.Figure{Name: one.Name, Unit: one.Unit, Min: one.Min, Median: one.Median, Max: one.Max, Runs: one.Runs, Target: one.target()})
	}
	if s.session == nil {
		r.Title, r.Again, r.Told = "nines-agent side by side", "make footprint", "agent"
	} else {
		r.Versions = s.session.Versions()
	}
	if s.footprint != nil {
		r.Versions = append(r.Versions, s.footprint.Versions()...)
	}
	r.Rest = func(b *strings.Builder) {
		if s.session != nil {
			s.session.Report(b)
		}
		if s.footprint != nil {
			s.footprint.Report(b)
		}
	}
	return r
}

// race is one from faults to webhooks, in a session.
type race func(s *collector.Session, ctx context.Context, runs int) ([]collector.Detection, error)

// detections returns a benchmark of how long faults take to a webhook: what is
// computed of a run's detections.
func (s *sideBySide) detections(name, unit, better string, target float64, race race, of func(run int, by map[string]collector.Detection) float64) benchmark {
	return benchmark{Name: name, Unit: unit, Better: better, Target: target, Apart: true, Prepare: func() (func() (float64, error), error) {
		session, err := s.open()
		n := -1
		return func() (float64, error) {
			n++
			all, err := race(session, s.ctx, s.runs)
			if err != nil {
				return 0, err
			}
			by := map[string]collector.Detection{}
			for _, d := range all {
				by[d.Contestant] = d
			}
			if d := by[collector.NinesShipped]; d.Missed != "" {
				return 0, fmt.Errorf("nines could not keep up on this machine: it %s; %s; cores: %s", d.Missed, d.Late, d.By)
			}
			v := of(n, by)
			if math.IsInf(v, 0) || math.IsNaN(v) {
				return 0, errors.New("somebody never told of a fault: the report says who")
			}
			return v, nil
		}, err
	}}
}

// DetectP99Seconds is how long it takes from a target's fault to a webhook, with
// the objectives that ship and five vantage points.
func (s suite) DetectP99Seconds() benchmark {
	return s.side.detections("detect_p99_seconds", "s", lower, 2, (*collector.Session).Detect, detectP99)
}

// detectP99 is the 99th percentile of what nines took in a run.
func detectP99(run int, by map[string]collector.Detection) float64 {
	return nearest(by[collector.NinesShipped], run, 0.99)
}

// nearest is a percentile of what a contestant took in a run, without end for one
// that took no part.
func nearest(d collector.Detection, run int, p float64) float64 {
	if run >= len(d.Seconds) {
		return math.Inf(1)
	}
	return collector.Percentile(d.Seconds[run], p)
}

// detectTimes is how many times sooner nines was, in the median.
func detectTimes(run int, by map[string]collector.Detection) float64 {
	p50 := func(name string) float64 { return nearest(by[name], run, 0.5) }
	return min(p50(collector.PromDefaults), p50(collector.VictoriaAsIs)) / p50(collector.NinesShipped)
}

// DetectFleetP99Seconds is how long it takes from the fault of a host or zone to a
// webhook, among 10,000 hosts.
func (s suite) DetectFleetP99Seconds() benchmark {
	return s.side.detections("detect_fleet_p99_seconds", "s", lower, 2, (*collector.Session).DetectFleet, detectP99)
}

// VsDetectFleetDefaults is VsDetectDefaults among 10,000 hosts.
func (s suite) VsDetectFleetDefaults() benchmark {
	return s.side.detections("vs_detect_fleet_defaults", "times", higher, 25, (*collector.Session).DetectFleet, detectTimes)
}

// VsDetectDefaults is how many times sooner that is, in the median, than
// Prometheus or vmalert with Alertmanager at their defaults, whoever of the two
// is faster.
func (s suite) VsDetectDefaults() benchmark {
	return s.side.detections("vs_detect_defaults", "times", higher, 25, (*collector.Session).Detect, detectTimes)
}

// times returns the benchmark that says how many times less CPU time ours takes
// than theirs, run by run.
func (s *sideBySide) times(name string, target float64, ours, theirs collector.Contestant) benchmark {
	return benchmark{Name: name, Unit: "times", Better: higher, Target: target, Apart: true, Prepare: func() (func() (float64, error), error) {
		session, err := s.open()
		n := -1
		return func() (float64, error) {
			n++
			them, err := session.Measure(s.ctx, theirs, n)
			if err != nil {
				return 0, err
			}
			us, err := session.Measure(s.ctx, ours, n)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			return them.PerMillion() / us.PerMillion(), nil
		}, err
	}}
}

// VsTelegrafNative is how many times less CPU time nines takes from fetch to
// evaluated objectives on its own frames than Telegraf to fetch the same samples
// in line protocol, parse and discard them.
func (s suite) VsTelegrafNative() benchmark {
	return s.side.times("vs_telegraf_native", 20, collector.Native(), collector.Telegraf(true))
}

// VsTelegrafLine is the same where nines reads Telegraf's line protocol too.
func (s suite) VsTelegrafLine() benchmark {
	return s.side.times("vs_telegraf_line", 3, collector.Lines(), collector.Telegraf(true))
}

// TelegrafDefaults is how many samples of line protocol a second Telegraf takes
// in with its defaults, for the report.
func (s suite) TelegrafDefaults() benchmark {
	return benchmark{Name: "telegraf_defaults_samples_per_second", Unit: "k samples/s", Better: higher, Apart: true, Prepare: func() (func() (float64, error), error) {
		session, err := s.side.open()
		n := -1
		return func() (float64, error) {
			n++
			m, err := session.Measure(s.side.ctx, collector.Telegraf(false), n)
			if err != nil {
				return 0, err
			}
			return float64(m.Samples) / m.Wall.Seconds() / 1e3, nil
		}, err
	}}
}

// VsVictoriametricsVmalert is nines on its own frames against Telegraf,
// VictoriaMetrics and vmalert with the same objectives as rules.
func (s suite) VsVictoriametricsVmalert() benchmark {
	return s.side.times("vs_victoriametrics_vmalert", 25, collector.Native(), collector.Victoria())
}

// VsPrometheus is nines on its own frames against Telegraf and Prometheus with
// the same objectives as recording rules.
func (s suite) VsPrometheus() benchmark {
	return s.side.times("vs_prometheus", 25, collector.Native(), collector.Prometheus())
}
