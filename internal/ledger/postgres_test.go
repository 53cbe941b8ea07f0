package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"nines/internal/wire"
	"nines/test/postgres"
)

// server is the one PostgreSQL of this test binary, started by the first test
// that wants it.
var (
	serverOnce sync.Once
	server     *postgres.Server
	serverErr  error
)

func postgresServer(t testing.TB) *postgres.Server {
	t.Helper()
	serverOnce.Do(func() { server, serverErr = postgres.Start() })
	postgres.Must(t, serverErr)
	return server
}

func stopPostgres() error {
	if server == nil {
		return nil
	}
	return server.Stop()
}

// newPostgres returns the address of a new, empty ledger.
func newPostgres(t testing.TB) string {
	t.Helper()
	return must(postgresServer(t).Schema())(t)
}

func openPostgresAt(t testing.TB, url string) *Ledger {
	t.Helper()
	l, err := Open(bg, Options{Postgres: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestPostgres(t *testing.T) {
	postgresServer(t)
	var urls sync.Map // by the name of the ledger
	RunSuite(t, func(t testing.TB, name string) *Ledger {
		url, ok := urls.Load(name)
		if !ok {
			url = newPostgres(t)
			urls.Store(name, url)
		}
		return openPostgresAt(t, url.(string))
	})
}

func TestNumbered(t *testing.T) {
	f := func(q, want string) {
		t.Helper()
		if got := numbered(q); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	f("SELECT 1", "SELECT 1")
	f("? + ?", "$1 + $2")
	f(strings.Repeat("?,", 11), "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,")
}

// Two evaluators commit side by side to partitions of their own, and to what
// they share: the numbers of commits, rule sets, groups that move.
func TestPostgresSideBySide(t *testing.T) {
	url := newPostgres(t)
	const commits = 40
	ledgers := []*Ledger{openPostgresAt(t, url), openPostgresAt(t, url)}
	var all sync.WaitGroup
	for p, l := range ledgers {
		c := claim(t, l, int32(p))
		all.Go(func() {
			for i := range int64(commits) {
				g := group(streamA, p*1000+int(i), "")
				g.Partition = int32(p)
				moving := group(streamA, 5000, "") // both claim it as theirs
				moving.Partition = int32(p)
				b := &Batch{
					Offset: c.Offset + 1, LogTime: t0 + i*minute, Groups: []Group{g, moving},
					Slots:  []SlotChange{{g.Key, goodSlot(t0)}, {moving.Key, goodSlot(t0 + (2*i+int64(p))*minute)}},
					Agents: []wire.AgentSeen{{Agent: "a", Frames: 1}, {Agent: "b", Frames: 1}},
				}
				if p == 1 {
					b.Agents[0], b.Agents[1] = b.Agents[1], b.Agents[0] // the way to a deadlock
				}
				if err := l.Commit(bg, c, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	l := ledgers[0]
	if n := len(must(l.Groups(bg, operator(), GroupFilter{}))(t)); n != 2*commits+1 {
		t.Fatalf("%d groups", n)
	}
	if n := len(must(l.GroupSlots(bg, operator(), group(streamA, 5000, "").Key, t0, t0+1000*minute))(t)); n != 2*commits {
		t.Fatalf("%d slots of the group that both wrote to: one lost the other's", n)
	}
	for _, a := range must(l.Agents(bg, operator()))(t) {
		if a.Frames != 2*commits {
			t.Fatalf("%d frames of agent %s", a.Frames, a.Agent)
		}
	}
	if err := l.Verify(bg); err != nil {
		t.Fatal(err)
	}
}

// What Changes tells two readers of one process adds up to all commits, though
// two partitions commit beside each other.
func TestPostgresChangesInOrder(t *testing.T) {
	l := openPostgresAt(t, newPostgres(t))
	const commits = 60
	var writers sync.WaitGroup
	for p := range int32(2) {
		c := claim(t, l, p)
		g := group(streamA, int(p), "")
		g.Partition = p
		commit(t, l, c, &Batch{Groups: []Group{g}})
		writers.Go(func() {
			for i := range int64(commits) {
				if err := l.Commit(bg, c, &Batch{Offset: c.Offset + 1, Slots: []SlotChange{{g.Key, goodSlot(t0 + i*minute)}}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	signal, stop := l.Watch()
	defer stop()
	cursor, _, err := l.Changes(bg, operator(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for running := true; running; {
		select {
		case <-signal:
		case <-done:
			running = false
		}
		next, set, err := l.Changes(bg, operator(), cursor)
		if err != nil || next < cursor {
			t.Fatalf("from %d to %d: %v", cursor, next, err)
		}
		if next > cursor && set.Empty() {
			t.Fatalf("nothing changed from %d to %d", cursor, next)
		}
		cursor = next
	}
	if cursor < 2*commits {
		t.Fatalf("at number %d after %d commits", cursor, 2*commits)
	}
}

// A pruning, a packing and late slots of packed days get along.
func TestPostgresPackBesideCommits(t *testing.T) {
	url := newPostgres(t)
	a, b := openPostgresAt(t, url), openPostgresAt(t, url)
	c := claim(t, a, 0)
	g := group(streamA, 1, "")
	fill := &Batch{Groups: []Group{g}}
	for h := range int64(20 * 24) {
		fill.Slots = append(fill.Slots, SlotChange{g.Key, goodSlot(t0 + h*hourMillis)})
	}
	commit(t, a, c, fill)
	var packer sync.WaitGroup
	packer.Go(func() {
		for d := range int64(20) {
			if err := b.pack(bg, t0+(d+3)*dayMillis); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range int64(60) {
		commit(t, a, c, &Batch{LogTime: t0, Slots: []SlotChange{{g.Key, badSlot(t0 + (i%20)*dayMillis + (i/20+1)*minute)}}})
	}
	packer.Wait()
	if err := a.Verify(bg); err != nil {
		t.Fatal(err)
	}
}

// A newer claim waits for the commit that is under way, and fences the next.
func TestPostgresFenceDuringCommits(t *testing.T) {
	url := newPostgres(t)
	a, b := openPostgresAt(t, url), openPostgresAt(t, url)
	g := group(streamA, 1, "")
	old := claim(t, a, 0)
	commit(t, a, old, &Batch{Groups: []Group{g}})
	began := make(chan struct{})
	var writer sync.WaitGroup
	var reported int64
	writer.Go(func() {
		for i := int64(0); ; i++ {
			err := a.Commit(bg, old, &Batch{Offset: old.Offset + 1, Slots: []SlotChange{{g.Key, goodSlot(t0 + i*minute)}}})
			if i == 5 {
				close(began)
			}
			if err != nil {
				if !errors.Is(err, ErrFenced) {
					t.Error(err)
				}
				return
			}
			reported = old.Offset
		}
	})
	<-began
	next := claim(t, b, 0)
	writer.Wait()
	if next.Offset != reported {
		t.Fatalf("the new claim is at %d, the old one reported %d", next.Offset, reported)
	}
	commit(t, b, next, &Batch{Slots: []SlotChange{{g.Key, badSlot(t0 + 1000*minute)}}})
}

// The server dies in the middle of things and comes back: the error says so,
// and the same batch goes in afterwards.
func TestPostgresComesAndGoes(t *testing.T) {
	s := postgresServer(t)
	l := openPostgresAt(t, newPostgres(t))
	c := claim(t, l, 0)
	g := group(streamA, 1, "")
	commit(t, l, c, &Batch{Groups: []Group{g}, Slots: []SlotChange{{g.Key, goodSlot(t0)}}})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	b := &Batch{Offset: 2, Slots: []SlotChange{{g.Key, goodSlot(t0 + minute)}}}
	for range 3 {
		err := l.Commit(bg, c, b)
		wantErr(t, err, ErrUnreachable)
		if !strings.Contains(err.Error(), l.where) || c.Offset != 1 {
			t.Fatalf("%v; offset %d", err, c.Offset)
		}
		_, err = l.Groups(bg, operator(), GroupFilter{})
		wantErr(t, err, ErrUnreachable)
	}
	_, err := Open(bg, Options{Postgres: s.URL("")})
	wantErr(t, err, ErrUnreachable)
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	commit(t, l, c, b)
	if n := len(must(l.GroupSlots(bg, operator(), g.Key, t0, t0+1e9))(t)); n != 2 {
		t.Fatalf("%d slots", n)
	}
}

// A commit whose answer is lost took place: the next attempt says so.
func TestPostgresLostAnswer(t *testing.T) {
	l := openPostgresAt(t, newPostgres(t))
	c := claim(t, l, 0)
	before := *c
	commit(t, l, c, &Batch{Offset: 1})
	wantErr(t, l.Commit(bg, &before, &Batch{Offset: 1}), ErrConflict)
}

func TestPostgresErrors(t *testing.T) {
	s := postgresServer(t)
	f := func(o Options, is error, words ...string) {
		t.Helper()
		l, err := Open(bg, o)
		if err == nil {
			_ = l.Close() // it should not have been opened
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
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%q tells the password", err)
		}
	}
	f(Options{Postgres: "postgres://nines:hush@127.0.0.1:1/nines"}, ErrUnreachable, "check that PostgreSQL runs", "nines@127.0.0.1:1/nines")
	f(Options{Postgres: "postgres://nines@127.0.0.1:port/nines", Password: "hush"}, nil, "write it as postgres://")
	f(Options{Postgres: s.URL("nowhere")}, nil, "create it")
	f(Options{Postgres: strings.Replace(s.URL(""), "/postgres?", "/absent?", 1), Password: "hush"}, nil, "createdb")
	f(Options{Postgres: strings.Replace(s.URL(""), "nines@", "nobody@", 1)}, nil, "refuses the user")

	url := newPostgres(t)
	l := openPostgresAt(t, url)
	if _, err := l.rw.Exec(`UPDATE schema_version SET version = 99`); err != nil {
		t.Fatal(err)
	}
	f(Options{Postgres: url}, ErrNewer, "schema 99", "upgrade nines")
}

// Names that no text in PostgreSQL can hold do not stop a commit.
func TestPostgresOddNames(t *testing.T) {
	l := openPostgresAt(t, newPostgres(t))
	c := claim(t, l, 0)
	commit(t, l, c, &Batch{
		Agents: []wire.AgentSeen{{Agent: "a\x00b"}, {Agent: "\xff\xfe"}, {Agent: "näme"}},
		Gaps:   []wire.Gap{{Agent: "a\x00b", FirstSeq: 1, LastSeq: 2, Reason: "\xff"}},
	})
	var names []string
	for _, a := range must(l.Agents(bg, operator()))(t) {
		names = append(names, a.Agent)
	}
	if got := strings.Join(names, "|"); got != "a\uFFFDb|näme|\uFFFD" {
		t.Fatalf("got %q", got)
	}
}

// Several processes start on an empty database at once.
func TestPostgresFirstStart(t *testing.T) {
	url := newPostgres(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			l, err := Open(context.Background(), Options{Postgres: url})
			if err == nil {
				_, err = l.Claim(bg, int32(i), fmt.Sprint(i))
				err = errors.Join(err, l.Close())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
