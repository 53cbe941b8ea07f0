package discovery

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world runs a discovery over a directory.
type world struct {
	t     *testing.T
	dir   string
	d     *Discovery
	lists chan string
	log   safeBuffer
	set   *metrics.Set
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newWorld(t *testing.T, dir string, opt Options) *world {
	t.Helper()
	w := &world{t: t, dir: dir, lists: make(chan string, 100), set: metrics.NewSet()}
	opt.Name, opt.Metrics = "web", w.set
	opt.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	opt.OnChange = func(ts []Target) {
		var names []string
		for _, x := range ts {
			names = append(names, x.Address)
		}
		w.lists <- strings.Join(names, " ")
	}
	d, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	w.d = d
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) want(list string) {
	w.t.Helper()
	select {
	case got := <-w.lists:
		if got != list {
			w.t.Fatalf("got targets %q, want %q", got, list)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatalf("no change; want targets %q; log: %s", list, w.log.String())
	}
}

func (w *world) wantFaults(want ...string) {
	w.t.Helper()
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		got = w.d.Faults()
		if slices.EqualFunc(got, want, strings.Contains) {
			return
		}
	}
	w.t.Fatalf("got faults %q, want %q", got, want)
}

func (w *world) metric(line string) {
	w.t.Helper()
	var b bytes.Buffer
	w.set.WritePrometheus(&b)
	if !strings.Contains(b.String(), line) {
		w.t.Errorf("no %q in\n%s", line, b.String())
	}
}

// put replaces a file as careful writers do.
func (w *world) put(name, content string) {
	w.t.Helper()
	tmp := filepath.Join(w.dir, "."+name+".tmp")
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnOperatorEditsTargets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yml"), []byte("- targets: [one, two]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir, Options{Files: []string{filepath.Join(dir, "*.yml"), filepath.Join(dir, "*.json")}, Poll: time.Hour})
	w.want("one two")
	w.put("b.json", `[{"targets":["three","one"]}]`)
	w.want("one two three")
	w.put("a.yml", "- targets: [two]\n")
	w.want("two three one")
	w.metric(`nines_discovery_targets{name="web"} 3`)

	// A typo keeps what was good, and says where it is, once.
	w.put("a.yml", "- targets: [two, four]\n  lables: {a: b}\n")
	w.wantFaults("a.yml:2:3: [0].lables: unknown field")
	w.put("b.json", `[{"targets":["five"]}]`)
	w.want("two five")
	w.metric(fmt.Sprintf(`nines_discovery_broken{name="web",source=%q} 1`, filepath.Join(dir, "a.yml")))
	if n := strings.Count(w.log.String(), "lables"); n != 1 {
		t.Errorf("the fault was logged %d times", n)
	}
	w.put("a.yml", "- targets: [two, four]\n")
	w.want("two four five")
	w.wantFaults()

	if err := os.Remove(filepath.Join(dir, "b.json")); err != nil {
		t.Fatal(err)
	}
	w.want("two four")
}

func TestAWriteUnderWayTakesNoTargetsAway(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.yml")
	if err := os.WriteFile(name, []byte("- targets: [one]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir, Options{Files: []string{name}, Poll: time.Hour})
	w.want("one")
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	w.wantFaults("the file is empty")
	if err := os.WriteFile(name, []byte("- targets: [one, two]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.want("one two")
}

// Kubernetes swaps a link beside the files, which themselves see no event.
func TestAMountedConfigMapIsSwapped(t *testing.T) {
	dir := t.TempDir()
	version := func(name, targets string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "a.yml"), []byte(targets), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", "- targets: [one]\n")
	if err := os.Symlink("..data/a.yml", filepath.Join(dir, "a.yml")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir, Options{Files: []string{filepath.Join(dir, "a.yml")}, Poll: time.Hour})
	w.want("one")
	version("..v2", "- targets: [two]\n")
	w.want("two")
}

func TestADirectoryAppearsLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "targets")
	w := newWorld(t, dir, Options{Files: []string{filepath.Join(dir, "a.yml")}, Poll: 20 * time.Millisecond})
	w.want("")
	w.wantFaults("no such file or directory")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.put("a.yml", "- targets: [one]\n")
	w.want("one")
	w.wantFaults()
	// It is replaced as a whole: watches are renewed by the poll.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.want("")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.put("a.yml", "- targets: [two]\n")
	w.want("two")
}

func TestTargetsFromHTTP(t *testing.T) {
	var body atomic.Pointer[string]
	set := func(s string) { body.Store(&s) }
	set(`[{"targets":["one"],"labels":{"zone":"a"}}]`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b := *body.Load(); b != "" {
			fmt.Fprint(w, b)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w := newWorld(t, t.TempDir(), Options{URLs: []string{srv.URL}, HTTPInterval: 20 * time.Millisecond, Client: client})
	for first := true; first; first = false { // the files' (empty) reading may come first
		if got := <-w.lists; got == "" {
			w.want("one")
		}
	}
	set("")
	w.wantFaults("want status 200, got 500")
	set(`[{"targets":["one"]},{"targets":["two"],"labels":{"a b":"c"}}]`)
	w.wantFaults(`:1:22: labels: not a label name`)
	set(`[{"targets":["two"]}]`)
	w.want("two")
	w.wantFaults()
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(Options{Files: []string{"targets"}}, "must end in")
	f(Options{URLs: []string{"host/targets"}}, "must be a URL")
}
