package evaluate

import (
	"context"
	"strings"
	"testing"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// TestAnApprovedExclusionWithdrawsATierAlert: proposed it is listed and changes
// nothing, approved it takes its slots out, withdrawn they count again.
func TestAnApprovedExclusionWithdrawsATierAlert(t *testing.T) {
	for _, aggregation := range []sla.Aggregation{sla.Pooled, sla.PerResource} {
		f := tiered(t, func(r *slo.ContractRecord) { r.Contract.Objectives[0].Aggregation = aggregation })
		b := newBook(t)
		f.s = b.restore(f, "")
		f.seconds(0, 900, 0)
		f.seconds(900, 930, 1)
		f.wantTiers("15 bad minutes", "CreditTierMissed/99.975")
		at := int64(930)
		// again reads the state anew where the exclusions have changed, as the role does.
		again := func(when string, changed bool, want string) {
			t.Helper()
			if f.s.KnowsExclusions(b.exclusions()) == changed {
				t.Fatalf("%s, %s: changed %v, want %v", aggregation, when, !changed, changed)
			}
			b.commit(f)
			if changed {
				f.s = b.restore(f, f.set)
			}
			f.seconds(at, at+200, 1)
			at += 200
			f.wantTiers(string(aggregation)+", "+when, want)
		}
		again("nothing proposed", false, "CreditTierMissed/99.975")
		ctx := context.Background()
		x, err := b.led.ProposeExclusion(ctx, access.Local(), ledger.Note{Author: "lee", Reason: "works", At: epoch}, "shop", "acme",
			sla.Exclusion{Start: epoch, End: epoch + 15*minute, Effect: sla.Removed, Category: "maintenance", Reason: "works"})
		if err != nil {
			t.Fatal(err)
		}
		again("proposed", true, "CreditTierMissed/99.975")
		step := func(step inventory.Step, author string) {
			t.Helper()
			if _, err := b.led.StepExclusion(ctx, access.Local(), ledger.Note{Author: author, Reason: "it was agreed", At: epoch}, x.ID, step); err != nil {
				t.Fatal(err)
			}
		}
		step(inventory.Approve, "kim")
		again("approved", true, "")
		step(inventory.Withdraw, "kim")
		again("withdrawn", true, "CreditTierMissed/99.975")
	}
}

// TestAStoppedResourceNeitherRaisesNorKeepsATierAlert: what does not run wakes
// nobody; when it runs again, its month goes on with what it had.
func TestAStoppedResourceNeitherRaisesNorKeepsATierAlert(t *testing.T) {
	f := tiered(t, func(r *slo.ContractRecord) { r.Contract.Objectives[0].Aggregation = sla.PerResource })
	f.s.Expect(view(t, "r,@-9000,t,running,acme,shop", "r,@1000,,stopped,,", "r,@2000,,running,,", "r,@2600,,stopped,,"), everything)
	f.seconds(0, 660, 0)
	f.seconds(660, 700, 1)
	f.wantTiers("11 bad minutes", "CreditTierMissed/99.975")
	f.seconds(700, 1000, 1)
	f.wantTiers("to its end", "CreditTierMissed/99.975")
	f.seconds(1000, 1003, 1)
	f.wantTiers("stopped", "")
	f.advance()
	f.seconds(1003, 1990)
	f.advance()
	f.wantTiers("while it is stopped", "")
	f.seconds(1990, 2100, 1)
	f.wantTiers("it runs again", "CreditTierMissed/99.975")

	// Stopped for good it comes to no bad slot more: nothing is projected.
	g := tiered(t, func(r *slo.ContractRecord) { r.Contract.Objectives[0].Aggregation = sla.PerResource })
	g.s.Expect(view(t, "r,@-9000,t,running,acme,shop", "r,@400,,stopped,,"), everything)
	g.seconds(0, 400, 0)
	g.seconds(400, 500)
	g.wantTiers("six bad minutes and a stop that is known", "")
}

// TestWhatRunsIsApplicable: with a lifecycle denominator the slots wholly inside
// the times that the inventory says, as case 4 of the contracts' examples has it;
// those to come only while it will run.
func TestWhatRunsIsApplicable(t *testing.T) {
	bad := uint64(6)
	f := func(denominator sla.Denominator, all, remaining uint64, rows ...string) {
		t.Helper()
		x := tiered(t, func(r *slo.ContractRecord) {
			r.Contract.Objectives[0].Aggregation, r.Contract.Objectives[0].Denominator = sla.PerResource, denominator
		})
		x.s.Expect(view(t, rows...), everything)
		x.seconds(0, 360, 0)
		x.seconds(360, 370, 1)
		for st := range x.s.standings {
			if o := x.s.outlook(st); o.Applicable != all || o.Remaining != remaining || o.Bad != bad {
				t.Errorf("%s: %d slots, %d to come, %d bad; want %d, %d and %d", denominator, o.Applicable, o.Remaining, o.Bad, all, remaining, bad)
			}
			return
		}
		t.Error("no standing")
	}
	// 29,654 minutes of September 2026 lie before epoch, 13,546 after it.
	f(sla.Calendar, 43_200, 13_540, "r,@-9000,t,running,acme,shop")
	f(sla.Calendar, 43_200, 994, "r,@-9000,t,running,acme,shop", "r,@60000,,stopped,,")
	f(sla.Lifecycle, 150+13_546, 13_540, "r,@-9000,t,running,acme,shop")
	f(sla.Lifecycle, 150+1000, 994, "r,@-9000,t,running,acme,shop", "r,@60030,,stopped,,")
	bad = 5 // the minute in which it starts is none
	f(sla.Lifecycle, 149+1000-11, 994, "r,@-8970,t,running,acme,shop", "r,@-600,,stopped,,", "r,@30,,running,,", "r,@60030,,stopped,,")
}

// TestTheStakeIsWhatTheResourceCosts: its fee in the inventory takes the place of
// its share of the contract's.
func TestTheStakeIsWhatTheResourceCosts(t *testing.T) {
	f := tiered(t, nil)
	f.s.Expect(fees(t), everything)
	f.seconds(0, 720, 0)
	f.seconds(720, 750, 1)
	last := f.alerts[len(f.alerts)-1].Annotations["summary"]
	if want := "10 % of the fee are owed (12.00 EUR)"; !strings.Contains(last, want) {
		t.Errorf("the alert does not say %q: %s", want, last)
	}
}

func fees(t *testing.T) *inventory.View {
	t.Helper()
	entries, err := inventory.Read("i.csv", []byte("resource,from,match.target,state,customer,contract,fee\nr,2026-01-01T00:00:00Z,t,running,acme,shop,120.00 EUR\n"))
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
