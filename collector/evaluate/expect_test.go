package evaluate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

func everything(wire.GroupKey) bool { return true }

// view reads rows of an inventory; @N stands for N seconds after epoch.
func view(t testing.TB, rows ...string) *inventory.View {
	t.Helper()
	text := "resource,from,match.target,state,customer,contract\n"
	for _, row := range rows {
		cells := strings.Split(row, ",")
		if sec, ok := strings.CutPrefix(cells[1], "@"); ok {
			d, err := time.ParseDuration(sec + "s")
			if err != nil {
				t.Fatal(err)
			}
			cells[1] = time.UnixMilli(epoch).Add(d).UTC().Format(time.RFC3339)
		}
		text += strings.Join(cells, ",") + "\n"
	}
	entries, err := inventory.Read("i.csv", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := inventory.Plan(nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	var records []inventory.Record
	for i, c := range changes {
		records = append(records, inventory.Record{ID: int64(i + 1), Fact: c.Fact, Recorded: 1})
	}
	return inventory.At(records, 0)
}

// watched is a stream with an objective that alerts on silence of a minute.
func watched() *slo.RuleSet {
	set := down(1, 1).set()
	set.Objectives[0].NoData = []slo.NoData{{Severity: "ticket", After: minute}}
	return set
}

func (f *fixture) groupsCommitted() (out []ledger.Group) {
	f.advance()
	for _, b := range f.batches {
		out = append(out, b.Groups...)
	}
	return out
}

// wantNoData is wantSaid without the page that the whole region is silent.
func (f *fixture) wantNoData(what string, want ...string) {
	f.t.Helper()
	var got []string
	for _, s := range f.said() {
		if !strings.HasPrefix(s, AlertBlind) {
			got = append(got, s)
		}
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestASilentResourceHasUnknownSlots(t *testing.T) {
	f := newFixture(t, 1, watched())
	f.s.Expect(view(t, "r,@-9000,t,running,bank,"), everything)
	f.seconds(0, 200)
	f.wantSlot("never heard of", 0, sla.Unknown, 0, 0, 1)
	f.wantSlot("never heard of", 1, sla.Unknown, 0, 0, 1)
	groups := f.groupsCommitted()
	if len(groups) != 1 || groups[0].Customer != "bank" || groups[0].Labels.Get("target") != "t" || groups[0].FirstSlot != epoch {
		t.Errorf("%+v", groups)
	}
	var shown []ledger.Status
	for _, b := range f.batches {
		shown = append(shown, b.Statuses...)
	}
	if len(shown) == 0 || shown[len(shown)-1].State != "silent" {
		t.Errorf("the page does not show it: %+v", shown)
	}
	f.wantNoData("no data for a minute", "NoData firing")
	f.seconds(200, 260, 1)
	f.wantNoData("it speaks", "NoData resolved")
	f.wantSlot("heard", 4, sla.Open, 20, 20, 0)
}

func TestWhatIsExpectedIsNeverRetired(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.s.cfg.RetireAfter = 5 * minute
	f.s.Expect(view(t, "r,@-9000,t,running,,"), everything)
	f.seconds(0, 60, 1)
	f.seconds(60, 900)
	f.wantSlot("long silent", 13, sla.Unknown, 0, 0, 1)
	if f.s.Groups() != 1 {
		t.Error("it was retired")
	}
}

func TestStoppedResourcesAreNotExpected(t *testing.T) {
	f := newFixture(t, 1, watched())
	f.s.Expect(view(t, "r,@-9000,t,running,,", "r,@150,,suspended,,", "r,@420,,running,,"), everything)
	f.seconds(0, 155, 1) // the last seconds of it come after it was suspended
	f.seconds(155, 400)
	f.wantSlot("the one in which it was suspended", 2, sla.Unknown, 35, 35, 1)
	if _, ok := f.past[epoch+3*minute]; ok {
		t.Error("a slot while it is suspended")
	}
	f.wantNoData("nobody waits for it")
	if f.s.Groups() != 0 {
		t.Error("it is still held")
	}
	f.seconds(400, 600)
	f.wantSlot("running again, and silent", 8, sla.Unknown, 0, 0, 1)
	if _, ok := f.past[epoch+6*minute]; ok {
		t.Error("a slot while it was suspended")
	}
	f.wantNoData("silent again", "NoData firing")

	// It makes no difference when commits fall.
	f = newFixture(t, 1, watched())
	f.s.Expect(view(t, "r,@-9000,t,running,,", "r,@150,,suspended,,", "r,@420,,running,,"), everything)
	f.seconds(0, 155, 1)
	f.seconds(155, 600)
	f.wantSlot("running again, and silent", 8, sla.Unknown, 0, 0, 1)
	for min := int64(3); min < 7; min++ {
		if _, ok := f.past[epoch+min*minute]; ok {
			t.Errorf("slot %d while it was suspended", min)
		}
	}

	// One that speaks while it is stopped is counted, and not waited for.
	f = newFixture(t, 1, watched())
	f.s.Expect(view(t, "r,@-9000,t,running,,", "r,@-60,,stopped,,"), everything)
	f.seconds(0, 60, 1)
	f.seconds(60, 400)
	f.wantSlot("counted", 0, sla.Good, 60, 60, 1)
	if _, ok := f.past[epoch+minute]; ok || f.s.Groups() != 0 {
		t.Error("it is waited for")
	}
	f.wantNoData("nobody waits for it")
}

func TestContractsAndMatchersSayWhereAResourceIsExpected(t *testing.T) {
	f := func(what string, change func(*slo.RuleSet, *slo.Stream), rows []string, mine func(wire.GroupKey) bool, want int) {
		t.Helper()
		st := probes(1, 1)
		set := rules(st, objective("probes", st, nil))
		change(set, st)
		set.Streams = map[string]*slo.Stream{st.ID(): st}
		set.Objectives[0].StreamID = st.ID()
		fx := newFixture(t, 1, set)
		fx.s.Expect(view(t, rows...), mine)
		fx.seconds(0, 2)
		if n := fx.s.Groups(); n != want {
			t.Errorf("%s: %d groups, want %d", what, n, want)
		}
	}
	one := []string{"r,@-9000,t,running,,"}
	f("named by its label", func(*slo.RuleSet, *slo.Stream) {}, one, everything, 1)
	f("another partition's", func(*slo.RuleSet, *slo.Stream) {}, one, func(wire.GroupKey) bool { return false }, 0)
	f("not running yet", func(*slo.RuleSet, *slo.Stream) {}, []string{"r,@9000,t,running,,"}, everything, 0)
	dns := func(_ *slo.RuleSet, st *slo.Stream) {
		st.Sample.Matchers = []slo.Matcher{{Label: "probe", Match: slo.Equal, Value: "dns"}}
	}
	f("it may be of another kind", dns, one, everything, 0)
	contract := func(set *slo.RuleSet, st *slo.Stream) {
		dns(set, st)
		raw, err := json.Marshal(slo.ContractRecord{Contract: &sla.Contract{Name: "gold", Objectives: []sla.Objective{{Name: "a", Stream: st.ID()}}}})
		if err != nil {
			t.Fatal(err)
		}
		set.Contracts = map[string]json.RawMessage{"gold": raw}
	}
	f("its contract says so", contract, []string{"r,@-9000,t,running,,gold"}, everything, 1)
	f("another contract", contract, []string{"r,@-9000,t,running,,silver"}, everything, 0)
	f("a label that is not known", func(_ *slo.RuleSet, st *slo.Stream) { st.GroupBy = []string{"target", "zone"} }, one, everything, 0)
}

func TestOwnersSeeTheirGroups(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 30, 1)
	f.s.Expect(view(t, "r,@-9000,t,running,bank,", "r,@60,,,clinic,"), everything)
	f.seconds(30, 40, 1)
	if g := f.groupsCommitted(); g[len(g)-1].Customer != "bank" {
		t.Errorf("%+v", g)
	}
	f.seconds(40, 90, 1)
	if g := f.groupsCommitted(); g[len(g)-1].Customer != "clinic" || g[len(g)-1].FirstSlot != epoch {
		t.Errorf("%+v", g)
	}
}

// TestTheInventoryChangesNoCount: the same log, whenever the inventory becomes
// known, gives the same counts and the same good and bad slots; at most unknown
// slots are there that another run has not.
func TestTheInventoryChangesNoCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := rapid.SliceOfN(rapid.IntRange(-1, 2), 20, 40).Draw(rt, "ten seconds each")
		run := func(told int) map[int64]ledger.Slot {
			f := newFixture(t, 1, down(1, 1).set())
			for i, result := range log {
				if i == told {
					f.s.Expect(view(t, "r,@-9000,t,running,bank,", "r,@100,,stopped,,", "r,@220,,running,,"), everything)
				}
				f.seconds(int64(i)*10, int64(i)*10+10, result)
			}
			f.advance()
			return f.past
		}
		plain, with := run(-1), run(rapid.IntRange(0, len(log)-1).Draw(rt, "told"))
		for start, want := range plain {
			if got, ok := with[start]; want.Total > 0 && (!ok || got.Total != want.Total || got.Good != want.Good || got.State != want.State) {
				rt.Fatalf("slot %d: %+v, without an inventory %+v", (start-epoch)/minute, got, want)
			}
		}
		for start, got := range with {
			if _, ok := plain[start]; !ok && (got.Total > 0 || got.State == sla.Good || got.State == sla.Bad) {
				rt.Fatalf("slot %d is there through the inventory alone: %+v", (start-epoch)/minute, got)
			}
		}
	})
}

// An address that a customer gave back, and another got, is the other's.
func TestAReusedAddressIsWhoseRunsThere(t *testing.T) {
	f := newFixture(t, 1, watched())
	f.s.Expect(view(t, "first,@-9000,t,running,bank,", "first,@60,,stopped,,", "second,@120,t,running,clinic,"), everything)
	f.seconds(0, 60, 1)
	customer := func(want string) {
		t.Helper()
		groups := f.groupsCommitted()
		if len(groups) == 0 || groups[len(groups)-1].Customer != want {
			t.Errorf("%+v, want %s's", groups, want)
		}
	}
	customer("bank")
	f.seconds(60, 100)
	customer("bank") // nobody has taken it yet
	f.seconds(100, 200, 1)
	customer("clinic")
}
