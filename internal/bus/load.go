package bus

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Loads measures the loops by which one role reads its partitions: how far
// behind each is, and where its time goes. What it finds is on /metrics as
// nines_ROLE_lag_records, _lag_seconds, _fetch_seconds_total,
// _busy_seconds_total and _saturation. Its methods are safe for concurrent use.
type Loads struct {
	role, home string
	more       string // a label that all have, with its comma; empty for none

	mu sync.Mutex
	of map[place]*Load
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// NewLoads returns the measurements of a role, shown by the set where there is
// one. The label topic is left out for the role's home topic.
func NewLoads(role, home string, set *metrics.Set) *Loads {
	l := &Loads{role: role, home: home, of: map[place]*Load{}}
	if set != nil {
		set.RegisterMetricsWriter(l.write)
	}
	return l
}

// Labelled gives all measurements one more label, for a role that reads the same
// partitions several times. It returns l.
func (l *Loads) Labelled(name, value string) *Loads {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more = fmt.Sprintf("%s=%q,", name, value)
	return l
}

// Own begins to measure the loop that reads the partition. Seconds go on from
// where an earlier owner in this process left them.
func (l *Loads) Own(topic string, partition int32) *Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{topic, partition}
	if l.of[at] == nil {
		l.of[at] = &Load{}
	}
	l.of[at].own()
	return l.of[at]
}

// LoadView is how a loop stands.
type LoadView struct {
	// Role is the role's name.
	Role      string
	Topic     string
	Partition int32
	// Owned says that the partition is read by this process now. Lag and
	// saturation mean nothing without it.
	Owned bool
	// LagRecords are the records between what was processed and the end of the
	// log as the broker told it last; -1 before it has.
	LagRecords int64
	// LagSeconds is how far the log time of what was processed is behind the
	// clock; -1 where no log time is known yet.
	LagSeconds float64
	// FetchSeconds, BusySeconds and IdleSeconds are all the time that the loop
	// spent on getting records that were there and unpacking them, on processing
	// them, and on waiting for new ones.
	FetchSeconds, BusySeconds, IdleSeconds float64
	// Saturation is the share of the last minute that the loop did not wait for
	// new records, 0 to 1.
	Saturation float64
}

// View returns all loops as they stand at a time, by topic and partition.
func (l *Loads) View(now time.Time) []LoadView {
	l.mu.Lock()
	loops := maps.Clone(l.of)
	l.mu.Unlock()
	out := make([]LoadView, 0, len(loops))
	for at, load := range loops {
		v := load.view(now)
		v.Role, v.Topic, v.Partition = l.role, at.topic, at.partition
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b LoadView) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return out
}

// write writes the metrics, family by family. A partition that another process
// owns now keeps its counters alone: a lag that nobody measures would stand
// still for ever.
func (l *Loads) write(w io.Writer) {
	views := l.View(time.Now())
	family := func(name string, value func(*LoadView) (float64, bool), write func(io.Writer, string, float64)) {
		for i := range views {
			if v, ok := value(&views[i]); ok {
				write(w, "nines_"+l.role+"_"+name+"{"+l.labels(&views[i])+"}", v)
			}
		}
	}
	family("fetch_seconds_total", func(v *LoadView) (float64, bool) { return v.FetchSeconds, true }, metrics.WriteCounterFloat64)
	family("busy_seconds_total", func(v *LoadView) (float64, bool) { return v.BusySeconds, true }, metrics.WriteCounterFloat64)
	family("lag_records", func(v *LoadView) (float64, bool) { return float64(v.LagRecords), v.Owned && v.LagRecords >= 0 }, metrics.WriteGaugeFloat64)
	family("lag_seconds", func(v *LoadView) (float64, bool) { return v.LagSeconds, v.Owned && v.LagSeconds >= 0 }, metrics.WriteGaugeFloat64)
	family("saturation", func(v *LoadView) (float64, bool) { return v.Saturation, v.Owned }, metrics.WriteGaugeFloat64)
}

func (l *Loads) labels(v *LoadView) string {
	partition := fmt.Sprintf(`%spartition="%d"`, l.more, v.Partition)
	if v.Topic == l.home {
		return partition
	}
	return fmt.Sprintf("topic=%q,%s", v.Topic, partition)
}

// phase is what a loop does.
type phase int

const (
	away     phase = iota // no loop, or one that waits after trouble
	waiting               // for new records, with all read
	fetching              // records that are there
	working               // on what was fetched
	phases
)

// The saturation is measured over saturationSpan, in steps.
const (
	saturationSpan  = time.Minute
	saturationSteps = 12
)

// Load is the measurement of one loop. Its owner calls Processed; the Reader
// that it measures does the rest.
type Load struct {
	mu      sync.Mutex
	owned   bool
	records int64
	logTime int64
	phase   phase
	since   time.Time
	spent   [phases]time.Duration
	recent  [saturationSteps]step
}

// step is the time spent within a step of the span.
type step struct {
	number     int64
	busy, idle time.Duration
}

func (l *Load) own() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owned, l.records, l.logTime = true, -1, 0
	l.recent = [saturationSteps]step{}
}

// Leave says that the partition is given up.
func (l *Load) Leave() {
	l.enter(away, time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owned = false
}

// Processed says up to which log time records are processed, Unix milliseconds;
// 0 where it is not known.
func (l *Load) Processed(logTime int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logTime = logTime
}

// behind says how many records are not processed.
func (l *Load) behind(records int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = max(records, 0)
}

// enter ends the phase that the loop was in.
func (l *Load) enter(p phase, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := now.Sub(l.since)
	if l.phase != away && took > 0 {
		l.spent[l.phase] += took
		number := now.UnixNano() / int64(saturationSpan/saturationSteps)
		s := &l.recent[number%saturationSteps]
		if s.number != number {
			*s = step{number: number}
		}
		s.add(l.phase, took)
	}
	l.phase, l.since = p, now
}

func (s *step) add(p phase, d time.Duration) {
	switch p {
	case waiting:
		s.idle += d
	case fetching, working:
		s.busy += d
	}
}

// view counts the phase that the loop is in: one that hangs shows.
func (l *Load) view(now time.Time) LoadView {
	l.mu.Lock()
	defer l.mu.Unlock()
	spent := l.spent
	open := max(now.Sub(l.since), 0)
	if l.phase == away {
		open = 0
	}
	spent[l.phase] += open
	v := LoadView{Owned: l.owned, LagRecords: l.records, LagSeconds: -1, Saturation: l.saturation(now, open),
		FetchSeconds: spent[fetching].Seconds(), BusySeconds: spent[working].Seconds(), IdleSeconds: spent[waiting].Seconds()}
	if l.logTime > 0 {
		v.LagSeconds = max(float64(now.UnixMilli()-l.logTime)/1000, 0)
	}
	return v
}

// saturation is busy / (busy + idle), the idea of the loop saturation of
// hashicorp/raft, over what ended within the last minute and the open phase.
func (l *Load) saturation(now time.Time, open time.Duration) float64 {
	var sum step
	sum.add(l.phase, open)
	oldest := now.UnixNano()/int64(saturationSpan/saturationSteps) - saturationSteps + 1
	for i := range l.recent {
		if l.recent[i].number >= oldest {
			sum.busy += l.recent[i].busy
			sum.idle += l.recent[i].idle
		}
	}
	if sum.busy+sum.idle == 0 {
		return 0
	}
	return float64(sum.busy) / float64(sum.busy+sum.idle)
}

// Measure has the loop that fetches from r measured, until the returned function
// is called. What passes between two fetches counts as processing, and what was
// fetched as processed when the next fetch begins.
func (r *Reader) Measure(l *Load) (stop func()) {
	r.load = l
	l.enter(working, time.Now())
	return func() {
		r.load = nil
		l.enter(away, time.Now())
	}
}

// phase tells the load what the loop does next.
func (r *Reader) phase(p phase) {
	if r.load != nil {
		r.load.enter(p, time.Now())
	}
}

// behind tells the load how far the position is from the end of the log.
func (r *Reader) behind(position int64) {
	if r.load != nil && r.highWater >= 0 {
		r.load.behind(r.highWater - position)
	}
}
