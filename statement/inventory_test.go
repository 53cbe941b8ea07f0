package statement

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
	"nines/internal/sla/slot"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/rules"
)

// book is a ledger that tests fill: slots by group, facts, exclusions.
type book struct {
	*ledger.Ledger
	t     testing.TB
	claim *ledger.Claim
}

func newBook(t testing.TB) *book {
	t.Helper()
	return newBookIn(t, ledger.Options{Path: t.TempDir()})
}

func newBookIn(t testing.TB, where ledger.Options) *book {
	t.Helper()
	l, err := ledger.Open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	claim, err := l.Claim(context.Background(), 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	return &book{l, t, claim}
}

// facts records rows of CSV under a header.
func (b *book) facts(header string, rows ...string) {
	b.t.Helper()
	entries, err := inventory.Read("i.csv", []byte(header+"\n"+strings.Join(rows, "\n")))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.RecordFacts(context.Background(), access.Local(), ledger.Note{Author: "ann", Reason: "test", At: 1}, entries); err != nil {
		b.t.Fatal(err)
	}
}

// slots writes the slots of a group over the period: good, but where told else.
func (b *book) slots(stream string, labels map[string]string, p sla.Period, length int64, state func(start int64) sla.State) {
	b.t.Helper()
	ls := telemetry.NewLabels(labels)
	key := wire.GroupKey{Stream: stream, Labels: ls.Hash()}
	batch := &ledger.Batch{Offset: b.claim.Offset + 1, LogTime: p.End, Groups: []ledger.Group{{Key: key, Labels: ls, FirstSlot: p.Start}}}
	for at := p.Start; at < p.End; at += length {
		s := ledger.Slot{Start: at, State: state(at), Version: 1, Good: 60, Total: 60}
		switch s.State {
		case sla.Bad:
			s.Good, s.Reason = 0, slot.ReasonUnreachable
		case sla.Unknown:
			s.Good, s.Total, s.Reason = 0, 0, slot.ReasonNoData
		}
		batch.Slots = append(batch.Slots, ledger.SlotChange{Group: key, Slot: s})
	}
	if err := b.Commit(context.Background(), b.claim, batch); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) settle(c *sla.Contract) *sla.Settlement {
	b.t.Helper()
	s, err := Build(context.Background(), b, Request{Principal: access.Local(), Contract: c, Month: "2026-11"})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func good(int64) sla.State { return sla.Good }

// down returns states that are bad in the minutes [first, first+n) of November.
func down(t testing.TB, p sla.Period, first, n int64) func(int64) sla.State {
	return func(at int64) sla.State {
		if m := (at - p.Start) / minute; m >= first && m < first+n {
			return sla.Bad
		}
		return sla.Good
	}
}

// TestALifecycleInstance is case 4 of the contracts' cases, through ledger and
// inventory: an instance that runs from 10 to 20 November.
func TestALifecycleInstance(t *testing.T) {
	f := func(d sla.Denominator, slots uint64, attainment, credit string) {
		t.Helper()
		b := newBook(t)
		b.facts("resource,from,match.target,state,customer,contract",
			"i-1,2026-11-10T09:15:30Z,i-1,running,bank,shop", "i-1,2026-11-20T17:45:20Z,,stopped,,")
		p, c := november(b.t.(*testing.T)), contract(t, sla.Pooled)
		c.Objectives[0].Denominator = d
		b.slots(stream, map[string]string{"target": "i-1"}, p, minute, down(t, p, 15*1440, 5))
		if s := b.settle(c); s.Slots.Applicable != slots || s.AttainmentPct != attainment || s.Credit.Amount != credit || s.Slots.Bad != 5 {
			t.Errorf("%s: %+v", d, s.Figures)
		}
	}
	f(sla.Lifecycle, 14_909, "99.96646", "1000.00")
	f(sla.Calendar, 43_200, "99.98842", "0.00")
}

// TestFeesOfResources is case 9: 100 instances at 100.00 each, one of them down
// for 72 hours.
func TestFeesOfResources(t *testing.T) {
	b := newBook(t)
	p := november(t)
	var rows []string
	for i := range 100 {
		name := fmt.Sprintf("i-%03d", i)
		rows = append(rows, name+",2026-10-01T00:00:00Z,"+name+",running,bank,shop,100.00 USD")
		state := good
		if i == 7 {
			state = down(t, p, 10*360, 72*60)
		}
		b.slots(stream, map[string]string{"target": name}, p, 360*minute, state)
	}
	b.facts("resource,from,match.target,state,customer,contract,fee", rows...)
	f := func(a sla.Aggregation, lossCap string, attainment, credit string) {
		t.Helper()
		c := contract(t, a)
		c.Objectives[0].Slot.Length = 60 * minute
		c.Objectives[0].Tiers = append(c.Objectives[0].Tiers, sla.Tier{Below: percent(t, "95"), Credit: percent(t, "100")})
		if lossCap != "" {
			c.Cap = percent(t, lossCap)
		}
		if s := b.settle(c); s.AttainmentPct != attainment || s.Credit.Amount != credit || s.Fee.String() != "10000.00" {
			t.Errorf("%s: %+v of %s", a, s.Figures, s.Fee)
		}
	}
	f(sla.PerResource, "", "90.00000", "100.00")
	f(sla.Pooled, "", "99.90000", "1000.00")
	f(sla.Pooled, "5", "99.90000", "500.00")
}

func TestASilentResourceIsUnknown(t *testing.T) {
	b := newBook(t)
	p, c := november(t), contract(t, sla.PerResource)
	c.Fee.PerResource = true
	b.facts("resource,from,match.target,state,customer,contract", "a,2026-01-01T00:00:00Z,a,running,bank,shop", "b,2026-01-01T00:00:00Z,b,running,bank,shop",
		"c,2026-01-01T00:00:00Z,c,running,clinic,other")
	b.slots(stream, map[string]string{"target": "a"}, p, 60*minute, good)
	b.slots(stream, map[string]string{"target": "c"}, p, 60*minute, func(int64) sla.State { return sla.Bad })
	c.Objectives[0].Slot.Length = 60 * minute
	s := b.settle(c)
	part := s.Objectives[0]
	if len(part.Resources) != 2 || part.Resources[0].Name != "a" || part.Resources[1].Name != "b" {
		t.Fatalf("%+v", part.Resources)
	}
	if part.Resources[1].Slots != (sla.Slots{Applicable: 720, Unknown: 720}) || part.Resources[1].CoveragePct != "0.00000" || part.Resources[0].CoveragePct != "100.00000" {
		t.Errorf("%+v", part.Resources)
	}
	// The month runs, and nothing was heard at all: not known, not yet to come.
	c.Objectives[0].Stream = "00000000000000ff"
	running, err := Build(context.Background(), b, Request{Principal: access.Local(), Contract: c, Month: "2026-11", AsOf: p.Start + 100*60*minute})
	if err != nil || running.Objectives[0].Resources[0].Slots != (sla.Slots{Applicable: 100, Unknown: 100, NotApplicable: 620}) {
		t.Errorf("%+v (%v)", running, err)
	}
}

// TestAResourceChangesHands: from the 16th on the resource is another customer's,
// under another contract. Each gets the statement of its time and pays for it.
func TestAResourceChangesHands(t *testing.T) {
	b := newBook(t)
	p := november(t)
	b.facts("resource,from,match.target,state,customer,contract,fee",
		"a,2026-01-01T00:00:00Z,a,running,bank,shop,100.00 USD", "a,2026-11-16T00:00:00Z,,,clinic,ward,", "b,2026-01-01T00:00:00Z,b,running,bank,shop,100.00 USD")
	b.slots(stream, map[string]string{"target": "a"}, p, 60*minute, down(t, p, 15*1440, 600)) // the 16th, ten hours
	b.slots(stream, map[string]string{"target": "b"}, p, 60*minute, good)
	f := func(name, customer string, fee string, bad, applicable uint64) {
		t.Helper()
		c := contract(t, sla.PerResource)
		c.Name, c.Customer = name, customer
		c.Objectives[0].Slot.Length, c.Objectives[0].Denominator = 60*minute, sla.Lifecycle
		s, err := Build(context.Background(), b, Request{Principal: access.Principal{Name: "portal", Customers: []string{customer}}, Contract: c, Month: "2026-11"})
		if err != nil {
			t.Fatal(err)
		}
		a := s.Objectives[0].Resources[0]
		if a.Name != "a" || a.Slots.Bad != bad || a.Slots.Applicable != applicable || a.Slots.Unknown != 0 || s.Fee.String() != fee {
			t.Errorf("%s: %+v of %s", name, a, s.Fee)
		}
	}
	f("shop", "bank", "150.00", 0, 360)
	f("ward", "clinic", "50.00", 10, 360)
	c := contract(t, sla.PerResource)
	if _, err := Build(context.Background(), b, Request{Principal: access.Principal{Name: "portal", Customers: []string{"clinic"}}, Contract: c, Month: "2026-11"}); err == nil {
		t.Error("clinic reads the bank's statement")
	}
}

// TestAFeeChanges: 100.00, from the 21st on 400.00; bad time on the 25th.
func TestAFeeChanges(t *testing.T) {
	f := func(ch *sla.Changes, fee, credit string, parts int) {
		t.Helper()
		b := newBook(t)
		p := november(t)
		b.facts("resource,from,match.target,state,contract,fee", "a,2026-01-01T00:00:00Z,a,running,shop,100.00 USD", "a,2026-11-21T00:00:00Z,,,,400.00 USD")
		b.slots(stream, map[string]string{"target": "a"}, p, 60*minute, down(t, p, 24*1440, 120))
		c := contract(t, sla.PerResource)
		c.Objectives[0].Slot.Length, c.Changes = 60*minute, ch
		s := b.settle(c)
		if s.Fee.String() != fee || s.Credit.Amount != credit || len(s.Objectives) != parts {
			t.Errorf("%+v: fee %s, %+v, %d parts", ch, s.Fee, s.Credit, len(s.Objectives))
		}
		last := s.Steps[len(s.Steps)-1]
		if !strings.HasPrefix(last.Clause, "changes") || !strings.Contains(last.Values["2026-11-21T00:00:00Z"], "fee of a is 400.00") {
			t.Errorf("the steps do not tell: %+v", last)
		}
	}
	f(nil, "200.00", "20.00", 1)                       // 718 of 720 hours: 10 % of two thirds of 100 and one of 400
	f(&sla.Changes{}, "200.00", "20.00", 1)            // pooled
	f(&sla.Changes{Apart: true}, "199.99", "13.33", 2) // 238 of 240 hours: 10 % of a third of 400
}

func TestExclusionsOfTheLedgerAreJoined(t *testing.T) {
	b := newBook(t)
	p, c := november(t), contract(t, sla.Pooled)
	b.slots(stream, map[string]string{"target": "a"}, p, minute, down(t, p, 100, 30))
	ctx, n := context.Background(), func(who string) ledger.Note { return ledger.Note{Author: who, Reason: "works", At: 1} }
	c.Exclusions = []sla.Exclusion{{Start: p.Start + 100*minute, End: p.Start + 110*minute, Effect: sla.Removed, Category: "works", Reason: "in the file", Author: "a", ApprovedBy: "b"}}
	x, err := b.ProposeExclusion(ctx, access.Local(), n("ann"), "shop", "bank",
		sla.Exclusion{Start: p.Start + 105*minute, End: p.Start + 120*minute, Effect: sla.Removed, Category: "works", Reason: "in the ledger"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(excluded, bad uint64, mentioned bool) {
		t.Helper()
		s := b.settle(c)
		var text bytes.Buffer
		if err := WriteTable(&text, s); err != nil {
			t.Fatal(err)
		}
		if s.Slots.Excluded != excluded || s.Slots.Bad != bad || strings.Contains(text.String(), "in the ledger") != mentioned {
			t.Errorf("%+v\n%s", s.Slots, text.String())
		}
	}
	f(10, 20, true) // proposed: listed
	step := func(who string, s inventory.Step) {
		t.Helper()
		if _, err := b.StepExclusion(ctx, access.Local(), n(who), x.ID, s); err != nil {
			t.Fatal(err)
		}
	}
	step("ben", inventory.Approve)
	f(20, 10, true)
	step("ben", inventory.Withdraw)
	f(10, 20, false)
	if len(c.Exclusions) != 1 {
		t.Error("the contract was changed")
	}
}

// TestScopeDecides: the contract promises two things, one of them of targets of
// one kind only.
func TestScopeDecides(t *testing.T) {
	b := newBook(t)
	b.facts("resource,from,match.target,match.probe,state,contract", "a,2026-01-01T00:00:00Z,a,http,running,shop", "d,2026-01-01T00:00:00Z,d,dns,running,shop")
	c := contract(t, sla.PerResource)
	def := &slo.Stream{Sample: &slo.Selector{Metric: "probe_success", Matchers: []slo.Matcher{{Label: "probe", Match: slo.Equal, Value: "dns"}}}, GroupBy: []string{"target"}}
	s, err := Build(context.Background(), b, Request{Principal: access.Local(), Contract: c, Month: "2026-11", Stream: func(string) *slo.Stream { return def }})
	if err != nil || len(s.Objectives[0].Resources) != 1 || s.Objectives[0].Resources[0].Name != "d" {
		t.Errorf("%+v (%v)", s, err)
	}
}

func TestAResourceOfSeveralGroups(t *testing.T) {
	b := newBook(t)
	p, c := november(t), contract(t, sla.PerResource)
	b.facts("resource,from,match.service,state,contract", "lb,2026-01-01T00:00:00Z,lb,running,shop")
	b.slots(stream, map[string]string{"service": "lb", "node": "1"}, p, 60*minute, down(t, p, 0, 120))
	b.slots(stream, map[string]string{"service": "lb", "node": "2"}, p, 60*minute, func(at int64) sla.State {
		if h := (at - p.Start) / (60 * minute); h == 1 || h == 2 {
			return sla.Unknown
		}
		return sla.Good
	})
	c.Objectives[0].Slot.Length = 60 * minute
	if s := b.settle(c); len(s.Objectives[0].Resources) != 1 || s.Slots != (sla.Slots{Applicable: 720, Good: 717, Bad: 2, Unknown: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestZonesFromTheInventory(t *testing.T) {
	b := newBook(t)
	p, c := november(t), contract(t, sla.Pooled)
	c.Objectives[0].Slot.Length = 60 * minute
	c.Objectives[0].Zones = &sla.Zones{Rule: sla.AllAny, Label: "zone", Within: []string{"region"}}
	b.facts("resource,from,match.target,region,zone,state,contract,fee", "a,2026-01-01T00:00:00Z,a,r,za,running,shop,60.00 USD", "b,2026-01-01T00:00:00Z,b,r,zb,running,shop,40.00 USD")
	b.slots(stream, map[string]string{"target": "a", "zone": "za", "region": "r"}, p, 60*minute, down(t, p, 0, 60))
	// b was never heard: while a is down, nobody knows; else a zone is up.
	if s := b.settle(c); s.Slots != (sla.Slots{Applicable: 720, Good: 719, Unknown: 1}) || s.Fee.String() != "100.00" {
		t.Errorf("%+v of %s", s.Slots, s.Fee)
	}
	b.facts("resource,from,state", "b,2026-11-02T00:00:00Z,stopped")
	if s := b.settle(c); s.Slots != (sla.Slots{Applicable: 24, Good: 23, Unknown: 1, NotApplicable: 696}) {
		t.Errorf("one zone alone: %+v", s.Slots)
	}
}

// TestStatementsEqualSettle makes resources, their states and what was measured
// at random: the ledger's settlement and that of a file of facts are one.
func TestStatementsEqualSettle(t *testing.T) {
	b := newBook(t)
	p := november(t)
	slot := 6 * 60 * minute // of a slot
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		name, id := fmt.Sprintf("c%d", n), fmt.Sprintf("%016x", n)
		c := contract(b.t.(*testing.T), rapid.SampledFrom([]sla.Aggregation{sla.Pooled, sla.PerResource, sla.Worst}).Draw(t, "aggregation"))
		c.Name = name
		o := &c.Objectives[0]
		o.Stream, o.Slot.Length = id, slot
		o.Denominator = rapid.SampledFrom([]sla.Denominator{sla.Calendar, sla.Lifecycle}).Draw(t, "denominator")
		o.Unknown = rapid.SampledFrom([]sla.Policy{sla.UnknownBad, sla.UnknownExclude, sla.UnknownGood, sla.UnknownCarry}).Draw(t, "unknown")
		c.Fee.PerResource = rapid.Bool().Draw(t, "per resource")
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		facts, rows := []string{"resource,zone,start,end,state,value"}, []string{}
		for r := range rapid.IntRange(1, 3).Draw(t, "resources") {
			res := fmt.Sprintf("%s-%d", name, r)
			rows = append(rows, res+",2026-10-01T00:00:00Z,"+res+",running,"+name)
			facts = append(facts, res+",,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,down,")
			stops := p.Start
			for range rapid.IntRange(0, 2).Draw(t, "stops") {
				stops += rapid.Int64Range(1, 9*86_400).Draw(t, "stopped at") * 1000
				end := stops + rapid.Int64Range(1, 5*86_400).Draw(t, "stopped for")*1000
				rows = append(rows, res+","+at(stops)+",,"+rapid.SampledFrom([]string{"stopped", "suspended"}).Draw(t, "how")+",", res+","+at(end)+",,running,")
				facts = append(facts, res+",,"+at(stops)+","+at(end)+",stopped,")
				stops = end
			}
			states := map[int64]sla.State{}
			for range rapid.IntRange(0, 6).Draw(t, "events") {
				k := rapid.Int64Range(0, 119).Draw(t, "slot")
				if _, ok := states[k]; ok {
					continue
				}
				states[k] = rapid.SampledFrom([]sla.State{sla.Bad, sla.Unknown}).Draw(t, "state")
				word := map[sla.State]string{sla.Bad: "down", sla.Unknown: "unknown"}[states[k]]
				facts = append(facts, res+",,"+at(p.Start+k*slot)+","+at(p.Start+(k+1)*slot)+","+word+",")
			}
			b.slots(id, map[string]string{"target": res}, p, slot, func(start int64) sla.State {
				if s, ok := states[(start-p.Start)/slot]; ok {
					return s
				}
				return sla.Good
			})
		}
		b.facts("resource,from,match.target,state,contract", rows...)
		in, err := rules.ReadFacts("f.csv", []byte(strings.Join(facts, "\n")), c)
		if err != nil {
			t.Fatal(err)
		}
		want := clauses.Settle(c, p, time.UTC, in)
		var a, w bytes.Buffer
		if err := WriteJSON(&w, &want); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(&a, b.settle(c)); err != nil {
			t.Fatal(err)
		}
		if a.String() != w.String() {
			t.Fatalf("the ledger gives\n%s\nthe facts give\n%s\nfacts:\n%s", a.String(), w.String(), strings.Join(facts, "\n"))
		}
	})
}
