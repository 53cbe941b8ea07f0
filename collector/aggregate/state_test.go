package aggregate

import (
	"math"
	"slices"
	"testing"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

var success = telemetry.NewSchema([]telemetry.Series{gauge("probe_success", "a"), gauge("probe_success", "b")})

func TestCutsAtTicksAndEvery4096thRecord(t *testing.T) {
	f := newFixture(t, probeStream())
	p := f.tick(epoch)
	if p == nil || p.From != 0 || p.To != 1 || p.LogTime != epoch || p.Source != 3 || p.Sources != 4 || p.RuleSet != f.set {
		t.Fatalf("first tick: %+v", p)
	}
	garbage := func(n int) (cuts []int64) {
		for range n {
			if p := f.apply("", []byte("x")); p != nil {
				cuts = append(cuts, p.To)
			}
		}
		return cuts
	}
	if cuts := garbage(4095); cuts != nil {
		t.Errorf("cut at %v, want none", cuts)
	}
	f.tick(epoch + 250)
	if cuts := garbage(2*4096 + 7); !slices.Equal(cuts, []int64{4097 + 4096, 4097 + 2*4096}) {
		t.Errorf("cut at %v", cuts)
	}
	last := f.tick(epoch + 500)
	wantEqual(t, "the tick's stretch", last.To-last.From, 8)
	for i := 1; i < len(f.out); i++ {
		wantEqual(t, "partials join", f.out[i].From, f.out[i-1].To)
	}
	back := f.tick(epoch) // another owner's clock is behind
	wantEqual(t, "log time never falls", back.LogTime, epoch+500)
}

func TestRepeatsAreDropped(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch+300, 1, 0)
	f.frame("h", 7, 2, success, epoch+1300, 1, 1)
	f.frame("h", 7, 1, success, epoch+300, 1, 0)
	f.frame("h", 7, 2, success, epoch+1300, 1, 1)
	p := f.tick(epoch + 15_000)
	f.wantSum("after repeats", 3, 4)
	if len(p.Agents) != 1 || p.Agents[0].Repeats != 2 || p.Agents[0].Frames != 2 || p.Agents[0].Samples != 4 || p.Agents[0].LastSeq != 2 {
		t.Errorf("agents: %+v", p.Agents)
	}
	if len(p.Gaps) != 0 {
		t.Errorf("gaps: %+v", p.Gaps)
	}
}

func TestGapsHaveTimeRanges(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch+1000, 1, 1)
	f.frame("h", 7, 5, success, epoch+5000, 1, 1) // 2-4 were lost
	f.frame("h", 8, 1, success, epoch+9000, 1, 1) // another boot
	f.apply("", []byte("garbage"))
	f.apply(wire.TypeFrame, []byte("garbage"))
	f.apply(wire.TypeFrame, f.encode("h", 8, 2, telemetry.NewSchema([]telemetry.Series{gauge("x", "y")}), false, []int64{epoch + 10_000, epoch + 11_000}, 1, 1))
	f.frame("h", 8, 3, success, epoch+futureBound+15_000, 1, 1)
	f.frame("h", 8, 4, success, 86_400_000, 1, 1) // a clock that began in 1970
	f.apply(wire.TypeFrame, f.encode("h", 8, 5, success, true, []int64{epoch + 12_000, epoch + futureBound + 1, epoch + futureBound + 2}, 1, 1, 1, 1, 1, 1))
	p := f.tick(epoch + 15_000)
	want := func(reason string, gaps ...wire.Gap) {
		t.Helper()
		for i := range gaps {
			gaps[i].Reason = reason
		}
		if got := f.gaps(reason); !slices.Equal(got, gaps) {
			t.Errorf("%s: got %+v, want %+v", reason, got, gaps)
		}
	}
	want(wire.ReasonSequence, wire.Gap{Agent: "h", Boot: 7, FirstSeq: 2, LastSeq: 4, From: epoch + 1000, To: epoch + 5000})
	want(wire.ReasonRestart, wire.Gap{Agent: "h", Boot: 8, From: epoch + 5000, To: epoch + 9000})
	want(wire.ReasonUndecoded, wire.Gap{FirstSeq: 4, LastSeq: 5})
	want(wire.ReasonSchema, wire.Gap{Agent: "h", Boot: 8, FirstSeq: 2, LastSeq: 2, From: epoch + 10_000, To: epoch + 11_000})
	want(wire.ReasonFuture, wire.Gap{Agent: "h", Boot: 8, FirstSeq: 3, LastSeq: 3, From: epoch + futureBound + 15_000, To: epoch + futureBound + 15_000},
		wire.Gap{Agent: "h", Boot: 8, FirstSeq: 5, LastSeq: 5, From: epoch + futureBound + 1, To: epoch + futureBound + 2})
	want(wire.ReasonPast, wire.Gap{Agent: "h", Boot: 8, FirstSeq: 4, LastSeq: 4, From: 86_400_000, To: 86_400_000})
	f.wantSum("what was believed", 8, 8)
	wantEqual(t, "dead letters", len(f.dead), 2)
	for _, a := range p.Agents {
		if a.Boot == 8 && (a.Newest != epoch+12_000 || a.Samples != 4) {
			t.Errorf("what is refused is counted or believed: %+v", a)
		}
	}
}

// After an agent's clock was set back a gap begins with the last frame that is
// there, not with the newest time that ever was.
func TestGapsAfterAClockWasSetBack(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch+20_000, 1, 1)
	f.frame("h", 7, 2, success, epoch+5_000, 1, 1)
	f.frame("h", 7, 4, success, epoch+7_000, 1, 1)
	f.frame("h", 8, 1, success, epoch+3_000, 1, 1)
	f.tick(epoch + 21_000)
	want := func(reason string, g wire.Gap) {
		t.Helper()
		if got := f.gaps(reason); len(got) != 1 || got[0] != g {
			t.Errorf("gaps: %+v, want %+v", got, g)
		}
	}
	want(wire.ReasonSequence, wire.Gap{Agent: "h", Boot: 7, FirstSeq: 3, LastSeq: 3, From: epoch + 5_000, To: epoch + 7_000, Reason: wire.ReasonSequence})
	want(wire.ReasonRestart, wire.Gap{Agent: "h", Boot: 8, From: epoch + 3_000, To: epoch + 7_000, Reason: wire.ReasonRestart})
}

func TestLossesOfTheLogAreDatedAndStandAlone(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch+100, 1, 1)
	ps := f.state.Lost(50)
	if len(ps) != 2 || ps[0].From != 1 || ps[0].To != 2 || len(ps[0].Counts) == 0 {
		t.Fatalf("what was read goes first: %+v", ps)
	}
	want := wire.Gap{FirstSeq: 2, LastSeq: 49, From: epoch, To: epoch, Reason: wire.ReasonLog}
	if p := ps[1]; p.From != 2 || p.To != 50 || len(p.Counts) != 0 || len(p.Gaps) != 1 || p.Gaps[0] != want {
		t.Errorf("the loss: %+v", p)
	}
	if more := f.state.Lost(50); more != nil {
		t.Errorf("nothing more is lost: %+v", more)
	}
	f.state.Reincarnate(0)
	p := f.tick(epoch + 4000)
	want = wire.Gap{FirstSeq: 50, LastSeq: 50, From: epoch, To: epoch + 4000, Reason: wire.ReasonLog}
	if p.Incarnation != 2 || p.From != 0 || p.To != 1 || len(p.Gaps) != 1 || p.Gaps[0] != want {
		t.Errorf("a new life: %+v", p)
	}
}

func TestAStateWithoutCheckpointLearnsTheIncarnation(t *testing.T) {
	f := newFixture(t, probeStream())
	p := f.apply(wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: epoch, Incarnation: 5, RuleSet: f.set}))
	wantEqual(t, "incarnation", p.Incarnation, 5)
}

var counted = telemetry.NewSchema([]telemetry.Series{counterSeries("errors_total", true), counterSeries("requests_total", true)})
var foreign = telemetry.NewSchema([]telemetry.Series{counterSeries("errors_total", false), counterSeries("requests_total", false)})

func TestCounters(t *testing.T) {
	type step struct {
		boot, seq        uint64
		at               int64 // seconds
		errors, requests float64
	}
	run := func(name string, schema *telemetry.Schema, good, total, lostGood, lostTotal uint64, steps ...step) {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, requestStream())
			f.tick(epoch)
			for _, s := range steps {
				f.frame("h", s.boot, s.seq, schema, epoch+s.at*1000, s.errors, s.requests)
				f.tick(epoch + s.at*1000)
			}
			f.wantSum("counted", good, total)
			if g, n, _ := f.unplaced(); g != lostGood || n != lostTotal {
				t.Errorf("unplaced %d of %d, want %d of %d", g, n, lostGood, lostTotal)
			}
		})
	}
	run("a first value is the base", foreign, 8, 10, 0, 0, step{7, 1, 1, 100, 1000}, step{7, 2, 2, 102, 1010})
	run("unless it is fresh", counted, 8, 10, 0, 0, step{7, 1, 1, 2, 10})
	run("a new boot counts from zero again", counted, 16, 20, 0, 0, step{7, 1, 1, 2, 10}, step{8, 1, 2, 2, 10})
	run("a host's counter outlives the agent", foreign, 8, 10, 0, 0, step{7, 1, 1, 100, 1000}, step{8, 1, 2, 102, 1010})
	run("a reset", foreign, 4, 5, 0, 0, step{7, 1, 1, 100, 1000}, step{7, 2, 2, 1, 5})
	run("an increment across a minute and more has no slot", foreign, 8, 10, 90, 100,
		step{7, 1, 1, 0, 0}, step{7, 2, 2, 2, 10}, step{7, 9, 70, 12, 110})
	run("a fresh one that appears after a gap", counted, 0, 0, 90, 100, step{7, 9, 5, 10, 100})
	run("an older value than the last", foreign, 8, 10, 0, 0, step{7, 1, 1, 0, 0}, step{7, 2, 3, 2, 10}, step{7, 3, 2, 1, 5})
	run("impossible values", counted, 0, 0, 0, 0, step{7, 1, 1, math.NaN(), -1}, step{7, 2, 2, math.Inf(1), math.Inf(-1)})
}

// The series appears with its first failure, in a frame after lost ones.
func TestAFreshCounterIsZeroUntilTheFrameBefore(t *testing.T) {
	f := newFixture(t, requestStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch+1000, 1, 1)
	f.frame("h", 7, 2, counted, epoch+2000, 1, 10)
	f.tick(epoch + 2000)
	f.wantSum("right away", 9, 10)
	f.frame("g", 7, 1, success, epoch+3000, 1, 1)
	f.tick(epoch + 120_000)
	f.frame("g", 7, 100, counted, epoch+120_000, 1, 10)
	f.tick(epoch + 121_000)
	f.wantSum("after two minutes of loss", 9, 10)
	if g, n, _ := f.unplaced(); g != 9 || n != 10 {
		t.Errorf("unplaced %d of %d", g, n)
	}
}

func TestBadAndTotalComeOutRightInAnyOrder(t *testing.T) {
	bad := telemetry.NewSchema(counted.Series[:1])
	total := telemetry.NewSchema(counted.Series[1:])
	f := newFixture(t, requestStream())
	f.tick(epoch)
	f.frame("h", 7, 1, bad, epoch+1000, 3)
	f.tick(epoch + 1250)
	f.frame("h", 7, 2, total, epoch+1000, 10)
	f.tick(epoch + 1500)
	f.wantSum("bad first", 7, 10)
}

func TestBlindAttemptsAreNeitherGoodNorBad(t *testing.T) {
	blind := telemetry.NewSchema([]telemetry.Series{gauge("probe_blind", "a")})
	f := newFixture(t, probeStream())
	f.tick(epoch)
	f.frame("h", 7, 1, blind, epoch+300, 1)
	p := f.tick(epoch + 1000)
	if g, n, b := sum(p); g != 0 || n != 0 || b != 1 {
		t.Errorf("got %d of %d, %d blind", g, n, b)
	}
	if p.Counts[0].Vantage != "h" {
		t.Errorf("vantage point %q", p.Counts[0].Vantage)
	}
}

func TestRulesSwitchAtATick(t *testing.T) {
	kept, old, next := latencyStream(), probeStream(), probeStream()
	next.Rule.MaxRatio.Den = 20
	both := telemetry.NewSchema([]telemetry.Series{gauge("probe_success", "a"), gauge("probe_latency_seconds", "a")})
	f := newFixture(t, kept, old)
	f.tick(epoch)
	at := func(s int64, seq uint64) map[string]int {
		f.frame("h", 7, seq, both, epoch+s*1000, 1, 0.1)
		n := map[string]int{}
		for _, c := range f.tick(epoch + s*1000 + 100).Counts {
			n[c.Group.Stream] += int(c.Total)
		}
		return n
	}
	want := func(what string, got map[string]int, k, o, x int) {
		t.Helper()
		if got[kept.ID()] != k || got[old.ID()] != o || got[next.ID()] != x {
			t.Errorf("%s: kept %d, old %d, next %d", what, got[kept.ID()], got[old.ID()], got[next.ID()])
		}
	}
	want("before", at(1, 1), 1, 1, 0)
	f.set = f.rules.add(kept, next)
	f.tick(epoch + 2000)
	want("after, in the same slot", at(3, 2), 1, 1, 0)
	want("in the next slot", at(60, 3), 1, 0, 1)
	// Unknown sets change nothing and may be tried again.
	f.set = "0123456789abcdef"
	bad := wire.AppendTick(nil, &wire.Tick{Clock: epoch + 61_000, RuleSet: f.set})
	pos := f.state.Position()
	if _, err := f.state.Apply(pos, wire.TypeTick, bad); err == nil || f.state.Position() != pos || f.state.RuleSet() == f.set {
		t.Errorf("an unknown rule set: %v, position %d", err, f.state.Position())
	}
}

// A stream that is new counts what happens from its first slot on, not what a
// counter has summed up before.
func TestANewStreamDoesNotCountThePast(t *testing.T) {
	for _, restart := range []bool{false, true} {
		f := newFixture(t, probeStream())
		f.tick(epoch)
		f.frame("h", 7, 1, counted, epoch+1000, 50, 100)
		f.set = f.rules.add(probeStream(), requestStream())
		f.tick(epoch + 30_000) // a sketch cut
		if restart {
			var err error
			if f.state, _, err = Restore(f.saved[len(f.saved)-1], 4, f.rules.get); err != nil {
				t.Fatal(err)
			}
		}
		f.frame("h", 7, 2, counted, epoch+61_000, 60, 120) // the first sight of it
		f.frame("h", 7, 3, counted, epoch+62_000, 61, 125)
		f.tick(epoch + 63_000)
		f.wantSum("only what came after", 4, 5)
	}
}

func TestZeroLengthsAreRefused(t *testing.T) {
	st := probeStream()
	st.Bin = 0
	f := newFixture(t, st)
	tick := wire.AppendTick(nil, &wire.Tick{Clock: epoch, RuleSet: f.set})
	if _, err := f.state.Apply(0, wire.TypeTick, tick); err == nil {
		t.Error("a stream with bins of no length was taken")
	}
}

func TestAnnouncementsOnceAMinute(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	var announced []int
	for i := range int64(8) {
		at := epoch + i*20_000
		f.frame("h", 7, uint64(i+1), success, at, 1, 1)
		announced = append(announced, len(f.tick(at).Groups))
	}
	if !slices.Equal(announced, []int{2, 0, 0, 2, 0, 0, 2, 0}) {
		t.Errorf("announced %v", announced)
	}
}

func TestSketchesAndAgentsAtSketchCutsOnly(t *testing.T) {
	latency := telemetry.NewSchema([]telemetry.Series{gauge("probe_latency_seconds", "a")})
	f := newFixture(t, latencyStream())
	f.tick(epoch)
	var at []int64
	var n uint64
	for i := range int64(160) {
		v := 0.1
		if i%4 == 0 {
			v = math.Inf(1)
		}
		if i%2 == 0 {
			f.frame("h", 7, uint64(i/2+1), latency, epoch+i*250, v)
		}
		p := f.tick(epoch + i*250 + 1)
		if (len(p.Sketches) > 0) != (len(p.Agents) > 0) {
			t.Fatal("sketches and agents are cut apart")
		}
		for _, k := range p.Sketches {
			at, n = append(at, (p.LogTime-epoch)/1000), n+k.Hist.Count
		}
	}
	f.tick(epoch + 45_000)
	for _, k := range f.out[len(f.out)-1].Sketches {
		n += k.Hist.Count
	}
	if !slices.Equal(at, []int64{15, 30}) || n != 80 {
		t.Errorf("sketches at %v with %d samples", at, n)
	}
	f.wantSum("time-outs are above the threshold", 40, 80)
}

func TestWhatNobodyFeedsIsForgotten(t *testing.T) {
	f := newFixture(t, probeStream(), requestStream())
	f.tick(epoch)
	f.frame("h", 7, 1, success, epoch, 1, 1)
	f.frame("g", 7, 1, counted, epoch, 1, 1)
	f.tick(epoch + agentLife/2)
	f.frame("g", 7, 2, counted, epoch+agentLife/2, 1, 1)
	f.tick(epoch + agentLife + 60_000)
	f.tick(epoch + agentLife + 2*sweepEvery)
	s := f.state
	if len(s.boots) != 1 || len(s.schemas) != 1 || len(s.counters) != 2 || len(s.order) != 1 || s.groups.Len() != 1 || len(s.classes) != 1 {
		t.Errorf("boots %d, schemas %d, counters %d, cells %d, groups %d", len(s.boots), len(s.schemas), len(s.counters), len(s.order), s.groups.Len())
	}
	f.frame("g", 7, 3, counted, epoch+agentLife+2*sweepEvery, 1, 5)
	f.tick(epoch + agentLife + 2*sweepEvery + 1000)
	if _, n, _ := f.unplaced(); n != 4 {
		t.Errorf("unplaced %d, want the increment since the last value", n)
	}
}

func TestADenseReplayIsCutByBins(t *testing.T) {
	f := newFixture(t, probeStream())
	f.tick(epoch)
	times := make([]int64, 3600)
	values := make([]float64, 2*len(times))
	for i := range times {
		times[i] = epoch - int64(len(times)-i)*1000
	}
	const agents = cutBins/7200 + 8
	for i := range agents {
		f.apply(wire.TypeFrame, f.encode(string(rune('a'+i)), 7, 1, success, true, times, values...))
	}
	if len(f.out) != 2 || len(f.out[1].Counts) < cutBins {
		t.Errorf("%d partials", len(f.out))
	}
	f.tick(epoch + 1)
	f.wantSum("nothing is lost", 0, agents*7200)
}

func TestMatchersAndOperators(t *testing.T) {
	series := gauge("m", "a")
	f := func(want bool, m slo.Matcher) {
		t.Helper()
		st := &slo.Stream{Sample: &slo.Selector{Metric: "m", Matchers: []slo.Matcher{m}}, Bin: 1000, Rule: slotRule()}
		c, err := compileStream("x", st, span{0, forever})
		if err != nil {
			t.Fatal(err)
		}
		if _, got := c.match(&series, hostLabels("h")); got != want {
			t.Errorf("%+v: %v", m, got)
		}
	}
	f(true, slo.Matcher{Label: "target", Match: slo.Equal, Value: "a"})
	f(false, slo.Matcher{Label: "target", Match: slo.NotEqual, Value: "a"})
	f(true, slo.Matcher{Label: "host", Match: slo.Regexp, Value: "h|g"})
	f(false, slo.Matcher{Label: "host", Match: slo.Regexp, Value: "g"})
	f(true, slo.Matcher{Label: "none", Match: slo.Equal, Value: ""})
	f(false, slo.Matcher{Label: "region", Match: slo.NotRegexp, Value: "r.*"})
	f(false, slo.Matcher{Label: "region", Match: "?", Value: "r1"})
	ops := func(op slo.Op, lt, eq, gt bool) {
		if o := opOf(op); o.holds(1, 2) != lt || o.holds(2, 2) != eq || o.holds(3, 2) != gt {
			t.Errorf("operator %s", op)
		}
	}
	ops(slo.LT, true, false, false)
	ops(slo.LTE, true, true, false)
	ops(slo.GT, false, false, true)
	ops(slo.GTE, false, true, true)
	ops("?", false, false, false)
}
