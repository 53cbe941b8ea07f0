package agent

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/agent/host"
	"nines/agent/spool"
	"nines/agent/telegraf"
	"nines/internal/telemetry"
)

// self measures the agent: what it made, sent and lost, what its inputs cost,
// its process, and the host clock that everything is timed by. All of it goes
// out as series like everything else, so that a fleet's agents are watched by
// the rules that watch its hosts.
type self struct {
	a      *Agent
	mu     sync.Mutex // of proc
	proc   *host.Process
	schema *telemetry.Schema
	column []int            // of each value, in the order in which measure gives them
	of     []telegraf.Stats // whose figures the schema has

	frames, framesSent, bytesSent atomic.Uint64
	droppedFrames, droppedBytes   atomic.Uint64
	refusedFrames                 atomic.Uint64
	steps                         atomic.Uint64
	lastStep                      atomic.Int64 // nanoseconds
}

func newSelf(a *Agent) *self {
	s := &self{a: a, proc: host.NewProcess()}
	s.layOut(a.inputs.Stats())
	return s
}

// layOut decides the order of the series, which stays until the inputs change.
func (s *self) layOut(inputs []telegraf.Stats) {
	series, _ := s.measure(inputs, nil, nil)
	order := make([]int, len(series))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(series[x].Name, series[y].Name), cmp.Compare(series[x].Labels.String(), series[y].Labels.String()))
	})
	sorted := make([]telemetry.Series, len(series))
	s.column = make([]int, len(series))
	for c, i := range order {
		sorted[c] = series[i]
		s.column[i] = c
	}
	s.schema = telemetry.NewSchema(sorted)
	s.of = inputs
}

// sameInputs tells whether figures of one set of inputs fit the other's layout.
func sameInputs(a, b []telegraf.Stats) bool {
	return slices.EqualFunc(a, b, func(x, y telegraf.Stats) bool {
		return x.Name == y.Name && slices.Equal(x.RefusedNames, y.RefusedNames)
	})
}

// framed counts a frame that was made.
func (s *self) framed(int) { s.frames.Add(1) }

// sent counts an acknowledged frame.
func (s *self) sent(bytes int) {
	s.framesSent.Add(1)
	s.bytesSent.Add(uint64(bytes))
}

// dropped counts frames that the spool gave up, or that Kafka can never store.
func (s *self) dropped(d spool.Drop) {
	s.droppedFrames.Add(uint64(d.Frames))
	s.droppedBytes.Add(uint64(d.Bytes))
	s.a.losses.add(d, time.Now())
}

func (s *self) refused(it spool.Item) {
	s.refusedFrames.Add(1)
	s.dropped(spool.DropOf(reasonRefused, it))
}

func (s *self) stepped(d time.Duration) {
	s.steps.Add(1)
	s.lastStep.Store(int64(d))
}

// run measures at every SelfInterval until ctx ends.
func (s *self) run(ctx context.Context) {
	for {
		every := s.a.cfg().SelfInterval.Milliseconds()
		now := s.a.clock.Now()
		next := now - now%every + every
		if !pause(ctx, time.Duration(next-now)*time.Millisecond) {
			return
		}
		s.a.framer.Sink(s.round(next))
		if r, some := s.a.meshFigures.Round(next); some {
			s.a.framer.Sink(r)
		}
		if r, some := s.a.losses.round(next); some {
			s.a.framer.Sink(r)
			s.a.losses.report(time.Now())
		}
	}
}

func (s *self) round(t int64) telemetry.Round {
	inputs := s.a.inputs.Stats()
	if !sameInputs(inputs, s.of) {
		s.layOut(inputs)
	}
	_, values := s.measure(inputs, nil, make([]float64, 0, len(s.column)))
	b := telemetry.Block{Values: make([]float64, len(s.column))}
	for i, v := range values {
		if math.IsNaN(v) {
			b.SetAbsent(s.column[i])
			continue
		}
		b.Values[s.column[i]] = v
	}
	return telemetry.Round{Schema: s.schema, Time: t, Values: b.Values, Absent: b.Absent}
}

// measure appends every figure, or, where values is nil, every series: the same
// ones at each call for the same inputs.
func (s *self) measure(inputs []telegraf.Stats, series []telemetry.Series, values []float64) ([]telemetry.Series, []float64) {
	first := values == nil
	put := func(name string, k telemetry.Kind, labels telemetry.Labels, v float64) {
		if first {
			series = append(series, telemetry.Series{Name: name, Labels: labels, Kind: k, Fresh: k == telemetry.Counter})
			return
		}
		values = append(values, v)
	}
	gauge := func(name string, v float64) { put(name, telemetry.Gauge, nil, v) }
	counter := func(name string, v uint64) { put(name, telemetry.Counter, nil, float64(v)) }

	put("nines_agent_info", telemetry.Gauge, telemetry.NewLabels(map[string]string{"version": s.a.opt.Version}), 1)
	st := s.a.spool.Stats()
	counter("nines_agent_frames_total", s.frames.Load())
	counter("nines_agent_sent_frames_total", s.framesSent.Load())
	counter("nines_agent_sent_bytes_total", s.bytesSent.Load())
	counter("nines_agent_dropped_frames_total", s.droppedFrames.Load())
	counter("nines_agent_dropped_bytes_total", s.droppedBytes.Load())
	counter("nines_agent_refused_frames_total", s.refusedFrames.Load())
	gauge("nines_agent_spool_frames", float64(st.Frames))
	gauge("nines_agent_spool_bytes", float64(st.Bytes))
	s.disk(st, gauge, counter)
	counter("nines_agent_clock_steps_total", s.steps.Load())
	gauge("nines_agent_clock_step_seconds", time.Duration(s.lastStep.Load()).Seconds())
	s.mu.Lock() // the local port asks too
	cpu, rss := s.proc.Read()
	s.mu.Unlock()
	put("nines_agent_cpu_seconds_total", telemetry.Counter, nil, cpu)
	gauge("nines_agent_resident_bytes", rss)
	s.reloads(gauge, counter)
	s.inputs(inputs, put)
	s.hostClock(gauge)
	return series, values
}

// disk appends what the spool has on disk; what does not apply is absent.
func (s *self) disk(st spool.Stats, gauge func(string, float64), counter func(string, uint64)) {
	age, frames, bytes, failing := 0.0, math.NaN(), math.NaN(), math.NaN()
	if st.OldestTime > 0 {
		age = max(0, float64(s.a.clock.Now()-st.OldestTime)/1000)
	}
	if st.Disk {
		frames, bytes, failing = float64(st.DiskFrames), float64(st.DiskBytes), truth(st.DiskFails)
	}
	gauge("nines_agent_spool_oldest_seconds", age)
	gauge("nines_agent_spool_disk_frames", frames)
	gauge("nines_agent_spool_disk_bytes", bytes)
	gauge("nines_agent_spool_disk_failing", failing)
	counter("nines_agent_spool_torn_total", st.Torn)
	counter("nines_agent_spool_set_aside_total", st.SetAside)
}

// hostClock appends what the kernel says about the clock that everything is
// timed by.
func (s *self) hostClock(gauge func(string, float64)) {
	offset, bound, estimate, synced := math.NaN(), math.NaN(), math.NaN(), math.NaN()
	if st, err := host.ReadClock(); err == nil {
		offset, bound, estimate, synced = st.Offset.Seconds(), st.MaxError.Seconds(), st.EstimatedError.Seconds(), truth(st.Synchronised)
	}
	gauge("clock_offset_seconds", offset)
	gauge("clock_max_error_seconds", bound)
	gauge("clock_estimated_error_seconds", estimate)
	gauge("clock_synchronised", synced)
}

// reloads appends what became of changes of the configuration.
func (s *self) reloads(gauge func(string, float64), counter func(string, uint64)) {
	r := s.a.reloaded()
	gauge("nines_agent_config_reload_success", truth(r.err == nil))
	gauge("nines_agent_config_reload_timestamp_seconds", float64(r.last.UnixMilli())/1000)
	counter("nines_agent_config_reloads_total", r.done)
	counter("nines_agent_config_reload_failures_total", r.failed)
}

// inputs appends the figures of each input.
func (s *self) inputs(stats []telegraf.Stats, put func(string, telemetry.Kind, telemetry.Labels, float64)) {
	for _, st := range stats {
		ls := telemetry.NewLabels(map[string]string{"input": st.Name})
		put("nines_agent_input_seconds", telemetry.Gauge, ls, st.Last.Seconds())
		put("nines_agent_input_running_seconds", telemetry.Gauge, ls, st.Running.Seconds())
		put("nines_agent_input_gathers_total", telemetry.Counter, ls, float64(st.Gathers))
		put("nines_agent_input_errors_total", telemetry.Counter, ls, float64(st.Errors))
		put("nines_agent_input_missed_total", telemetry.Counter, ls, float64(st.Missed))
		put("nines_agent_input_series", telemetry.Gauge, ls, float64(st.Series))
		put("nines_agent_input_refused_values_total", telemetry.Counter, ls, float64(st.Refused))
		for _, name := range st.RefusedNames {
			put("nines_agent_input_refused", telemetry.Gauge, telemetry.NewLabels(map[string]string{"input": st.Name, "metric": name}), 1)
		}
	}
}

// export shows the agent's figures in a metrics set too.
func (s *self) export(set *metrics.Set) {
	if set == nil {
		return
	}
	for name, f := range s.exported() {
		set.NewGauge(name, f)
	}
}

// exported are the figures that a metrics set shows, by name.
func (s *self) exported() map[string]func() float64 {
	return map[string]func() float64{
		"nines_agent_frames_total":         func() float64 { return float64(s.frames.Load()) },
		"nines_agent_sent_frames_total":    func() float64 { return float64(s.framesSent.Load()) },
		"nines_agent_sent_bytes_total":     func() float64 { return float64(s.bytesSent.Load()) },
		"nines_agent_dropped_frames_total": func() float64 { return float64(s.droppedFrames.Load()) },
		"nines_agent_spool_frames":         func() float64 { return float64(s.a.spool.Stats().Frames) },
		"nines_agent_spool_bytes":          func() float64 { return float64(s.a.spool.Stats().Bytes) },
		"nines_agent_spool_disk_bytes":     func() float64 { return float64(s.a.spool.Stats().DiskBytes) },
		"nines_agent_spool_disk_failing":   func() float64 { return truth(s.a.spool.Stats().DiskFails) },
		"nines_agent_clock_steps_total":    func() float64 { return float64(s.steps.Load()) },
	}
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func (s *self) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc.Close()
}
