package collector

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// town is a fleet whose hosts probe each other: each is probed every second by
// one host in each of five other zones. It shows the results in the form that
// each contestant reads: as frames of the hosts' agents, one a second, or as
// the pages of five exporters, one for each of a host's vantage points.
type town struct {
	hosts []host
	zones int
	// rounds are the hosts by the part of a second in which they probe.
	rounds [townRounds][]int
	// lines are what a host's lines on the exporters' pages begin with, made once, as
	// the race is about who reads them.
	lines [2][]string
	// failed is since when a host is gone, Unix milliseconds, with its agent: it
	// refuses connections and probes nobody. 0 while it is well.
	failed []atomic.Int64
	// late is by how much a frame left too late at most, milliseconds.
	late atomic.Int64
}

const (
	// townRounds is into how many parts a second's probes are divided.
	townRounds = 20
	roundEvery = time.Second / townRounds
	// townRamp is how many seconds it takes until all agents have begun.
	townRamp = 5
)

// figures are what the exporters show of a host.
func figures() [2]string { return [2]string{"probe_success", "probe_duration_seconds"} }

// steps are how many hosts further on a host's vantage points stand. Hosts that
// follow each other stand in zones that do, so that these are others.
func steps() [vantages]int { return [vantages]int{7, 18, 31, 45, 71} }

func newTown(root string, hosts int) (*town, error) {
	f, err := newFleet(root, hosts, partitions)
	if err != nil {
		return nil, err
	}
	t := &town{hosts: f.hosts, failed: make([]atomic.Int64, hosts)}
	for t.zones < hosts && (t.zones == 0 || f.hosts[t.zones].zone != f.hosts[0].zone) {
		t.zones++
	}
	if last := steps()[vantages-1]; t.zones <= last || hosts <= 2*t.zones {
		return nil, fmt.Errorf("%d hosts in %d zones are too few: want two a zone in more than %d", hosts, t.zones, last)
	}
	for i := range t.hosts {
		round := rand.New(rand.NewPCG(uint64(i), 1)).IntN(townRounds)
		t.rounds[round] = append(t.rounds[round], i)
		h := &t.hosts[i]
		for n, name := range figures() {
			t.lines[n] = append(t.lines[n], fmt.Sprintf(`%s{probe="tcp",target=%q,target_zone=%q,target_region=%q} `, name, h.name, h.zone, h.region))
		}
	}
	return t, nil
}

// prober is the host that is the k-th vantage point of a host, and target whom a
// host probes as that.
func (t *town) prober(i, k int) int { return (i + steps()[k]) % len(t.hosts) }
func (t *town) target(i, k int) int { return (i - steps()[k] + len(t.hosts)) % len(t.hosts) }

func (t *town) well(i int, ms int64) bool {
	at := t.failed[i].Load()
	return at == 0 || ms < at
}

// heal makes all hosts well again.
func (t *town) heal() {
	for i := range t.failed {
		t.failed[i].Store(0)
	}
	t.late.Store(0)
}

// fault is hosts that fail at the same time.
type fault struct {
	zone  string // empty for a single host
	hosts []int
	at    time.Time
}

// faults picks n faults, every each-th of them a zone. The vantage points of all
// that fail stay well, so that each fault can be told.
func (t *town) faults(n, each int) ([]*fault, error) {
	dice := rand.New(rand.NewPCG(uint64(n), 2))
	gone := map[int]bool{}
	out := make([]*fault, n)
	for _, zones := range []bool{true, false} { // zones first, for which it is harder to find room
		for k := range out {
			if zones != (k%each == each-1) {
				continue
			}
			if out[k] = t.pick(dice, zones, gone); out[k] == nil {
				return nil, fmt.Errorf("%d hosts are too few for %d faults", len(t.hosts), n)
			}
			for _, i := range out[k].hosts {
				gone[i] = true
			}
		}
	}
	return out, nil
}

// pick returns a fault of a zone or a host that leaves the vantage points; nil
// where there seems to be none.
func (t *town) pick(dice *rand.Rand, zone bool, gone map[int]bool) *fault {
	for range 1000 {
		first := dice.IntN(len(t.hosts))
		f := &fault{hosts: []int{first}}
		if zone {
			f.zone, f.hosts = t.hosts[first].zone, nil
			for i := first % t.zones; i < len(t.hosts); i += t.zones {
				f.hosts = append(f.hosts, i)
			}
		}
		if t.apart(f.hosts, gone) {
			return f
		}
	}
	return nil
}

// apart tells whether hosts, none of which is gone, can go without being a
// vantage point of each other or of those who are, or these of them.
func (t *town) apart(hosts []int, gone map[int]bool) bool {
	all := map[int]bool{}
	for _, i := range hosts {
		if gone[i] {
			return false
		}
		all[i] = true
	}
	for _, i := range hosts {
		for k := range vantages {
			if p := t.prober(i, k); gone[p] || all[p] || gone[t.target(i, k)] {
				return false
			}
		}
	}
	return true
}

// ServeHTTP is an exporter: /K is what the vantage points K of all hosts see now.
func (t *town) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || k < 0 || k >= vantages {
		http.NotFound(w, r)
		return
	}
	now := time.Now().UnixMilli()
	dice := rand.New(rand.NewPCG(uint64(now), uint64(k)))
	b := make([]byte, 0, 256*len(t.hosts))
	for n, name := range figures() {
		b = fmt.Appendf(b, "# TYPE %s gauge\n", name)
		for i, line := range t.lines[n] {
			if !t.well(t.prober(i, k), now) {
				continue
			}
			success, duration := t.probe(i, now, dice)
			if n == 0 {
				duration = success
			}
			b = append(strconv.AppendFloat(append(b, line...), duration, 'f', -1, 64), '\n')
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write(b)
}

// probe is what a probe of a host finds: 1 or 0, and the seconds that it took.
func (t *town) probe(i int, ms int64, dice *rand.Rand) (success, duration float64) {
	if t.well(i, ms) {
		success = 1
	}
	return success, float64(500+dice.IntN(40_000)) / 1e6
}

// send sends the frames of all agents of one partition until the context ends,
// each when its host has probed. Those of one moment share a batch. Agents begin
// one after the other, within townRamp.
func (t *town) send(ctx context.Context, client *bus.Client, p int32) error {
	out := client.Producer(wire.TopicTelemetry, p)
	dice := rand.New(rand.NewPCG(uint64(p), 3))
	agents := map[int]*townAgent{}
	var enc wire.Encoder
	begin := time.Now().Truncate(time.Second).Add(time.Second)
	for n := 0; ; n++ {
		at := begin.Add(time.Duration(n) * roundEvery)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(at)):
		}
		ms, second := at.UnixMilli(), n/townRounds
		var recs []bus.Record
		for _, i := range t.rounds[n%townRounds] {
			first := i / townRounds % townRamp
			if t.hosts[i].partition != p || second < first || !t.well(i, ms) {
				continue
			}
			a := agents[i]
			if a == nil {
				a = t.agent(i)
				agents[i] = a
			}
			describe := second == first || second%60 == i%60
			recs = append(recs, bus.Record{Key: []byte(t.hosts[i].name), Headers: header(wire.TypeFrame),
				Value: enc.AppendFrame(nil, a.frame(ms, second-first+1, dice), func(uint64) bool { return describe })})
		}
		if len(recs) == 0 {
			continue
		}
		if _, err := out.Produce(ctx, recs); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("send frames of the fleet: %w", err)
		}
		if late := time.Since(at).Milliseconds(); late > t.late.Load() {
			t.late.Store(late) // of two senders the greater one may be lost for a moment
		}
	}
}

// townAgent is a host's agent. Its frames are one, filled in anew each second.
type townAgent struct {
	town *town
	host int
	fr   telemetry.Frame
}

// agent is the agent of a host, with a block for each of its targets.
func (t *town) agent(i int) *townAgent {
	h := &t.hosts[i]
	a := &townAgent{town: t, host: i, fr: telemetry.Frame{Agent: h.name, Boot: uint64(i) + 1,
		Host: telemetry.NewLabels(map[string]string{"agent": h.name, "host": h.name, "zone": h.zone, "region": h.region})}}
	for k := range vantages {
		h := &t.hosts[t.target(i, k)]
		labels := telemetry.NewLabels(map[string]string{"probe": "tcp", "job": "fleet", "target": h.name, "target_zone": h.zone, "target_region": h.region})
		s := telemetry.NewSchema([]telemetry.Series{
			{Name: "probe_success", Labels: labels, Kind: telemetry.Gauge},
			{Name: "probe_latency_seconds", Labels: labels, Kind: telemetry.Gauge},
			{Name: "probe_duration_seconds", Labels: labels, Kind: telemetry.Gauge}})
		a.fr.Blocks = append(a.fr.Blocks, telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Columns: len(s.Series), Times: make([]int64, 1), Values: make([]float64, len(s.Series))})
	}
	return a
}

// frame is what the agent found at a time. It is good until the next.
func (a *townAgent) frame(ms int64, seq int, dice *rand.Rand) *telemetry.Frame {
	a.fr.Seq, a.fr.SendTime = uint64(seq), ms
	for k := range a.fr.Blocks {
		b := &a.fr.Blocks[k]
		success, duration := a.town.probe(a.town.target(a.host, k), ms, dice)
		latency := duration
		if success == 0 {
			latency = math.Inf(1)
		}
		b.Times[0], b.Values[0], b.Values[1], b.Values[2] = ms, success, latency, duration
	}
	return &a.fr
}
