package ledger

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/hist"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// RunSuite holds a dialect to what the package promises. open opens the same
// ledger each time it is called with the same name; the tests run in parallel.
func RunSuite(t *testing.T, open func(t testing.TB, name string) *Ledger) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, func() *Ledger)
	}{
		{"slots close, restate and keep their versions", suiteVersions},
		{"a final slot does not change under its version", suiteReused},
		{"what was committed survives a restart", suiteRestart},
		{"a second claim fences the first", suiteFence},
		{"a commit at another offset is refused", suiteConflict},
		{"a failed commit leaves nothing", suiteAtomic},
		{"slots of an hour, of five minutes and of odd lengths", suiteLengths},
		{"sketches merge", suiteSketches},
		{"sums of all groups are those of each", suiteSums},
		{"statuses", suiteStatuses},
		{"incidents", suiteAlerts},
		{"agents, gaps and unplaced increments add up", suiteAgents},
		{"rule sets", suiteRuleSets},
		{"a customer sees its groups only", suitePrincipals},
		{"groups move, retire and are filtered", suiteGroups},
		{"changes", suiteChanges},
		{"state", suiteState},
		{"facts are corrected, never overwritten", suiteInventory},
		{"what was known at an instant stays", suiteRecorded},
		{"exclusions are approved by somebody else", suiteExclusions},
		{"people", suitePeople},
		{"a backup has facts and exclusions", suiteInventoryBackup},
		{"pruning", suitePrune},
		{"hour totals", suiteTotals},
		{"packed days load like hours", suitePacked},
		{"packed days read like hours", suitePackedReads},
		{"all of time is read like the hours that are there", suiteAllOfTime},
		{"damage to packed days is found", suitePackedDamage},
		{"the log grows with hours and restatements", suiteLog},
		{"what was rewritten is found and named", suiteRewritten},
		{"the log outlives what retention takes", suiteLogPruned},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := t.TempDir()
			var last *Ledger
			c.run(t, func() *Ledger {
				last = open(t, name)
				return last
			})
			if err := last.Verify(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

var bg = context.Background()

func suiteVersions(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 3)
	g := group(streamA, 1, "")
	g.Partition = 3
	commit(t, l, c, &Batch{LogTime: t0 + 1000, Groups: []Group{g}, Slots: []SlotChange{{g.Key, openSlot(t0, 1, 1)}}})
	commit(t, l, c, &Batch{LogTime: t0 + 2000, Slots: []SlotChange{{g.Key, openSlot(t0, 2, 2)}}})

	got := must(l.GroupSlots(bg, operator(), g.Key, t0, t0+minute))(t)
	if want := []Slot{openSlot(t0, 2, 2)}; !reflect.DeepEqual(got, want) {
		t.Fatalf("open: got %+v, want %+v", got, want)
	}

	bad := badSlot(t0)
	next := openSlot(t0+minute, 3, 3)
	commit(t, l, c, &Batch{LogTime: t0 + 65_000, Slots: []SlotChange{{g.Key, bad}, {g.Key, next}}})
	again := bad
	again.Version, again.Good, again.State, again.Reason, again.Vantages = 2, 60, sla.Good, "", nil
	commit(t, l, c, &Batch{LogTime: t0 + 600_000, Slots: []SlotChange{{g.Key, again}}})

	got = must(l.GroupSlots(bg, operator(), g.Key, t0, t0+2*minute))(t)
	if want := []Slot{again, next}; !reflect.DeepEqual(got, want) {
		t.Fatalf("closed: got %+v, want %+v", got, want)
	}
	versions := must(l.Versions(bg, operator(), g.Key, t0))(t)
	want := []Versioned{{bad, t0 + 70_000}, {again, t0 + 600_000}}
	if !reflect.DeepEqual(versions, want) {
		t.Fatalf("versions: got %+v, want %+v", versions, want)
	}
	if v := must(l.Versions(bg, operator(), g.Key, t0+minute))(t); len(v) != 0 {
		t.Fatalf("an open slot has versions: %+v", v)
	}
}

func suiteReused(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	s := badSlot(t0)
	s.Version = 2
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, s}}})

	refuse := func(change func(*Slot), want error) {
		t.Helper()
		other := s
		change(&other)
		err := l.Commit(bg, c, &Batch{Offset: 9, Slots: []SlotChange{{g.Key, other}}})
		if want != nil {
			wantErr(t, err, want)
		} else if err == nil {
			t.Fatal("accepted")
		}
	}
	refuse(func(s *Slot) { s.Good++ }, ErrReused)
	refuse(func(s *Slot) { s.State = sla.Unknown }, ErrReused)
	refuse(func(s *Slot) { s.Version = 1 }, ErrReused)
	refuse(func(s *Slot) { s.Version = 0 }, nil)

	s.Vantages = nil // evidence may go
	commit(t, l, c, &Batch{LogTime: t0, Slots: []SlotChange{{g.Key, s}}})
	if got := must(l.Versions(bg, operator(), g.Key, t0))(t); len(got) != 1 || got[0].Vantages != nil {
		t.Fatalf("got %+v", got)
	}
}

func suiteRestart(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 2)
	if c.Epoch != 1 || c.Offset != 0 || len(c.Sources) != 0 {
		t.Fatalf("first claim: %+v", c)
	}
	g := group(streamA, 1, "bank")
	g.Partition = 2
	old, closed, now := goodSlot(t0), badSlot(t0+hourMillis), openSlot(t0+hourMillis+minute, 1, 2)
	lateOpen := openSlot(t0+minute, 1, 1)
	sources := []Position{{Source: 1, Incarnation: 7, To: 42, LogTime: t0 + 5}}
	commit(t, l, c, &Batch{
		Offset: 17, LogTime: t0 + 7, Sources: sources, Groups: []Group{g},
		Slots: []SlotChange{{g.Key, old}, {g.Key, lateOpen}, {g.Key, closed}, {g.Key, now}},
	})
	if c.Offset != 17 || c.LogTime != t0+7 || !reflect.DeepEqual(c.Sources, sources) {
		t.Fatalf("the claim did not move: %+v", c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = open()
	c = claim(t, l, 2)
	if c.Epoch != 2 || c.Offset != 17 || c.LogTime != t0+7 || !reflect.DeepEqual(c.Sources, sources) {
		t.Fatalf("second claim: %+v", c)
	}
	loaded := must(l.Load(bg, 2, t0+hourMillis+30*minute))(t)
	want := []Loaded{{
		Group: g, Slots: []Slot{lateOpen, closed, now},
		Hours: []HourTotals{{t0, Totals{Good: 60, Total: 60, GoodSlots: 1}}},
	}}
	if !reflect.DeepEqual(loaded, want) {
		t.Fatalf("got %+v, want %+v", loaded, want)
	}
	if other := must(l.Load(bg, 1, 0))(t); len(other) != 0 {
		t.Fatalf("another partition has %+v", other)
	}
	commit(t, l, c, &Batch{Slots: []SlotChange{{g.Key, openSlot(now.Start, 2, 3)}}}) // known without announcing
}

func suiteFence(t *testing.T, open func() *Ledger) {
	l := open()
	first := claim(t, l, 0)
	other := claim(t, l, 1)
	second := claim(t, l, 0)
	g := group(streamA, 1, "")
	wantErr(t, l.Commit(bg, first, &Batch{Offset: 1, Groups: []Group{g}}), ErrFenced)
	if first.Offset != 0 {
		t.Fatal("a fenced claim moved")
	}
	commit(t, l, second, &Batch{Groups: []Group{g}})
	commit(t, l, other, &Batch{})
	wantErr(t, l.Commit(bg, first, &Batch{Offset: 2}), ErrFenced)
	wantErr(t, l.Commit(bg, &Claim{Partition: 9, Epoch: 1}, &Batch{Offset: 1}), ErrFenced)
}

func suiteConflict(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	stale := *c
	commit(t, l, c, &Batch{Offset: 5})
	wantErr(t, l.Commit(bg, &stale, &Batch{Offset: 5}), ErrConflict)
	commit(t, l, c, &Batch{Offset: 5}) // time may pass without a record
}

func suiteAtomic(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g, stranger := group(streamA, 1, ""), group(streamA, 2, "")
	err := l.Commit(bg, c, &Batch{
		Offset: 1, LogTime: t0, Groups: []Group{g},
		Slots: []SlotChange{{g.Key, goodSlot(t0)}, {stranger.Key, goodSlot(t0)}},
	})
	if err == nil {
		t.Fatal("a slot of a group that was never announced was accepted")
	}
	if c.Offset != 0 {
		t.Fatal("the claim moved")
	}
	if gs := must(l.Groups(bg, operator(), GroupFilter{}))(t); len(gs) != 0 {
		t.Fatalf("left behind: %+v", gs)
	}
	// The ledger must not believe that it knows the group.
	if err := l.Commit(bg, c, &Batch{Offset: 1, Slots: []SlotChange{{g.Key, goodSlot(t0)}}}); err == nil {
		t.Fatal("a group of a failed commit is known")
	}
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, goodSlot(t0)}}})

	ctx, cancel := context.WithCancel(bg)
	cancel()
	wantErr(t, l.Commit(ctx, c, &Batch{Offset: 7}), context.Canceled)
}

func suiteLengths(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	f := func(stream string, length int64, n int) {
		t.Helper()
		g := group(stream, 1, "")
		var slots []SlotChange
		var want []Slot
		for i := range int64(n) {
			s := goodSlot(t0 + i*length)
			s.Total += uint64(i)
			want = append(want, s)
			slots = append(slots, SlotChange{g.Key, s})
		}
		commit(t, l, c, &Batch{LogTime: t0, Groups: []Group{g}, Slots: slots})
		got := must(l.GroupSlots(bg, operator(), g.Key, t0, t0+int64(n)*length))(t)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("slots of %d ms: got %d, want %d", length, len(got), len(want))
		}
		got = must(l.GroupSlots(bg, operator(), g.Key, t0+1, t0+int64(n-1)*length))(t)
		if !reflect.DeepEqual(got, want[1:n-1]) {
			t.Fatalf("part of the slots of %d ms: got %d, want %d", length, len(got), n-2)
		}
	}
	f("01", minute, 150)
	f("05", 5*minute, 40)
	f("07", 7*minute, 40) // a slot that crosses the hour lies in the hour of its start
	f("60", hourMillis, 30)
	f("1d", 24*hourMillis, 5)
	f("1s", 1000, 4000)
}

func suiteSketches(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g, other := group(streamA, 1, ""), group(streamA, 2, "")
	timeout := hist.Histogram{Count: 2, Inf: 2}
	commit(t, l, c, &Batch{Groups: []Group{g, other}, Sketches: []Sketch{
		{g.Key, t0, histOf(0.1, 0.2)}, {g.Key, t0, histOf(0.2)}, {other.Key, t0, histOf(9)}, {g.Key, t0 + minute, timeout},
	}})
	commit(t, l, c, &Batch{Sketches: []Sketch{{g.Key, t0, histOf(0.05, 0.1)}, {other.Key, t0 + 30_000, histOf(1)}}})
	got := must(l.Sketches(bg, operator(), g.Key, t0, t0+2*minute))(t)
	if len(got) != 2 || got[0].Slot != t0 || got[1].Slot != t0+minute || !reflect.DeepEqual(got[1].Hist, timeout) {
		t.Fatalf("got %+v", got)
	}
	want := histOf(0.05, 0.1, 0.1, 0.2, 0.2)
	if h := got[0].Hist; h.Count != 5 || math.Abs(h.Sum-want.Sum) > 1e-12 || !reflect.DeepEqual(h.Buckets, want.Buckets) {
		t.Fatalf("got %+v, want %+v", h, want)
	}
	// The batch stays as it was: it is what a retry would write.
	twice := histOf(1)
	b := &Batch{Sketches: []Sketch{{g.Key, t0 + 2*minute, twice}, {g.Key, t0 + 2*minute, histOf(1)}, {group("cc", 1, "").Key, t0, twice}}}
	commit(t, l, c, b)
	if !reflect.DeepEqual(b.Sketches[0].Hist, histOf(1)) {
		t.Fatalf("the batch became %+v", b.Sketches[0])
	}
	if got := must(l.Sketches(bg, operator(), g.Key, t0+2*minute, t0+3*minute))(t); len(got) != 1 || got[0].Hist.Count != 2 {
		t.Fatalf("got %+v", got)
	}
	if got := must(l.Sketches(bg, operator(), g.Key, t0+minute, t0+minute))(t); len(got) != 0 {
		t.Fatalf("an empty range has %+v", got)
	}
}

func suiteStatuses(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g, h := group(streamA, 1, ""), group(streamA, 2, "")
	s := Status{
		Objective: "api", Group: g.Key, LogTime: t0, Window: Totals{1, 2, 3, 4, 5},
		Attainment: sla.Ratio{Num: 1, Den: 2}, BudgetLeft: math.Inf(-1), Down: "advisory", State: "failing", LastSample: t0 - 5,
		Burn: []BurnRate{{Long: 14.4, Short: math.Inf(1), Firing: true}, {}},
	}
	other := Status{Objective: "web", Group: h.Key, LogTime: t0, State: "up"}
	commit(t, l, c, &Batch{Groups: []Group{g, h}, Statuses: []Status{{Objective: "api", Group: g.Key}, other, s}})
	if got := must(l.Statuses(bg, operator()))(t); !reflect.DeepEqual(got, []Status{s, other}) {
		t.Fatalf("got %+v", got)
	}
	s.LogTime++
	stranger := Status{Objective: "api", Group: group("cc", 1, "").Key} // has no slot yet
	commit(t, l, c, &Batch{Statuses: []Status{s, stranger}})
	if got := must(l.StatusesOf(bg, operator(), "api"))(t); !reflect.DeepEqual(got, []Status{s}) {
		t.Fatalf("got %+v", got)
	}
}

func suiteAlerts(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	a := alert.Alert{
		Status: alert.Firing, Labels: map[string]string{"alertname": "Down", "severity": alert.Page, "customer": "bank"},
		StartsAt: t0, LogTime: t0 + 1, Source: "evaluate/0", Offset: 4,
	}
	own := alert.Alert{Status: alert.Firing, Labels: map[string]string{"alertname": "Blind"}, StartsAt: t0 + 5, LogTime: t0 + 5}
	beat := alert.Alert{Status: alert.Heartbeat, Source: "evaluate/0", LogTime: t0}
	commit(t, l, c, &Batch{Alerts: []alert.Alert{a, own, beat}})
	if got := must(l.LoadAlerts(bg, 0))(t); !reflect.DeepEqual(got, []alert.Alert{a, own}) {
		t.Fatalf("got %+v", got)
	}
	if got := must(l.LoadAlerts(bg, 1))(t); len(got) != 0 {
		t.Fatalf("another partition has %+v", got)
	}
	over := a
	over.Status, over.EndsAt, over.LogTime = alert.Resolved, t0+100, t0+101
	commit(t, l, c, &Batch{Alerts: []alert.Alert{over}})
	again := a
	again.StartsAt = t0 + 1000
	commit(t, l, c, &Batch{Alerts: []alert.Alert{again}})
	third := a
	third.StartsAt, third.LogTime = t0+2000, t0+2001 // without a resolved record of the second
	commit(t, l, c, &Batch{Alerts: []alert.Alert{third}})
	again.Status, again.EndsAt = alert.Resolved, t0+2001

	f := func(p access.Principal, since int64, want ...alert.Alert) {
		t.Helper()
		if got := must(l.Alerts(bg, p, since))(t); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	f(operator(), 0, over, own, again, third)
	f(operator(), t0+101, own, again, third)
	f(customer("bank"), t0+101, again, third)
	f(customer("shop"), 0)
}

func suiteAgents(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g := group(streamA, 1, "bank")
	host := telemetry.NewLabels(map[string]string{"host": "h1", "zone": "z"})
	seen := wire.AgentSeen{Agent: "h1", Boot: 1 << 63, Host: host, Frames: 10, Samples: 100, Repeats: 1, LastSeq: 10, Newest: t0, Skew: 3}
	lost := wire.Gap{Agent: "h1", Boot: 1 << 63, FirstSeq: 11, LastSeq: 13, From: t0 + 10, To: t0 + 20, Reason: wire.ReasonSequence}
	logLoss := wire.Gap{FirstSeq: 100, LastSeq: 200, Reason: wire.ReasonLog}
	un := wire.Unplaced{Group: g.Key, From: t0, To: t0 + 5*minute, Good: 3, Total: 1 << 63}
	commit(t, l, c, &Batch{LogTime: t0 + 1, Groups: []Group{g}, Gaps: []wire.Gap{lost}, Agents: []wire.AgentSeen{seen}})
	seen2 := seen
	seen2.LastSeq, seen2.Skew, seen2.Newest = 20, 2, t0-1
	commit(t, l, c, &Batch{LogTime: t0 + 50, Gaps: []wire.Gap{lost, logLoss}, Agents: []wire.AgentSeen{seen2}, Unplaced: []wire.Unplaced{un}})

	want := seen2
	want.Frames, want.Samples, want.Repeats, want.Newest = 20, 200, 2, t0
	agents := must(l.Agents(bg, operator()))(t)
	if !reflect.DeepEqual(agents, []Agent{{AgentSeen: want, FirstSeen: t0 + 1, LastSeen: t0 + 50, GapFrames: 6}}) {
		t.Fatalf("got %+v", agents)
	}
	f := func(from, to int64, want ...GapRow) {
		t.Helper()
		if got := must(l.Gaps(bg, operator(), from, to))(t); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	f(t0, t0+100, GapRow{lost, t0 + 1}, GapRow{lost, t0 + 50}, GapRow{logLoss, t0 + 50})
	f(t0+20, t0+21, GapRow{lost, t0 + 1}, GapRow{lost, t0 + 50})
	f(t0+21, t0+100, GapRow{logLoss, t0 + 50})
	f(0, t0)
	got := must(l.Unplaced(bg, customer("bank"), t0+minute, t0+2*minute))(t)
	if !reflect.DeepEqual(got, []UnplacedRow{{un, t0 + 50}}) {
		t.Fatalf("got %+v", got)
	}
}

func suiteRuleSets(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	if _, _, err := l.CurrentRuleSet(bg); true {
		wantErr(t, err, ErrNotFound)
	}
	a := &slo.RuleSet{Streams: map[string]*slo.Stream{}, Contracts: map[string]json.RawMessage{"gold": json.RawMessage(`{"fee":"<1>"}`)}}
	b := &slo.RuleSet{Streams: map[string]*slo.Stream{}}
	use := func(rs *slo.RuleSet, at int64) {
		t.Helper()
		commit(t, l, c, &Batch{LogTime: at, RuleSetID: rs.ID(), RuleSet: rs})
		got, since, err := l.CurrentRuleSet(bg)
		if err != nil || got.ID() != rs.ID() || since != at {
			t.Fatalf("current: got %+v since %d, %v", got, since, err)
		}
	}
	use(a, t0)
	use(b, t0+10)
	use(a, t0+20)
	commit(t, l, c, &Batch{LogTime: t0 + 30, RuleSetID: a.ID(), RuleSet: a})
	got, since, err := l.RuleSet(bg, a.ID())
	if err != nil || since != t0 || got.ID() != a.ID() {
		t.Fatalf("got %+v since %d, %v", got, since, err)
	}
	_, _, err = l.RuleSet(bg, "nope")
	wantErr(t, err, ErrNotFound)
}

func suitePrincipals(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	bank, shop, ours := group(streamA, 1, "bank"), group(streamA, 2, "shop"), group(streamA, 3, "")
	b := &Batch{Groups: []Group{bank, shop, ours}, Agents: []wire.AgentSeen{{Agent: "a"}}, Gaps: []wire.Gap{{Agent: "a", LastSeq: 1}}}
	for _, g := range b.Groups {
		b.Slots = append(b.Slots, SlotChange{g.Key, goodSlot(t0)})
		b.Sketches = append(b.Sketches, Sketch{g.Key, t0, histOf(1)})
		b.Statuses = append(b.Statuses, Status{Objective: "api", Group: g.Key})
		b.Unplaced = append(b.Unplaced, wire.Unplaced{Group: g.Key, From: t0, To: t0})
	}
	commit(t, l, c, b)

	f := func(p access.Principal, want ...Group) {
		t.Helper()
		sees := map[wire.GroupKey]bool{}
		for _, g := range want {
			sees[g.Key] = true
		}
		if got := must(l.Groups(bg, p, GroupFilter{}))(t); len(got) != len(want) {
			t.Fatalf("groups: got %+v", got)
		}
		n := 0
		err := l.Slots(bg, p, streamA, t0, t0+minute, func(g Group, slots []Slot) error {
			if n++; !sees[g.Key] || len(slots) != 1 {
				t.Errorf("slots of %+v: %+v", g, slots)
			}
			return nil
		})
		if err != nil || n != len(want) {
			t.Fatalf("slots of %d groups, %v", n, err)
		}
		if got := must(l.Statuses(bg, p))(t); len(got) != len(want) {
			t.Fatalf("statuses: got %+v", got)
		}
		if got := must(l.Unplaced(bg, p, t0, t0+1))(t); len(got) != len(want) {
			t.Fatalf("unplaced: got %+v", got)
		}
		for _, g := range b.Groups {
			for _, err := range []error{
				second(l.GroupSlots(bg, p, g.Key, t0, t0+1)), second(l.Versions(bg, p, g.Key, t0)),
				second(l.Sketches(bg, p, g.Key, t0, t0+1)), second(l.HourTotals(bg, p, g.Key, t0, t0+1)),
			} {
				if sees[g.Key] && err != nil {
					t.Fatal(err)
				} else if !sees[g.Key] {
					wantErr(t, err, ErrNotFound)
				}
			}
		}
		agents, gaps := must(l.Agents(bg, p))(t), must(l.Gaps(bg, p, 0, t0))(t)
		if p.Operator != (len(agents) == 1) || p.Operator != (len(gaps) == 1) {
			t.Fatalf("agents %+v, gaps %+v", agents, gaps)
		}
	}
	f(operator(), bank, shop, ours)
	f(customer("bank"), bank)
	f(customer("bank", "shop"), bank, shop)
	f(customer("nobody"))
	f(customer(""))
	f(access.Principal{})
}

func second[T any](_ T, err error) error { return err }

func suiteGroups(t *testing.T, open func() *Ledger) {
	l := open()
	c0, c1 := claim(t, l, 0), claim(t, l, 1)
	g, h := group(streamA, 1, ""), group("bb", 2, "")
	unnamed := g
	unnamed.Labels = nil // its counts came before its announcement
	commit(t, l, c0, &Batch{Groups: []Group{unnamed}})
	if got := must(l.Load(bg, 0, 0))(t); len(got) != 1 || got[0].Group.Labels != nil {
		t.Fatalf("got %+v", got)
	}
	commit(t, l, c0, &Batch{Groups: []Group{g, h}, Slots: []SlotChange{{g.Key, goodSlot(t0)}}})
	moved := g
	moved.Partition, moved.Customer = 1, "bank"
	commit(t, l, c1, &Batch{Groups: []Group{moved}, Slots: []SlotChange{{g.Key, goodSlot(t0 + minute)}}})
	loaded := must(l.Load(bg, 1, t0))(t)
	if len(loaded) != 1 || !reflect.DeepEqual(loaded[0].Group, moved) || len(loaded[0].Slots) != 2 {
		t.Fatalf("got %+v", loaded)
	}
	gone := h
	gone.Retired = t0 + hourMillis
	commit(t, l, c0, &Batch{Groups: []Group{gone}})

	f := func(filter GroupFilter, want ...Group) {
		t.Helper()
		if got := must(l.Groups(bg, operator(), filter))(t); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	f(GroupFilter{}, moved)
	f(GroupFilter{IncludeRetired: true}, moved, gone)
	f(GroupFilter{IncludeRetired: true, Streams: []string{"bb", "cc"}}, gone)
	f(GroupFilter{IncludeRetired: true, Labels: map[string]string{"target": "host-00002"}}, gone)
	f(GroupFilter{Labels: map[string]string{"target": "host-00002"}})
}

func suiteChanges(t *testing.T, open func() *Ledger) {
	l := open()
	woken, stop := l.Watch()
	defer stop()
	c := claim(t, l, 0)
	g, h := group(streamA, 1, "bank"), group(streamA, 2, "")
	commit(t, l, c, &Batch{Groups: []Group{g, h}})
	commit(t, l, c, &Batch{})
	select {
	case <-woken:
	default:
		t.Fatal("nobody was woken")
	}
	changes := func(p access.Principal, cursor int64) (int64, ChangeSet) {
		t.Helper()
		next, set, err := l.Changes(bg, p, cursor)
		if err != nil {
			t.Fatal(err)
		}
		return next, set
	}
	cursor, set := changes(operator(), 0)
	if cursor != 2 || !set.All {
		t.Fatalf("got %d %+v", cursor, set)
	}
	commit(t, l, c, &Batch{Slots: []SlotChange{{g.Key, goodSlot(t0)}, {h.Key, goodSlot(t0)}}, Agents: []wire.AgentSeen{{Agent: "a"}}})
	commit(t, l, c, &Batch{Statuses: []Status{{Objective: "api", Group: g.Key}}})
	next, set := changes(operator(), cursor)
	if next != 4 || set.All || len(set.Groups) != 2 || !set.Agents || set.Alerts {
		t.Fatalf("got %d %+v", next, set)
	}
	if _, set := changes(customer("bank"), cursor); !reflect.DeepEqual(set, ChangeSet{Groups: []wire.GroupKey{g.Key}}) {
		t.Fatalf("got %+v", set)
	}
	if _, set := changes(operator(), next); !set.Empty() {
		t.Fatalf("got %+v", set)
	}
	if _, set := changes(operator(), next+5); !set.All { // an older copy was restored
		t.Fatalf("got %+v", set)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	if again, set := changes(operator(), cursor); again != next || !set.All {
		t.Fatalf("after a restart: got %d %+v", again, set)
	}
}

func suiteState(t *testing.T, open func() *Ledger) {
	l := open()
	for _, e := range []StateEntry{{"b", []byte("1")}, {"a", nil}, {"b", []byte("2")}} {
		if err := l.StatePut(bg, "silence", e.Key, e.Blob); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.StatePut(bg, "nflog", "b", []byte("3")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	if got := must(l.StateList(bg, "silence"))(t); len(got) != 2 || got[0].Key != "a" || len(got[0].Blob) != 0 || got[1].Key != "b" || string(got[1].Blob) != "2" {
		t.Fatalf("got %+v", got)
	}
	for range 2 {
		if err := l.StateDelete(bg, "silence", "b"); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, second(l.StateGet(bg, "silence", "b")), ErrNotFound)
	if got := must(l.StateGet(bg, "nflog", "b"))(t); string(got) != "3" {
		t.Fatalf("got %q", got)
	}
}

func suitePrune(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	const day = 24 * hourMillis
	for d := range int64(20) {
		at := t0 + d*day
		restated := badSlot(at)
		restated.Version = 2
		commit(t, l, c, &Batch{
			LogTime: at, Groups: []Group{g},
			Slots:    []SlotChange{{g.Key, badSlot(at)}, {g.Key, restated}},
			Sketches: []Sketch{{g.Key, at, histOf(1)}},
			Gaps:     []wire.Gap{{Agent: "a", Boot: uint64(d), LastSeq: 1}}, Unplaced: []wire.Unplaced{{Group: g.Key, From: at, To: at}},
			Alerts: []alert.Alert{{Status: alert.Resolved, Labels: map[string]string{"alertname": "x"}, StartsAt: at, EndsAt: at}},
		})
	}
	const days = 24 * time.Hour
	now := t0 + 20*day
	if err := l.Prune(bg, Retention{Slots: 10 * days, Sketches: 5 * days, Gaps: 3 * days, Alerts: 2 * days}, now); err != nil {
		t.Fatal(err)
	}
	if got := must(l.GroupSlots(bg, operator(), g.Key, t0, now))(t); len(got) != 10 || got[0].Start != t0+10*day {
		t.Fatalf("%d slots", len(got))
	}
	if got := must(l.Versions(bg, operator(), g.Key, t0+10*day))(t); len(got) != 2 {
		t.Fatalf("%d versions", len(got))
	}
	if got := must(l.Versions(bg, operator(), g.Key, t0+9*day))(t); len(got) != 0 {
		t.Fatalf("%d versions", len(got))
	}
	if got := must(l.Sketches(bg, operator(), g.Key, t0, now))(t); len(got) != 5 {
		t.Fatalf("%d sketches", len(got))
	}
	if got := must(l.Gaps(bg, operator(), 0, now))(t); len(got) != 3 {
		t.Fatalf("%d gaps", len(got))
	}
	if got := must(l.Agents(bg, operator()))(t); len(got) != 3 {
		t.Fatalf("%d agents", len(got))
	}
	if got := must(l.Unplaced(bg, operator(), 0, now))(t); len(got) != 3 {
		t.Fatalf("%d unplaced", len(got))
	}
	if got := must(l.Alerts(bg, operator(), 0))(t); len(got) != 2 {
		t.Fatalf("%d alerts", len(got))
	}
}

func suiteTotals(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	unknown := Slot{Start: t0 + 2*minute, State: sla.Unknown, Version: 1, Reason: "silent"}
	next := goodSlot(t0 + hourMillis)
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{
		{g.Key, goodSlot(t0)}, {g.Key, badSlot(t0 + minute)}, {g.Key, unknown}, {g.Key, openSlot(t0+3*minute, 1, 9)}, {g.Key, next},
	}})
	want := []HourTotals{
		{t0, Totals{Good: 60, Total: 120, GoodSlots: 1, BadSlots: 1, UnknownSlots: 1}},
		{t0 + hourMillis, Totals{Good: 60, Total: 60, GoodSlots: 1}},
	}
	if got := must(l.HourTotals(bg, operator(), g.Key, t0, t0+9*hourMillis))(t); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if got := must(l.HourTotals(bg, operator(), g.Key, t0+1, t0+9*hourMillis))(t); !reflect.DeepEqual(got, want[1:]) {
		t.Fatalf("got %+v, want %+v", got, want[1:])
	}
	fixed := badSlot(t0 + minute)
	fixed.State, fixed.Version, fixed.Good = sla.Good, 2, 60
	commit(t, l, c, &Batch{Slots: []SlotChange{{g.Key, fixed}}})
	want[0].Totals = Totals{Good: 120, Total: 120, GoodSlots: 2, UnknownSlots: 1}
	if got := must(l.HourTotals(bg, operator(), g.Key, t0, t0+hourMillis))(t); !reflect.DeepEqual(got, want[:1]) {
		t.Fatalf("got %+v, want %+v", got, want[:1])
	}
}

func suitePacked(t *testing.T, open func() *Ledger) {
	l := open()
	c := claim(t, l, 0)
	g, h := group(streamA, 1, ""), group(streamA, 2, "")
	b := &Batch{Groups: []Group{g, h}}
	const hours = 8 * 24
	for i := range int64(hours) {
		s := goodSlot(t0 + i*hourMillis)
		s.Total += uint64(i)
		if b.Slots = append(b.Slots, SlotChange{g.Key, s}); i%5 == 0 {
			b.Slots = append(b.Slots, SlotChange{h.Key, s})
		}
	}
	commit(t, l, c, b)
	now := t0 + hours*hourMillis
	load := func() []Loaded { return must(l.Load(bg, 0, now-30*minute))(t) }
	packed := func(at int64) {
		t.Helper()
		before := load()
		if err := l.pack(bg, at); err != nil {
			t.Fatal(err)
		}
		if after := load(); !reflect.DeepEqual(after, before) {
			t.Fatalf("got %+v, want %+v", after, before)
		}
	}
	packed(t0 + dayMillis)
	packed(now - 3*dayMillis)
	packed(now)
	if n := len(load()[0].Hours); n != hours-1 {
		t.Fatalf("%d hours", n)
	}
	fixed := badSlot(t0 + 30*hourMillis)
	fixed.Version = 2
	late := badSlot(t0 + 31*hourMillis) // h has no slot in that hour yet
	commit(t, l, c, &Batch{LogTime: now, Slots: []SlotChange{{g.Key, fixed}, {h.Key, late}}})
	if got := load(); got[0].Hours[30].BadSlots != 1 || got[1].Hours[7].BadSlots != 1 {
		t.Fatalf("got %+v", got)
	}
}
