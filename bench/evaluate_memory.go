package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"nines/collector/aggregate"
	"nines/collector/evaluate"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// BytesPerLiveGroup is the memory that a group takes in the collector: what
// aggregate and evaluate hold of 29,000 groups after 70 s, with windows of 30
// days, after a garbage collection. Nothing has failed, as in most groups of
// most fleets.
func (suite) BytesPerLiveGroup() benchmark {
	return benchmark{Name: "bytes_per_live_group", Unit: "B", Better: lower, Target: 1024,
		Prepare: func() (func() (float64, error), error) {
			return func() (float64, error) { return groupMemory(false) }, nil
		}}
}

// BytesPerLiveGroupHistograms is the same where every group is a latency with a
// histogram, and no two samples of a group are equal.
func (suite) BytesPerLiveGroupHistograms() benchmark {
	return benchmark{Name: "bytes_per_live_group_histograms", Unit: "B", Better: lower, Target: 4096,
		Prepare: func() (func() (float64, error), error) {
			return func() (float64, error) { return groupMemory(true) }, nil
		}}
}

// memoryHeld are the states whose memory is measured.
type memoryHeld struct {
	agg  *aggregate.State
	eval *evaluate.State
	pos  int64
}

func groupMemory(histograms bool) (float64, error) {
	set := judgedRules(30 * 86_400_000)
	if histograms {
		set = changedRules(set, func(st *slo.Stream) { st.Histogram = true })
	} else { // success, which has none
		set = changedRules(set, func(st *slo.Stream) { st.Op, st.Threshold = slo.GTE, 1 })
	}
	values, err := regionLog(set)
	if err != nil {
		return 0, err
	}
	find := func(id string) (*slo.RuleSet, bool) { return set, id == set.ID() }
	before := heap()
	h := &memoryHeld{agg: aggregate.NewState(0, 1, 1, 0, find), eval: evaluate.New(evaluate.Config{}, &ledger.Claim{}, find, nil)}
	for _, r := range values {
		if err := h.take(r); err != nil {
			return 0, err
		}
	}
	after := heap()
	groups := h.eval.Groups()
	runtime.KeepAlive(values)
	runtime.KeepAlive(h)
	if groups != judgedObjectives*benchRegions {
		return 0, fmt.Errorf("%d groups are live, want %d", groups, judgedObjectives*benchRegions)
	}
	return float64(after-before) / float64(groups), nil
}

func (h *memoryHeld) take(r logged) error {
	out, err := h.agg.Apply(h.pos, r.typ, r.value)
	if err != nil || out.Dead != nil {
		return errors.Join(errors.New("the log was not understood"), err)
	}
	h.pos++
	if out.Partial != nil {
		if _, err := h.eval.Apply(h.eval.Offset(), out.Partial); err != nil {
			return err
		}
		if _, _, err := h.eval.Advance(); err != nil {
			return err
		}
	}
	return nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// changedRules are the objectives with their streams changed.
func changedRules(in *slo.RuleSet, change func(*slo.Stream)) *slo.RuleSet {
	out := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for _, o := range in.Objectives {
		st := *in.Streams[o.StreamID]
		change(&st)
		own := *o
		own.StreamID = st.ID()
		out.Streams[own.StreamID] = &st
		out.Objectives = append(out.Objectives, &own)
	}
	return out
}

// logged is one record of the telemetry log.
type logged struct {
	typ   string
	value []byte
}

// regionLog returns 70 s of a log in which one host of each region tells of
// every service each second.
func regionLog(set *slo.RuleSet) (out []logged, err error) {
	var series []telemetry.Series
	for _, st := range set.Streams {
		if !strings.HasPrefix(st.Sample.Metric, "service_") {
			return nil, fmt.Errorf("unexpected metric %s", st.Sample.Metric)
		}
		series = append(series, telemetry.Series{Name: st.Sample.Metric, Kind: telemetry.Gauge})
	}
	schema := telemetry.NewSchema(series)
	const epoch = int64(1_790_000_040_000)
	tick := func(at int64) {
		t := wire.Tick{Clock: at, Incarnation: 1, RuleSet: set.ID()}
		out = append(out, logged{wire.TypeTick, wire.AppendTick(nil, &t)})
	}
	tick(epoch - 1)
	var enc wire.Encoder
	for s := range int64(70) {
		for r := range benchRegions {
			at := epoch + s*1000
			host := fmt.Sprintf("host-%d", r)
			blk := telemetry.Block{Fingerprint: schema.Fingerprint, Schema: schema, Times: []int64{at}}
			for i := range schema.Series {
				v := 1.0
				if set.Streams[set.Objectives[0].StreamID].Op == slo.LTE {
					v = 0.001 * float64(1+(s*7+int64(i)+int64(r))%200)
				}
				blk.Values = append(blk.Values, v)
			}
			f := &telemetry.Frame{Agent: host, Boot: 1, Seq: uint64(s + 1), SendTime: at, Blocks: []telemetry.Block{blk},
				Host: telemetry.NewLabels(map[string]string{"host": host, "region": fmt.Sprintf("region-%d", r)})}
			out = append(out, logged{wire.TypeFrame, enc.AppendFrame(nil, f, func(uint64) bool { return s == 0 })})
		}
		tick(epoch + s*1000 + 900)
	}
	return out, nil
}
