package statement

import (
	"context"
	"strings"
	"testing"

	"nines/internal/access"
	"nines/internal/sla"
)

// TestTheFeeOfAnotherContractIsNotThisOnes: from the 16th on a resource costs
// something under another contract; this contract's fee stays one for all.
func TestTheFeeOfAnotherContractIsNotThisOnes(t *testing.T) {
	b := newBook(t)
	b.facts("resource,from,match.target,state,contract,fee",
		"a,2026-01-01T00:00:00Z,a,running,shop,", "b,2026-01-01T00:00:00Z,b,running,shop,", "b,2026-11-16T00:00:00Z,,,ward,200.00 USD")
	if s := b.settle(contract(t, sla.Pooled)); s.Fee.String() != "10000.00" {
		t.Errorf("fee %s of a contract that costs 10000.00", s.Fee)
	}
}

// TestAResourceThatComesCostsItsOwnFee: what nobody was told yet is not the fee
// of the whole contract. That it was not there yet changes no fee.
func TestAResourceThatComesCostsItsOwnFee(t *testing.T) {
	b := newBook(t)
	header := "resource,from,match.target,state,contract,fee"
	b.facts(header, "a,2026-01-01T00:00:00Z,a,running,shop,60.00 USD", "b,2026-11-16T00:00:00Z,b,running,shop,40.00 USD")
	if s := b.settle(contract(t, sla.Pooled)); s.Fee.String() != "100.00" {
		t.Errorf("fee %s, want 60.00 and 40.00", s.Fee)
	}
	b.facts(header, "b,2026-11-20T00:00:00Z,,,,none")
	c := contract(t, sla.Pooled)
	_, err := Build(context.Background(), b, Request{Principal: access.Local(), Contract: c, Month: "2026-11"})
	if err == nil || !strings.Contains(err.Error(), "fee of resource b: is not told from 2026-11-20T00:00:00Z on") {
		t.Errorf("a fee for a part of the time beside one for all together: %v", err)
	}
	c.Fee = sla.Fee{Money: sla.Money{Minor: 1300, Currency: "USD"}, PerResource: true}
	if s := b.settle(c); s.Fee.String() != "90.10" { // 19 days of 40.00, 11 of 13.00
		t.Errorf("fee %s, want 60.00 and 30.10", s.Fee)
	}
}

// TestTheContractsNewFeeCountsForResourcesThatGo: 30.00 for each resource, from
// the 11th on 60.00; one of them is another contract's from the 21st on.
func TestTheContractsNewFeeCountsForResourcesThatGo(t *testing.T) {
	f := func(apart bool) {
		t.Helper()
		b := newBook(t)
		p := november(t)
		b.facts("resource,from,match.target,state,contract", "a,2026-01-01T00:00:00Z,a,running,shop", "a,2026-11-21T00:00:00Z,,,ward")
		c := contract(t, sla.Pooled)
		c.Fee = sla.Fee{Money: sla.Money{Minor: 3000, Currency: "USD"}, PerResource: true}
		c.Changes = &sla.Changes{Apart: apart, At: []sla.Change{{From: p.Start + 10*1440*minute, Reason: "new price",
			Fee: &sla.Fee{Money: sla.Money{Minor: 6000, Currency: "USD"}, PerResource: true}}}}
		if s := b.settle(c); s.Fee.String() != "30.00" {
			t.Errorf("apart %v: fee %s, want a third of 30.00 and a third of 60.00", apart, s.Fee)
		}
	}
	f(false)
	f(true)
}

// TestAZoneObjectiveChargesNobodyTwice: the same resources under an objective
// over zones and under one for each of them.
func TestAZoneObjectiveChargesNobodyTwice(t *testing.T) {
	b := newBook(t)
	c := contract(t, sla.Pooled)
	c.Objectives[0].Slot.Length = 60 * minute
	zones := c.Objectives[0]
	zones.Name, zones.Zones = "zones", &sla.Zones{Rule: sla.AllAny, Label: "zone"}
	c.Objectives = append(c.Objectives, zones)
	b.facts("resource,from,match.target,zone,state,contract,fee", "a,2026-01-01T00:00:00Z,a,za,running,shop,60.00 USD", "b,2026-01-01T00:00:00Z,b,zb,running,shop,40.00 USD")
	if s := b.settle(c); s.Fee.String() != "100.00" {
		t.Errorf("fee %s, want 100.00", s.Fee)
	}
	c.Objectives[0], c.Objectives[1] = c.Objectives[1], c.Objectives[0]
	if s := b.settle(c); s.Fee.String() != "100.00" {
		t.Errorf("fee %s, the other way round", s.Fee)
	}
	b.facts("resource,from,fee", "a,2026-01-01T00:00:00Z,none", "b,2026-01-01T00:00:00Z,none")
	c.Fee = sla.Fee{Money: sla.Money{Minor: 700, Currency: "USD"}, PerResource: true}
	if s := b.settle(c); s.Fee.String() != "14.00" {
		t.Errorf("fee %s, want 7.00 for each of two", s.Fee)
	}
}

// TestARunDoesNotReachIntoTimeThatWasStopped: one minute down after a start is
// no run of five, whatever was before.
func TestARunDoesNotReachIntoTimeThatWasStopped(t *testing.T) {
	b := newBook(t)
	p := november(t)
	c := contract(t, sla.Pooled)
	c.Objectives[0].Runs = &sla.Runs{Slot: minute, MinRun: 5 * minute}
	b.facts("resource,from,match.target,state,contract", "a,2026-01-01T00:00:00Z,a,running,shop",
		"a,2026-11-02T00:00:00Z,,stopped,", "a,2026-11-03T00:00:00Z,,running,")
	start := p.Start + 2*1440*minute
	b.groupFrom("a", p.Start, p.Start+1440*minute, good)
	b.groupFrom("a", start, p.End, func(at int64) sla.State {
		if at == start {
			return sla.Bad
		}
		return sla.Good
	})
	if s := b.settle(c); s.Slots.Unknown != 0 || s.Slots.Bad != 0 {
		t.Errorf("%+v", s.Slots)
	}
}

// groupFrom writes the slots of a target in a part of the period.
func (b *book) groupFrom(target string, from, to int64, state func(int64) sla.State) {
	b.t.Helper()
	b.slots(stream, map[string]string{"target": target}, sla.Period{Start: from, End: to}, minute, state)
}
