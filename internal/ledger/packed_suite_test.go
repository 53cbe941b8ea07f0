package ledger

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/sla"
	"nines/internal/wire"
)

// said is what readers hear of a group, over all of a range and parts of it.
type said struct {
	Slots    [][]Slot
	Totals   [][]HourTotals
	Versions [][]Versioned
	Loaded   []Loaded
}

func hear(t testing.TB, l *Ledger, g Group, from, to int64) said {
	t.Helper()
	var s said
	step := (to-from)/7 + minute/2 // no boundary of hours or days
	for a := from - step; a < to; a += step {
		for _, b := range []int64{a + minute, a + step, to + step} {
			s.Slots = append(s.Slots, must(l.GroupSlots(bg, operator(), g.Key, a, b))(t))
			s.Totals = append(s.Totals, must(l.HourTotals(bg, operator(), g.Key, a, b))(t))
		}
		s.Versions = append(s.Versions, must(l.Versions(bg, operator(), g.Key, hourOf(a)+30*minute))(t))
		s.Loaded = append(s.Loaded, must(l.Load(bg, 0, a))(t)...)
	}
	return s
}

// Whether days are packed is nothing that a reader, a commit or the log can tell.
func suitePackedReads(t *testing.T, open func() *Ledger) {
	l := open()
	c, groups := logFleet(t, l, 3*24)
	bank := groups[0]
	end := t0 + 3*dayMillis
	restate(t, l, c, bank, t0+30*minute, end, 2)
	must(l.Log(bg, t0+29*hourMillis))(t) // 28 hours; the rest is logged from packed days
	before := hear(t, l, bank, t0, end)
	packed := func(days int64) {
		t.Helper()
		if err := errors.Join(l.pack(bg, t0+(days+2)*dayMillis), l.Verify(bg)); err != nil {
			t.Fatal(err)
		}
		var hours, left int64
		for q, n := range map[string]*int64{`SELECT COUNT(*) FROM hours`: &hours, `SELECT COUNT(*) FROM day_slots`: &left} {
			if err := l.ro.QueryRow(q).Scan(n); err != nil {
				t.Fatal(err)
			}
		}
		if hours != (3-days)*24*3 || left != days*3 {
			t.Fatalf("%d hours and %d days after packing %d", hours, left, days)
		}
		if after := hear(t, l, bank, t0, end); !reflect.DeepEqual(after, before) {
			t.Fatalf("got %+v\nwant %+v", after, before)
		}
	}
	packed(1)
	packed(2)
	if n := logUntil(t, l, 3*24); n != 3*24-28 {
		t.Fatalf("%d leaves", n)
	}
	first := tree(t, l)
	// Late data of packed days: a restatement, and an hour that was not there.
	restate(t, l, c, bank, t0+dayMillis+30*minute, end, 2)
	early := Slot{Start: t0 - 5*hourMillis, State: sla.Unknown, Version: 1, Reason: "silent"}
	commit(t, l, c, &Batch{LogTime: end, Slots: []SlotChange{{bank.Key, early}}})
	if n := logUntil(t, l, 3*24); n != 2 {
		t.Fatalf("%d leaves", n)
	}
	if got := must(l.GroupSlots(bg, operator(), bank.Key, early.Start, t0))(t); len(got) != 1 || got[0].Reason != "silent" {
		t.Fatalf("got %+v", got)
	}
	if got := must(l.Versions(bg, operator(), bank.Key, t0+dayMillis+30*minute))(t); len(got) != 2 || len(got[0].Vantages) != 2 || got[1].State != sla.Good {
		t.Fatalf("got %+v", got)
	}
	if got := must(l.HourTotals(bg, operator(), bank.Key, t0+dayMillis, t0+dayMillis+hourMillis))(t); len(got) != 1 || got[0].GoodSlots != 60 {
		t.Fatalf("got %+v", got)
	}
	if n := len(must(l.Prove(bg, operator(), bank.Key, t0+dayMillis, tree(t, l).N))(t)); n != 2 {
		t.Fatalf("%d proofs", n)
	}
	if err := errors.Join(l.Verify(bg), l.Compare(bg, []tlog.Tree{first, tree(t, l)})); err != nil {
		t.Fatal(err)
	}
	before = hear(t, l, bank, t0-dayMillis, end)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	if after := hear(t, l, bank, t0-dayMillis, end); !reflect.DeepEqual(after, before) {
		t.Fatalf("after a restart: got %+v\nwant %+v", after, before)
	}
	// A day that is partly too old stays whole.
	if err := l.Prune(bg, Retention{Slots: 30 * time.Hour}, t0+2*dayMillis+12*hourMillis); err != nil {
		t.Fatal(err)
	}
	if got := must(l.GroupSlots(bg, operator(), bank.Key, 0, end))(t); len(got) != 2*24*60 || got[0].Start != t0+dayMillis {
		t.Fatalf("%d slots after pruning", len(got))
	}
	if got := must(l.LogTree(bg))(t); got.From != t0+dayMillis {
		t.Fatalf("got %+v", got)
	}
}

// A reader may ask for all of time, whether days are packed or not: it is read
// as quickly as the hours that are there.
func suiteAllOfTime(t *testing.T, open func() *Ledger) {
	l := open()
	ctx, cancel := context.WithTimeout(bg, 20*time.Second) // counting hours from 1970 takes longer, to the end of time for ever
	defer cancel()
	f := func(key wire.GroupKey, from, to int64, want int) {
		t.Helper()
		slots := must(l.GroupSlots(ctx, operator(), key, from, to))(t)
		var n uint64
		for _, h := range must(l.HourTotals(ctx, operator(), key, from, to))(t) {
			n += h.GoodSlots + h.BadSlots + h.UnknownSlots
		}
		if len(slots) != want || int(n) != want {
			t.Errorf("%d slots, and %d in totals, from %d to %d; want %d", len(slots), n, from, to, want)
		}
	}
	_, groups := logFleet(t, l, 3*24)
	for days := range int64(4) { // packed
		if err := l.pack(bg, t0+(days+2)*dayMillis); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			f(g.Key, 0, t0+30*dayMillis, 3*24*60)
			f(g.Key, math.MinInt64, math.MaxInt64, 3*24*60)
		}
	}
	n := 0
	err := l.Slots(ctx, operator(), streamA, 0, math.MaxInt64, func(_ Group, slots []Slot) error {
		n += len(slots)
		return nil
	})
	if want := 2 * 3 * 24 * 60; err != nil || n != want {
		t.Errorf("%d slots of the stream, %v; want %d", n, err, want)
	}
}

// What was done to packed days is found and named.
func suitePackedDamage(t *testing.T, open func() *Ledger) {
	l := open()
	_, groups := logFleet(t, l, 24)
	logUntil(t, l, 24)
	if err := l.pack(bg, t0+9*dayMillis); err != nil {
		t.Fatal(err)
	}
	var whole, totals []byte
	for column, into := range map[string]*[]byte{"slots FROM day_slots": &whole, "totals FROM days": &totals} {
		if err := l.ro.QueryRow(`SELECT ` + column + ` WHERE group_id = 1`).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	write := func(slots, totals []byte) {
		t.Helper()
		for q, b := range map[string][]byte{`UPDATE day_slots SET slots = ? WHERE group_id = 1`: slots, `UPDATE days SET totals = ? WHERE group_id = 1`: totals} {
			if _, err := l.rw.Exec(l.dialect.rebind(q), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := func(words string, is error, slots, sums []byte) {
		t.Helper()
		write(slots, sums)
		err := l.Verify(bg)
		wantErr(t, err, is)
		if !bytes.Contains([]byte(err.Error()), []byte(words)) {
			t.Fatalf("got %v, want %q", err, words)
		}
		write(whole, totals)
		if err := l.Verify(bg); err != nil {
			t.Fatal(err)
		}
	}
	hours := must(decodeDaySlots(nil, t0, whole))(t)
	sums := must(decodeDay(nil, t0, totals))(t)
	slots := must(decodeBlock(nil, t0+hourMillis, hours[1].block))(t)
	slots[30].Slot = goodSlot(slots[30].Start)
	forged := &groupDay{hours, sums}
	forged.set(t0+hourMillis, appendBlock(nil, t0+hourMillis, slots), totalsOf(slots))
	f("the packed totals are not its hours'", ErrDamaged, appendDaySlots(nil, t0, forged.blocks), totals)
	f("hour 2026-01-01T01:00:00Z, group "+groups[0].Labels.String(), ErrRewritten,
		appendDaySlots(nil, t0, forged.blocks), appendDay(nil, t0, forged.totals))
	f("the slots that were logged are gone", ErrRewritten,
		appendDaySlots(nil, t0, forged.blocks[2:]), appendDay(nil, t0, forged.totals[2:]))
	f("malformed", ErrDamaged, whole[:len(whole)-1], totals)
	f("malformed", ErrDamaged, whole, totals[:len(totals)-1])
}

func TestDaySlots(t *testing.T) {
	f := func(hours ...hourBlock) {
		t.Helper()
		b := appendDaySlots(nil, t0, hours)
		got, err := decodeDaySlots(nil, t0, b)
		if err != nil || len(got) != len(hours) {
			t.Fatalf("%v: %d hours", err, len(got))
		}
		for i, h := range hours {
			block, err := blockOf(h.hour, b)
			if err != nil || !bytes.Equal(block, h.block) || !bytes.Equal(got[i].block, h.block) || got[i].hour != h.hour {
				t.Fatalf("hour %d: %x, %v", i, block, err)
			}
		}
		for n := range b {
			if _, err := decodeDaySlots(nil, t0, b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b))
			}
		}
		if block, err := blockOf(t0+12*hourMillis, b); block != nil || err != nil {
			t.Fatalf("an hour that is not there: %x, %v", block, err)
		}
	}
	rich := appendBlock(nil, t0, richBlock())
	f()
	f(hourBlock{t0, rich})
	f(hourBlock{t0, []byte{1}}, hourBlock{t0 + 5*hourMillis, rich}, hourBlock{t0 + 23*hourMillis, []byte{}})
	f(hourBlock{t0, rich}, hourBlock{t0 + hourMillis, rich}, hourBlock{t0 + 2*hourMillis, rich[:len(rich)/2]}, hourBlock{t0 + 3*hourMillis, rich})
	f(hourBlock{t0, []byte("aaaa")}, hourBlock{t0 + hourMillis, []byte("aa")}, hourBlock{t0 + 2*hourMillis, []byte("aaaaaa")}, hourBlock{t0 + 3*hourMillis, []byte("ab")})

	// What was written before hours shared their bytes.
	old := append([]byte{wholeDaySlots, 2, 3, 2, 9, byte(len(rich) & 0x7f), byte(len(rich) >> 7)}, 7, 8)
	old[5] |= 0x80
	got := must(decodeDaySlots(nil, t0, append(old, rich...)))(t)
	if len(got) != 2 || got[1].hour != t0+9*hourMillis || !bytes.Equal(got[0].block, []byte{7, 8}) || !bytes.Equal(got[1].block, rich) {
		t.Errorf("format 1: %+v", got)
	}
}

func FuzzDaySlots(f *testing.F) {
	f.Add(appendDaySlots(nil, t0, []hourBlock{{t0, []byte{1}}, {t0 + 23*hourMillis, nil}}))
	f.Add(appendDaySlots(nil, t0, nil))
	f.Add(appendDaySlots(nil, t0, []hourBlock{{t0, []byte("abcabc")}, {t0 + hourMillis, []byte("abxabc")}}))
	f.Add([]byte{wholeDaySlots, 1, 5, 2, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		hours, err := decodeDaySlots(nil, t0, b)
		if err != nil {
			return
		}
		again, err := decodeDaySlots(nil, t0, appendDaySlots(nil, t0, hours))
		if err != nil || !reflect.DeepEqual(again, hours) {
			t.Fatalf("%v: %+v became %+v", err, hours, again)
		}
	})
}

// A ledger of schema 3, with a packed day, a day that is not, and rows in both
// tables that PostgreSQL had: it says the same after the migration, and packs.
func TestMigrateDays(t *testing.T) {
	f := func(name string, d func() *dialect, connect func(testing.TB) func() *Ledger, recent, old string) {
		t.Run(name, func(t *testing.T) {
			reopen := connect(t)
			now := reopen()
			older := d()
			older.migrations = older.migrations[:3]
			l, err := open(bg, Options{}, older, now.where, now.rw, now.ro)
			if err != nil {
				t.Fatal(err)
			}
			g := group(streamA, 1, "")
			var want []Slot
			exec := func(q string, args ...any) {
				t.Helper()
				if _, err := l.rw.Exec(l.dialect.rebind(q), args...); err != nil {
					t.Fatal(err)
				}
			}
			exec(`INSERT INTO groups (id, stream, labels_hash, labels, partition, customer, first_slot, retired) VALUES (1, ?, ?, ?, 0, '', 0, 0)`,
				g.Key.Stream, int64(g.Key.Labels), `{"region":"r01","target":"host-00001"}`)
			exec(`INSERT INTO claims (partition, epoch, owner, next_offset, log_time, sources, commits) VALUES (0, 1, 'test', 1, ?, '[]', 1)`, t0+2*dayMillis)
			for h := range int64(48) {
				table := old
				if h >= 24 {
					table = recent
				}
				slots := []Versioned{{Slot: badSlot(t0 + h*hourMillis), WrittenAt: t0 + h*hourMillis + writtenUnit}}
				want = append(want, slots[0].Slot)
				exec(`INSERT INTO `+table+` (hour, group_id, slots, good, total, good_slots, bad_slots, unknown_slots) VALUES (?, 1, ?, 0, 60, 0, 1, 0)`,
					t0+h*hourMillis, appendBlock(nil, t0+h*hourMillis, slots))
			}
			exec(`INSERT INTO days (day, group_id, totals) VALUES (?, 1, ?)`, t0, []byte{1, 0})
			exec(`UPDATE packing SET until = ?`, t0+dayMillis)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			again := reopen()
			l = must(open(bg, Options{}, d(), now.where, again.rw, again.ro))(t)
			defer l.Close()
			same := func() {
				t.Helper()
				if got := must(l.GroupSlots(bg, operator(), g.Key, t0, t0+9*dayMillis))(t); !reflect.DeepEqual(got, want) {
					t.Fatalf("got %+v\nwant %+v", got, want)
				}
				if n := len(must(l.HourTotals(bg, operator(), g.Key, t0, t0+9*dayMillis))(t)); n != 48 {
					t.Fatalf("%d hours", n)
				}
				if err := l.Verify(bg); err != nil {
					t.Fatal(err)
				}
			}
			same()
			if err := l.pack(bg, t0+3*dayMillis); err != nil {
				t.Fatal(err)
			}
			same()
			if n := logUntil(t, l, 48); n != 48 {
				t.Fatalf("%d leaves", n)
			}
			same()
		})
	}
	f("sqlite", sqliteDialect, func(t testing.TB) func() *Ledger {
		path := file(t.TempDir())
		return func() *Ledger {
			rw, ro, err := openSQLite(path)
			if err != nil {
				t.Fatal(err)
			}
			return &Ledger{rw: rw, ro: ro, where: path}
		}
	}, "hours", "hours")
	f("postgresql", postgresDialect, func(t testing.TB) func() *Ledger {
		url := newPostgres(t)
		return func() *Ledger {
			rw, ro, where, err := openPostgres(url, "")
			if err != nil {
				t.Fatal(err)
			}
			return &Ledger{rw: rw, ro: ro, where: where}
		}
	}, "recent_hours", "old_hours")
}
