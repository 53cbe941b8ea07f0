package ledger

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"nines/internal/sla"
	"nines/internal/slo"
)

// An auditor recomputes these bytes: they do not change.
func TestLeafText(t *testing.T) {
	g := group(streamA, 1, "bank")
	b := appendLeafHead(nil, &g, true, t0, []byte("0123456789abcdef"))
	var run slotRun
	counted := func(start int64) Slot { s := goodSlot(start); s.Complete = nil; return s }
	for _, s := range []Slot{
		goodSlot(t0), goodSlot(t0 + minute), goodSlot(t0 + 2*minute), counted(t0 + 5*minute), counted(t0 + 6*minute), badSlot(t0 + 7*minute), goodSlot(t0 + 8*minute),
		{Start: t0 + 9*minute, State: sla.Unknown, Version: 2, Blind: 3, Reason: "said \"no\"\n\\\x01é"},
		{Start: t0 + 10*minute, State: sla.Unknown, Version: 1, Owed: 7, Reason: "no_data"},
	} {
		v := &Versioned{s, s.Start + 70_000}
		if !run.takes(v) {
			b = run.append(b)
			run = slotRun{first: v, n: 1}
		}
	}
	b = run.append(b)
	b = appendLeafHead(append(b, '\n'), &g, false, t0, make([]byte, saltSize))
	root := must(rootOf([]tlog.Hash{tlog.RecordHash(b)}))(t)
	b = append(append(b, '\n'), (&loggedHour{hour: t0, loggedAt: t0 + 2*hourMillis, groups: 1, root: root}).text()...)
	path := filepath.Join("testdata", "leaf.txt")
	if *update {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(path))(t); string(want) != string(b) {
		t.Errorf("%s changed: what was signed no longer fits. Got\n%s", path, b)
	}
	// What another writer of JSON makes of the same strings.
	for _, s := range []string{"", "a\"b\\", "\b\f\n\r\t", "\x00\x1f\x7f", "é☃😀/</>"} {
		var back string
		if err := json.Unmarshal(appendJSONString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q becomes %q, %v", s, back, err)
		}
	}
}

func someMembers() []member {
	return []member{
		{group: 1, print: [printSize]byte{1, 2}}, {group: 2, unnamed: true, print: [printSize]byte{3, 4}},
		{group: 1 << 24, slots: []slotVersion{{t0, 2}, {t0 + 59*minute, 1<<32 - 1}}},
	}
}

func TestMembers(t *testing.T) {
	b := appendMembers(nil, t0, someMembers())
	golden(t, "members", b)
	if got := must(decodeMembers(t0, b))(t); !reflect.DeepEqual(got, someMembers()) {
		t.Fatalf("got %+v", got)
	}
	// An hour of a fleet: its groups are a few runs, and two bytes each.
	many := make([]member, 10_000)
	for i := range many {
		many[i].group = int64(i + 1)
	}
	if n := len(appendMembers(nil, t0, many)); n > 10_000*printSize+32 {
		t.Fatalf("%d bytes", n)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(appendMembers(nil, t0, someMembers()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := decodeMembers(t0, b)
		if err != nil {
			return
		}
		again, err := decodeMembers(t0, appendMembers(nil, t0, members))
		if err != nil || len(members) != len(again) || len(members) > 0 && !reflect.DeepEqual(members, again) {
			t.Fatalf("%+v became %+v, %v", members, again, err)
		}
	})
}

// Whatever closes and is restated in whatever order is legal; a bit of a closed
// slot that changes is not.
func TestLogProperty(t *testing.T) {
	l := openAt(t, t.TempDir())
	if _, err := l.rw.Exec(`PRAGMA synchronous=OFF`); err != nil { // nothing is killed here
		t.Fatal(err)
	}
	c := claim(t, l, 0)
	run := int64(0)
	rapid.Check(t, func(r *rapid.T) {
		run++ // each on hours of its own
		base := t0 + run*10*hourMillis
		groups := []Group{group(streamA, 1, ""), group(streamA, 2, "")}
		versions := map[string]uint32{}
		var trees []tlog.Tree
		for range rapid.IntRange(1, 8).Draw(r, "commits") {
			b := &Batch{LogTime: base + 9*hourMillis, Groups: groups}
			for range rapid.IntRange(1, 20).Draw(r, "slots") {
				g := rapid.SampledFrom(groups).Draw(r, "group")
				at := base + minute*int64(rapid.IntRange(0, 179).Draw(r, "minute"))
				key := fmt.Sprint(g.Key, at)
				versions[key]++
				s := rapid.SampledFrom([]Slot{goodSlot(at), badSlot(at), {Start: at, State: sla.Unknown, Reason: "silent", Blind: 7}}).Draw(r, "slot")
				s.Version = versions[key]
				b.Slots = append(b.Slots, SlotChange{g.Key, s})
			}
			commit(t, l, c, b)
			if rapid.Bool().Draw(r, "log") {
				must(l.Log(bg, base+int64(rapid.IntRange(1, 5).Draw(r, "until"))*hourMillis))(t)
				trees = append(trees, tree(t, l))
			}
		}
		must(l.Log(bg, base+9*hourMillis))(t)
		if err := l.Verify(bg); err != nil {
			r.Fatal(err)
		}
		if err := l.Compare(bg, trees); err != nil {
			r.Fatal(err)
		}
		flipBit(t, r, l, base)
	})
}

// flipBit changes a bit of a closed slot, which Verify must find, and puts it
// back.
func flipBit(t *testing.T, r *rapid.T, l *Ledger, base int64) {
	var hour, id int64
	var blob []byte
	if err := l.ro.QueryRow(`SELECT hour, group_id, slots FROM hours WHERE hour >= ? ORDER BY hour, group_id LIMIT 1`, base).Scan(&hour, &id, &blob); err != nil {
		t.Fatal(err)
	}
	was := must(decodeBlock(nil, hour, blob))(t)
	changed := append([]byte(nil), blob...)
	bit := rapid.IntRange(0, 8*len(blob)-1).Draw(r, "bit")
	changed[bit/8] ^= 1 << (bit % 8)
	if now, err := decodeBlock(nil, hour, changed); err == nil && reflect.DeepEqual(was, now) {
		return // other bytes for the same slots
	}
	write := func(b []byte) {
		if _, err := l.rw.Exec(`UPDATE hours SET slots = ? WHERE hour = ? AND group_id = ?`, b, hour, id); err != nil {
			t.Fatal(err)
		}
	}
	write(changed)
	if err := l.Verify(bg); err == nil || !strings.Contains(err.Error(), ErrRewritten.Error()) {
		r.Fatalf("bit %d of %d changed, and verify says %v", bit, 8*len(blob), err)
	}
	write(blob)
}

// Two evaluators commit, restate and log side by side; nothing is logged twice
// or left out.
func TestPostgresLogSideBySide(t *testing.T) {
	url := newPostgres(t)
	ledgers := []*Ledger{openPostgresAt(t, url), openPostgresAt(t, url)}
	var all sync.WaitGroup
	for p, l := range ledgers {
		c := claim(t, l, int32(p))
		all.Go(func() {
			g := group(streamA, p, "")
			g.Partition = int32(p)
			for i := range int64(60) {
				b := &Batch{Offset: c.Offset + 1, LogTime: t0 + i*10*minute, Groups: []Group{g}}
				for m := range int64(10) {
					b.Slots = append(b.Slots, SlotChange{g.Key, goodSlot(t0 + (i*10+m)*minute)})
				}
				if i > 20 { // an hour that may be logged this very moment
					again := badSlot(t0 + (i-20)*10*minute)
					again.Version = 2
					b.Slots = append(b.Slots, SlotChange{g.Key, again})
				}
				if err := l.Commit(bg, c, b); err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Log(bg, b.LogTime); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	l := ledgers[0]
	must(l.Log(bg, t0+24*hourMillis))(t)
	if err := l.Verify(bg); err != nil {
		t.Fatal(err)
	}
	var waiting int
	if err := l.ro.QueryRow(`SELECT COUNT(*) FROM log_pending`).Scan(&waiting); err != nil || waiting != 0 {
		t.Fatalf("%d versions wait, %v", waiting, err)
	}
}

// A contract's evidence is kept for as long as it says, 13 months where it does
// not, whatever the configuration has.
func TestEvidenceIsKeptAsContracted(t *testing.T) {
	l := openAt(t, t.TempDir())
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	now := time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)
	starts := func() (out []string) {
		for _, s := range must(l.GroupSlots(bg, operator(), g.Key, now.AddDate(-3, 0, 0).UnixMilli(), now.UnixMilli()))(t) {
			out = append(out, time.UnixMilli(s.Start).UTC().Format(time.DateOnly))
		}
		return out
	}
	b := &Batch{LogTime: now.UnixMilli(), Groups: []Group{g}}
	for _, months := range []int{25, 23, 14, 12, 1, 0} {
		b.Slots = append(b.Slots, SlotChange{g.Key, badSlot(time.Date(2027, time.Month(3-months), 20, 0, 0, 0, 0, time.UTC).UnixMilli())})
	}
	commit(t, l, c, b)
	f := func(contract string, want ...string) {
		t.Helper()
		if contract != "" {
			rs := &slo.RuleSet{Streams: map[string]*slo.Stream{}, Contracts: map[string]json.RawMessage{"gold": json.RawMessage(contract)}}
			commit(t, l, c, &Batch{LogTime: now.UnixMilli(), RuleSetID: rs.ID(), RuleSet: rs})
		}
		if err := l.Prune(bg, Retention{Slots: 20 * 24 * time.Hour}, now.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if got := starts(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	f(`{"contract":{"delays":{"evidence_months":24}}}`, "2025-04-20", "2026-01-20", "2026-03-20", "2027-02-20", "2027-03-20")
	f(`{"contract":{}}`, "2025-04-20", "2026-01-20", "2026-03-20", "2027-02-20", "2027-03-20") // the old promise holds
	if _, err := l.rw.Exec(`DELETE FROM rule_sets`); err != nil {
		t.Fatal(err)
	}
	f(`{"contract":{"fee":{}}}`, "2026-03-20", "2027-02-20", "2027-03-20")
	if _, err := l.rw.Exec(`DELETE FROM rule_sets`); err != nil {
		t.Fatal(err)
	}
	f("", "2027-03-20")
}
