package evaluate

import (
	"errors"
	"fmt"
	"testing"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/sla"
	rule "nines/internal/sla/slot"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	epoch  = int64(1_790_000_040_000) // a whole minute
	minute = int64(60_000)
	day    = 86_400_000
)

func probes(k, n int) *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1,
		GroupBy: []string{"target"}, Vantage: "host", Bin: 1000,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1, K: k, N: n}}
}

func requests() *slo.Stream {
	return &slo.Stream{Bad: &slo.Selector{Metric: "errors"}, Total: &slo.Selector{Metric: "requests"}, GroupBy: []string{"target"}, Bin: 1000,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 1, Den: 10}, MinCount: 1}}
}

func objective(name string, st *slo.Stream, down *slo.Down) *slo.Objective {
	return &slo.Objective{Name: name, Service: "demo", StreamID: st.ID(), Target: sla.Ratio{Num: 999, Den: 1000},
		Budgeting: "Occurrences", Window: 30 * day, Burn: slo.BurnRows(30 * day), Down: down}
}

func rules(st *slo.Stream, objectives ...*slo.Objective) *slo.RuleSet {
	return &slo.RuleSet{Streams: map[string]*slo.Stream{st.ID(): st}, Objectives: objectives}
}

// fixture drives a state with partials of several sources; each second every
// source that is not stalled says what its vantage points saw.
type fixture struct {
	t       *testing.T
	s       *State
	sets    map[string]*slo.RuleSet
	set     string
	stream  string
	sources int32
	to      []int64
	offset  int64
	past    map[int64]ledger.Slot
	batches []ledger.Batch
	alerts  []alert.Alert
}

func newFixture(t *testing.T, sources int32, set *slo.RuleSet) *fixture {
	f := &fixture{t: t, sources: sources, to: make([]int64, sources), sets: map[string]*slo.RuleSet{}, past: map[int64]ledger.Slot{}}
	f.use(set)
	f.s = New(Config{}, &ledger.Claim{}, f.find, f.lookUp)
	return f
}

func (f *fixture) use(set *slo.RuleSet) {
	f.set = set.ID()
	f.sets[f.set] = set
	for id := range set.Streams {
		f.stream = id
	}
}

func (f *fixture) find(id string) (*slo.RuleSet, bool) { s, ok := f.sets[id]; return s, ok }

func (f *fixture) lookUp(_ wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	sl, ok := f.past[start]
	return sl, ok, nil
}

var target = telemetry.Labels{{Name: "target", Value: "t"}}

func (f *fixture) key() wire.GroupKey {
	return wire.GroupKey{Stream: f.stream, Labels: target.Hash()}
}

// bin is one vantage point's second; ok < 0 is blind.
func (f *fixture) bin(vantage string, at int64, ok int) wire.BinCount {
	c := wire.BinCount{Group: f.key(), Vantage: vantage, Bin: at - at%1000, Total: 1, Newest: at}
	switch {
	case ok > 0:
		c.Good = 1
	case ok < 0:
		c.Total, c.Blind = 0, 1
	}
	return c
}

func (f *fixture) apply(source int32, at int64, counts ...wire.BinCount) {
	f.t.Helper()
	p := &wire.Partial{Source: source, Sources: f.sources, Incarnation: 1, From: f.to[source], To: f.to[source] + 1, LogTime: at, RuleSet: f.set,
		Counts: counts, Regions: []wire.RegionSeen{{Region: "r1", Frames: 1, Newest: at}}}
	if len(counts) > 0 {
		p.Groups = []wire.GroupLabels{{Key: f.key(), Labels: target}}
	} else {
		p.Regions = nil
	}
	f.to[source]++
	f.send(p)
}

func (f *fixture) send(p *wire.Partial) {
	f.t.Helper()
	if _, err := f.s.Apply(f.offset, p); err != nil {
		f.t.Fatal(err)
	}
	f.offset++
	f.alerts = append(f.alerts, f.s.Take()...)
}

// seconds runs [from, to) seconds after epoch on source 0, with results of the
// vantage points a, b, c: 1, 0, -1 blind; more than these are silence.
func (f *fixture) seconds(from, to int64, results ...int) {
	f.t.Helper()
	for sec := from; sec < to; sec++ {
		at := epoch + sec*1000 + 300
		var counts []wire.BinCount
		for i, ok := range results {
			if ok <= 1 {
				counts = append(counts, f.bin(string(rune('a'+i)), at, ok))
			}
		}
		f.apply(0, at+600, counts...)
	}
}

const silent = 2

func (f *fixture) advance() ledger.Batch {
	f.t.Helper()
	b, alerts, err := f.s.Advance()
	if err != nil {
		f.t.Fatal(err)
	}
	f.alerts = append(f.alerts, alerts...)
	for _, c := range b.Slots {
		f.past[c.Slot.Start] = c.Slot
	}
	f.batches = append(f.batches, b)
	return b
}

// slot returns the ledger's word on the slot that starts min minutes after epoch.
func (f *fixture) slot(min int64) ledger.Slot { f.advance(); return f.past[epoch+min*minute] }

func (f *fixture) wantSlot(what string, min int64, state sla.State, good, total uint64, version uint32) {
	f.t.Helper()
	if sl := f.slot(min); sl.State != state || sl.Good != good || sl.Total != total || sl.Version != version {
		f.t.Errorf("%s: %s %d of %d version %d (%s), want %s %d of %d version %d", what, sl.State, sl.Good, sl.Total, sl.Version, sl.Reason, state, good, total, version)
	}
}

// said lists the alert records since the last call.
func (f *fixture) said() (out []string) {
	for _, a := range f.alerts {
		s := a.Labels["alertname"] + " " + string(a.Status)
		if w := a.Labels["window"]; w != "" {
			s += " " + w
		}
		out = append(out, s)
	}
	f.alerts = nil
	return out
}

func (f *fixture) wantSaid(what string, want ...string) {
	f.t.Helper()
	if got := f.said(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func down(k, n int) *fixtureRules {
	st := probes(k, n)
	return &fixtureRules{st, &slo.Down{Failures: 3, K: k, N: n}}
}

type fixtureRules struct {
	st   *slo.Stream
	down *slo.Down
}

func (r *fixtureRules) set() *slo.RuleSet {
	o := objective("up", r.st, r.down)
	o.Burn = nil
	return rules(r.st, o)
}

func TestClosingByLateness(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 64, 1)
	f.wantSlot("within the lateness bound", 0, sla.Open, 60, 60, 0)
	f.seconds(64, 66, 1)
	f.wantSlot("past it", 0, sla.Good, 60, 60, 1)
	if sl := f.slot(0); sl.Vantages != nil {
		t.Errorf("a complete good slot keeps evidence: %+v", sl.Vantages)
	}
}

// A stalled partition delays finality up to the hard bound, never an alert.
func TestAStalledPartition(t *testing.T) {
	f := newFixture(t, 2, down(1, 1).set())
	f.apply(1, epoch)
	f.seconds(0, 60, 1)
	f.seconds(60, 63, 0)
	f.wantSaid("the alert waits for nobody", "ConfirmedDown firing")
	f.seconds(63, 120, 0)
	f.wantSlot("the other partition could still add", 0, sla.Open, 60, 60, 0)
	f.seconds(120, 122, 0)
	f.wantSlot("but not for ever", 0, sla.Good, 60, 60, 1)
	f.apply(1, epoch+121_000, f.bin("b", epoch+30_000, 0))
	f.seconds(122, 123, 0)
	f.wantSlot("then it restates", 0, sla.Unknown, 60, 61, 2)
}

// After an outage one partition has caught up before the other: what that brings
// restates nothing, unless it takes longer than the hard bound.
func TestPartitionsThatCatchUpApart(t *testing.T) {
	f := newFixture(t, 2, down(1, 1).set())
	f.apply(1, epoch)
	f.seconds(0, 30, 1)
	f.apply(0, epoch+600_000)
	f.wantSlot("the other partition is about to come", 0, sla.Open, 30, 30, 0)
	for s := int64(30); s < 60; s++ {
		f.apply(1, epoch+s*1000+500, f.bin("a", epoch+s*1000, 1))
	}
	f.apply(1, epoch+600_500)
	f.seconds(601, 602)
	f.wantSlot("it came", 0, sla.Good, 60, 60, 1)
	f.wantSlot("nobody measured meanwhile", 1, sla.Unknown, 0, 0, 1)

	f = newFixture(t, 2, down(1, 1).set())
	f.apply(1, epoch)
	f.seconds(0, 30, 1)
	f.apply(0, epoch+600_000)
	f.seconds(601, 660)
	f.wantSlot("it may still come", 0, sla.Open, 30, 30, 0)
	f.seconds(660, 662)
	f.wantSlot("but not for ever", 0, sla.Unknown, 30, 30, 1)
}

func TestSilenceIsUnknown(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 60, 1)
	f.seconds(60, 200)
	f.wantSlot("before", 0, sla.Good, 60, 60, 1)
	f.wantSlot("silent", 1, sla.Unknown, 0, 0, 1)
	if r := f.slot(1).Reason; r != rule.ReasonNoData && r != rule.ReasonIncomplete {
		t.Errorf("reason %q", r)
	}
	f.wantSaid("silence pages nobody within a minute of blindness", "NinesBlind firing")
}

func TestLateDataRestatesWithANewVersion(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 30, 1)
	f.seconds(30, 300)
	f.wantSlot("half a minute is missing", 0, sla.Unknown, 30, 30, 1)
	var late []wire.BinCount
	for s := int64(30); s < 60; s++ {
		late = append(late, f.bin("a", epoch+s*1000, 1))
	}
	f.apply(0, epoch+301_000, late...)
	f.wantSlot("found in a spool", 0, sla.Good, 60, 60, 2)
	var before []wire.BinCount
	for s := int64(-180); s < -120; s++ {
		before = append(before, f.bin("a", epoch+s*1000, 1))
	}
	f.apply(0, epoch+302_000, before...)
	f.apply(0, epoch+303_000)
	f.wantSlot("older than the first slot", -3, sla.Good, 60, 60, 1)
	f.wantSlot("between it was expected and not seen", -1, sla.Unknown, 0, 0, 1)
	if g := f.s.groups.Get(f.key()); g.FirstSlot != epoch-3*minute {
		t.Errorf("expected from %d", (g.FirstSlot-epoch)/minute)
	}
}

func TestATimeLongPastBelongsToNoSlot(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 2, 1)
	f.apply(0, epoch+3000, f.bin("a", 1000, 1), f.bin("a", epoch-backfill-minute, 0))
	b := f.advance()
	if len(b.Unplaced) != 2 || len(b.Slots) != 1 {
		t.Errorf("unplaced %+v, %d slots", b.Unplaced, len(b.Slots))
	}
}

func TestASilentGroupIsRetired(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.s.cfg.RetireAfter = 10 * minute
	f.seconds(0, 60, 1)
	f.seconds(60, 63, 0)
	f.said()
	f.seconds(63, 700)
	f.advance()
	if f.s.Groups() != 0 {
		t.Fatal("the group is still expected")
	}
	if _, ok := f.past[epoch+12*minute]; ok {
		t.Error("slots go on after it was retired")
	}
	f.said()
	f.seconds(700, 1000)
	if len(f.s.alerts) != 0 {
		t.Errorf("alerts of what is no longer expected: %v", f.said())
	}
}

func TestConfirmedDownByQuorum(t *testing.T) {
	f := newFixture(t, 1, down(2, 3).set())
	f.seconds(0, 10, 1, 1, 1)
	f.seconds(10, 12, 0, 0, 1)
	f.wantSaid("two failures")
	f.seconds(12, 13, 0, 1, 1)
	f.wantSaid("one of three", "VantagePointFailing firing")
	f.seconds(13, 16, 0, 0, 1)
	f.wantSaid("two of three", "ConfirmedDown firing", "VantagePointFailing resolved")
	f.seconds(16, 18, 1, 1, 1)
	f.wantSaid("two successes are not enough")
	f.seconds(18, 19, 1, 1, 1)
	f.wantSaid("three are", "ConfirmedDown resolved")
}

func TestOneVantagePointOfSeveralIsAnAdvisoryOnly(t *testing.T) {
	f := newFixture(t, 1, down(2, 3).set())
	f.seconds(0, 30, 0, 1, 1)
	f.wantSaid("one fails", "VantagePointFailing firing")
	f.seconds(30, 430, silent, 1, 1)
	f.wantSaid("its silence resolves nothing")
	f.seconds(430, 433, 1, 1, 1)
	f.wantSaid("its word does", "VantagePointFailing resolved")
}

func TestSilenceNeitherPagesNorResolves(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 3, 0)
	f.wantSaid("down", "ConfirmedDown firing")
	f.seconds(3, 50, -1)
	f.wantSaid("a blind prober says nothing")
	f.seconds(50, 700)
	f.wantSaid("silence", "NinesBlind firing")
	f.seconds(700, 703, 1)
	f.wantSaid("it is back", "NinesBlind resolved", "ConfirmedDown resolved")
}

func TestOldBinsNeverPage(t *testing.T) {
	set := down(1, 1).set()
	set.Objectives[0].Burn = slo.BurnRows(30 * day)
	f := newFixture(t, 1, set)
	f.seconds(0, 3600, 1)
	var old []wire.BinCount
	for s := int64(2000); s < 3200; s++ {
		old = append(old, f.bin("b", epoch+s*1000, 0))
	}
	f.apply(0, epoch+3601_000)
	f.s.cfg.PageWindow = 300_000
	f.apply(0, epoch+3602_000, old...)
	f.apply(0, epoch+3603_000)
	for _, s := range f.said() {
		if s == "ConfirmedDown firing" || s == "VantagePointFailing firing" {
			t.Errorf("a spool from an hour ago: %s", s)
		}
	}
	// Failures of which only the last is recent are not three in a row now.
	f = newFixture(t, 1, down(1, 1).set())
	for _, s := range []int64{0, 290, 580} {
		f.apply(0, epoch+s*1000+500, f.bin("a", epoch+s*1000, 0))
	}
	for _, s := range f.said() {
		if s == "ConfirmedDown firing" {
			t.Error("failures five minutes apart")
		}
	}
}

func TestBurnRowsFireAndResolve(t *testing.T) {
	set := rules(requests(), objective("requests", requests(), nil))
	f := newFixture(t, 1, set)
	add := func(from, to int64, good, total uint64) {
		for m := from; m < to; m++ {
			at := epoch + m*minute
			f.apply(0, at+1000, wire.BinCount{Group: f.key(), Bin: at, Good: good, Total: total, Newest: at})
			f.apply(0, at+50_000)
		}
	}
	add(0, 1, 99, 100)
	f.wantSaid("a young group's first failure")
	add(1, 24*60*3, 100, 100)
	f.said()
	add(24*60*3, 24*60*3+60, 50, 100)
	said := fmt.Sprint(f.said())
	if said != "[ErrorBudgetBurn firing 1h ErrorBudgetBurn firing 6h ErrorBudgetBurn firing 3d ErrorBudgetBurn firing 1d]" &&
		said != "[ErrorBudgetBurn firing 1h ErrorBudgetBurn firing 6h ErrorBudgetBurn firing 1d ErrorBudgetBurn firing 3d]" {
		t.Errorf("half of all fails for an hour: %s", said)
	}
	n := len(f.s.alerts)
	for m := int64(0); m < 120; m++ {
		f.apply(0, epoch+(24*60*3+60+m)*minute)
	}
	if left := len(f.s.alerts); left < n {
		t.Errorf("silence resolved %d of %d", n-left, n)
	}
	add(24*60*3+180, 24*60*6, 100, 100)
	for _, a := range f.s.alerts {
		if a.Labels["kind"] == "burn" {
			t.Errorf("still firing: %v", a.Labels)
		}
	}
}

// TestAnOutageThatWasPagedPagesOnce: when a target is back after minutes, its
// budget has burned fast over the last hour and the last five minutes. Who was
// woken by the outage is not woken by that again, but by a burn that goes on.
func TestAnOutageThatWasPagedPagesOnce(t *testing.T) {
	st := probes(1, 1)
	f := newFixture(t, 1, rules(st, objective("up", st, &slo.Down{Failures: 3, K: 1, N: 1})))
	f.seconds(0, 3600, 1)
	f.said()
	f.seconds(3600, 3780, 0)
	f.wantSaid("down for three minutes", "ConfirmedDown firing")
	f.seconds(3780, 3790, 1)
	f.wantSaid("back", "ConfirmedDown resolved")
	pages := func(what string, want int) {
		t.Helper()
		n := 0
		for _, a := range f.alerts {
			if a.Status == alert.Firing && a.Labels["severity"] == alert.Page {
				n++
			}
		}
		f.alerts = nil
		if n != want {
			t.Errorf("%s: %d pages, want %d", what, n, want)
		}
	}
	f.seconds(3790, 3790+900, 1)
	pages("a quarter of an hour later", 0)
	for i := int64(0); i < 150; i++ { // every other attempt fails
		f.seconds(4690+2*i, 4691+2*i, 1)
		f.seconds(4691+2*i, 4692+2*i, 0)
	}
	pages("half of the attempts fail", 1)
}

func TestBlindPagesPerRegionAndNotAfterAJump(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 5, 1)
	for s := int64(5); s < 60; s++ {
		f.apply(0, epoch+s*1000)
	}
	f.wantSaid("not yet")
	f.seconds(60, 61, 1)
	f.apply(0, epoch+3600_000) // the collector was away
	f.wantSaid("a jump")
	for s := int64(3601); s < 3661; s++ {
		f.apply(0, epoch+s*1000)
	}
	f.wantSaid("up to a minute")
	f.apply(0, epoch+3661_000)
	f.wantSaid("then", "NinesBlind firing")
	if a := f.batchAlerts("NinesBlind"); len(a) != 1 || a[0].Labels["region"] != "r1" || a[0].Labels["severity"] != alert.Page {
		t.Errorf("%+v", a)
	}
	f.s.cfg.RetireAfter = 10 * minute
	for s := int64(3662); s < 4300; s++ {
		f.apply(0, epoch+s*1000)
	}
	f.wantSaid("a region that was given up", "NinesBlind resolved")
}

func (f *fixture) batchAlerts(name string) (out []alert.Alert) {
	for _, a := range f.advance().Alerts {
		if a.Labels["alertname"] == name {
			out = append(out, a)
		}
	}
	return out
}

func TestGapsStopAndAcceptedJumpsAreRecorded(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 3, 1)
	f.to[0] += 5
	p := &wire.Partial{Sources: 1, Incarnation: 1, From: 8, To: 9, LogTime: epoch + 9000, RuleSet: f.set}
	var gap ErrGap
	if _, err := f.s.Apply(f.offset, p); !errors.As(err, &gap) || gap.Want != 3 || gap.From != 8 {
		t.Fatalf("got %v", err)
	}
	f.s.AcceptJump()
	f.send(p)
	if g := f.advance().Gaps; len(g) != 1 || g[0].FirstSeq != 3 || g[0].LastSeq != 7 || g[0].From != epoch+2900 || g[0].To != epoch+9000 || g[0].Reason != wire.ReasonLog {
		t.Errorf("gaps %+v", g)
	}
	if fresh, err := f.s.Apply(f.offset, p); fresh || err != nil {
		t.Errorf("a repeat: %v %v", fresh, err)
	}
	f.offset++
	// A new owner lost what the one before had begun to read.
	f.send(&wire.Partial{Sources: 1, Incarnation: 1, From: 5, To: 20, LogTime: epoch + 2000, RuleSet: f.set,
		Gaps: []wire.Gap{{FirstSeq: 5, LastSeq: 19, Reason: wire.ReasonLog}}})
	if g := f.advance().Gaps; len(g) != 1 || g[0].FirstSeq != 9 || g[0].LastSeq != 19 {
		t.Errorf("gaps %+v", g)
	}
	overlap := &wire.Partial{Sources: 1, Incarnation: 1, From: 18, To: 21, LogTime: epoch + 9000, RuleSet: f.set, Counts: []wire.BinCount{f.bin("a", epoch, 1)}}
	if _, err := f.s.Apply(f.offset, overlap); !errors.As(err, &gap) {
		t.Errorf("an overlap would count twice: %v", err)
	}
	// Broker and checkpoints are gone: positions begin anew, time does not.
	f.send(&wire.Partial{Sources: 1, Incarnation: 1, From: 0, To: 1, LogTime: epoch + 10_000, RuleSet: f.set, Counts: []wire.BinCount{f.bin("a", epoch+10_000, 1)}})
	b := f.advance()
	if len(b.Gaps) != 1 || len(b.Slots) != 1 || b.Slots[0].Slot.Total != 4 || b.Sources[0].To != 1 {
		t.Errorf("a new life: gaps %+v, slots %+v", b.Gaps, b.Slots)
	}
	// An older life is over.
	f.send(&wire.Partial{Sources: 1, Incarnation: 2, From: 0, To: 1, LogTime: epoch + 11_000, RuleSet: f.set})
	if fresh, err := f.s.Apply(f.offset, &wire.Partial{Incarnation: 1, From: 1, To: 2, LogTime: epoch + 99_000, RuleSet: f.set}); fresh || err != nil {
		t.Errorf("an old life: %v %v", fresh, err)
	}
}

func TestCountsTakenBackAreFailures(t *testing.T) {
	f := newFixture(t, 1, rules(requests(), objective("requests", requests(), nil)))
	minus := ^uint64(11) // -12
	f.apply(0, epoch+1000, wire.BinCount{Group: f.key(), Bin: epoch, Good: minus, Newest: epoch})
	f.apply(0, epoch+2000, wire.BinCount{Group: f.key(), Bin: epoch, Good: 10, Total: 10, Newest: epoch})
	f.apply(0, epoch+70_000)
	f.wantSlot("more bad than all", 0, sla.Bad, 0, 10, 1)
	ok, fail := results(&wire.BinCount{Good: minus})
	if ok || !fail {
		t.Errorf("bad events alone: ok %v, fail %v", ok, fail)
	}
}

// A commit may come between two partials of one second of log time: a closed
// slot that the second one changed has its new version by then.
func TestLateDataIsDecidedBeforeTheNextCommit(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 30, 1)
	f.seconds(30, 300)
	f.wantSlot("closed", 0, sla.Unknown, 30, 30, 1)
	f.apply(0, epoch+299_950, f.bin("a", epoch+30_000, 1)) // within the last second
	f.wantSlot("changed within a second that is turned", 0, sla.Unknown, 31, 31, 2)
}
