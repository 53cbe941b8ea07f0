package aggregate

import (
	"testing"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const epoch = int64(1_790_000_040_000) // a whole minute

func gauge(name, target string) telemetry.Series {
	return telemetry.Series{Name: name, Kind: telemetry.Gauge, Labels: telemetry.Labels{{Name: "target", Value: target}}}
}

func counterSeries(name string, fresh bool) telemetry.Series {
	return telemetry.Series{Name: name, Kind: telemetry.Counter, Fresh: fresh}
}

func slotRule() sla.SlotRule {
	return sla.SlotRule{Length: 60_000, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1}
}

func probeStream() *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1,
		GroupBy: []string{"target"}, Vantage: "host", Bin: 1000, Rule: slotRule()}
}

func latencyStream() *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "probe_latency_seconds"}, Op: slo.LTE, Threshold: 0.2, Histogram: true,
		GroupBy: []string{"target"}, Bin: 1000, Rule: slotRule()}
}

func requestStream() *slo.Stream {
	return &slo.Stream{Bad: &slo.Selector{Metric: "errors_total"}, Total: &slo.Selector{Metric: "requests_total"},
		GroupBy: []string{"region"}, Bin: 1000, Rule: slotRule()}
}

// ruleBook knows rule sets by ID.
type ruleBook map[string]*slo.RuleSet

func (b ruleBook) add(streams ...*slo.Stream) string {
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	for _, s := range streams {
		set.Streams[s.ID()] = s
	}
	b[set.ID()] = set
	return set.ID()
}

func (b ruleBook) get(id string) (*slo.RuleSet, bool) { s, ok := b[id]; return s, ok }

type record struct {
	typ   string
	value []byte
}

// fixture feeds a state with the records of a partition and keeps the log.
type fixture struct {
	t     tester
	rules ruleBook
	set   string
	state *State
	enc   wire.Encoder
	log   []record
	out   []*wire.Partial
	dead  []*wire.DeadLetter
	saved [][]byte
}

// tester is what the fixture needs of testing.TB and of rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

func newFixture(t tester, streams ...*slo.Stream) *fixture {
	f := &fixture{t: t, rules: ruleBook{}}
	f.set = f.rules.add(streams...)
	f.state = NewState(3, 4, 1, 0, f.rules.get)
	return f
}

func (f *fixture) apply(typ string, value []byte) *wire.Partial {
	f.t.Helper()
	f.log = append(f.log, record{typ, value})
	out, err := applyAny(f.state, typ, value)
	if err != nil {
		f.t.Fatal(err)
	}
	if out.Dead != nil {
		f.dead = append(f.dead, out.Dead)
	}
	if out.Checkpoint {
		data, err := f.state.Checkpoint(CRC(value))
		if err != nil {
			f.t.Fatal(err)
		}
		f.saved = append(f.saved, data)
	}
	if out.Partial != nil {
		f.out = append(f.out, out.Partial)
	}
	return out.Partial
}

func (f *fixture) tick(at int64) *wire.Partial {
	f.t.Helper()
	tick := wire.Tick{Clock: at, Incarnation: 1, RuleSet: f.set}
	return f.apply(wire.TypeTick, wire.AppendTick(nil, &tick))
}

func hostLabels(host string) telemetry.Labels {
	return telemetry.NewLabels(map[string]string{"host": host, "region": "r1"})
}

// encode returns a frame of one block; values are column-major.
func (f *fixture) encode(agent string, boot, seq uint64, schema *telemetry.Schema, define bool, times []int64, values ...float64) []byte {
	fr := telemetry.Frame{Agent: agent, Boot: boot, Seq: seq, SendTime: times[len(times)-1], Host: hostLabels(agent)}
	fr.Blocks = []telemetry.Block{{Fingerprint: schema.Fingerprint, Schema: schema, Times: times, Values: values}}
	return f.enc.AppendFrame(nil, &fr, func(uint64) bool { return define })
}

func (f *fixture) frame(agent string, boot, seq uint64, schema *telemetry.Schema, at int64, values ...float64) {
	f.t.Helper()
	f.apply(wire.TypeFrame, f.encode(agent, boot, seq, schema, true, []int64{at}, values...))
}

// sum adds up what the partials say of all groups.
func sum(ps ...*wire.Partial) (good, total, blind uint64) {
	for _, p := range ps {
		for _, c := range p.Counts {
			good, total, blind = good+c.Good, total+c.Total, blind+c.Blind
		}
	}
	return good, total, blind
}

func (f *fixture) wantSum(what string, good, total uint64) {
	f.t.Helper()
	if g, n, _ := sum(f.out...); g != good || n != total {
		f.t.Errorf("%s: %d of %d, want %d of %d", what, g, n, good, total)
	}
}

func (f *fixture) gaps(reason string) (out []wire.Gap) {
	for _, p := range f.out {
		for _, g := range p.Gaps {
			if g.Reason == reason {
				out = append(out, g)
			}
		}
	}
	return out
}

// undecoded is how many records gaps of that reason name.
func (f *fixture) undecoded() (n int) {
	for _, g := range f.gaps(wire.ReasonUndecoded) {
		n += int(g.LastSeq-g.FirstSeq) + 1
	}
	return n
}

func (f *fixture) unplaced() (good, total uint64, n int) {
	for _, p := range f.out {
		for _, u := range p.Unplaced {
			good, total, n = good+u.Good, total+u.Total, n+1
		}
	}
	return good, total, n
}

func wantEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
