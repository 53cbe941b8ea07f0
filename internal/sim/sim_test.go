package sim

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/telemetry"
	"nines/internal/topology"
	"nines/internal/wire"
)

// start is a whole minute.
const start = int64(1_790_000_040_000)

const twins = `apiVersion: nines/v1
kind: Topology
spec:
  regions:
    - {id: r1, country: AE, location: {latitude: 25, longitude: 55}, zones: [r1a, r1b]}
    - {id: r2, country: SG, location: {latitude: 1, longitude: 104}, zones: [r2a]}
  twins: [[r1a, r1b]]
`

const script = `apiVersion: nines/v1
kind: Simulation
spec:
  seed: 1
  hosts:
    - {count: 2, gpus: 2, probers: 1}
  vantage:
    - {name: edge, region: r1, latitude: 24, longitude: 54}
  services:
    - name: shop
      zones: [r1a, r1b]
      labels: {customer: c1}
      failover: 5s
      measures:
        - probe: {}
        - timing: {metric: turn_seconds, median: 100ms, perSecond: 3}
        - requests: {total: requests_total, bad: errors_total, perSecond: 40, errors: 0.01}
        - packets: {prefix: game}
`

// parsed is the script of the tests with faults, and its topology.
func parsed(t testing.TB, faults string) (Config, *topology.Topology) {
	t.Helper()
	top, err := topology.Parse("t.yaml", []byte(twins))
	if err != nil {
		t.Fatal(err)
	}
	text := script
	if faults != "" {
		text += "  faults:\n" + faults
	}
	c, err := Parse("s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c, top
}

func fleet(t testing.TB, faults string, opt Options) *Fleet {
	t.Helper()
	c, top := parsed(t, faults)
	opt.Config, opt.Topology, opt.Start = c, top, start
	f, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const everything = `
    - {kind: zone_dark, zone: r1a, at: 5s, lasts: 10s, every: 40s}
    - {kind: region_slow, region: r1, at: 8s, lasts: 10s}
    - {kind: path_lossy, from: edge, to: r1b, at: 12s, lasts: 10s}
    - {kind: gpu_failing, host: host-r1b-0001, gpu: 1, at: 3s, lasts: 20s}
    - {kind: agent_silent, host: host-r2a-0001, at: 6s, lasts: 9s}
    - {kind: clock_step, host: host-r1b-0002, by: -7s, at: 10s, lasts: 10s}
`

// However the time of a simulation is cut, its frames and its truth are the same
// to the byte.
func TestSameSeedSameFrames(t *testing.T) {
	type told struct {
		at     int64
		host   string
		series string
		labels uint64
		bits   uint64
	}
	type run struct {
		frames []Frame
		truth  []told
	}
	play := func(cuts func() int64) run {
		var r run
		f := fleet(t, everything, Options{Salt: 7, Truth: func(o Outcome) {
			r.truth = append(r.truth, told{o.Time, o.Host, o.Series.Name, o.Series.Labels.Hash(), math.Float64bits(o.Value)})
		}})
		for at := start; at < start+25_000; {
			at += cuts()
			frames, err := f.Advance(min(at, start+25_000))
			if err != nil {
				t.Fatal(err)
			}
			r.frames = append(r.frames, frames...)
		}
		return r
	}
	want := play(func() int64 { return 1000 })
	if len(want.frames) == 0 || len(want.truth) == 0 {
		t.Fatal("nothing was played")
	}
	rapid.Check(t, func(t *rapid.T) {
		got := play(func() int64 { return rapid.Int64Range(1, 9000).Draw(t, "cut") })
		if !slices.Equal(got.truth, want.truth) {
			t.Fatal("another truth")
		}
		if !slices.EqualFunc(got.frames, want.frames, func(a, b Frame) bool {
			return a.Agent == b.Agent && a.Item.Seq == b.Item.Seq && bytes.Equal(a.Item.Bytes, b.Item.Bytes)
		}) {
			t.Fatal("other frames")
		}
	})
}

// sent is what a collector would see of one agent.
type sent struct {
	frames []telemetry.Frame
	at     []int64 // when each left
}

// collect plays until and decodes every frame as it leaves.
func collect(t *testing.T, f *Fleet, until int64) map[string]*sent {
	t.Helper()
	out := map[string]*sent{}
	schemas := wire.NewSchemaCache(0)
	for f.Now() < until {
		frames, err := f.Advance(f.Now() + f.interval)
		if err != nil {
			t.Fatal(err)
		}
		for _, fr := range frames {
			s := out[fr.Agent]
			if s == nil {
				s = &sent{}
				out[fr.Agent] = s
			}
			var (
				d  wire.Decoder
				in telemetry.Frame
			)
			if err := d.DecodeFrame(fr.Item.Bytes, &in, schemas); err != nil {
				t.Fatalf("%s frame %d: %v", fr.Agent, fr.Item.Seq, err)
			}
			s.frames = append(s.frames, in)
			s.at = append(s.at, f.Now())
		}
	}
	return out
}

func TestDarkZoneKeepsItsFramesAndItsProbersBlameNobody(t *testing.T) {
	bad := map[string]int{}
	f := fleet(t, "    - {kind: zone_dark, zone: r1a, at: 10s, lasts: 20s}\n", Options{Truth: func(o Outcome) {
		if o.Series.Name == "probe_success" && o.Value == 0 || o.Series.Name == "probe_blind" {
			bad[o.Series.Name+" "+o.Host+" "+o.Series.Labels.Get("zone")]++
		}
	}})
	all := collect(t, f, start+40_000)
	dark := all["host-r1a-0001"]
	for i, fr := range dark.frames {
		if fr.Seq != uint64(i+1) {
			t.Fatalf("frame %d has number %d", i+1, fr.Seq)
		}
		if at := dark.at[i]; at > start+10_000+1000 && at < start+30_000 {
			t.Errorf("frame %d left at %d ms, while the zone was dark", fr.Seq, at-start)
		}
	}
	if len(dark.frames) != 40 {
		t.Errorf("%d frames of 40 s", len(dark.frames))
	}
	want := map[string]int{
		"probe_blind host-r1a-0001 r1a": 20, "probe_blind host-r1a-0001 r1b": 20,
		"probe_success host-r1b-0001 r1a": 20, "probe_success host-r2a-0001 r1a": 20, "probe_success edge r1a": 20,
	}
	if fmt.Sprint(bad) != fmt.Sprint(want) {
		t.Errorf("failed and blind: %v, want %v", bad, want)
	}
}

func TestUsersOfALostZoneFailUntilTheFailover(t *testing.T) {
	byPhase := map[string][2]float64{} // total, bad
	f := fleet(t, "    - {kind: zone_dark, zone: r1a, at: 10s, lasts: 20s}\n", Options{Truth: func(o Outcome) {
		phase := "before"
		switch s := (o.Time - start) / 1000; {
		case s >= 30:
			phase = "after"
		case s >= 15:
			phase = "failed over"
		case s >= 10:
			phase = "failing"
		}
		if o.Host != "edge" {
			return
		}
		p := byPhase[phase]
		switch o.Series.Name {
		case "requests_total":
			p[0] += o.Value
		case "errors_total":
			p[1] += o.Value
		}
		byPhase[phase] = p
	}})
	if _, err := f.Advance(start + 60_000); err != nil {
		t.Fatal(err)
	}
	for phase, want := range map[string][2]float64{"before": {0, 0.06}, "failing": {0.4, 0.6}, "failed over": {0, 0.06}, "after": {0, 0.06}} {
		p := byPhase[phase]
		if share := p[1] / p[0]; !(share >= want[0] && share <= want[1]) || p[0] == 0 {
			t.Errorf("%s: %.0f of %.0f requests failed, want a share from %v to %v", phase, p[1], p[0], want[0], want[1])
		}
	}
}

func TestKilledAgentBeginsAnotherBoot(t *testing.T) {
	f := fleet(t, "    - {kind: agent_silent, host: edge, at: 10s, lasts: 5s}\n", Options{})
	s := collect(t, f, start+30_000)["edge"]
	boots := map[uint64][]uint64{}
	for _, fr := range s.frames {
		boots[fr.Boot] = append(boots[fr.Boot], fr.Seq)
	}
	first, second := s.frames[0].Boot, s.frames[len(s.frames)-1].Boot
	if len(boots) != 2 || len(boots[first]) != 10 || len(boots[second]) != 15 || boots[second][0] != 1 {
		t.Errorf("boots %v", boots)
	}
	// Another run of the same simulation has other boots.
	other := fleet(t, "", Options{Salt: 9})
	if b := collect(t, other, start+1000)["edge"].frames[0].Boot; b == first {
		t.Error("two runs share a boot: their frames would be taken for repeats")
	}
}

func TestGPUOffTheBus(t *testing.T) {
	f := fleet(t, "    - {kind: gpu_failing, host: host-r1b-0001, gpu: 1, at: 5s, lasts: 5s}\n", Options{})
	s := collect(t, f, start+15_000)["host-r1b-0001"]
	seen, xids := map[string]int{}, 0.0
	schemas := map[uint64]*telemetry.Schema{}
	for _, fr := range s.frames {
		for _, b := range fr.Blocks {
			if b.Schema != nil {
				schemas[b.Fingerprint] = b.Schema
			}
			for i, series := range schemas[b.Fingerprint].Series {
				switch {
				case series.Name == "nvidia_smi_temperature_gpu" && !b.IsAbsent(i):
					seen[series.Labels.Get("index")]++
				case series.Name == "gpu_xid_events_total":
					xids = b.Values[i]
				}
			}
		}
	}
	if seen["0"] != 15 || seen["1"] != 10 || xids != 1 {
		t.Errorf("figures of GPUs %v, XID events %v", seen, xids)
	}
}

func TestClockStepMovesSamplesAndShows(t *testing.T) {
	f := fleet(t, "    - {kind: clock_step, host: edge, by: -7s, at: 5s, lasts: 5s}\n", Options{})
	for i, fr := range collect(t, f, start+12_000)["edge"].frames {
		want := start + int64(i)*1000
		if i >= 5 && i < 10 {
			want -= 7000
		}
		if got := fr.Blocks[0].Times[0]; got != want {
			t.Errorf("frame %d is timed %+d ms off", i, got-want)
		}
	}
}

func TestScheduleOfFaults(t *testing.T) {
	f := fleet(t, "    - {name: a, kind: region_slow, region: r1, at: 10s, lasts: 5s, every: 1m}\n    - {name: b, kind: zone_dark, zone: r2a, at: 30s, lasts: 5s}\n", Options{})
	var got []string
	for _, o := range f.Occurrences(start+12_000, start+140_000) {
		got = append(got, fmt.Sprintf("%s %d-%d", o.Fault.Name, (o.Start-start)/1000, (o.End-start)/1000))
		for _, at := range []int64{o.Start, o.End - 1} {
			if _, ok := o.Fault.occurs(start, at); !ok {
				t.Errorf("%s does not occur at %d", o.Fault.Name, at-start)
			}
		}
		if _, ok := o.Fault.occurs(start, o.End); ok {
			t.Errorf("%s has no end", o.Fault.Name)
		}
	}
	if want := "[a 10-15 b 30-35 a 70-75 a 130-135]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// The spread's median and 99th percentile come out of its draws; numbers of
// events have the right mean whichever way they are drawn.
func TestDrawsHaveTheirFigures(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	const n = 200_000
	s := Spread{Median: 100 * time.Millisecond, P99: 300 * time.Millisecond}
	v := make([]float64, n)
	for i := range v {
		v[i] = s.draw(dice)
	}
	slices.Sort(v)
	near := func(what string, got, want, share float64) {
		t.Helper()
		if math.Abs(got-want) > want*share {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("median", v[n/2], 0.1, 0.01)
	near("p99", v[n*99/100], 0.3, 0.02)
	for _, mean := range []float64{0.5, 30, 500} {
		sum := 0.0
		for range 20_000 {
			sum += float64(poisson(dice, mean))
		}
		near(fmt.Sprintf("poisson(%v)", mean), sum/20_000, mean, 0.02)
	}
	for _, c := range []struct {
		n uint64
		p float64
	}{{50, 0.3}, {5000, 0.01}, {5000, 0.9}} {
		sum := 0.0
		for range 20_000 {
			k := binomial(dice, c.n, c.p)
			if k > c.n {
				t.Fatalf("%d of %d", k, c.n)
			}
			sum += float64(k)
		}
		near(fmt.Sprintf("binomial(%d, %v)", c.n, c.p), sum/20_000, float64(c.n)*c.p, 0.02)
	}
}

// Round trips are of the order of what is measured between these places: a few
// milliseconds within a country, 135 ms from the Gulf to Singapore.
func TestPathsAndTheCourseOfADay(t *testing.T) {
	f := fleet(t, "", Options{})
	at := func(host, zone string) float64 { return 1000 * f.path(f.names[host], zone) }
	for _, c := range []struct {
		host, zone string
		low, high  float64
	}{{"host-r1a-0001", "r1a", 0.1, 1}, {"host-r1a-0001", "r1b", 0.5, 3}, {"edge", "r1a", 4, 10}, {"host-r1a-0001", "r2a", 80, 200}} {
		if ms := at(c.host, c.zone); ms < c.low || ms > c.high {
			t.Errorf("%s to %s: %.2f ms, want %v to %v", c.host, c.zone, ms, c.low, c.high)
		}
	}
	here := topology.Location{Longitude: 60} // four hours before UTC
	day := start - start%86_400_000
	if peak, low := f.load(here, day+16*3_600_000), f.load(here, day+4*3_600_000); math.Abs(peak-1) > 1e-9 || math.Abs(low-0.35) > 1e-9 {
		t.Errorf("peak %v, low %v", peak, low)
	}
}

func TestVantagePointsSpreadOverPaths(t *testing.T) {
	var zones []string
	for i := range 92 {
		zones = append(zones, fmt.Sprint("z", i))
	}
	seen := map[string]bool{}
	for i, z := range zones {
		list := own(zones, z, 5, mix(1, z))
		if len(list) != 5 || list[0] != z || len(slices.Compact(slices.Sorted(slices.Values(list)))) != 5 {
			t.Fatalf("%d: %v", i, list)
		}
		for _, to := range list {
			seen[to] = true
		}
	}
	if len(seen) != len(zones) {
		t.Errorf("%d of %d zones are probed", len(seen), len(zones))
	}
}

func TestMistakesHavePositions(t *testing.T) {
	f := func(replace, with, want string) {
		t.Helper()
		text := script + "  faults:\n    - {kind: zone_dark, zone: r1a, lasts: 10s}\n"
		changed := strings.Replace(text, replace, with, 1)
		if changed == text {
			t.Fatalf("%q does not occur", replace)
		}
		c, err := Parse("s.yaml", []byte(changed))
		if err == nil {
			top, _ := topology.Parse("t.yaml", []byte(twins))
			err = Check(c, top)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("seed: 1", "sead: 1", "s.yaml:4:3: spec.sead: unknown field")
	f("count: 2", "count: 2, total: 5", "s.yaml:6:7: spec.hosts[0]: want either count")
	f("lasts: 10s", "at: 10s", "spec.faults[0].lasts: is required")
	f("lasts: 10s", "lasts: 10s, every: 9s", "s.yaml:20:55: spec.faults[0].every: must be longer than it lasts, 10s, got 9s")
	f("zone_dark", "zone_gone", "spec.faults[0].kind: want zone_dark, region_slow")
	f("zone: r1a", "zone: r9", `spec.faults[0].zone: the topology has no zone of this name, got "r9"`)
	f("kind: zone_dark, zone: r1a", "kind: gpu_failing, host: host-r1a-0001, gpu: 2", "spec.faults[0].gpu: the host has 2 GPUs")
	f("zones: [r1a, r1b]", "zones: [r1a, r7]", "spec.services[0].zones[1]: the topology has no zone")
	f("region: r1,", "region: r8,", "spec.vantage[0].region: the topology has no region")
	f("median: 100ms", "median: 0s", "spec.services[0].measures[1].timing: want a median above 0")
	f("errors: 0.01", "errors: 1.5", "measures[2].requests.errors: want a share from 0 to 1, got 1.5")
	f("- probe: {}", "- {}", "measures[0]: want one of probe, timing, requests and packets")
	f("kind: Simulation", "kind: SLA", "want nines/v1 Simulation")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(script))
	f.Add([]byte("apiVersion: nines/v1\nkind: Simulation\nspec: {faults: [{}], services: [{measures: [{probe: null}]}]}"))
	top, err := topology.Parse("t.yaml", []byte(twins))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if err != nil {
			return
		}
		n := len(c.Vantage)
		for _, h := range c.Hosts {
			n += h.Total + 3*h.Count
		}
		if n > 50 || n < 0 {
			return
		}
		for _, s := range c.Services {
			for _, m := range s.Measures {
				if m.Timing != nil && m.Timing.PerSecond > 50 || m.Packets != nil && m.Packets.Samples > 50 || s.Paths > 50 {
					return
				}
			}
		}
		fl, err := New(Options{Config: c, Topology: top, Start: start})
		if err != nil {
			return
		}
		if _, err := fl.Advance(start + 2*fl.interval); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkAdvance(b *testing.B) {
	f := fleet(b, "", Options{})
	b.ReportAllocs()
	b.ResetTimer()
	samples := 0
	for range b.N {
		frames, err := f.Advance(f.Now() + 1000)
		if err != nil {
			b.Fatal(err)
		}
		samples += len(frames)
	}
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "frames/s")
}

// Several processes that each play a part send together what one would.
func TestShardsAreOneFleet(t *testing.T) {
	play := func(opt Options) map[string]string {
		f := fleet(t, everything, opt)
		out := map[string]string{}
		frames, err := f.Advance(start + 25_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, fr := range frames {
			out[fmt.Sprintf("%s %d", fr.Agent, fr.Item.Seq)] += string(fr.Item.Bytes)
		}
		return out
	}
	whole, parts := play(Options{Salt: 7}), map[string]string{}
	for i := range 3 {
		for k, v := range play(Options{Salt: 7, Shard: i, Shards: 3}) {
			parts[k] += v
		}
	}
	if len(whole) == 0 || len(whole) != len(parts) {
		t.Fatalf("%d frames, in parts %d", len(whole), len(parts))
	}
	for k, v := range whole {
		// A host that comes back has its numbers twice: by boot they are alike.
		if parts[k] != v {
			t.Errorf("frame %s differs", k)
		}
	}
	if _, err := New(Options{Config: fleet(t, "", Options{}).cfg, Topology: fleet(t, "", Options{}).top, Shard: 3, Shards: 3}); err == nil {
		t.Error("a fourth part of three was played")
	}
}

// A host has exactly as many series as it was asked for.
func TestHostsHaveAsManySeriesAsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gpus := rapid.IntRange(0, 8).Draw(t, "gpus")
		n := rapid.IntRange(hostSeries+10+gpuSeries*gpus, 400).Draw(t, "series")
		h := &host{cores: coresFor(n, gpus), gpus: gpus, series: n}
		f := &Fleet{schemas: map[[3]int]*telemetry.Schema{}}
		if got := len(f.hostSchema(h.cores, h.gpus, h.leftOut()).Series); got != n {
			t.Fatalf("%d series, want %d", got, n)
		}
	})
}

// Round trips of a network with detours, evenings and spikes: the same path both
// ways, longer at the peak, and a hundredth of them late.
func TestNetworkOfTheFleet(t *testing.T) {
	f := fleet(t, "", Options{})
	f.cfg.Network.Stretch, f.cfg.Network.Detours = 2.4, 0.5
	if a, b := f.stretch("r1", "r2"), f.stretch("r2", "r1"); a != b || a == 2.4 {
		t.Errorf("there %v, back %v", a, b)
	}
	var logs, squares float64
	const pairs = 4000
	for i := range pairs {
		x := math.Log(f.stretch("r1", fmt.Sprint(i)) / 2.4)
		logs, squares = logs+x, squares+x*x
	}
	if m, s := logs/pairs, math.Sqrt(squares/pairs); math.Abs(m) > 0.06 || math.Abs(s-0.5) > 0.06 {
		t.Errorf("ln of detours: mean %.3f, deviation %.3f, want 0 and 0.5", m, s)
	}
	n := NetworkConfig{Spikes: SpikesConfig{Share: 0.01, Spread: Spread{Median: time.Millisecond, P99: 10 * time.Millisecond}}}
	dice := rand.New(rand.NewPCG(1, 2))
	waits, long := 0, 0
	for range 200_000 {
		if w := n.wait(dice); w > 0 {
			waits++
			if w > 0.001 {
				long++
			}
		}
	}
	if waits < 1800 || waits > 2200 || long < 850 || long > 1150 {
		t.Errorf("%d of 200000 waited, %d of them longer than the median", waits, long)
	}
}
