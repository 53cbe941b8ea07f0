package main

import (
	"os"
	"path/filepath"
	"time"

	"nines/bench/agent"
)

func (s *sideBySide) agents() (*agent.Session, error) {
	if s.footprint == nil {
		root, err := filepath.Abs(".")
		if err != nil {
			return nil, err
		}
		s.begin()
		s.footprint = agent.New(agent.Options{Root: root, Window: s.window, Log: os.Stderr})
	}
	return s.footprint, nil
}

// ratio returns the benchmark that says what nines-agent takes of a host, as a
// part of what Telegraf takes with the same inputs: window by window.
func (s *sideBySide) ratio(name string, target float64, interval time.Duration, of func(*agent.Window, *agent.Side) float64) benchmark {
	return benchmark{Name: name, Unit: "of Telegraf's", Better: lower, Target: target, Apart: true, Prepare: func() (func() (float64, error), error) {
		session, err := s.agents()
		n := -1
		return func() (float64, error) {
			n++
			w, err := session.Window(s.ctx, interval, n)
			if err != nil {
				return 0, err
			}
			return of(w, &w.Nines) / of(w, &w.Telegraf), nil
		}, err
	}}
}

// AgentCPURatio1s is nines-agent's CPU time as a part of Telegraf's, with the same
// inputs each second to the same Kafka.
func (s suite) AgentCPURatio1s() benchmark {
	return s.side.ratio("agent_cpu_ratio_1s", 0.33, time.Second, (*agent.Window).CPU)
}

// AgentCPURatio10s is the same each ten seconds.
func (s suite) AgentCPURatio10s() benchmark {
	return s.side.ratio("agent_cpu_ratio_10s", 0.33, 10*time.Second, (*agent.Window).CPU)
}

// AgentRSSRatio is nines-agent's resident memory as a part of Telegraf's, each
// second.
func (s suite) AgentRSSRatio() benchmark {
	return s.side.ratio("agent_rss_ratio", 0.6, time.Second, func(_ *agent.Window, side *agent.Side) float64 { return float64(side.RSS) })
}

// AgentBytesRatio is nines-agent's bytes a sample as a part of Telegraf's, both
// compressed by zstd, each second.
func (s suite) AgentBytesRatio() benchmark {
	return s.side.ratio("agent_bytes_ratio", 0.4, time.Second, func(_ *agent.Window, side *agent.Side) float64 { return side.PerSample() })
}
