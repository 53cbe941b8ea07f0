package ledger

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/sla"
)

// logFleet commits hours of three groups' minutes; the bank's has a bad one
// each hour.
func logFleet(t testing.TB, l *Ledger, hours int64) (*Claim, []Group) {
	t.Helper()
	c := claim(t, l, 0)
	groups := []Group{group(streamA, 1, "bank"), group(streamA, 2, "shop"), group("bb", 3, "")}
	for h := range hours {
		b := &Batch{LogTime: t0 + (h+1)*hourMillis, Groups: groups}
		for m := range int64(60) {
			for i, g := range groups {
				s := goodSlot(t0 + h*hourMillis + m*minute)
				if i == 0 && m == 30 {
					s = badSlot(s.Start)
				}
				b.Slots = append(b.Slots, SlotChange{g.Key, s})
			}
		}
		commit(t, l, c, b)
	}
	return c, groups
}

func logUntil(t testing.TB, l *Ledger, hours int64) int {
	t.Helper()
	return must(l.Log(bg, t0+hours*hourMillis+logAfter))(t)
}

func tree(t testing.TB, l *Ledger) tlog.Tree {
	t.Helper()
	return must(l.LogTree(bg))(t).Tree
}

func restate(t testing.TB, l *Ledger, c *Claim, g Group, start, at int64, version uint32) {
	t.Helper()
	s := goodSlot(start)
	s.Version = version
	commit(t, l, c, &Batch{LogTime: at, Slots: []SlotChange{{g.Key, s}}})
}

// A restatement is legal: it adds to the log and changes nothing of it.
func suiteLog(t *testing.T, open func() *Ledger) {
	l := open()
	if got := must(l.LogTree(bg))(t); got.N != 0 {
		t.Fatalf("an empty log: %+v", got)
	}
	c, groups := logFleet(t, l, 3)
	if n := must(l.Log(bg, t0+3*hourMillis+logAfter-1))(t); n != 2 {
		t.Fatalf("%d leaves before the third hour is due", n)
	}
	first := tree(t, l)
	if n := logUntil(t, l, 3) + logUntil(t, l, 3); n != 1 {
		t.Fatalf("%d leaves for the third hour", n)
	}
	bad := t0 + 30*minute
	restate(t, l, c, groups[0], bad, t0+4*hourMillis, 2)
	restate(t, l, c, groups[0], bad, t0+4*hourMillis+minute, 3)
	if err := l.Verify(bg); err != nil {
		t.Fatalf("versions that wait for the log: %v", err)
	}
	if err := l.Close(); err != nil { // killed between slots and log
		t.Fatal(err)
	}
	l = open()
	c = claim(t, l, 0)
	if n := logUntil(t, l, 4); n != 1 {
		t.Fatalf("%d leaves for two versions of one hour", n)
	}
	early := Slot{Start: t0 - 5*hourMillis, State: sla.Unknown, Version: 1, Reason: "silent"} // before all that was logged
	commit(t, l, c, &Batch{LogTime: t0 + 4*hourMillis, Slots: []SlotChange{{groups[1].Key, early}}})
	restate(t, l, c, groups[0], bad, t0+5*hourMillis, 4)
	if n := logUntil(t, l, 5); n != 2 {
		t.Fatalf("%d leaves for two hours", n)
	}
	// Evidence in the log stays as it is under its version.
	s := badSlot(t0 + 90*minute)
	s.Vantages = nil
	commit(t, l, c, &Batch{LogTime: t0 + 5*hourMillis, Slots: []SlotChange{{groups[0].Key, s}}})
	if v := must(l.Versions(bg, operator(), groups[0].Key, s.Start))(t); len(v) != 1 || len(v[0].Vantages) != 2 {
		t.Fatalf("evidence in the log became %+v", v)
	}
	for _, err := range []error{l.Verify(bg), l.Compare(bg, []tlog.Tree{first, tree(t, l)})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	proofs := must(l.Prove(bg, operator(), groups[0].Key, t0+20*minute, tree(t, l).N))(t)
	if len(proofs) != 3 || strings.Count(proofs[0].Leaf, " good 60/60 ") != 59 || strings.Count(proofs[0].Leaf, "\n") != 5+60+2 {
		t.Fatalf("got %+v", proofs)
	}
	root := tree(t, l)
	for _, p := range proofs {
		var hour int64
		var groupRoot string
		var n, at int64
		if _, err := fmt.Sscanf(p.Hour, "nines hour 1\nhour %d\nlogged %d\ngroups %d\nroot %s\n", &hour, &at, &n, &groupRoot); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			tlog.CheckRecord(p.MemberProof, n, must(tlog.ParseHash(groupRoot))(t), p.Member, tlog.RecordHash([]byte(p.Leaf))),
			tlog.CheckRecord(p.Proof, root.N, root.Hash, p.Number, tlog.RecordHash([]byte(p.Hour))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	wantErr(t, second(l.Prove(bg, customer("shop"), groups[0].Key, t0, root.N)), ErrNotFound)
	wantErr(t, second(l.Prove(bg, operator(), groups[0].Key, t0+9*hourMillis, root.N)), ErrNotFound)
}

// Whoever has the database can rewrite it. What they did is found and named; a
// log that was made anew from rewritten slots is found by what was signed.
func suiteRewritten(t *testing.T, open func() *Ledger) {
	l := open()
	c, groups := logFleet(t, l, 4)
	logUntil(t, l, 4)
	restate(t, l, c, groups[0], t0+30*minute, t0+5*hourMillis, 2)
	logUntil(t, l, 5)
	signed := []tlog.Tree{{N: 2, Hash: must(signedRoot(l, 2))(t)}, tree(t, l)}
	postgres := l.dialect.name == postgresDialect().name
	whole := filepath.Join(t.TempDir(), "whole.db")
	if err := l.Backup(bg, whole, nil); err != nil {
		t.Fatal(err)
	}
	f := func(words string, change func(l *Ledger)) {
		t.Helper()
		l := openAt(t, t.TempDir())
		if postgres {
			l = openPostgresAt(t, newPostgres(t))
		}
		if err := l.Restore(bg, whole, nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Verify(bg), l.Compare(bg, signed)); err != nil {
			t.Fatal(err)
		}
		change(l)
		err := errors.Join(l.Verify(bg), l.Compare(bg, signed))
		wantErr(t, err, ErrRewritten)
		if !strings.Contains(err.Error(), words) {
			t.Fatalf("got %v, want %q", err, words)
		}
	}
	sql := func(statements ...string) func(*Ledger) {
		return func(l *Ledger) {
			t.Helper()
			for _, s := range statements {
				if _, err := l.rw.Exec(strings.NewReplacer("'HOUR1'", fmt.Sprint(t0+hourMillis), "'HOUR2'", fmt.Sprint(t0+2*hourMillis),
					"'HOUR0'", fmt.Sprint(t0)).Replace(s)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	rewrite := func(l *Ledger) { // a bad minute of the bank's becomes good, totals and all
		t.Helper()
		var blob []byte
		if err := l.ro.QueryRow(l.dialect.rebind(`SELECT slots FROM hours WHERE hour = ? AND group_id = 1`), t0+hourMillis).Scan(&blob); err != nil {
			t.Fatal(err)
		}
		slots := must(decodeBlock(nil, t0+hourMillis, blob))(t)
		at := slices.IndexFunc(slots, func(v Versioned) bool { return v.State == sla.Bad })
		slots[at].Slot = goodSlot(slots[at].Start)
		sums := totalsOf(slots)
		if _, err := l.rw.Exec(l.dialect.rebind(`UPDATE hours SET slots = ?, good = ?, total = ?, good_slots = ?, bad_slots = ? WHERE hour = ? AND group_id = 1`),
			appendBlock(nil, t0+hourMillis, slots), int64(sums.Good), int64(sums.Total), int64(sums.GoodSlots), int64(sums.BadSlots), t0+hourMillis); err != nil {
			t.Fatal(err)
		}
	}
	bank := "hour 2026-01-01T01:00:00Z, group " + groups[0].Labels.String()
	f(bank, rewrite)
	f("the slots that were logged are gone", sql(`DELETE FROM hours WHERE hour = 'HOUR1' AND group_id = 1`))
	f("hour 2026-01-01T01:00:00Z, group "+groups[2].Labels.String(), sql(`DELETE FROM hours WHERE hour = 'HOUR1'`)) // the whole hour, with its leaf
	f("leaf 1 of the log is gone", sql(`DELETE FROM log_hours WHERE hour = 'HOUR1'`))
	f("the hours from 2026-01-01T00:00:00Z to 2026-01-01T01:00:00Z", sql( // two leaves change places
		`UPDATE log_hours SET leaf = 99 WHERE leaf = 0`, `UPDATE log_hours SET leaf = 0 WHERE leaf = 1`, `UPDATE log_hours SET leaf = 1 WHERE leaf = 99`))
	f("group "+groups[1].Labels.String(), sql( // two groups change places
		`UPDATE hours SET group_id = 99 WHERE group_id = 1`, `UPDATE hours SET group_id = 1 WHERE group_id = 2`, `UPDATE hours SET group_id = 2 WHERE group_id = 99`))
	f("the slots are not those that were logged", sql(`UPDATE groups SET labels = '{"target":"other"}' WHERE id = 2`))
	f("group "+groups[0].Labels.String(), sql(`DELETE FROM slot_versions`)) // what was said before the restatement
	f("is not what was logged", sql(`UPDATE log_hours SET logged_at = logged_at, root = (SELECT root FROM log_hours WHERE leaf = 2) WHERE leaf = 1`))
	f("never logged", sql(`INSERT INTO groups (id, stream, labels_hash, labels, partition, customer, first_slot, retired) SELECT 77, 'cc', 1, '{"a":"b"}', 0, '', 0, 0`,
		`INSERT INTO hours (hour, group_id, slots, good, total, good_slots, bad_slots, unknown_slots)
			SELECT hour, 77, slots, good, total, good_slots, bad_slots, unknown_slots FROM hours WHERE hour = 'HOUR1' AND group_id = 2`))
	f("was cut off", sql(`DELETE FROM log_hours WHERE leaf >= 3`))
	f("the hours from 2026-01-01T00:00:00Z", func(l *Ledger) { // all anew from rewritten slots, only what was signed shows it
		rewrite(l)
		sql(`DELETE FROM log_hours`, `UPDATE log_state SET until = -9000000000000000000`)(l)
		if n := logUntil(t, l, 5); n != 4 {
			t.Fatalf("%d leaves", n)
		}
		restate(t, l, claim(t, l, 0), groups[1], t0+31*minute, t0+5*hourMillis, 2)
		logUntil(t, l, 6)
		if err := l.Verify(bg); err != nil {
			t.Fatalf("the new log is not whole: %v", err)
		}
	})
}

func signedRoot(l *Ledger, n int64) (root tlog.Hash, err error) {
	tx, err := l.ro.Begin()
	if err != nil {
		return root, err
	}
	defer func() { _ = tx.Rollback() }()
	log, err := readLog(l.viewer(bg, tx))
	if err != nil {
		return root, err
	}
	return log.tree.root(n)
}

// Retention takes slots; the log goes on to be what was signed.
func suiteLogPruned(t *testing.T, open func() *Ledger) {
	l := open()
	c, groups := logFleet(t, l, 30)
	logUntil(t, l, 30)
	before := tree(t, l)
	restate(t, l, c, groups[0], t0+30*minute, t0+31*hourMillis, 2) // waits for the log while its hour goes
	now := t0 + 31*hourMillis
	if err := l.Prune(bg, Retention{Slots: 20 * time.Hour}, now); err != nil {
		t.Fatal(err)
	}
	if n := logUntil(t, l, 31); n != 0 {
		t.Fatalf("%d leaves of an hour that is gone", n)
	}
	if got := must(l.LogTree(bg))(t); got.From != t0+11*hourMillis || got.Until != t0+30*hourMillis {
		t.Fatalf("got %+v", got)
	}
	restate(t, l, c, groups[0], t0+2*hourMillis, now, 1) // late data of an hour that is gone
	restate(t, l, c, groups[0], t0+20*hourMillis, now, 2)
	if n := logUntil(t, l, 32); n != 1 {
		t.Fatalf("%d leaves", n)
	}
	if err := errors.Join(l.Verify(bg), l.Compare(bg, []tlog.Tree{before, tree(t, l)})); err != nil {
		t.Fatal(err)
	}
	wantErr(t, second(l.Prove(bg, operator(), groups[0].Key, t0, 1)), ErrNotFound)
	if _, err := l.rw.Exec(l.dialect.rebind(`UPDATE log_hours SET root = (SELECT root FROM log_hours WHERE leaf = 1) WHERE leaf = 0`)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, l.Compare(bg, []tlog.Tree{before}), ErrRewritten)
}
