package notary

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	minute = int64(60_000)
	hour   = 60 * minute
	t0     = int64(1_767_225_600_000) // 2026-01-01T00:00:00Z
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// book is a ledger that an evaluator writes to.
type book struct {
	t     testing.TB
	l     *ledger.Ledger
	claim *ledger.Claim
	group ledger.Group
}

func newBook(t testing.TB) *book {
	t.Helper()
	l := must(ledger.Open(context.Background(), ledger.Options{Path: t.TempDir()}))(t)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ls := telemetry.NewLabels(map[string]string{"target": "web-1"})
	return &book{t: t, l: l, claim: must(l.Claim(context.Background(), 0, "test"))(t),
		group: ledger.Group{Key: wire.GroupKey{Stream: "00aa", Labels: ls.Hash()}, Labels: ls, FirstSlot: t0}}
}

// close commits the hours [from, to) and a log time half an hour after them.
func (b *book) close(from, to int64) {
	b.t.Helper()
	batch := &ledger.Batch{Offset: b.claim.Offset + 1, LogTime: t0 + to*hour + 30*minute, Groups: []ledger.Group{b.group}}
	for at := t0 + from*hour; at < t0+to*hour; at += minute {
		batch.Slots = append(batch.Slots, ledger.SlotChange{Group: b.group.Key, Slot: ledger.Slot{Start: at, State: sla.Good, Version: 1, Good: 60, Total: 60}})
	}
	if err := b.l.Commit(context.Background(), b.claim, batch); err != nil {
		b.t.Fatal(err)
	}
}

func key(t testing.TB, name string) *Key {
	t.Helper()
	k, made, err := OpenKey(filepath.Join(t.TempDir(), "keys", "checkpoint.key"), name)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	return k
}

func TestKey(t *testing.T) {
	k := key(t, "acme-eu")
	if st := must(os.Stat(k.File))(t); st.Mode().Perm() != 0o600 {
		t.Fatalf("the key has mode %o", st.Mode().Perm())
	}
	again, made, err := OpenKey(k.File, "other")
	if err != nil || made || again.Public != k.Public || again.Name() != "acme-eu" {
		t.Fatalf("got %+v, %v, %v", again, made, err)
	}
	next := must(Rotate(k.File))(t)
	if next.Public == k.Public || next.Name() != "acme-eu" {
		t.Fatalf("got %+v", next)
	}
	known := must(os.ReadFile(PublicFile(k.File)))(t)
	if string(known) != k.Public+"\n"+next.Public+"\n" {
		t.Fatalf("got %s", known)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := OpenKey(filepath.Join(t.TempDir(), "k"), name); err == nil {
			t.Errorf("a key of the name %q", name)
		}
	}
	for _, content := range []string{"", "nonsense", strings.Replace(string(must(os.ReadFile(k.File))(t)), next.Public, k.Public, 1)} {
		file := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenKey(file, "a"); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// What a checkpoint says is what was signed, by a key that the reader knows.
func TestVerifiersNameTheLine(t *testing.T) {
	k := key(t, "acme-eu")
	file := filepath.Join(t.TempDir(), "a+b.pub") // a + does not make a name a key
	if err := os.WriteFile(file, []byte(k.Public+"\n\njunk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Verifiers(file)
	if want := file + `:3: read public key "junk"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if err := os.WriteFile(file, []byte(k.Public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(Verifiers(file))(t)
}

func TestCheckpointFiles(t *testing.T) {
	k, stranger := key(t, "acme-eu"), key(t, "acme-eu")
	keys := must(Verifiers(k.Public))(t)
	dir := filepath.Join(t.TempDir(), "a[b]*", "checkpoints")
	if at, err := Newest(dir); err != nil || !at.IsZero() {
		t.Fatal(at, err)
	}
	var all []byte
	for i := range int64(3) {
		c := must(k.Sign(tlog.Tree{N: 3 - i, Hash: tlog.Hash{byte(i)}}, time.UnixMilli(t0-i*hour)))(t)
		for range 2 {
			if err := c.save(dir); err != nil {
				t.Fatal(err)
			}
		}
		all = append(append(all, c.Note...), "\n\n"...)
	}
	f := func(path string) {
		t.Helper()
		got := must(Read(path, keys))(t)
		if len(got) != 3 || got[0].N != 1 || got[2].N != 3 || !got[2].Time.Equal(time.UnixMilli(t0)) || got[2].Name != "acme-eu" {
			t.Fatalf("got %+v", got)
		}
	}
	f(dir)
	if at := must(Newest(dir))(t); at.UnixMilli() != t0 {
		t.Fatal(at)
	}
	file := filepath.Join(t.TempDir(), "mails")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	f(file)

	// Two of one log time, as after a restored copy, are both kept.
	if err := must(k.Sign(tlog.Tree{N: 9}, time.UnixMilli(t0)))(t).save(dir); err != nil {
		t.Fatal(err)
	}
	if got := must(Read(dir, keys))(t); len(got) != 4 {
		t.Fatalf("got %+v", got)
	}

	refuse := func(content []byte, words string) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(file, keys)
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), file) {
			t.Fatalf("got %v, want %q", err, words)
		}
	}
	other := must(stranger.Sign(tlog.Tree{N: 1}, time.UnixMilli(t0)))(t)
	refuse(other.Note, "none of the given public keys")
	refuse([]byte(strings.Replace(string(all), "\n2\n", "\n4\n", 1)), "signature does not hold")
	refuse(all[:len(all)-40], "checkpoint 3 of")
	refuse([]byte("\n\n"), "there is none")
	refuse([]byte("hello\n"), "signature does not hold")
}

// Once a day of log time, and never before an hour closed. Each is told once.
func TestRunSignsDaily(t *testing.T) {
	b := newBook(t)
	k := key(t, "acme-eu")
	dir := filepath.Join(t.TempDir(), "checkpoints")
	keys := must(Verifiers(k.Public))(t)
	var told []alert.Alert
	var refuse error
	n := must(New(Options{Ledger: b.l, Key: k, Dir: dir, Publish: func(_ context.Context, a alert.Alert) error {
		if refuse == nil {
			told = append(told, a)
		}
		return refuse
	}}))(t)
	look := func(files, alerts int) {
		t.Helper()
		if err := n.look(t.Context()); !errors.Is(err, refuse) {
			t.Fatal(err)
		}
		names := must(filepath.Glob(filepath.Join(dir, "*")))(t)
		if len(names) != files || len(told) != alerts {
			t.Fatalf("files %v, alerts %+v", names, told)
		}
	}
	look(0, 0)
	b.close(0, 2)
	look(1, 1)
	look(1, 2) // resolved
	look(1, 2)
	b.close(2, 20)
	look(1, 2) // the same day
	refuse = errors.New("no broker")
	b.close(20, 25)
	look(2, 2)
	look(2, 2)
	refuse = nil
	look(2, 3) // told late
	look(2, 4)
	if a := told[2]; a.Status != alert.Firing || a.Labels["severity"] != alert.Advisory || a.Labels["alertname"] != AlertName || a.Source != "" ||
		!strings.Contains(a.Annotations["description"], "\n— acme-eu ") {
		t.Fatalf("got %+v", a)
	}
	if told[3].Status != alert.Resolved || told[3].Key() != told[2].Key() || told[2].Key() == told[0].Key() {
		t.Fatalf("got %+v", told)
	}
	n.o.Metrics = nil
	n = must(New(n.o))(t) // a process that was killed before it could resolve
	look(2, 5)
	look(2, 5)
	if told[4].Status != alert.Resolved || told[4].Key() != told[2].Key() {
		t.Fatalf("got %+v", told[4])
	}
	var trees []tlog.Tree
	for _, c := range must(Read(dir, keys))(t) {
		trees = append(trees, c.Tree)
	}
	if err := b.l.Compare(t.Context(), trees); err != nil {
		t.Fatal(err)
	}
}

// Run leaves when told.
func TestRun(t *testing.T) {
	b := newBook(t)
	b.close(0, 1)
	n := must(New(Options{Ledger: b.l, Key: key(t, "x"), Dir: filepath.Join(t.TempDir(), "c")}))(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Ledger: b.l}); err == nil {
		t.Fatal("a notary without a key")
	}
}

func TestProof(t *testing.T) {
	b := newBook(t)
	b.close(0, 3)
	k := key(t, "acme-eu")
	n := must(New(Options{Ledger: b.l, Key: k, Dir: t.TempDir()}))(t)
	c := must(n.Sign(t.Context()))(t)
	leaves := must(b.l.Prove(t.Context(), access.Local(), b.group.Key, t0+hour, c.N))(t)
	doc := must(json.Marshal(Proof{Checkpoint: string(c.Note), Leaves: leaves}))(t)
	f := func(change func(string) string, words string) {
		t.Helper()
		p, err := ParseProof([]byte(change(string(doc))))
		if err == nil {
			_, err = p.Check(must(Verifiers(k.Public))(t))
		}
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Fatalf("got %v, want %q", err, words)
		}
	}
	replace := func(from, to string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, from) {
				t.Fatalf("%s has no %q", s, from)
			}
			return strings.Replace(s, from, to, 1)
		}
	}
	f(replace("a", "a"), "")
	f(replace(" good 60/60", " good 59/60"), "the slots are not in the hour")
	f(replace(`"number":1`, `"number":2`), "not in the checkpoint's log")
	f(replace(`groups 1`, `groups 2`), "not in the checkpoint's log")
	f(replace(`"groups":1`, `"groups":2`), "the proof says 2")
	f(replace(`"member":0`, `"member":1`), "the slots are not in the hour")
	f(replace(`nines ledger acme-eu\n3`, `nines ledger acme-eu\n4`), "signature does not hold")
	f(replace(`"leaf"`, `"sheet"`), "unknown field")
	f(func(s string) string { return s + s }, "something follows")
	f(func(string) string { return `{"checkpoint":"","leaves":[]}` }, "proves nothing")
}

func FuzzCheckpoints(f *testing.F) {
	k := key(f, "acme-eu")
	c := must(k.Sign(tlog.Tree{N: 7}, time.UnixMilli(t0)))(f)
	f.Add(c.Note)
	f.Add(append(append([]byte("\n\n"), c.Note...), c.Note...))
	f.Add([]byte("— \n\n— "))
	keys := must(Verifiers(k.Public))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, n := range split(b) {
			if c, err := Open(n, keys); err == nil && (c.N != 7 || c.Time.UnixMilli() != t0) {
				t.Fatalf("%q is believed to say %+v", n, c)
			}
		}
		if c, err := parse(string(b)); err == nil && c.text() != string(b) {
			t.Fatalf("%q is %+v", b, c)
		}
	})
}

func FuzzProof(f *testing.F) {
	f.Add([]byte(`{"checkpoint":"a","leaves":[{"leaf":"","member":0,"groups":1,"member_proof":[],"hour":"","number":0,"proof":[]}]}`))
	k := key(f, "x")
	keys := must(Verifiers(k.Public))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if _, err := p.Check(keys); err == nil {
			t.Fatalf("%q holds, and nothing was signed", b)
		}
		for i := range p.Leaves {
			_ = checkLeaf(&p.Leaves[i], tlog.Tree{N: 1})
		}
	})
}
