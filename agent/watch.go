package agent

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"nines/internal/telemetry"
)

const (
	// defaultTurnEvery is how often the frame loop turns at least, whatever Flush
	// is: once between two rounds that are ten seconds apart.
	defaultTurnEvery = 6 * time.Second
	// stuckAfter is for how long it may not turn before the agent is not healthy.
	stuckAfter = 20 * time.Second
)

func (a *Agent) turnEvery() time.Duration {
	if d := a.opt.TurnEvery; d > 0 {
		return min(d, defaultTurnEvery)
	}
	return defaultTurnEvery
}

// turned notes that the frame loop lives: it holds the framer and the spool, so
// that it stands still when either does.
func (a *Agent) turned() {
	a.lastTurn.Store(int64(time.Since(a.began)))
	if a.opt.Turned != nil {
		a.opt.Turned()
	}
}

// Health returns nil while frames are made: what Kafka, an input or a target
// does is not the agent's health. It says so where Run has not begun.
func (a *Agent) Health() error {
	last := time.Duration(a.lastTurn.Load())
	if last == 0 {
		return fmt.Errorf("not measuring yet")
	}
	if d := time.Since(a.began) - last; d > stuckAfter {
		return fmt.Errorf("no frame can be made since %s", d.Round(time.Second))
	}
	return nil
}

// Ready returns nil when the agent is healthy, has made a frame, and the
// configuration on disk is the one in force.
func (a *Agent) Ready() error {
	if err := a.Health(); err != nil {
		return err
	}
	if a.self.frames.Load() == 0 {
		return fmt.Errorf("no frame made yet")
	}
	if a.reloaded().err != nil {
		return fmt.Errorf("the last change of the configuration was refused; see the log")
	}
	return nil
}

// Limits returns the limits in force.
func (a *Agent) Limits() Limits { return a.cfg().Limits }

// CPUs returns how many CPUs the configuration in force asks for; see Config.CPUs.
func (a *Agent) CPUs() int { return a.cfg().CPUs() }

// Local returns the settings of the local port in force.
func (a *Agent) Local() Local { return a.cfg().Local }

// WriteMetrics writes the agent's figures of this moment in Prometheus' text
// format: what it sends about itself, and what Options.Metrics holds.
func (a *Agent) WriteMetrics(w io.Writer) {
	exported := a.self.exported()
	if a.opt.Metrics != nil {
		a.opt.Metrics.WritePrometheus(w)
	}
	inputs := a.inputs.Stats()
	series, _ := a.self.measure(inputs, nil, nil)
	_, values := a.self.measure(inputs, nil, make([]float64, 0, len(series)))
	if r, some := a.losses.round(a.clock.Now()); some {
		series, values = slices.Concat(series, r.Schema.Series), slices.Concat(values, r.Values)
	}
	lines := map[string][]string{} // by name, since a name's lines stand together
	for i, s := range series {
		if _, twice := exported[s.Name]; twice && a.opt.Metrics != nil || values[i] != values[i] {
			continue
		}
		if lines[s.Name] == nil {
			lines[s.Name] = []string{fmt.Sprintf("# TYPE %s %s\n", s.Name, s.Kind)}
		}
		lines[s.Name] = append(lines[s.Name], fmt.Sprintf("%s%s %v\n", s.Name, labelText(s.Labels), values[i]))
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		_, _ = io.WriteString(w, strings.Join(lines[name], ""))
	}
}

func labelText(ls telemetry.Labels) string {
	if len(ls) == 0 {
		return ""
	}
	return ls.String()
}
