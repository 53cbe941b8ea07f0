package evaluate

import (
	"encoding/json"
	"strings"
	"testing"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// promised puts a contract over the fixture's stream into the rule set:
// September 2026 has 43,200 minutes and began 29,654 before the epoch.
func promised(t *testing.T, set *slo.RuleSet, change func(*slo.ContractRecord)) *slo.RuleSet {
	t.Helper()
	rec := &slo.ContractRecord{Contract: &sla.Contract{Name: "shop", Customer: "acme", TimeZone: "UTC",
		Fee: sla.Fee{Money: sla.Money{Minor: 1_000_000, Currency: "EUR"}}, Combine: sla.Highest}}
	for id, st := range set.Streams {
		rec.Contract.Objectives = []sla.Objective{{Name: "availability", Stream: id, Slot: st.Rule, Unknown: sla.UnknownExclude,
			Denominator: sla.Calendar, Aggregation: sla.Pooled, Tiers: []sla.Tier{
				{Below: sla.Ratio{Num: 99, Den: 100}, Credit: sla.Ratio{Num: 25, Den: 100}},
				{Below: sla.Ratio{Num: 99_975, Den: 100_000}, Credit: sla.Ratio{Num: 10, Den: 100}}}}}
	}
	if change != nil {
		change(rec)
	}
	raw, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	set.Contracts = map[string]json.RawMessage{rec.Contract.Name: raw}
	return set
}

// tiered is a fixture under a contract and no other rule that alerts.
func tiered(t *testing.T, change func(*slo.ContractRecord)) *fixture {
	st := probes(1, 1)
	o := objective("up", st, nil)
	o.Burn = nil
	return newFixture(t, 1, promised(t, rules(st, o), change))
}

// tiers are the alerts on tiers that fire, as name/tier.
func (f *fixture) tiers() string {
	firing := map[string]bool{}
	var order []string
	for _, a := range f.alerts {
		if name := a.Labels["alertname"] + "/" + a.Labels["tier"]; a.Labels["kind"] == "tier" {
			order, firing[name] = append(order, name), a.Status == "firing"
		}
	}
	var out []string
	for _, name := range order {
		if firing[name] {
			out, firing[name] = append(out, name), false
		}
	}
	return strings.Join(out, " ")
}

func (f *fixture) wantTiers(when, want string) {
	f.t.Helper()
	if got := f.tiers(); got != want {
		f.t.Errorf("%s: alerts on tiers %q, want %q", when, got, want)
	}
}

// TestTheEleventhBadMinuteMissesTheTier: with 13,546 minutes of the month to
// come, each of the last week's bad minutes brings another 1.34.
func TestTheEleventhBadMinuteMissesTheTier(t *testing.T) {
	f := tiered(t, nil)
	f.seconds(0, 240, 0) // 4 + 5.4 of 10.8 minutes
	f.seconds(240, 270, 1)
	f.wantTiers("after 4 bad minutes", "")
	f.seconds(270, 360, 0) // minute 5 is bad in half its seconds, minute 6 in all
	f.seconds(360, 390, 1)
	f.wantTiers("after 6", "CreditTierAtRisk/99.975")
	last := f.alerts[len(f.alerts)-1].Annotations["summary"]
	for _, want := range []string{"contract shop of customer acme, objective availability is on the way below 99.975 %", "2026-10-01 00:00 UTC",
		"10 % of the fee are owed (1000.00 EUR)", " of 43200 slots are bad", "more are allowed", "spent in "} {
		if !strings.Contains(last, want) {
			t.Errorf("the alert does not say %q: %s", want, last)
		}
	}
	f.seconds(390, 480, 1)
	f.seconds(480, 720, 0) // 4 more: 10
	f.seconds(720, 750, 1)
	f.wantTiers("after 10", "CreditTierAtRisk/99.975")
	f.seconds(750, 840, 1)
	f.seconds(840, 900, 0)
	f.seconds(900, 930, 1)
	f.wantTiers("after 11", "CreditTierMissed/99.975")
	last = f.alerts[len(f.alerts)-2].Annotations["summary"] + f.alerts[len(f.alerts)-1].Annotations["summary"]
	if want := "whatever comes: 11 of 43200 slots are bad, 10 are allowed; 10 % of the fee are owed (1000.00 EUR)"; !strings.Contains(last, want) {
		t.Errorf("the alert does not say %q: %s", want, last)
	}
	// October begins; the week without a bad minute ends what was projected.
	f.apply(0, epoch+10*day)
	f.apply(0, epoch+10*day+2*minute)
	f.wantTiers("in October", "")
}

// TestTiersSurviveARestart: neither told again nor forgotten, and the count goes
// on.
func TestTiersSurviveARestart(t *testing.T) {
	for _, aggregation := range []sla.Aggregation{sla.Pooled, sla.PerResource} {
		f := tiered(t, func(r *slo.ContractRecord) { r.Contract.Objectives[0].Aggregation = aggregation })
		b := newBook(t)
		f.s = b.restore(f, "")
		f.seconds(0, 420, 0)
		f.seconds(420, 450, 1)
		f.wantTiers("after 7", "CreditTierAtRisk/99.975")
		b.commit(f)
		f.s = b.restore(f, f.set)
		before := len(f.alerts)
		f.seconds(450, 480, 1)
		f.seconds(480, 660, 0)
		f.seconds(660, 840, 1)
		if len(f.alerts) != before {
			t.Errorf("%s: after the restart it tells %v", aggregation, f.alerts[before:])
		}
		f.seconds(840, 900, 0)
		f.seconds(900, 930, 1)
		f.wantTiers("after 11", "CreditTierMissed/99.975")
	}
}

func TestExclusionsUnknownsAndShareOfTheAllowance(t *testing.T) {
	f := func(name string, change func(*slo.ContractRecord), parted bool, result int, want string) {
		t.Helper()
		x := tiered(t, change)
		x.s.SetParted(parted)
		x.seconds(0, 1, 1)
		x.seconds(1, 900, result)
		x.seconds(900, 1000, 1)
		x.wantTiers(name, want)
	}
	f("15 bad minutes", nil, false, 0, "CreditTierMissed/99.975")
	f("15 unknown ones", nil, false, silent, "")
	f("seen by one of several evaluators", nil, true, 0, "CreditTierAtRisk/99.975")
	f("switched off", func(r *slo.ContractRecord) { r.TierAlerts = slo.TierAlertsOff }, false, 0, "")
	f("of a resource", func(r *slo.ContractRecord) { r.Contract.Objectives[0].Aggregation = sla.Worst }, true, 0, "CreditTierMissed/99.975")
	f("excluded", func(r *slo.ContractRecord) {
		r.Contract.Exclusions = []sla.Exclusion{{Start: epoch, End: epoch + 15*minute, Effect: sla.Removed, ApprovedBy: "b"}}
	}, false, 0, "")
	f("excluded in part", func(r *slo.ContractRecord) {
		r.Contract.Exclusions = []sla.Exclusion{{Start: epoch, End: epoch + 5*minute + 1, Effect: sla.Removed, ApprovedBy: "b"}}
	}, false, 0, "CreditTierAtRisk/99.975")
	f("not approved", func(r *slo.ContractRecord) {
		r.Contract.Exclusions = []sla.Exclusion{{Start: epoch, End: epoch + 15*minute, Effect: sla.Removed}}
	}, false, 0, "CreditTierMissed/99.975")
	f("of a young resource that settles what it lived", func(r *slo.ContractRecord) {
		r.Contract.Objectives[0].Denominator = sla.Lifecycle
	}, false, 0, "CreditTierMissed/99.975")
	f("settled by the request", func(r *slo.ContractRecord) { r.Contract.Objectives[0].Denominator = sla.Requests }, false, 0, "")
}

// TestAMonthIsReadBackByTheHour: hours count as they are; one that an exclusion
// cuts is read slot by slot, and what lies before the period counts for nothing.
func TestAMonthIsReadBackByTheHour(t *testing.T) {
	const hour = int64(3_600_000)
	began := epoch - epoch%hour - 5*day // in the period
	f := tiered(t, func(r *slo.ContractRecord) {
		r.Contract.Exclusions = []sla.Exclusion{{Start: began, End: began + 5*minute, Effect: sla.Removed, ApprovedBy: "b"}}
	})
	f.s.SetSlots(func(_ wire.GroupKey, from, to int64) (out []ledger.Slot, err error) {
		for at := from; at < to; at += minute {
			st := sla.Good
			if at < from+8*minute {
				st = sla.Bad
			}
			out = append(out, ledger.Slot{Start: at, State: st})
		}
		return out, nil
	})
	f.s.logTime = epoch
	l := ledger.Loaded{Group: ledger.Group{Key: f.key(), Labels: target, FirstSlot: began - 30*day}, Hours: []ledger.HourTotals{
		{Start: began - 30*day, Totals: ledger.Totals{BadSlots: 60}}, // in August
		{Start: began, Totals: ledger.Totals{BadSlots: 8, GoodSlots: 52}},
		{Start: began + hour, Totals: ledger.Totals{BadSlots: 2, UnknownSlots: 7, GoodSlots: 51}},
	}}
	if err := f.s.Restore(f.set, []ledger.Loaded{l}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(f.s.standings) != 1 {
		t.Fatalf("%d standings, want 1", len(f.s.standings))
	}
	for st := range f.s.standings {
		if st.bad != 3+2 || st.unknown != 7 || st.recent.Advance(epoch) != 5 {
			t.Errorf("%d bad, %d unknown, %d lately; want 5, 7, 5", st.bad, st.unknown, st.recent.Advance(epoch))
		}
		if o := f.s.outlook(st); o.Applicable != 43_195 || o.Remaining != 13_546 {
			t.Errorf("%d slots applicable, %d to come; want 43195 without the excluded, 13546", o.Applicable, o.Remaining)
		}
	}
}
