package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"nines/internal/wire"
)

// Roles in which the test binary runs itself, and the directory they work in.
const (
	roleVariable = "NINES_LEDGER_TEST_ROLE"
	dirVariable  = "NINES_LEDGER_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "writer":
		writeForever(os.Getenv(dirVariable))
	case "stranger":
		openAsStranger(os.Getenv(dirVariable))
	default:
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			if err := stopPostgres(); err != nil {
				fmt.Println(err)
				code = max(code, 1)
			}
			os.Exit(code)
		}))
	}
}

func TestSQLite(t *testing.T) {
	RunSuite(t, func(t testing.TB, name string) *Ledger { return openAt(t, name) })
}

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	f := func(path, want string) {
		t.Helper()
		l, err := Open(bg, Options{Path: filepath.Join(dir, path), Metrics: metrics.NewSet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Fatal(err)
		}
	}
	f("new/data", "new/data/"+FileName)
	f("new/data", "new/data/"+FileName)
	f("new/slots.db", "new/slots.db")
	f("odd ?&#%20 näme/x.db", "odd ?&#%20 näme/x.db")
	if _, err := Open(bg, Options{}); err == nil {
		t.Fatal("opened nothing")
	}
}

// A ledger that cannot be used says which file it is about and what to do.
func TestOpenErrors(t *testing.T) {
	f := func(prepare func(dir string), is error, words ...string) {
		t.Helper()
		dir := t.TempDir()
		l := openAt(t, dir)
		c := claim(t, l, 0)
		for i := range 50 {
			g := group(streamA, i, "")
			commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, badSlot(t0)}}})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		prepare(dir)
		l, err := Open(bg, Options{Path: dir})
		if err == nil {
			err = errors.Join(l.Verify(bg), l.Close())
		}
		if err == nil {
			t.Fatal("no error")
		}
		if is != nil {
			wantErr(t, err, is)
		}
		for _, w := range append(words, file(dir)) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	change := func(how func([]byte) []byte) func(string) {
		return func(dir string) {
			b := must(os.ReadFile(file(dir)))(t)
			if err := os.WriteFile(file(dir), how(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	f(change(func(b []byte) []byte { return b[:len(b)/2] }), ErrDamaged, "truncated")
	f(change(func([]byte) []byte { return []byte(strings.Repeat("no ledger. ", 1000)) }), ErrDamaged, "move it away")
	f(change(func(b []byte) []byte {
		clear(b[4096 : len(b)-4096])
		return b
	}), ErrDamaged, "restore a copy")
	f(func(dir string) {
		l := openAt(t, dir)
		if _, err := l.rw.Exec(`UPDATE schema_version SET version = 99`); err != nil {
			t.Fatal(err)
		}
	}, ErrNewer, "schema 99", "upgrade nines")
	f(func(dir string) {
		l := openAt(t, dir)
		if _, err := l.rw.Exec(`UPDATE hours SET good = good + 1`); err != nil {
			t.Fatal(err)
		}
	}, ErrDamaged, "totals")
	f(func(dir string) {
		l := openAt(t, dir)
		if _, err := l.rw.Exec(`UPDATE hours SET slots = x'0102'`); err != nil {
			t.Fatal(err)
		}
	}, ErrDamaged, "malformed")
	f(func(dir string) {
		l := openAt(t, dir)
		if _, err := l.rw.Exec(`DELETE FROM groups WHERE id = 1`); err != nil {
			t.Fatal(err)
		}
	}, ErrDamaged, "belong to no group")

	dir := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bg, Options{Path: filepath.Join(dir, "data")}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a path below a file: %v", err)
	}
}

// A read-only directory or file is reported as such. Root may write anywhere,
// so the test gives its rights up in a process of its own.
func TestReadOnly(t *testing.T) {
	f := func(existing bool) {
		t.Helper()
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the stranger has to get there
			t.Fatal(err)
		}
		if existing {
			if err := openAt(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file(dir), 0o444); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // so that it can be removed
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=stranger", dirVariable+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if s := string(out); !strings.Contains(s, file(dir)) || !strings.Contains(s, "writable for this user") {
			t.Fatalf("got %q", s)
		}
	}
	f(false)
	f(true)
}

func openAsStranger(dir string) {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	_, err := Open(bg, Options{Path: dir})
	fmt.Println(err)
}

// A full disk fails a commit, says so, leaves nothing behind, and the same
// batch succeeds once there is room. SQLite's limit on pages takes the path of
// a full volume.
func TestFullDisk(t *testing.T) {
	l := openAt(t, t.TempDir())
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	commit(t, l, c, &Batch{Groups: []Group{g}})
	var pages int
	if err := l.rw.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		if _, err := l.rw.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages)
	big := &Batch{Offset: 2}
	for i := range 2000 {
		g := group(streamA, i, "")
		big.Groups = append(big.Groups, g)
		big.Slots = append(big.Slots, SlotChange{g.Key, badSlot(t0)})
	}
	err := l.Commit(bg, c, big)
	wantErr(t, err, ErrFull)
	if !strings.Contains(err.Error(), l.where) || c.Offset != 1 {
		t.Fatalf("%v; offset %d", err, c.Offset)
	}
	wantErr(t, l.Commit(bg, c, big), ErrFull)
	limit(1 << 30)
	commit(t, l, c, big)
	if gs := must(l.Groups(bg, operator(), GroupFilter{}))(t); len(gs) != 2000 {
		t.Fatalf("%d groups", len(gs))
	}
	if err := l.Verify(bg); err != nil {
		t.Fatal(err)
	}
}

// kill -9 of a writer leaves whole commits only, and all that it reported.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=writer", dirVariable+"="+dir)
		out := must(cmd.StdoutPipe())(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var reported int64
		for n := 0; lines.Scan(); n++ {
			reported = must(strconv.ParseInt(lines.Text(), 10, 64))(t)
			if n == 20+round*7 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed

		l := openAt(t, dir)
		c := claim(t, l, 0)
		if c.Offset < reported || reported == 0 {
			t.Fatalf("at offset %d after %d was reported", c.Offset, reported)
		}
		slots := must(l.GroupSlots(bg, operator(), group(streamA, 1, "").Key, t0, t0+1e9))(t)
		if int64(len(slots)) != c.Offset {
			t.Fatalf("%d slots at offset %d", len(slots), c.Offset)
		}
		if err := l.Verify(bg); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeForever writes one slot a record and reports each commit.
func writeForever(dir string) {
	l, err := Open(bg, Options{Path: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c, err := l.Claim(bg, 0, "writer")
	g := group(streamA, 1, "")
	for err == nil {
		err = l.Commit(bg, c, &Batch{
			Offset: c.Offset + 1, Groups: []Group{g}, Slots: []SlotChange{{g.Key, badSlot(t0 + c.Offset*minute)}},
		})
		fmt.Println(c.Offset)
	}
	fmt.Println(err)
	os.Exit(1)
}

// Readers see one commit's state while commits go on: a slot is open or final,
// never both, never missing, and totals fit the slots.
func TestReadersDuringCommits(t *testing.T) {
	l := openAt(t, t.TempDir())
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, openSlot(t0, 1, 1)}}})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := 0; ; {
				slots, err := l.GroupSlots(bg, operator(), g.Key, t0, t0+1e9)
				if err != nil || len(slots) < last || len(slots) == 0 {
					t.Errorf("%d slots after %d, %v", len(slots), last, err)
					return
				}
				last = len(slots)
				if err := sameTotals(l, g.Key); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range int64(150) {
		start := t0 + i*minute
		commit(t, l, c, &Batch{LogTime: start, Slots: []SlotChange{{g.Key, badSlot(start)}, {g.Key, openSlot(start+minute, 1, 1)}}})
	}
	close(done)
	readers.Wait()
}

func sameTotals(l *Ledger, key wire.GroupKey) error {
	loaded, err := l.Load(bg, 0, t0)
	if err != nil {
		return err
	}
	open := 0
	for _, s := range loaded[0].Slots {
		if s.State == 0 {
			open++
		}
	}
	if open != 1 {
		return fmt.Errorf("%d open slots of %s", open, key.Stream)
	}
	return nil
}

// Two ledgers on one file are two processes: commits take turns, and the epoch
// decides.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	a, b := openAt(t, dir), openAt(t, dir)
	first := claim(t, a, 0)
	g := group(streamA, 1, "")
	commit(t, a, first, &Batch{Groups: []Group{g}})
	cursor, _, err := b.Changes(bg, operator(), 0)
	if err != nil {
		t.Fatal(err)
	}
	second := claim(t, b, 0)
	wantErr(t, a.Commit(bg, first, &Batch{Offset: 2}), ErrFenced)
	commit(t, b, second, &Batch{Slots: []SlotChange{{g.Key, goodSlot(t0)}}})
	if _, set, err := a.Changes(bg, operator(), cursor); err != nil || !set.All {
		t.Fatalf("got %+v, %v", set, err)
	}
	var both sync.WaitGroup
	other := claim(t, a, 1)
	for _, w := range []struct {
		l *Ledger
		c *Claim
	}{{a, other}, {b, second}} {
		both.Go(func() {
			for range 50 {
				if err := w.l.Commit(bg, w.c, &Batch{Offset: w.c.Offset + 1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	both.Wait()
}

// Run prunes and packs by log time, and ends with its context.
func TestRun(t *testing.T) {
	l := openAt(t, t.TempDir())
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, goodSlot(t0)}, {g.Key, goodSlot(t0 + 395*dayMillis)}}})
	commit(t, l, c, &Batch{LogTime: t0 + 401*dayMillis})
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	deadline := time.Now().Add(30 * time.Second)
	for tidied := false; !tidied; {
		slots := must(l.GroupSlots(bg, operator(), g.Key, t0, t0+400*dayMillis))(t)
		var days int
		if err := l.ro.QueryRow(`SELECT COUNT(*) FROM days`).Scan(&days); err != nil {
			t.Fatal(err)
		}
		tidied = len(slots) == 1 && days == 1
		if time.Now().After(deadline) {
			t.Fatalf("%d slots, %d packed days", len(slots), days)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
