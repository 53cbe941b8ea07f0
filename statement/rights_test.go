package statement

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/test/postgres"
)

// onBoth runs a test on a ledger of each dialect.
func onBoth(t *testing.T, f func(*testing.T, *book)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newBook(t)) })
	t.Run("postgres", func(t *testing.T) {
		f(t, newBookIn(t, ledger.Options{Postgres: postgres.Ledger(t)}))
	})
}

func portal(customers ...string) access.Principal {
	return access.Principal{Name: "portal", Customers: customers}
}

// hourly is a contract of a customer, by the hour, over targets by name.
func hourly(t *testing.T, name, customer string) *sla.Contract {
	c := contract(t, sla.PerResource)
	c.Name, c.Customer, c.Objectives[0].Slot.Length = name, customer, 60*minute
	c.Objectives[0].Denominator = sla.Lifecycle
	return c
}

// facts of a contract for somebody, as they are written.
func (b *book) factsFor(who access.Principal, c *sla.Contract) (f *Facts, text string) {
	b.t.Helper()
	f, err := Gather(context.Background(), b, Request{Principal: who, Contract: c, Month: "2026-11"})
	if err != nil {
		b.t.Fatalf("%s for %s: %v", c.Name, who.Name, err)
	}
	var out bytes.Buffer
	if err := WriteFacts(&out, f); err != nil {
		b.t.Fatal(err)
	}
	return f, out.String()
}

// TestTwoCustomersShareAStream: the labels of a bank's and a clinic's resources
// overlap in every way that the inventory allows. The bank's contract has no
// resource that names it, so that the groups seen are settled.
func TestTwoCustomersShareAStream(t *testing.T) {
	onBoth(t, func(t *testing.T, b *book) {
		p := november(t)
		b.facts("resource,from,match.target,match.service,match.node,state,customer,contract",
			"theirs,2026-01-01T00:00:00Z,theirs,,,running,clinic,ward",
			"untold,2026-01-01T00:00:00Z,untold,,,running,,ward",
			"ours,2026-01-01T00:00:00Z,ours,,,running,bank,",
			"sold,2026-01-01T00:00:00Z,sold,,,running,bank,", "sold,2026-11-16T00:00:00Z,,,,,clinic,ward",
			// An address that the bank gave back is the clinic's from the 16th on.
			"first,2026-01-01T00:00:00Z,reused,,,running,bank,", "first,2026-11-10T00:00:00Z,,,,stopped,,",
			"second,2026-11-16T00:00:00Z,reused,,,running,clinic,ward",
			// One node of the bank's service is the clinic's, suspended or not.
			"lb,2026-01-01T00:00:00Z,,lb,,running,bank,",
			"node,2026-01-01T00:00:00Z,,lb,2,running,clinic,ward", "node,2026-11-20T00:00:00Z,,,,suspended,,")
		bad := func(int64) sla.State { return sla.Bad }
		for _, target := range []string{"theirs", "untold", "ours", "sold", "reused", "nobodys"} {
			b.slots(stream, map[string]string{"target": target}, p, 60*minute, bad)
		}
		for _, node := range []string{"1", "2"} {
			b.slots(stream, map[string]string{"service": "lb", "node": node}, p, 60*minute, bad)
		}
		f := func(c *sla.Contract, want ...string) {
			t.Helper()
			_, facts := b.factsFor(access.Local(), c)
			if _, got := b.factsFor(portal(c.Customer), c); got != facts {
				t.Errorf("%s: %s reads another statement than the operator:\n%s\n%s", c.Name, c.Customer, got, facts)
			}
			s := b.settle(c)
			var got []string
			for _, r := range s.Objectives[0].Resources {
				got = append(got, fmt.Sprintf("%s %d", r.Name, r.Slots.Bad))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: bad hours %q, want %q", c.Name, got, want)
			}
		}
		// The address stays the bank's until the clinic has it, the nodes are told apart.
		f(hourly(t, "shop", "bank"), "node=1,service=lb 720", "target=nobodys 720", "target=ours 720", "target=reused 360", "target=sold 360")
		f(hourly(t, "ward", "clinic"), "node 456", "second 360", "sold 360", "theirs 720", "untold 720")
		// With resources of its own the bank's contract settles these, and no more.
		b.facts("resource,from,contract", "first,2026-01-01T00:00:00Z,shop", "lb,2026-01-01T00:00:00Z,shop")
		calendar := hourly(t, "shop", "bank")
		calendar.Objectives[0].Denominator = sla.Calendar
		f(calendar, "first 360", "lb 720")

		for _, who := range []access.Principal{portal("clinic"), portal(), {}} {
			_, err := Gather(context.Background(), b, Request{Principal: who, Contract: calendar, Month: "2026-11"})
			if !errors.Is(err, ErrNotTheirs) {
				t.Errorf("%v reads the bank's statement: %v", who, err)
			}
		}
	})
}

// TestAContractChangesHands: its period is settled as one, so that no party
// alone gets it; the periods before and after are one party's.
func TestAContractChangesHands(t *testing.T) {
	b, p, c := newBook(t), november(t), hourly(t, "shop", "bank")
	b.slots(stream, map[string]string{"target": "a"}, p, 60*minute, good)
	f := func(at int64, who access.Principal, gets bool) {
		t.Helper()
		c.Changes = &sla.Changes{At: []sla.Change{{From: at, Reason: "sold", Customer: "clinic"}}}
		_, err := Build(context.Background(), b, Request{Principal: who, Contract: c, Month: "2026-11"})
		if gets != (err == nil) || !gets && !errors.Is(err, ErrNotTheirs) {
			t.Errorf("%v, changed at %d: %v", who.Customers, at-p.Start, err)
		}
	}
	for _, at := range []int64{p.Start, p.Start + 60*minute, p.End} {
		f(at, access.Local(), true)
		f(at, portal("bank", "clinic"), true)
		f(at, portal("bank"), at == p.End)
		f(at, portal("clinic"), at == p.Start)
	}
}

// TestNoSlotIsInTwoCustomersStatements: whoever has had which target since when,
// each slot of a target that somebody owned is in one customer's statement at the
// most, and statements are the same for the operator and the customer.
func TestNoSlotIsInTwoCustomersStatements(t *testing.T) {
	n := 0
	var b *book
	p := november(t)
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n%10 == 1 {
			b = newBook(t) // a long inventory is read anew for every statement
		}
		name, id := fmt.Sprintf("-%d", n), fmt.Sprintf("%016x", n) // of the contracts, and the stream
		rows, owner := []string{}, map[string][]string{}           // by target, of each day
		for i := range rapid.IntRange(1, 3).Draw(rt, "targets") {
			target := fmt.Sprintf("t%d%s", i, name)
			whose, match, state := "", target, "running"
			for day := range 30 {
				if day == 0 || rapid.IntRange(0, 9).Draw(rt, "changes") == 0 {
					whose = rapid.SampledFrom([]string{"bank", "clinic"}).Draw(rt, "owner")
					at := p.Start + int64(day)*1440*minute
					rows = append(rows, fmt.Sprintf("%s,%s,%s,%s,%s,%s", target, time.UnixMilli(at).UTC().Format(time.RFC3339), match, state, whose,
						rapid.SampledFrom([]string{"none", whose + name}).Draw(rt, "contract")))
					match, state = "", ""
				}
				owner[target] = append(owner[target], whose)
			}
			b.slots(id, map[string]string{"target": target}, p, 1440*minute, good)
		}
		b.facts("resource,from,match.target,state,customer,contract", rows...)
		for _, customer := range []string{"bank", "clinic"} {
			c := hourly(t, customer+name, customer)
			c.Objectives[0].Stream, c.Objectives[0].Slot.Length = id, 1440*minute
			f, facts := b.factsFor(portal(customer), c)
			if _, same := b.factsFor(access.Local(), c); facts != same {
				rt.Fatalf("%s reads another statement than the operator", customer)
			}
			for _, r := range f.Input.Resources["availability"] {
				for _, s := range r.Spans {
					for at := s.Start; at < s.End; at += 1440 * minute {
						if day := (at - p.Start) / (1440 * minute); owner[strings.TrimPrefix(r.Name, "target=")][day] != customer {
							rt.Fatalf("%s's statement holds %s on day %d:\n%s", customer, r.Name, day+1, strings.Join(rows, "\n"))
						}
					}
				}
			}
		}
	})
}

func TestParties(t *testing.T) {
	p := november(t)
	f := func(want string, changes ...sla.Change) {
		t.Helper()
		c := &sla.Contract{Customer: "a", Changes: &sla.Changes{At: changes}}
		if got := strings.Join(Parties(c, p), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	before, inside, after := p.Start, p.Start+minute, p.End
	f("a")
	f("a", sla.Change{From: after, Customer: "b"}, sla.Change{From: inside})
	f("b", sla.Change{From: before, Customer: "b"})
	f("a b", sla.Change{From: inside, Customer: "b"})
	f("b c", sla.Change{From: inside, Customer: "c"}, sla.Change{From: before, Customer: "b"})
	f("a", sla.Change{From: inside, Customer: "a"})
}
