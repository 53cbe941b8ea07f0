package agent

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/agent/host"
	"nines/agent/spool"
	"nines/internal/telemetry"
)

// self measures the agent: what it made, sent and lost, what its inputs cost,
// its process, and the host clock that everything is timed by. All of it goes
// out as series like everything else, so that a fleet's agents are watched by
// the rules that watch its hosts.
type self struct {
	a      *Agent
	proc   *host.Process
	schema *telemetry.Schema
	column []int // of each value, in the order in which measure gives them

	frames, framesSent, bytesSent atomic.Uint64
	droppedFrames, droppedBytes   atomic.Uint64
	refusedFrames                 atomic.Uint64
	steps                         atomic.Uint64
	lastStep                      atomic.Int64 // nanoseconds
}

func newSelf(a *Agent) *self {
	s := &self{a: a, proc: host.NewProcess()}
	series, _ := s.measure(nil, nil)
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
	return s
}

// framed counts a frame that was made.
func (s *self) framed(int) { s.frames.Add(1) }

// sent counts an acknowledged frame.
func (s *self) sent(bytes int) {
	s.framesSent.Add(1)
	s.bytesSent.Add(uint64(bytes))
}

// dropped counts frames that the spool had no room for. The log says it when a
// loss begins, at most once a minute.
func (s *self) dropped(d spool.Drop) {
	before := s.droppedFrames.Add(uint64(d.Frames)) - uint64(d.Frames)
	s.droppedBytes.Add(uint64(d.Bytes))
	if before/60 != (before+uint64(d.Frames))/60 || before == 0 {
		s.a.log.Error("spool is full: the oldest frames are dropped and will show as a gap",
			"first_seq", d.FirstSeq, "last_seq", d.LastSeq, "from", time.UnixMilli(d.From), "to", time.UnixMilli(d.To), "dropped", before+uint64(d.Frames))
	}
}

func (s *self) refused(it spool.Item) {
	s.refusedFrames.Add(1)
	s.droppedFrames.Add(1)
	s.droppedBytes.Add(uint64(len(it.Bytes)))
}

func (s *self) stepped(d time.Duration) {
	s.steps.Add(1)
	s.lastStep.Store(int64(d))
}

// run measures at every SelfInterval until ctx ends.
func (s *self) run(ctx context.Context) {
	every := s.a.cfg.SelfInterval.Milliseconds()
	for {
		now := s.a.clock.Now()
		next := now - now%every + every
		if !pause(ctx, time.Duration(next-now)*time.Millisecond) {
			return
		}
		s.a.framer.Sink(s.round(next))
	}
}

func (s *self) round(t int64) telemetry.Round {
	_, values := s.measure(nil, make([]float64, 0, len(s.column)))
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

// measure appends every figure. The series are the same at each call; they are
// listed only where series is wanted.
func (s *self) measure(series []telemetry.Series, values []float64) ([]telemetry.Series, []float64) {
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
	counter("nines_agent_clock_steps_total", s.steps.Load())
	gauge("nines_agent_clock_step_seconds", time.Duration(s.lastStep.Load()).Seconds())
	cpu, rss := s.proc.Read()
	put("nines_agent_cpu_seconds_total", telemetry.Counter, nil, cpu)
	gauge("nines_agent_resident_bytes", rss)
	s.inputs(put)
	s.hostClock(gauge)
	return series, values
}

// hostClock appends what the kernel says about the clock that everything is
// timed by.
func (s *self) hostClock(gauge func(string, float64)) {
	offset, bound, synced := math.NaN(), math.NaN(), math.NaN()
	if st, err := host.ReadClock(); err == nil {
		offset, bound, synced = st.Offset.Seconds(), st.MaxError.Seconds(), 0
		if st.Synchronised {
			synced = 1
		}
	}
	gauge("clock_offset_seconds", offset)
	gauge("clock_max_error_seconds", bound)
	gauge("clock_synchronised", synced)
}

// inputs appends the figures of each input.
func (s *self) inputs(put func(string, telemetry.Kind, telemetry.Labels, float64)) {
	for _, st := range s.a.inputs.Stats() {
		ls := telemetry.NewLabels(map[string]string{"input": st.Name})
		put("nines_agent_input_seconds", telemetry.Gauge, ls, st.Last.Seconds())
		put("nines_agent_input_running_seconds", telemetry.Gauge, ls, st.Running.Seconds())
		put("nines_agent_input_gathers_total", telemetry.Counter, ls, float64(st.Gathers))
		put("nines_agent_input_errors_total", telemetry.Counter, ls, float64(st.Errors))
		put("nines_agent_input_missed_total", telemetry.Counter, ls, float64(st.Missed))
		put("nines_agent_input_series", telemetry.Gauge, ls, float64(st.Series))
		put("nines_agent_input_refused_values_total", telemetry.Counter, ls, float64(st.Refused))
	}
}

// export shows the agent's figures in a metrics set too.
func (s *self) export(set *metrics.Set) {
	if set == nil {
		return
	}
	for name, f := range map[string]func() float64{
		"nines_agent_frames_total":         func() float64 { return float64(s.frames.Load()) },
		"nines_agent_sent_frames_total":    func() float64 { return float64(s.framesSent.Load()) },
		"nines_agent_sent_bytes_total":     func() float64 { return float64(s.bytesSent.Load()) },
		"nines_agent_dropped_frames_total": func() float64 { return float64(s.droppedFrames.Load()) },
		"nines_agent_spool_frames":         func() float64 { return float64(s.a.spool.Stats().Frames) },
		"nines_agent_spool_bytes":          func() float64 { return float64(s.a.spool.Stats().Bytes) },
		"nines_agent_clock_steps_total":    func() float64 { return float64(s.steps.Load()) },
	} {
		set.NewGauge(name, f)
	}
}

func (s *self) close() { s.proc.Close() }
