package statement

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/sla/slot"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	minute = int64(60_000)
	stream = "00000000000000aa"
)

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (write it anew with -update):\n%s", file, got)
	}
}

func percent(t *testing.T, s string) sla.Ratio {
	t.Helper()
	r, ok := new(big.Rat).SetString(s + "e-2")
	if !ok {
		t.Fatalf("%q is no percentage", s)
	}
	return sla.Ratio{Num: r.Num().Uint64(), Den: r.Denom().Uint64()}
}

func contract(t *testing.T, aggregation sla.Aggregation) *sla.Contract {
	return &sla.Contract{Name: "shop", Customer: "bank", TimeZone: "UTC", Combine: sla.Highest,
		Fee: sla.Fee{Money: sla.Money{Minor: 1_000_000, Currency: "USD"}},
		Objectives: []sla.Objective{{Name: "availability", Stream: stream, Slot: sla.SlotRule{Length: minute, Bad: sla.BadUnreachable},
			Reading: "A slot of 1m is bad if the target was unreachable in all of it", Unknown: sla.UnknownExclude,
			Denominator: sla.Calendar, Aggregation: aggregation,
			Tiers: []sla.Tier{{Below: percent(t, "99.975"), Credit: percent(t, "10")}, {Below: percent(t, "99"), Credit: percent(t, "25")}}}}}
}

func november(t *testing.T) sla.Period {
	t.Helper()
	p, err := Month("2026-11", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// filled returns a ledger in which target a is good all November but for 5 bad
// and 3 unknown minutes, and target b is good from its second day on. The last
// two minutes are still open.
func filled(t *testing.T) *ledger.Ledger {
	t.Helper()
	ctx, p := context.Background(), november(t)
	l, err := ledger.Open(ctx, ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	claim, err := l.Claim(ctx, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	batch := &ledger.Batch{Offset: claim.Offset + 1, LogTime: p.End}
	for i, target := range []string{"a", "b"} {
		labels := telemetry.NewLabels(map[string]string{"target": target, "probe": "http"})
		key := wire.GroupKey{Stream: stream, Labels: labels.Hash()}
		from := p.Start + int64(i)*1440*minute
		batch.Groups = append(batch.Groups, ledger.Group{Key: key, Labels: labels, FirstSlot: from})
		for at := from; at < p.End; at += minute {
			s := ledger.Slot{Start: at, State: sla.Good, Version: 1, Good: 60, Total: 60}
			switch n := (at - p.Start) / minute; {
			case at >= p.End-2*minute:
				s.State, s.Version = sla.Open, 0
			case i == 0 && n >= 100 && n < 105:
				s.State, s.Good, s.Reason = sla.Bad, 0, slot.ReasonUnreachable
			case i == 0 && n >= 200 && n < 203:
				s.State, s.Good, s.Total, s.Reason = sla.Unknown, 0, 0, slot.ReasonBlind
			}
			batch.Slots = append(batch.Slots, ledger.SlotChange{Group: key, Slot: s})
		}
	}
	if err := l.Commit(ctx, claim, batch); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAMonthIsSettledFromTheLedger(t *testing.T) {
	l, p := filled(t), november(t)
	f := func(aggregation sla.Aggregation, asOf int64, file string, want sla.Slots) *sla.Settlement {
		t.Helper()
		s, err := Build(context.Background(), l, Request{Principal: access.Local(), Contract: contract(t, aggregation), Month: "2026-11", AsOf: asOf})
		if err != nil {
			t.Fatal(err)
		}
		if s.Slots != want {
			t.Errorf("%s as of %d: slots %+v, want %+v", aggregation, asOf, s.Slots, want)
		}
		var table bytes.Buffer
		if err := WriteTable(&table, s); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+file+".txt", table.String())
		return s
	}
	// The month is over: what is still open or was never seen is unknown.
	s := f(sla.Worst, 0, "month", sla.Slots{Applicable: 43_200, Good: 43_190, Bad: 5, Unknown: 5})
	if s.AttainmentPct != "99.98842" || s.Credit.Amount != "0.00" || len(s.Objectives[0].Resources) != 2 {
		t.Errorf("%+v", s.Figures)
	}
	// A minute before its end the open slots do not count yet.
	f(sla.Pooled, p.End-minute/2, "running", sla.Slots{Applicable: 2 * 43_198, Good: 2*43_198 - 1440 - 8, Bad: 5, Unknown: 1440 + 3, NotApplicable: 4})
	var b bytes.Buffer
	if err := WriteJSON(&b, s); err != nil || !strings.Contains(b.String(), `"attainment_pct": "99.98842"`) {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestStatementsAreRefused(t *testing.T) {
	l, err := ledger.Open(context.Background(), ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := func(mod func(*Request), want string) {
		t.Helper()
		q := Request{Principal: access.Local(), Contract: contract(t, sla.Pooled), Month: "2026-11", AsOf: 0}
		mod(&q)
		if _, err := Build(context.Background(), l, q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(q *Request) { q.Principal = access.Principal{Name: "eve", Customers: []string{"shop"}} }, `"eve" may not see customer bank`)
	f(func(q *Request) { q.Month = "November" }, "write it as 2026-11")
	f(func(q *Request) { q.Contract.TimeZone = "Mars/Olympus" }, "load its time zone")
	f(func(q *Request) { q.AsOf = november(t).Start }, "has not begun")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f(func(*Request) {}, "settle contract shop: read exclusions")
}

func TestOpenSlotsHoldTheMonthBackUnlessTheyAreStuck(t *testing.T) {
	f := func(b bounds, want int64) {
		t.Helper()
		if got := b.until(); got != want {
			t.Errorf("%+v: until %d, want %d", b, got, want)
		}
	}
	f(bounds{decided: 100 * minute}, 100*minute)
	f(bounds{decided: 100 * minute, open: []int64{99 * minute, 100 * minute}}, 99*minute)
	f(bounds{decided: 100 * minute, open: []int64{10 * minute, 100 * minute}}, 100*minute)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWritersReportAndLabelsCannotMoveTheCursor(t *testing.T) {
	s := contract(t, sla.PerResource).Settle(november(t), sla.Input{Resources: map[string][]sla.Resource{"availability": {{Name: "a\x1b[2J\n"}}}})
	if err := WriteTable(full{}, &s); err == nil {
		t.Error("a table on a full disk is no error")
	}
	if err := WriteJSON(full{}, &s); err == nil {
		t.Error("JSON on a full disk is no error")
	}
	var b bytes.Buffer
	if err := WriteTable(&b, &s); err != nil || strings.ContainsRune(b.String(), 0x1b) || !strings.Contains(b.String(), "a?[2J?") {
		t.Errorf("%v\n%q", err, b.String())
	}
	if name := resourceName(ledger.Group{}); name != "all" {
		t.Errorf("a group without labels is called %s", name)
	}
}
