package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/statement"
)

// ward is a second contract over the same stream, with another customer.
func ward(t *testing.T, set *slo.RuleSet, c *sla.Contract) *sla.Contract {
	t.Helper()
	other := *c
	other.Name, other.Customer, other.Exclusions = "ward", "clinic", nil
	raw, err := json.Marshal(&slo.ContractRecord{Contract: &other})
	if err != nil {
		t.Fatal(err)
	}
	set.Contracts["ward"] = raw
	return &other
}

// TestTierAlertsSeeTheStatementsFacts makes resources of two contracts, some of
// whose matches hold one another's groups, starts and stops them at any second,
// and excludes some time; told before or late, with a restart or without. The
// bad and applicable slots that tier alerts go by are the statement's.
func TestTierAlertsSeeTheStatementsFacts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st := requests()
		st.GroupBy = []string{"service", "node"}
		var shop *sla.Contract
		set := promised(t, rules(st), func(r *slo.ContractRecord) {
			shop = r.Contract
			o := &shop.Objectives[0]
			o.Aggregation = rapid.SampledFrom([]sla.Aggregation{sla.Pooled, sla.PerResource}).Draw(rt, "aggregation")
			o.Denominator = rapid.SampledFrom([]sla.Denominator{sla.Calendar, sla.Lifecycle}).Draw(rt, "denominator")
			from := epoch + rapid.Int64Range(-30, 200).Draw(rt, "excluded from")*30_000
			shop.Exclusions = []sla.Exclusion{{Start: from, End: from + rapid.Int64Range(1, 60).Draw(rt, "for")*30_000, Effect: sla.Removed, ApprovedBy: "b"}}
		})
		other := ward(t, set, shop)
		f, b := newFixture(t, 1, set), newBook(t)
		// A slot that was the wide resource's when it began applies to that one alone,
		// which only the statement takes from the calendar's.
		length := int64(1)
		if shop.Objectives[0].Denominator == sla.Calendar {
			length = 60
		}
		rows := drawFacts(rt, length)
		told := rapid.Int64Range(0, 100).Draw(rt, "told at")
		restart := rapid.Int64Range(0, 240).Draw(rt, "restart at")
		f.s = b.restore(f, "")
		groups := []telemetry.Labels{
			telemetry.NewLabels(map[string]string{"service": "lb", "node": "2"}), telemetry.NewLabels(map[string]string{"service": "db", "node": "1"})}
		states := rapid.SliceOfN(rapid.SampledFrom([]int{1, 1, 1, 0, 0, silent}), 2*120, 2*120).Draw(rt, "states")
		for m := range int64(120) {
			if m == told {
				b.record(rows)
				f.s.Expect(b.view(), everything)
			}
			if m == restart {
				b.commit(f)
				f.s = b.restore(f, f.set)
				f.s.Expect(b.view(), everything)
			}
			p := f.partial(epoch + m*minute + 50_000)
			for i, labels := range groups {
				key := wire.GroupKey{Stream: st.ID(), Labels: labels.Hash()}
				p.Groups = append(p.Groups, wire.GroupLabels{Key: key, Labels: labels})
				if state := states[2*int(m)+i]; state != silent {
					p.Counts = append(p.Counts, wire.BinCount{Group: key, Bin: epoch + m*minute, Good: 100 * uint64(state), Total: 100, Newest: p.LogTime})
				}
			}
			f.send(p)
			if m%10 == 9 {
				b.commit(f)
			}
		}
		for m := range int64(5) {
			f.send(f.partial(epoch + (121+m)*minute))
		}
		b.commit(f)
		for _, c := range []*sla.Contract{shop, other} {
			got, want := f.figures(c.Name), b.figures(c, st)
			if got != want {
				rt.Fatalf("%s, %s, %s: tier alerts see\n%s\nthe statement\n%s\ntold at %d, restarted at %d; facts:\n%s", c.Name, c.Objectives[0].Aggregation,
					c.Objectives[0].Denominator, got, want, told, restart, strings.Join(rows, "\n"))
			}
		}
	})
}

// drawFacts draws a wide resource of the shop, a narrower one of the ward or of
// nobody's, and another of the shop.
// The narrower one begins at a multiple of the length, in seconds.
func drawFacts(rt *rapid.T, length int64) (rows []string) {
	at := func(sec int64) string { return time.UnixMilli(epoch + sec*1000).UTC().Format(time.RFC3339) }
	for _, r := range []struct{ name, match, whose string }{{"lb", "lb,", "acme,shop"}, {"node", "lb,2", "clinic,ward"}, {"db", "db,", "acme,shop"}} {
		from := int64(-9000)
		if r.name == "node" {
			from = rapid.Int64Range(-100, 6000/length).Draw(rt, "from") * length
		}
		rows = append(rows, fmt.Sprintf("%s,%s,%s,running,%s", r.name, at(from), r.match, r.whose))
		state := "running"
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			from = max(from, 0) + rapid.Int64Range(1, 3000).Draw(rt, "after")
			state = map[string]string{"running": rapid.SampledFrom([]string{"stopped", "suspended"}).Draw(rt, "how"), "stopped": "running", "suspended": "running"}[state]
			rows = append(rows, fmt.Sprintf("%s,%s,,,%s,,", r.name, at(from), state))
		}
	}
	return rows
}

func (b *book) record(rows []string) {
	b.t.Helper()
	entries, err := inventory.Read("i.csv", []byte("resource,from,match.service,match.node,state,customer,contract\n"+strings.Join(rows, "\n")))
	if err == nil {
		_, err = b.led.RecordFacts(context.Background(), access.Local(), ledger.Note{Author: "ann", Reason: "test", At: 1}, entries)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) view() *inventory.View {
	b.t.Helper()
	records, err := b.led.Inventory(context.Background(), access.Local(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return inventory.At(records, 0)
}

// partial is one of the first source without counts.
func (f *fixture) partial(at int64) *wire.Partial {
	p := &wire.Partial{Sources: f.sources, Incarnation: 1, From: f.to[0], To: f.to[0] + 1, LogTime: at, RuleSet: f.set}
	f.to[0]++
	return p
}

// figures are what tier alerts know of a contract, by resource where these are
// settled each.
func (f *fixture) figures(contract string) string {
	var all [3]slo.Outlook // of lb, node, db
	for _, list := range f.s.promises {
		for _, p := range list {
			if p.agreed.Name != contract {
				continue
			}
			p.advance(f.s.logTime)
			if p.pooled != nil {
				p.pooled.turn()
				o := f.s.outlook(p.pooled)
				return fmt.Sprintf("%d of %d", o.Bad, o.Applicable)
			}
			for _, first := range f.own() {
				for st := first; st != nil; st = st.next {
					if i := 2; st.of == p {
						if st.group.Labels.Get("service") == "lb" {
							i = 0
						}
						all[i] = f.s.outlook(st)
					}
				}
			}
		}
	}
	if contract == "ward" {
		return fmt.Sprint(all[0].Bad)
	}
	return fmt.Sprint(all[0].Bad, all[2].Bad)
}

// own are the groups' own standings, laid aside or not.
func (f *fixture) own() (out []*standing) {
	for g := range f.s.groups.All() {
		out = append(out, g.tiers)
	}
	for _, st := range f.s.laid {
		out = append(out, st)
	}
	return out
}

// figures are what the statement of the month says.
func (b *book) figures(c *sla.Contract, st *slo.Stream) string {
	b.t.Helper()
	s, err := statement.Build(context.Background(), b.led, statement.Request{Principal: access.Local(), Contract: c, Month: "2026-09",
		Stream: func(string) *slo.Stream { return st }})
	if err != nil {
		b.t.Fatal(err)
	}
	if c.Objectives[0].Aggregation == sla.Pooled {
		return fmt.Sprintf("%d of %d", s.Slots.Bad, s.Slots.Applicable)
	}
	bad := map[string]uint64{}
	for _, r := range s.Objectives[0].Resources {
		bad[r.Name] = r.Slots.Bad
	}
	if c.Name == "ward" {
		return fmt.Sprint(bad["node"])
	}
	return fmt.Sprint(bad["lb"], bad["db"])
}
