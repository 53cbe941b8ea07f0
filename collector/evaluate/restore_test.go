package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// book is a real ledger and the evaluator's claim on it.
type book struct {
	t     *testing.T
	led   *ledger.Ledger
	claim *ledger.Claim
}

func newBook(t *testing.T) *book {
	led, err := ledger.Open(context.Background(), ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = led.Close() })
	return &book{t: t, led: led}
}

// restore claims and reads the state back under the rule set.
func (b *book) restore(f *fixture, set string) *State {
	b.t.Helper()
	ctx := context.Background()
	claim, err := b.led.Claim(ctx, 0, "test")
	b.claim = claim
	var loaded []ledger.Loaded
	if err == nil {
		loaded, err = b.led.Load(ctx, 0, Since(claim.LogTime))
	}
	alerts, err2 := b.led.LoadAlerts(ctx, 0)
	agents, err3 := b.led.Agents(ctx, access.Local())
	if err != nil || err2 != nil || err3 != nil {
		b.t.Fatal(err, err2, err3)
	}
	s := New(Config{}, claim, f.find, func(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
		slots, err := b.led.GroupSlots(ctx, access.Local(), key, start, start+1)
		if err != nil || len(slots) == 0 {
			return ledger.Slot{}, false, err
		}
		return slots[0], true, nil
	})
	s.SetStreams(func(id string) *slo.Stream {
		for _, set := range f.sets {
			if st := set.Streams[id]; st != nil {
				return st
			}
		}
		return nil
	})
	s.SetExclusions(b.exclusions())
	s.SetInventory(b.view())
	s.SetSlots(func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
		return b.led.GroupSlots(ctx, access.Local(), key, from, to)
	})
	if err := s.Restore(set, loaded, alerts, agents); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *book) exclusions() []inventory.Exclusion {
	b.t.Helper()
	list, err := b.led.Exclusions(context.Background(), access.Local(), "", 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *book) commit(f *fixture) {
	b.t.Helper()
	batch := f.advance()
	if err := b.led.Commit(context.Background(), b.claim, &batch); err != nil {
		b.t.Fatal(err)
	}
}

// statuses are what every group would report now.
func statuses(s *State) (out []ledger.Status) {
	for g := range s.groups.All() {
		for i := range g.judged {
			st := g.status(s, &g.judged[i])
			st.LastSample -= st.LastSample % 1000 // the ledger knows it to the bin
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b ledger.Status) int { return cmpGroup(a.Group, b.Group) })
	return out
}

// TestARestoredStateGoesOnAsBefore: windows, alerts and slots are those of a
// state that never stopped, at whatever point of an outage.
func TestARestoredStateGoesOnAsBefore(t *testing.T) {
	st := probes(1, 2)
	set := rules(st, objective("up", st, &slo.Down{Failures: 3, K: 2, N: 2}))
	f := newFixture(t, 1, set)
	b := newBook(t)
	f.s = b.restore(f, "")
	dice := rand.New(rand.NewPCG(1, 2))
	for sec := int64(0); sec < 900; sec++ {
		up := 1
		if sec%300 > 200 && sec%300 < 230 {
			up = 0
		}
		f.seconds(sec, sec+1, up, up*dice.IntN(2))
		if sec%37 == 36 {
			b.commit(f)
			want := statuses(f.s)
			old := f.s
			f.s = b.restore(f, f.set)
			if got := statuses(f.s); !reflect.DeepEqual(got, want) {
				t.Fatalf("second %d:\n got %+v\nwant %+v", sec, got, want)
			}
			if !reflect.DeepEqual(alertKeys(f.s), alertKeys(old)) {
				t.Fatalf("second %d: alerts %v, want %v", sec, alertKeys(f.s), alertKeys(old))
			}
			if f.s.LogTime() != old.LogTime() || f.s.Offset() != old.Offset() || f.s.turned != old.turned {
				t.Fatalf("second %d: another position", sec)
			}
		}
	}
	n := map[string]int{}
	for _, s := range f.said() {
		n[s]++
	}
	if n["ConfirmedDown firing"] != 3 || n["ConfirmedDown resolved"] != 3 {
		t.Errorf("three outages gave %v", n)
	}
}

func alertKeys(s *State) map[string]int64 {
	out := map[string]int64{}
	for k, a := range s.alerts {
		out[k] = a.StartsAt
	}
	return out
}

// TestAlertsAreRepeatedAlike: what was not committed before a crash is told
// again with the same key, beginning and offset, blindness included.
func TestAlertsAreRepeatedAlike(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	b := newBook(t)
	f.s = b.restore(f, "")
	f.seconds(0, 10, 1)
	b.commit(f)
	play := func() (out []string) {
		f.alerts = nil
		f.offset, f.to[0] = 10, 10
		f.seconds(10, 20, 0)
		f.seconds(20, 90)
		f.seconds(90, 95, 1)
		for _, a := range f.alerts {
			out = append(out, fmt.Sprint(a.Key(), a.Status, a.StartsAt, a.EndsAt, a.Offset, a.LogTime))
		}
		return out
	}
	first := play()
	f.s = b.restore(f, f.set)
	if again := play(); len(first) != 4 || !slices.Equal(first, again) {
		t.Errorf("first %v\nagain %v", first, again)
	}
}

// TestRulesChange: unchanged objectives go on, a changed one is a new identity,
// the old one's last slot is closed although the state is read again at once,
// and an alert that goes on is neither resolved nor raised anew.
func TestRulesChange(t *testing.T) {
	r := down(1, 1)
	f := newFixture(t, 1, r.set())
	b := newBook(t)
	f.s = b.restore(f, "")
	f.seconds(0, 60, 1)
	f.seconds(60, 90, 0)
	b.commit(f)
	f.wantSaid("down", "ConfirmedDown firing")
	old := f.key()
	changed := down(1, 1)
	changed.st.Rule.MaxRatio.Den = 20
	next := changed.set()
	f.use(next)
	f.stream = r.st.ID() // until the boundary the old stream counts
	f.seconds(90, 91, 0)
	if !f.s.Stale() {
		t.Fatal("the windows are to be read again")
	}
	b.commit(f)
	f.s = b.restore(f, f.set)
	f.seconds(91, 120, 0)
	f.stream = changed.st.ID()
	f.seconds(120, 400, 0)
	b.commit(f)
	f.wantSaid("it goes on")
	for m, want := range []sla.State{sla.Good, sla.Bad} {
		slots, err := b.led.GroupSlots(context.Background(), access.Local(), old, epoch+int64(m)*minute, epoch+int64(m)*minute+1)
		if err != nil || len(slots) != 1 || slots[0].State != want || slots[0].Total != 60 {
			t.Errorf("minute %d of the old objective: %+v, %v", m, slots, err)
		}
	}
	if f.s.groups.Len() != 1 || f.s.groups.Get(f.key()) == nil {
		t.Errorf("%d groups", f.s.groups.Len())
	}
	f.use(&slo.RuleSet{Streams: map[string]*slo.Stream{}})
	f.stream = changed.st.ID()
	f.seconds(400, 700, silent)
	f.said()
	for _, a := range f.s.alerts {
		if a.Labels["kind"] == "down" {
			t.Error("the alert of an objective that was removed goes on")
		}
	}
}

// A stale state has empty windows: one failure in them is not a burnt budget.
func TestARuleChangePagesNobody(t *testing.T) {
	o := objective("requests", requests(), nil)
	f := newFixture(t, 1, rules(requests(), o))
	for s := int64(0); s < 7200; s += 10 {
		f.apply(0, epoch+s*1000, wire.BinCount{Group: f.key(), Bin: epoch + s*1000, Good: 100, Total: 100, Newest: epoch + s*1000})
	}
	other := *o
	other.Description = "new words"
	f.use(rules(requests(), &other))
	at := epoch + 7200_000
	f.apply(0, at, wire.BinCount{Group: f.key(), Bin: at, Good: 0, Total: 1, Newest: at})
	f.wantSaid("one failure")
	if b := f.advance(); len(b.Statuses) != 0 || b.RuleSetID != f.set {
		t.Errorf("statuses without a past: %+v", b.Statuses)
	}
}

// A complete good slot keeps names alone. Late news of a vantage point that was
// not there then must not turn what the others saw into a hole.
func TestLateNewsOfAnotherVantagePoint(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	b := newBook(t)
	f.s = b.restore(f, "")
	f.seconds(0, 400, 1)
	b.commit(f)
	f.s = b.restore(f, f.set)
	f.seconds(400, 401, 1)
	f.apply(0, epoch+402_000, f.bin("b", epoch+30_000, 1))
	f.apply(0, epoch+403_000)
	sl := f.slot(0)
	if len(sl.Vantages) != 2 || sl.Complete != nil || sl.Total != 61 || sl.Version != 2 {
		t.Fatalf("%+v", sl)
	}
	for _, v := range sl.Vantages {
		seen := 0
		for i := range 60 {
			seen += int(v.OK[0] >> i & 1)
		}
		if v.Vantage == "a" && seen != 60 || v.Vantage == "b" && seen != 1 {
			t.Errorf("%s saw %d bins", v.Vantage, seen)
		}
	}
}

// TestLateNewsAfterARestart: evaluation that begins anew, before it hears of any
// vantage point, decides about late data as if it had never stopped.
func TestLateNewsAfterARestart(t *testing.T) {
	f := func(what string, state sla.State, late func(*fixture) wire.BinCount) {
		t.Helper()
		var got [2]ledger.Slot
		for i := range got {
			f := newFixture(t, 1, down(2, 2).set())
			b := newBook(t)
			f.s = b.restore(f, "")
			f.seconds(0, 200, 1, 1)
			b.commit(f)
			if sl := f.past[epoch+minute]; !slices.Equal(sl.Complete, []string{"a", "b"}) || sl.Vantages != nil {
				t.Fatalf("a complete slot: %+v", sl)
			}
			if i == 1 {
				f.s = b.restore(f, f.set)
			}
			f.apply(0, epoch+201_000, late(f))
			b.commit(f)
			slots, err := b.led.GroupSlots(context.Background(), access.Local(), f.key(), epoch+minute, epoch+minute+1)
			if err != nil || len(slots) != 1 {
				t.Fatal(slots, err)
			}
			got[i] = slots[0]
		}
		if !reflect.DeepEqual(got[0], got[1]) || got[0].State != state || got[0].Version != 2 || got[0].Total != 121 {
			t.Errorf("%s:\nwithout a restart %+v\nwith one          %+v", what, got[0], got[1])
		}
	}
	f("another success of the same", sla.Good, func(f *fixture) wire.BinCount { return f.bin("a", epoch+minute+5_000, 1) })
	f("a failure beside a success", sla.Good, func(f *fixture) wire.BinCount { return f.bin("b", epoch+minute+5_000, 0) })
	f("another vantage point, seen once", sla.Unknown, func(f *fixture) wire.BinCount { return f.bin("c", epoch+minute+5_000, 1) })
}
