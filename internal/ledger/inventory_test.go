package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/sla"
)

func note(author string, at int64) Note { return Note{Author: author, Reason: "test", At: at} }

func readFacts(t *testing.T, rows ...string) []inventory.Entry {
	t.Helper()
	return must(inventory.Read("i.csv", []byte("resource,from,match.target,state,customer,contract,fee\n"+strings.Join(rows, "\n"))))(t)
}

func record(t *testing.T, l *Ledger, at int64, rows ...string) []inventory.Record {
	t.Helper()
	return must(l.RecordFacts(bg, operator(), note("ann", at), readFacts(t, rows...)))(t)
}

func suiteInventory(t *testing.T, open func() *Ledger) {
	l := open()
	made := record(t, l, t0, "a,2026-11-01T00:00:00Z,x,running,bank,gold,100 USD")
	if len(made) != 5 || made[0].Recorded != t0 || made[4].ID != 5 {
		t.Fatalf("%+v", made)
	}
	first := must(l.Inventory(bg, operator(), t0))(t)
	if !reflect.DeepEqual(first, made) {
		t.Fatalf("got %+v, want %+v", first, made)
	}
	// Told again: nothing is new. A clock that stands, or goes back, changes no order.
	if again := record(t, l, t0, "a,2026-11-01T00:00:00Z,x,running,bank,gold,100.00 USD"); len(again) != 0 {
		t.Fatalf("%+v", again)
	}
	fixed := record(t, l, t0-5000, "a,2026-11-01T00:00:00Z,,,,,120 USD", "a,2026-11-15T00:00:00Z,,,clinic,silver,")
	if len(fixed) != 3 || fixed[0].Attribute != inventory.Fee && fixed[0].Attribute != inventory.Customer || fixed[0].Recorded != t0+1 {
		t.Fatalf("%+v", fixed)
	}
	for _, r := range fixed {
		if (r.Attribute == inventory.Fee) != (r.Supersedes != 0) || r.Author != "ann" || r.Reason != "test" {
			t.Errorf("%+v", r)
		}
	}
	if got := must(l.Inventory(bg, operator(), t0))(t); !reflect.DeepEqual(got, first) {
		t.Errorf("what was known at t0 has changed: %+v", got)
	}
	if id := must(l.InventoryVersion(bg))(t); id != 8 {
		t.Errorf("version %d", id)
	}
	refused := func(p access.Principal, n Note, want string, rows ...string) {
		t.Helper()
		_, err := l.RecordFacts(bg, p, n, readFacts(t, rows...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if id := must(l.InventoryVersion(bg))(t); id != 8 {
			t.Errorf("something was written: version %d", id)
		}
	}
	refused(operator(), note("ann", t0), "i.csv:3:26: state: b: state from 2026-11-01T00:00:00Z: it is stopped before it was ever running",
		"a,2026-11-20T00:00:00Z,,stopped,,,", "b,2026-11-01T00:00:00Z,y,stopped,,,")
	refused(customer("bank"), note("eve", t0), "only operators may", "a,2026-11-20T00:00:00Z,,stopped,,,")
	refused(operator(), Note{Reason: "r"}, "an author is required", "a,2026-11-20T00:00:00Z,,stopped,,,")
	refused(operator(), Note{Author: "ann"}, "a reason is required", "a,2026-11-20T00:00:00Z,,stopped,,,")

	l.people = []string{"Ann Lee", "ben"}
	refused(operator(), note("ann", t0), `author: "ann" is not declared: ledger.people names Ann Lee, ben`, "a,2026-11-20T00:00:00Z,,stopped,,,")
	l.people = nil

	suiteVisible(t, l)
}

// suitePeople: who is not declared neither proposes nor approves; capitals and
// spaces do not make somebody else.
func suitePeople(t *testing.T, open func() *Ledger) {
	l := open()
	l.people = []string{"Ann Lee", "ben"}
	x := sla.Exclusion{Start: t0, End: t0 + minute, Effect: sla.Removed, Category: "works", Reason: "switches"}
	f := func(author string, ok bool) {
		t.Helper()
		_, err := l.ProposeExclusion(bg, operator(), note(author, t0), "shop", "bank", x)
		if ok != (err == nil) || !ok && !strings.Contains(err.Error(), "is not declared: ledger.people names Ann Lee, ben") {
			t.Errorf("%q proposes: %v", author, err)
		}
	}
	f("ann  lee", true)
	f("eve", false)
	if _, err := l.StepExclusion(bg, operator(), note("eve", t0), 1, inventory.Approve); err == nil || !strings.Contains(err.Error(), `"eve" is not declared`) {
		t.Errorf("eve approves: %v", err)
	}
	got, err := l.StepExclusion(bg, operator(), note("ben", t0), 1, inventory.Approve)
	if err != nil || got.State != inventory.StateApproved {
		t.Errorf("ben approves: %+v (%v)", got, err)
	}
	// Who has left was declared then: what they approved stays so.
	l.people = []string{"carl"}
	if list := must(l.Exclusions(bg, operator(), "shop", 0))(t); len(list) != 1 || list[0].State != inventory.StateApproved {
		t.Errorf("%+v", list)
	}
	l.people = nil
	f("anybody", true)
}

// suiteVisible goes on after a went from bank to clinic.
func suiteVisible(t *testing.T, l *Ledger) {
	f := func(p access.Principal, want string) {
		t.Helper()
		var got []string
		for _, r := range must(l.Inventory(bg, p, 0))(t) {
			got = append(got, fmt.Sprintf("%d:%s=%s", r.ID, r.Attribute, r.Text()))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%v sees %s, want %s", p.Customers, s, want)
		}
	}
	fixed := must(l.Inventory(bg, operator(), 0))(t)[5:]
	at := map[inventory.Attribute]int64{}
	for _, r := range fixed {
		at[r.Attribute] = r.ID
	}
	if at[inventory.Customer] > at[inventory.Contract] || at[inventory.Fee] > at[inventory.Customer] {
		t.Fatalf("another order than this test knows: %v", at)
	}
	f(customer("bank"), `1:state=running 2:customer=bank 3:contract=gold 4:fee=100.00 USD 5:match=target="x" 6:fee=120.00 USD 7:customer=none`)
	f(customer("clinic"), `1:state=running 5:match=target="x" 6:fee=120.00 USD 7:customer=clinic 8:contract=silver`)
	f(customer("shop"), "")
	f(access.Principal{}, "")
}

// suiteRecorded corrects at random and reads what was known at each instant
// again and again.
func suiteRecorded(t *testing.T, open func() *Ledger) {
	l := open()
	rng := rand.New(rand.NewPCG(1, 2))
	record(t, l, t0, "a,2026-11-01T00:00:00Z,x,running,bank,gold,100 USD", "b,2026-11-01T00:00:00Z,y,running,bank,gold,100 USD")
	known := map[int64][]inventory.Record{}
	for step := range 40 {
		day := 1 + rng.IntN(9)
		row := fmt.Sprintf("%c,2026-11-%02dT00:00:00Z,,,%s,,%d USD", 'a'+rune(rng.IntN(2)), day, []string{"bank", "clinic", "none"}[rng.IntN(3)], 1+rng.IntN(3))
		if step%5 == 4 {
			all := must(l.Inventory(bg, operator(), 0))(t)
			r := all[len(all)-1]
			row = fmt.Sprintf("%s,2026-11-%02dT00:00:00Z,,,withdrawn,,", r.Resource, 1)
		}
		for _, r := range record(t, l, t0+int64(rng.IntN(3)), row) {
			known[r.Recorded] = nil
		}
		for at := range known {
			got := must(l.Inventory(bg, operator(), at))(t)
			if known[at] == nil {
				known[at] = got
			} else if !reflect.DeepEqual(got, known[at]) {
				t.Fatalf("step %d: what was known at %d has changed", step, at)
			}
		}
	}
	if len(known) < 20 {
		t.Fatalf("only %d changes", len(known))
	}
}

func suiteExclusions(t *testing.T, open func() *Ledger) {
	l := open()
	window := sla.Exclusion{Start: t0, End: t0 + hourMillis, Effect: sla.Removed, Category: "maintenance", Reason: "switch"}
	nightly := sla.Exclusion{Recurs: &sla.Recurrence{TimeZone: "UTC", Days: []int{0}, From: 0, To: hourMillis}, Effect: sla.Available, Category: "backup", Reason: "weekly"}
	a := must(l.ProposeExclusion(bg, operator(), note("ann", t0), "gold", "bank", window))(t)
	b := must(l.ProposeExclusion(bg, operator(), note("ben", t0), "silver", "clinic", nightly))(t)
	if a.ID != 1 || a.State != inventory.StateProposed || a.Author != "ann" || b.History[0].Recorded != t0+1 {
		t.Fatalf("%+v %+v", a, b)
	}
	step := func(author, reason string, id int64, s inventory.Step, want string) {
		t.Helper()
		x, err := l.StepExclusion(bg, operator(), Note{Author: author, Reason: reason, At: t0}, id, s)
		var refusal inventory.Refusal
		switch {
		case err != nil && (want == "" || !strings.Contains(err.Error(), want) || !errors.As(err, &refusal) && !errors.Is(err, ErrNotFound)):
			t.Errorf("%s by %s: %v", s, author, err)
		case err == nil && x.State != want:
			t.Errorf("%s by %s: it is %s, want %s", s, author, x.State, want)
		}
	}
	step("ann", "", 1, inventory.Approve, "somebody else has to approve it")
	step(" Ann ", "", 1, inventory.Approve, "somebody else has to approve it")
	step(" ", "", 1, inventory.Approve, "an author is required")
	step("cat", "", 7, inventory.Approve, ErrNotFound.Error())
	step("cat", "", 1, inventory.Approve, inventory.StateApproved)
	step("dan", "", 1, inventory.Approve, "it cannot be approved")
	step("dan", "", 2, inventory.Reject, "a reason is required")
	step("dan", "not agreed", 2, inventory.Reject, inventory.StateRejected)
	step("dan", "again", 2, inventory.Withdraw, "it cannot be withdrawn")
	before := must(l.Exclusions(bg, operator(), "gold", 0))(t)
	step("ann", "it was put off", 1, inventory.Withdraw, inventory.StateWithdrawn)
	step("ann", "x", 1, "undo", "there is no step")

	list := must(l.Exclusions(bg, operator(), "", 0))(t)
	if len(list) != 2 || list[0].State != inventory.StateWithdrawn || list[0].ApprovedBy != "cat" || len(list[0].History) != 3 ||
		!reflect.DeepEqual(list[1].Recurs, nightly.Recurs) || list[1].History[1].Reason != "not agreed" {
		t.Errorf("%+v", list)
	}
	if was := must(l.Exclusions(bg, operator(), "gold", before[0].History[1].Recorded))(t); !reflect.DeepEqual(was, before) {
		t.Errorf("as it was: %+v, want %+v", was, before)
	}
	if got := must(l.Exclusions(bg, customer("clinic"), "", 0))(t); len(got) != 1 || got[0].Contract != "silver" {
		t.Errorf("clinic sees %+v", got)
	}
	if _, err := l.ProposeExclusion(bg, customer("bank"), note("eve", t0), "gold", "bank", window); err == nil {
		t.Error("a customer proposes")
	}
	window.ApprovedBy = "ann"
	if _, err := l.ProposeExclusion(bg, operator(), note("ann", t0), "gold", "bank", window); err == nil {
		t.Error("a proposal is approved already")
	}
}

func suiteInventoryBackup(t *testing.T, open func() *Ledger) {
	l := open()
	record(t, l, t0, "a,2026-11-01T00:00:00Z,x,running,bank,gold,100 USD")
	must(l.ProposeExclusion(bg, operator(), note("ann", t0), "gold", "bank", sla.Exclusion{Start: t0, End: t0 + 1, Effect: sla.Removed, Category: "c", Reason: "r"}))(t)
	file := filepath.Join(t.TempDir(), "copy.db")
	if err := l.Backup(bg, file, nil); err != nil {
		t.Fatal(err)
	}
	other := openAt(t, t.TempDir())
	if err := other.Restore(bg, file, nil); err != nil {
		t.Fatal(err)
	}
	if a, b := must(l.Inventory(bg, operator(), 0))(t), must(other.Inventory(bg, operator(), 0))(t); !reflect.DeepEqual(a, b) || len(a) != 5 {
		t.Errorf("got %+v, want %+v", b, a)
	}
	if a, b := must(l.Exclusions(bg, operator(), "", 0))(t), must(other.Exclusions(bg, operator(), "", 0))(t); !reflect.DeepEqual(a, b) || len(a) != 1 {
		t.Errorf("got %+v, want %+v", b, a)
	}
	if err := other.Verify(bg); err != nil {
		t.Error(err)
	}
}

func TestVerifyFindsChangedFacts(t *testing.T) {
	f := func(statement, want string) {
		t.Helper()
		l := openAt(t, t.TempDir())
		record(t, l, t0, "a,2026-11-01T00:00:00Z,x,running,bank,gold,100 USD")
		record(t, l, t0, "a,2026-11-01T00:00:00Z,,,,,120 USD")
		must(l.ProposeExclusion(bg, operator(), note("ann", t0), "gold", "bank", sla.Exclusion{Start: t0, End: t0 + 1, Effect: sla.Removed, Category: "c", Reason: "r"}))(t)
		must(l.StepExclusion(bg, operator(), note("ben", t0), 1, inventory.Approve))(t)
		if err := l.Verify(bg); err != nil {
			t.Fatal(err)
		}
		if _, err := l.rw.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := l.Verify(bg); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", statement, err, want)
		}
	}
	f(`UPDATE inventory_facts SET recorded = 1 WHERE id = 6`, "fact 6 was recorded before fact 5")
	f(`UPDATE inventory_facts SET resource = 'b' WHERE id = 6`, "which is not about the same")
	f(`UPDATE inventory_facts SET value = 'much' WHERE id = 6`, `fee "much" is no such value`)
	f(`UPDATE exclusion_events SET author = 'ann' WHERE id = 2`, "somebody else has to approve it")
	f(`UPDATE exclusion_events SET proposed = '' WHERE id = 1`, "its proposal is missing")
	f(`UPDATE exclusion_events SET proposed = '{' WHERE id = 1`, "exclusion 1")
	f(`DELETE FROM exclusion_events WHERE id = 1`, "cannot follow")
}
