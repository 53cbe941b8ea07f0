package ledger

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"nines/internal/alert"
	"nines/internal/slo"
	"nines/internal/wire"
)

// furnish puts something into every table.
func furnish(t testing.TB, l *Ledger) {
	t.Helper()
	c := claim(t, l, 0)
	g, h := group(streamA, 1, "bank"), group("bb", 2, "")
	rs := &slo.RuleSet{Streams: map[string]*slo.Stream{}, Contracts: map[string]json.RawMessage{"gold": json.RawMessage(`{}`)}}
	b := &Batch{
		LogTime: t0 + 9*dayMillis, Groups: []Group{g, h}, RuleSetID: rs.ID(), RuleSet: rs,
		Sources:  []Position{{Source: 1, Incarnation: 7, To: 42, LogTime: t0 + 5}},
		Sketches: []Sketch{{g.Key, t0, histOf(0.1, 0.2)}},
		Statuses: []Status{{Objective: "api", Group: g.Key, LogTime: t0 + 9*dayMillis, State: "up"}},
		Alerts:   []alert.Alert{{Status: alert.Firing, Labels: map[string]string{"alertname": "Down"}, StartsAt: t0}},
		Gaps:     []wire.Gap{{Agent: "a", Boot: 1 << 63, FirstSeq: 1, LastSeq: 4, From: t0, To: t0 + 1}},
		Unplaced: []wire.Unplaced{{Group: g.Key, From: t0, To: t0, Total: 1 << 63}},
		Agents:   []wire.AgentSeen{{Agent: "a", Boot: 1 << 63, Frames: 3}},
	}
	for m := range int64(3 * 24 * 60) {
		s := goodSlot(t0 + m*minute)
		if m%97 == 0 {
			s = badSlot(s.Start)
		}
		b.Slots = append(b.Slots, SlotChange{g.Key, s}, SlotChange{h.Key, goodSlot(s.Start)})
	}
	b.Slots = append(b.Slots, SlotChange{g.Key, openSlot(t0+9*dayMillis, 3, 5)})
	commit(t, l, c, b)
	again := goodSlot(t0)
	again.Version = 2
	commit(t, l, c, &Batch{LogTime: t0 + 9*dayMillis + 1, Sources: b.Sources, Slots: []SlotChange{{g.Key, again}}})
	for _, err := range []error{l.pack(bg, t0+9*dayMillis), l.StatePut(bg, "silence", "a", []byte{1}), l.StatePut(bg, "silence", "b", nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// contents is all that a ledger says of what furnish put there.
type contents struct {
	Loaded   []Loaded
	Alerts   []alert.Alert
	Slots    map[wire.GroupKey][]Slot
	Versions []Versioned
	Restated []int64
	Sketches []Sketch
	Statuses []Status
	Agents   []Agent
	Gaps     []GapRow
	Unplaced []UnplacedRow
	State    []StateEntry
	Rules    string
	Claim    Claim
}

func read(t testing.TB, l *Ledger) contents {
	t.Helper()
	g := group(streamA, 1, "").Key
	end := t0 + 10*dayMillis
	c := contents{
		Loaded: must(l.Load(bg, 0, t0+dayMillis+5*hourMillis))(t), Alerts: must(l.Alerts(bg, operator(), 0))(t), Slots: map[wire.GroupKey][]Slot{},
		Versions: must(l.Versions(bg, operator(), g, t0))(t), Restated: must(l.Restated(bg, operator(), g, t0, end))(t),
		Sketches: must(l.Sketches(bg, operator(), g, t0, end))(t),
		Statuses: must(l.Statuses(bg, operator()))(t), Agents: must(l.Agents(bg, operator()))(t), Gaps: must(l.Gaps(bg, operator(), 0, end))(t),
		Unplaced: must(l.Unplaced(bg, operator(), 0, end))(t), State: must(l.StateList(bg, "silence"))(t),
	}
	for _, g := range must(l.Groups(bg, operator(), GroupFilter{}))(t) {
		c.Slots[g.Key] = must(l.GroupSlots(bg, operator(), g.Key, t0, end))(t)
	}
	rs, _, err := l.CurrentRuleSet(bg)
	if err != nil {
		t.Fatal(err)
	}
	c.Rules = rs.ID()
	c.Claim = *claim(t, l, 0)
	c.Claim.Epoch = 0 // rises with each
	return c
}

// A backup of each dialect, restored into each, says what the original says,
// takes commits, and is whole.
func TestBackupRestore(t *testing.T) {
	lite := func(t testing.TB) *Ledger { return openAt(t, t.TempDir()) }
	post := func(t testing.TB) *Ledger { return openPostgresAt(t, newPostgres(t)) }
	f := func(name string, from, to func(testing.TB) *Ledger) {
		t.Run(name, func(t *testing.T) {
			l := from(t)
			furnish(t, l)
			file := filepath.Join(t.TempDir(), "backup.db")
			var heard int64
			if err := l.Backup(bg, file, func(done, total int64) { heard = done }); err != nil {
				t.Fatal(err)
			}
			if heard == 0 {
				t.Error("no progress was told")
			}
			if err := l.Backup(bg, file, nil); err == nil {
				t.Fatal("a backup was overwritten")
			}
			before := must(os.ReadFile(file))(t)
			restored := to(t)
			if err := restored.Restore(bg, file, nil); err != nil {
				t.Fatal(err)
			}
			if names := must(os.ReadDir(filepath.Dir(file)))(t); len(names) != 1 || !reflect.DeepEqual(before, must(os.ReadFile(file))(t)) {
				t.Fatalf("restoring left %v, or changed the backup", names)
			}
			if err := restored.Verify(bg); err != nil {
				t.Fatal(err)
			}
			want, got := read(t, l), read(t, restored)
			for i := range reflect.TypeFor[contents]().NumField() {
				if g, w := reflect.ValueOf(got).Field(i).Interface(), reflect.ValueOf(want).Field(i).Interface(); !reflect.DeepEqual(g, w) {
					t.Fatalf("%s: got %+v\nwant %+v", reflect.TypeFor[contents]().Field(i).Name, g, w)
				}
			}
			wantErr(t, restored.Restore(bg, file, nil), ErrNotEmpty)
			c := claim(t, restored, 0)
			commit(t, restored, c, &Batch{
				Gaps:     []wire.Gap{{Agent: "b", FirstSeq: 1, LastSeq: 1}},
				Unplaced: []wire.Unplaced{{Group: group(streamA, 1, "").Key}},
				Slots:    []SlotChange{{group("bb", 2, "").Key, goodSlot(t0 + 8*dayMillis)}},
			})
		})
	}
	f("sqlite to sqlite", lite, lite)
	f("sqlite to postgresql", lite, post)
	f("postgresql to sqlite", post, lite)
	f("postgresql to postgresql", post, post)
}

// Every column of every table is in the list that is copied.
func TestTablesAreAllCopied(t *testing.T) {
	l := openAt(t, t.TempDir())
	have := map[string]string{}
	for _, tb := range tables() {
		have[tb.name] = tb.columns
	}
	rows := must(l.ro.Query(`SELECT m.name, group_concat(c.name, ', ') FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'schema_version' GROUP BY m.name`))(t)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var name, columns string
		if err := rows.Scan(&name, &columns); err != nil {
			t.Fatal(err)
		}
		if n++; have[name] != columns {
			t.Errorf("table %s has columns %q, copied are %q", name, columns, have[name])
		}
	}
	if n != len(have) {
		t.Errorf("%d tables, %d are copied", n, len(have))
	}
}

// A backup made while commits go on is one commit's state.
func TestBackupDuringCommits(t *testing.T) {
	f := func(l *Ledger) {
		c := claim(t, l, 0)
		g := group(streamA, 1, "")
		commit(t, l, c, &Batch{Groups: []Group{g}})
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := c.Offset
				b := &Batch{Offset: n + 1, Slots: []SlotChange{{g.Key, goodSlot(t0 + (n-1)*minute)}, {g.Key, openSlot(t0+n*minute, 1, 1)}}}
				if err := l.Commit(bg, c, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
		dir := t.TempDir()
		for _, name := range []string{"one.db", "two.db"} {
			file := filepath.Join(dir, name)
			if err := l.Backup(bg, file, nil); err != nil {
				t.Fatal(err)
			}
			copied := openAt(t, file)
			if err := copied.Verify(bg); err != nil {
				t.Fatal(err)
			}
			slots := must(copied.GroupSlots(bg, operator(), g.Key, t0, t0+1e9))(t)
			if at := claim(t, copied, 0).Offset; at > 1 && int64(len(slots)) != at {
				t.Fatalf("%d slots at offset %d", len(slots), at)
			}
		}
		close(stop)
		writer.Wait()
	}
	f(openAt(t, t.TempDir()))
	f(openPostgresAt(t, newPostgres(t)))
}

// A backup of an older schema is read from a copy that is brought up to date.
func TestMigratedCopy(t *testing.T) {
	l := openAt(t, t.TempDir())
	furnish(t, l)
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := l.Backup(bg, file, nil); err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(file))(t)
	copied := must(migratedCopy(bg, file))(t)
	if got, want := read(t, copied), read(t, l); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	dir := copied.temporary
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the copy is still there: %v", err)
	}
	if !reflect.DeepEqual(before, must(os.ReadFile(file))(t)) {
		t.Fatal("the backup changed")
	}
}

// A backup is opened to be read, and cannot be written to.
func TestOpenBackup(t *testing.T) {
	l := openAt(t, t.TempDir())
	furnish(t, l)
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := l.Backup(bg, file, nil); err != nil {
		t.Fatal(err)
	}
	b := must(OpenBackup(bg, file))(t)
	defer b.Close()
	if err := b.Verify(bg); err != nil {
		t.Fatal(err)
	}
	if n := len(must(b.Groups(bg, operator(), GroupFilter{}))(t)); n != 2 {
		t.Fatalf("%d groups", n)
	}
	if _, err := b.Claim(bg, 0, "test"); err == nil {
		t.Fatal("a backup was claimed")
	}
}

func TestRestoreErrors(t *testing.T) {
	dir := t.TempDir()
	l := openAt(t, filepath.Join(dir, "target"))
	f := func(file string, is error, words ...string) {
		t.Helper()
		err := l.Restore(bg, file, nil)
		if err == nil {
			t.Fatal("no error")
		}
		if is != nil {
			wantErr(t, err, is)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	f(filepath.Join(dir, "absent.db"), os.ErrNotExist, "absent.db")
	f(dir, nil, "directory")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no ledger. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f(text, ErrDamaged)
	newer := openAt(t, filepath.Join(dir, "newer.db"))
	if _, err := newer.rw.Exec(`UPDATE schema_version SET version = 99`); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	f(newer.where, ErrNewer, "upgrade")
	if err := errors.Join(l.Verify(bg), l.mustBeEmptyNow()); err != nil {
		t.Fatal(err)
	}
}

func (l *Ledger) mustBeEmptyNow() error {
	return l.inTx(bg, "check", func(w *writer) error { return w.mustBeEmpty() })
}
