package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"nines/agent/framing"
	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/sim"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/topology"
	"nines/internal/truth"
	"nines/internal/wire"
)

const faultTopology = `apiVersion: nines/v1
kind: Topology
spec:
  regions:
    - {id: r1, country: AE, location: {latitude: 25, longitude: 55}, zones: [r1a, r1b]}
    - {id: r2, country: SG, location: {latitude: 1, longitude: 104}, zones: [r2a]}
`

const faultFleet = `apiVersion: nines/v1
kind: Simulation
spec:
  seed: 3
  hosts:
    - {count: 2, gpus: 2, probers: 1}
  services:
    - name: shop
      gpu: true
      failover: 5s
      measures:
        - probe: {median: 3ms, p99: 9ms}
        - timing: {metric: answer_seconds, median: 100ms, p99: 200ms, perSecond: 3, underLoad: 1}
        - requests: {total: requests_total, bad: errors_total, perSecond: 40}
  faults:
    - %s
`

// faultStreams are objectives on all that the fleet measures, fine enough to
// tell where a fault strikes.
func faultStreams() map[string]*slo.Stream {
	rule := sla.SlotRule{Length: 10_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1}
	of := func(metric string) *slo.Selector { return &slo.Selector{Metric: metric} }
	return map[string]*slo.Stream{
		"reach":  {Sample: of("probe_success"), Op: slo.GTE, Threshold: 1, GroupBy: []string{"host", "zone"}, Vantage: "host", Bin: 1000, Rule: rule},
		"late":   {Sample: of("probe_latency_seconds"), Op: slo.LTE, Threshold: 0.3, GroupBy: []string{"region"}, Bin: 1000, Rule: rule},
		"answer": {Sample: of("answer_seconds"), Op: slo.LTE, Threshold: 0.5, GroupBy: []string{"host"}, Bin: 1000, Rule: rule},
		"errors": {Bad: of("errors_total"), Total: of("requests_total"), GroupBy: []string{"host"}, Bin: 1000, Rule: rule},
	}
}

// played is a fleet whose frames went through the pipeline.
type played struct {
	truth []byte
	led   *ledger.Ledger
	set   *slo.RuleSet
	names map[string]string // ID of a stream → its name here
}

// playFault plays three minutes with one fault; drop tells which frames are lost
// on their way to the log.
func playFault(t *testing.T, fault string, drop func(sim.Frame) bool) *played {
	t.Helper()
	top, err := topology.Parse("t.yaml", []byte(faultTopology))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(faultFleet, fault)
	if fault == "" {
		text = text[:strings.Index(text, "  faults:")]
	}
	cfg, err := sim.Parse("s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p := &played{set: &slo.RuleSet{Streams: map[string]*slo.Stream{}}, names: map[string]string{}}
	for name, st := range faultStreams() {
		p.set.Streams[st.ID()] = st
		p.names[st.ID()] = name
		p.set.Objectives = append(p.set.Objectives, &slo.Objective{Name: name, Service: "shop", StreamID: st.ID(), Target: sla.Ratio{Num: 99, Den: 100}, Budgeting: "Occurrences", Window: 30 * 86_400_000})
	}
	var file bytes.Buffer
	w := truth.NewWriter(&file, truth.Head{Start: epoch, Seed: 3, Shard: "1/1", Hosts: 6})
	fleet, err := sim.New(sim.Options{Config: cfg, Topology: top, Start: epoch,
		Truth: func(o sim.Outcome) { w.Sample(o.Time, o.Host, o.Labels, o.Series, o.Value) },
		Fates: func(f sim.Fate) {
			switch f.Step {
			case sim.Made:
				w.Framed(f.Host, f.Boot, f.Seq)
			case sim.Sent:
				w.Sent(f.Host, f.Boot, f.Seq)
			case sim.Lost:
				w.Lost(f.Host, f.Boot, f.Seq)
			}
		}, SpoolBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	led, done, err := replay.Temporary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	})
	p.led = led
	p.run(t, fleet, drop)
	if err := w.Close(truth.End{End: fleet.Now(), Complete: true}); err != nil {
		t.Fatal(err)
	}
	p.truth = file.Bytes()
	return p
}

func (p *played) run(t *testing.T, fleet *sim.Fleet, drop func(sim.Frame) bool) {
	t.Helper()
	const partitions = 2
	pipe, err := replay.New(t.Context(), replay.Options{Rules: p.set, Ledger: p.led, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(pipe.Tick(epoch))
	for now := epoch + 1000; now <= epoch+180_000; now += 1000 {
		frames, err := fleet.Advance(now)
		check(err)
		for _, f := range frames {
			if drop == nil || !drop(f) {
				check(pipe.Record(int(framing.Partition(f.Zone, f.Host, partitions)), wire.TypeFrame, f.Item.Bytes))
			}
		}
		check(pipe.Tick(now))
	}
	check(pipe.Tick(epoch + 600_000)) // all slots close
	check(pipe.Commit())
}

// verify holds the ledger against the truth, with each of its lines as change
// gives it back.
func (p *played) verify(t *testing.T, change func(line string) []string) (*truth.Counts, *truth.Report) {
	t.Helper()
	gaps, err := p.led.Gaps(t.Context(), access.Local(), 0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	c, err := truth.NewCounts(p.set, gaps)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(p.truth)) {
		list := []string{line}
		if change != nil {
			list = change(line)
		}
		for _, l := range list {
			text.WriteString(l)
		}
	}
	if err := truth.Read("truth", strings.NewReader(text.String()), c); err != nil {
		t.Fatal(err)
	}
	r, err := c.Compare(t.Context(), p.led, p.set)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// hurt returns the groups of a stream that have bad slots, and when within the
// play they are, in seconds.
func (p *played) hurt(t *testing.T, stream string) (groups []string, from, until int64) {
	t.Helper()
	for id, name := range p.names {
		if name != stream {
			continue
		}
		err := p.led.Slots(context.Background(), access.Local(), id, epoch, epoch+200_000, func(g ledger.Group, slots []ledger.Slot) error {
			for _, s := range slots {
				if s.State != sla.Bad {
					continue
				}
				at := (s.Start - epoch) / 1000
				if len(groups) == 0 {
					from = at
				}
				from, until = min(from, at), max(until, at+10)
				groups = append(groups, strings.Join(values(g), "→"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), from, until
}

func values(g ledger.Group) (out []string) {
	for _, name := range []string{"region", "host", "zone"} {
		if v := g.Labels.Get(name); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// Each kind of fault shows in the truth, and in the ledger where and while it
// strikes and nowhere else; and the ledger has every sample of the truth once.
func TestFaultsShowInTheTruthAndInTheLedger(t *testing.T) {
	f := func(name, fault, stream, want string, more func(t *testing.T, p *played, c *truth.Counts)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := playFault(t, fault, nil)
			c, r := p.verify(t, nil)
			if r.Slots == 0 || r.Same != r.Slots || len(c.Unreported) > 0 {
				t.Errorf("%d of %d slots agree; differences %v, unreported %v", r.Same, r.Slots, r.Differences, c.Unreported)
			}
			groups, from, until := p.hurt(t, stream)
			if got := fmt.Sprintf("%v %d-%d", groups, from, until); got != want {
				t.Errorf("bad slots of %s: %s, want %s", stream, got, want)
			}
			if more != nil {
				more(t, p, c)
			}
		})
	}
	// lines counts lines of the truth of one series within a time of the play.
	lines := func(p *played, host, name string, from, until int64, is func(v float64) bool) (n int) {
		r := &samplesOf{host: host, name: name, is: func(at int64, v float64) bool { return at >= epoch+from*1000 && at < epoch+until*1000 && is(v) }}
		if err := truth.Read("truth", bytes.NewReader(p.truth), r); err != nil {
			panic(err)
		}
		return r.n
	}
	failed := func(v float64) bool { return v == 0 }
	any := func(float64) bool { return true }
	f("nothing", "", "reach", "[] 0-0", nil)
	f("zone dark", "{kind: zone_dark, zone: r1a, at: 60s, lasts: 40s}", "reach", "[host-r1b-0001→r1a host-r2a-0001→r1a] 60-100", func(t *testing.T, p *played, c *truth.Counts) {
		if a, b := lines(p, "host-r1b-0001", "probe_success", 60, 100, failed), lines(p, "host-r1a-0001", "probe_blind", 60, 100, any); a != 40 || b != 3*40 {
			t.Errorf("the truth has %d failures from elsewhere and %d blind attempts from within", a, b)
		}
	})
	f("region slow", "{kind: region_slow, region: r2, factor: 40, at: 50s, lasts: 30s}", "late", "[r2] 50-80", func(t *testing.T, p *played, _ *truth.Counts) {
		slow := func(v float64) bool { return v > 0.3 }
		if during, else_ := lines(p, "", "probe_latency_seconds", 50, 80, slow), lines(p, "", "probe_latency_seconds", 0, 50, slow); during < 60 || else_ > 3 {
			t.Errorf("the truth has %d late answers while it is slow, %d before", during, else_)
		}
	})
	f("path lossy", "{kind: path_lossy, from: r1b, to: r2a, loss: 0.6, at: 40s, lasts: 30s}", "reach", "[host-r1b-0001→r2a] 40-70", func(t *testing.T, p *played, _ *truth.Counts) {
		if a, b := lines(p, "host-r1b-0001", "probe_success", 40, 70, failed), lines(p, "host-r1a-0001", "probe_success", 40, 70, failed); a < 8 || b != 0 {
			t.Errorf("the truth has %d failures on the path, %d beside it", a, b)
		}
	})
	// Three of a zone's four GPUs are gone: it takes four times as long, and a
	// third of all users are its own.
	f("GPU failing", "{kind: gpu_failing, host: host-r1a-0002, gpu: 1, at: 40s, lasts: 30s}\n    - {kind: gpu_failing, host: host-r1a-0002, gpu: 0, at: 40s, lasts: 30s}\n    - {kind: gpu_failing, host: host-r1a-0001, gpu: 0, at: 40s, lasts: 30s}",
		"answer", "[host-r1a-0001 host-r1b-0001 host-r2a-0001] 40-70", func(t *testing.T, p *played, _ *truth.Counts) {
			slow := func(v float64) bool { return v > 0.35 }
			if during, before := lines(p, "host-r1b-0001", "answer_seconds", 40, 70, slow), lines(p, "host-r1b-0001", "answer_seconds", 10, 40, slow); during < 10 || during < 3*before {
				t.Errorf("the truth has %d slow answers meanwhile, %d before", during, before)
			}
		})
	f("agent silent", "{kind: agent_silent, host: host-r1b-0001, at: 45s, lasts: 40s}", "reach", "[] 0-0", func(t *testing.T, p *played, _ *truth.Counts) {
		if n := lines(p, "host-r1b-0001", "", 45, 85, any); n != 0 {
			t.Errorf("the truth has %d samples of an agent that did not run", n)
		}
		if n := p.unknown(t, "host-r1b-0001"); n < 3 {
			t.Errorf("the ledger has %d unknown slots of it", n)
		}
		gaps, err := p.led.Gaps(t.Context(), access.Local(), 0, math.MaxInt64)
		if err != nil || len(gaps) != 1 || gaps[0].Agent != "host-r1b-0001" || gaps[0].Reason != wire.ReasonRestart || gaps[0].To-gaps[0].From < 39_000 {
			t.Errorf("gaps %+v, %v", gaps, err)
		}
	})
	// The clock is twenty seconds fast: for as long nothing is measured by it, and
	// then twice as much.
	f("clock step", "{kind: clock_step, host: host-r1b-0001, by: 20s, at: 60s, lasts: 40s}", "reach", "[] 0-0", func(t *testing.T, p *played, _ *truth.Counts) {
		if a, b := lines(p, "host-r1b-0001", "probe_success", 60, 80, any), lines(p, "host-r1b-0001", "probe_success", 100, 120, any); a != 0 || b != 2*3*20 {
			t.Errorf("the truth has %d samples of the time that was left out, %d of that which came twice", a, b)
		}
		if n := p.unknown(t, "host-r1b-0001"); n == 0 {
			t.Error("the ledger has no unknown slot")
		}
	})
	// An agent that is killed in a dark zone takes what it kept with it, and the
	// ledger reports it.
	f("killed in the dark", "{kind: zone_dark, zone: r1a, at: 60s, lasts: 40s}\n    - {kind: agent_silent, host: host-r1a-0001, at: 80s, lasts: 5s}", "reach", "[host-r1b-0001→r1a host-r2a-0001→r1a] 60-100", func(t *testing.T, p *played, c *truth.Counts) {
		if c.Lost == 0 {
			t.Error("nothing was lost")
		}
	})
}

// samplesOf counts samples of a series.
type samplesOf struct {
	host, name string
	is         func(at int64, v float64) bool
	series     []truth.Series
	n          int
}

func (r *samplesOf) Head(truth.Head)              {}
func (r *samplesOf) Fault(truth.Fault)            {}
func (r *samplesOf) Series(_ int, s truth.Series) { r.series = append(r.series, s) }
func (r *samplesOf) Frame(truth.Frame)            {}
func (r *samplesOf) End(truth.End)                {}
func (r *samplesOf) Sample(i int, at int64, v float64) {
	s := &r.series[i]
	if (r.host == "" || s.Host == r.host) && (r.name == "" || s.Name == r.name) && r.is(at, v) {
		r.n++
	}
}

// unknown counts unknown slots of a host's probes during the play.
func (p *played) unknown(t *testing.T, host string) (n int) {
	t.Helper()
	for id, name := range p.names {
		if name != "reach" {
			continue
		}
		err := p.led.Slots(t.Context(), access.Local(), id, epoch, epoch+170_000, func(g ledger.Group, slots []ledger.Slot) error {
			for _, s := range slots {
				if g.Labels.Get("host") == host && g.Labels.Get("zone") == "r1a" && s.State == sla.Unknown {
					n++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// The comparison is exact: one sample that is withheld, doubled or moved is found
// with its slot and both figures, wherever a gap happens to be.
func TestOneSampleTooFewTooManyOrElsewhereIsFound(t *testing.T) {
	lost := func(f sim.Frame) bool { return f.Host == "host-r1b-0001" && f.Item.Seq >= 63 && f.Item.Seq <= 65 }
	p := playFault(t, "", lost)
	if c, r := p.verify(t, nil); r.Same != r.Slots || c.Lost == 0 || len(c.Unreported) > 0 {
		t.Fatalf("three lost frames: %d of %d slots agree, %d samples are lost: %v", r.Same, r.Slots, c.Lost, r.Differences)
	}
	// The first sample of the probes after the third part of the play, in the very
	// slots of the frames that were lost.
	f := func(what, want string, change func(line string) []string) {
		t.Helper()
		done := false
		_, r := p.verify(t, func(line string) []string {
			var s, at int64
			var v float64
			if n, _ := fmt.Sscanf(line, `{"s":%d,"t":%d,"v":%g}`, &s, &at, &v); done || n != 3 || at < epoch+66_500 || v != 1 {
				return []string{line}
			}
			done = true
			return change(line)
		})
		var got []string
		for _, d := range r.Differences {
			got = append(got, fmt.Sprint((d.Start-epoch)/1000, " ", d.What))
		}
		if !done || len(r.Differences) == 0 || r.Wrong() != len(r.Differences) || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", what, got, want)
		}
	}
	move := func(line string) []string {
		var s, at int64
		fmt.Sscanf(line, `{"s":%d,"t":%d,`, &s, &at)
		return []string{strings.Replace(line, fmt.Sprint(at), fmt.Sprint(at+10_000), 1)}
	}
	f("withheld", "[60 the ledger has 10 good of 10, the truth is 9 good of 9]", func(string) []string { return nil })
	f("doubled", "[60 the ledger has 10 good of 10, the truth is 11 good of 11]", func(l string) []string { return []string{l, l} })
	f("moved", "[60 the ledger has 10 good of 10, the truth is 9 good of 9 70 the ledger has 10 good of 10, the truth is 11 good of 11]", move)

	// Frames that were lost and of which the ledger knew nothing would be found.
	gone := p.truth
	p.truth = bytes.ReplaceAll(gone, []byte(`"frame":63,"host":"host-r1b-0001"`), []byte(`"frame":630,"host":"host-r1b-0001"`))
	if _, r := p.verify(t, nil); r.Wrong() == 0 {
		t.Error("a frame that no gap names was taken for lost")
	}
	p.truth = bytes.ReplaceAll(gone, []byte(`"frame":70,"host":"host-r1b-0001","boot"`), []byte(`"lost":true,"frame":70,"host":"host-r1b-0001","boot"`))
	if c, _ := p.verify(t, nil); len(c.Unreported) != 1 || c.Unreported[0].Frame.Frame != 70 {
		t.Errorf("unreported %+v", c.Unreported)
	}
}
