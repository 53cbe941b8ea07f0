// Package quiet holds what the monitor promises to those who are woken by it:
// noise pages nobody, and outages are found within two seconds. It runs the
// shipped objectives over simulated vantage points, through the same states as a
// collector. `make test` runs an hour of it, `make torture` a whole night:
//
//	go test ./test/quiet -run TestANight -v -timeout 0 -whole -book night.jsonl
//
// A book keeps the parts that are complete, and adds up: run it again to go on.
package quiet

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"nines/internal/alert"
	"nines/internal/replay"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/rules"
)

const (
	midnight = int64(1_793_491_200_000) // 2026-11-01 00:00 UTC
	vantages = 5
	// laneWidth is how many targets a vantage point probes at one instant of
	// the second, and zoneWidth how many a zone has.
	laneWidth = 125
	zoneWidth = 25
)

// night is a fleet of targets, each probed once a second from every vantage
// point over networks that lose a share of the attempts.
type night struct {
	targets int
	length  time.Duration
	loss    float64
	seed    uint64
	// outages are injected, by target; each target has at most one.
	outages map[int]*outage
	// away has nothing reach the log from 02:00 to 02:10.
	away  bool
	until func() bool // ends the night early; may be nil
	// latency has the probes tell how long they took, too.
	latency bool
	// together is how many targets a vantage point probes at one instant of the
	// second, laneWidth unless given.
	together int
}

// outage makes a share of the attempts at a target fail, at [from, to).
type outage struct {
	kind     string
	from, to int64
	loss     float64
	first    int64 // the scheduled time of the first attempt that failed
	found    int64 // log time of the page
}

// tally is what a night came to; parts of one are summed up.
type tally struct {
	Samples   uint64         `json:"samples"`
	Strikes   int            `json:"strikes"`   // three failures in a row from the first vantage point
	Noise     map[string]int `json:"noise"`     // pages without a cause, by name
	Explained map[string]int `json:"explained"` // pages on what an outage was part of
	Advice    map[string]int `json:"advice"`    // alerts of other severities
	// Noticed are the times from the first failed attempt to the page, in
	// milliseconds, by the kind of outage; Missed counts those without a page.
	Noticed map[string][]int64 `json:"noticed"`
	Missed  map[string]int     `json:"missed"`
	Away    absence            `json:"away"`
}

// absence is what became of the minutes in which nothing reached the log.
type absence struct {
	// Minutes counts them, over all groups, when the spools have arrived; Unknown
	// those that were unknown before, and Restated those that were good afterwards,
	// each with all of its attempts.
	Minutes  int `json:"minutes"`
	Unknown  int `json:"unknown"`
	Restated int `json:"restated"`
	// Wrong counts the minutes around them that are not good, or lack attempts or
	// have too many.
	Wrong int `json:"wrong"`
}

func newTally() *tally {
	return &tally{Noise: map[string]int{}, Explained: map[string]int{}, Advice: map[string]int{}, Noticed: map[string][]int64{}, Missed: map[string]int{}}
}

func (t *tally) add(o *tally) {
	t.Samples += o.Samples
	t.Strikes += o.Strikes
	for from, to := range map[*map[string]int]map[string]int{&o.Noise: t.Noise, &o.Explained: t.Explained, &o.Advice: t.Advice, &o.Missed: t.Missed} {
		for name, n := range *from {
			to[name] += n
		}
	}
	for kind, times := range o.Noticed {
		t.Noticed[kind] = append(t.Noticed[kind], times...)
	}
	t.Away.Minutes += o.Away.Minutes
	t.Away.Unknown += o.Away.Unknown
	t.Away.Restated += o.Away.Restated
	t.Away.Wrong += o.Away.Wrong
}

func shipped(t testing.TB) *slo.RuleSet {
	t.Helper()
	set, err := rules.Load([]string{"../../configs/objectives"})
	if err != nil {
		t.Fatal(err)
	}
	return set.RuleSet
}

// lane is what one vantage point probes at one instant of each second.
type lane struct {
	source  *replay.Source
	phase   int64 // within the second
	first   int   // target
	width   int
	values  []float64
	skip    int // attempts until the next one that is lost
	last    []int64
	streaks []int
	outages []laneOutage
	failed  []int // memory for the attempts of an instant that fail
}

// laneOutage is an outage of the lane's target i.
type laneOutage struct {
	i int
	*outage
}

// run simulates the night. Told is called each minute of log time.
func (n *night) run(ctx context.Context, set *slo.RuleSet, told func(time.Duration)) (*tally, error) {
	led, done, err := replay.Temporary(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = done() }()
	out := newTally()
	p, err := replay.New(ctx, replay.Options{Rules: set, Ledger: led, TickEvery: 250 * time.Millisecond,
		Alerts: func(at int64, alerts []alert.Alert) {
			for i := range alerts {
				n.hear(out, at, &alerts[i])
			}
		}})
	if err != nil {
		return nil, err
	}
	dice := rand.New(rand.NewPCG(n.seed, 99))
	var lanes [vantages][]*lane
	var agents []*replay.Agent
	width := n.together
	if width == 0 {
		width = laneWidth
	}
	for v := range lanes {
		host := telemetry.NewLabels(map[string]string{"host": fmt.Sprintf("probe-%d", v), "region": "gulf-1"})
		agent := p.Agent(fmt.Sprintf("probe-%d", v), host)
		agents = append(agents, agent)
		for first := 0; first < n.targets; first += width {
			lanes[v] = append(lanes[v], newLane(agent, dice, n, first, width))
		}
	}
	if err := p.Tick(midnight); err != nil {
		return nil, err
	}
	for at := midnight; at < midnight+n.length.Milliseconds(); at += 1000 {
		for v := range lanes {
			for _, l := range lanes[v] {
				l.probe(n, dice, at+l.phase, v == 0, out)
			}
		}
		if n.away {
			if err := n.broker(ctx, &out.Away, p, led, set, agents, at); err != nil {
				return nil, err
			}
		}
		if err := p.Tick(at + 1000); err != nil {
			return nil, err
		}
		if at%60_000 == 0 {
			if n.until != nil && n.until() {
				break
			}
			told(time.Duration(at-midnight) * time.Millisecond)
		}
	}
	n.sumOutages(out)
	return out, p.Commit()
}

// sumOutages tells when the outages were noticed.
func (n *night) sumOutages(out *tally) {
	for _, o := range n.outages {
		switch {
		case o.first == 0: // the night ended before
		case o.found == 0:
			out.Missed[o.kind]++
		default:
			out.Noticed[o.kind] = append(out.Noticed[o.kind], o.found-o.first)
		}
	}
}

func newLane(agent *replay.Agent, dice *rand.Rand, n *night, first, width int) *lane {
	l := &lane{first: first, width: min(width, n.targets-first), phase: dice.Int64N(1000)}
	var series []telemetry.Series
	names := []string{"probe_success"}
	if n.latency {
		names = append(names, "probe_latency_seconds")
	}
	for _, name := range names {
		for i := range l.width {
			series = append(series, telemetry.Series{Name: name, Kind: telemetry.Gauge,
				Labels: telemetry.NewLabels(map[string]string{"probe": "icmp", "target": target(first + i)})})
		}
	}
	l.source = agent.Source(series...)
	l.values = make([]float64, len(series))
	for i := range l.width {
		l.set(i, true)
		if o := n.outages[first+i]; o != nil {
			l.outages = append(l.outages, laneOutage{i, o})
		}
	}
	l.last, l.streaks = make([]int64, l.width), make([]int, l.width)
	l.skip = n.gap(dice)
	return l
}

func target(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }

// gap draws how many attempts succeed before the next one that is lost.
func (n *night) gap(dice *rand.Rand) int {
	if n.loss <= 0 {
		return math.MaxInt
	}
	return int(math.Log(1-dice.Float64()) / math.Log(1-n.loss))
}

func (l *lane) set(i int, ok bool) {
	success, seconds := 1.0, 0.02
	if !ok {
		success, seconds = 0, math.Inf(1) // a time-out is slower than every threshold
	}
	if l.values[i] = success; l.width+i < len(l.values) {
		l.values[l.width+i] = seconds
	}
}

// probe attempts all targets of the lane once.
func (l *lane) probe(n *night, dice *rand.Rand, at int64, counted bool, out *tally) {
	failed := l.failed[:0]
	for ; l.skip < l.width; l.skip += 1 + n.gap(dice) {
		failed = append(failed, l.skip)
		l.set(l.skip, false)
	}
	l.skip -= l.width
	if counted {
		for _, i := range failed {
			if l.streaks[i]++; l.last[i] != at-1000 {
				l.streaks[i] = 1
			}
			if l.last[i] = at; l.streaks[i] == 3 {
				out.Strikes++
			}
		}
	}
	for _, o := range l.outages {
		if o.from <= at && at < o.to && dice.Float64() < o.loss {
			if o.first == 0 || at < o.first {
				o.first = at
			}
			failed = append(failed, o.i)
			l.set(o.i, false)
		}
	}
	l.source.Add(at, l.values...)
	out.Samples += uint64(len(l.values))
	for _, i := range failed {
		l.set(i, true)
	}
	l.failed = failed
}

// hear sorts an alert: noise is every page that no outage stands behind.
func (n *night) hear(out *tally, at int64, a *alert.Alert) {
	if a.Status != alert.Firing {
		return
	}
	name := a.Labels["alertname"] + "/" + a.Labels["objective"]
	if a.Labels["severity"] != alert.Page {
		out.Advice[name]++
		return
	}
	o := n.outageOf(a.Labels["target"], at)
	switch {
	case o == nil:
		out.Noise[name]++
	case a.Labels["kind"] == "down" && o.found == 0:
		o.found = at
	default:
		out.Explained[name]++
	}
}

// outageOf returns the outage behind a page on a target: one that lasts, or that
// a burn rate may still speak of; or, where the page names no target, one of
// those that are a tenth of the region.
func (n *night) outageOf(name string, at int64) *outage {
	out, found := 0, (*outage)(nil)
	for i, o := range n.outages {
		if o.from > at || at >= o.to+3_600_000 {
			continue
		}
		if target(i) == name {
			return o
		}
		out, found = out+1, o
	}
	if name == "" && 10*out >= n.targets {
		return found
	}
	return nil
}
