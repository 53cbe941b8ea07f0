package broker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"nines/internal/bus"
)

// helperEnv makes this test binary run a broker on the named directory, for the
// tests that kill it.
const helperEnv = "NINES_TEST_BROKER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		runHelper(dir)
	}
	goleak.VerifyTestMain(m)
}

func runHelper(dir string) {
	b, err := New(Options{Config: Config{DataDir: dir}})
	if err == nil {
		go func() {
			<-b.Ready()
			fmt.Println(b.Addr())
		}()
		err = b.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// start runs a broker until stop is called or the test ends.
func start(t *testing.T, o Options) (b *Broker, stop func()) {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(stop)
	return b, stop
}

// runFails expects Run to refuse.
func runFails(t *testing.T, c Config, want ...string) {
	t.Helper()
	b, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Run(context.Background())
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q", err, w)
		}
	}
	select {
	case <-b.Ready():
		t.Error("ready in spite of the error")
	default:
	}
}

func client(t *testing.T, addr string) *bus.Client {
	t.Helper()
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestRestartKeepsAddressAndData(t *testing.T) {
	dir := t.TempDir()
	ctx := testContext(t)
	b, stop := start(t, Options{Config: Config{DataDir: dir}})
	addr := b.Addr()
	if err := b.Health(); err != nil {
		t.Error(err)
	}
	c := client(t, addr)
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "t", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Producer("t", 1).Produce(ctx, []bus.Record{{Value: []byte("kept")}}); err != nil {
		t.Fatal(err)
	}
	stop()
	b, stop = start(t, Options{Config: Config{DataDir: dir}})
	if b.Addr() != addr {
		t.Errorf("address %s, before %s", b.Addr(), addr)
	}
	if recs, err := client(t, addr).Reader("t", 1, 0).Fetch(ctx, time.Second); err != nil || len(recs) != 1 || string(recs[0].Value) != "kept" {
		t.Errorf("got %v, %v", recs, err)
	}
	// Somebody else took the port meanwhile.
	stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, _ = start(t, Options{Config: Config{DataDir: dir}})
	if b.Addr() == addr {
		t.Error("the port is taken")
	}
	// A port that the operator chose is not exchanged for another.
	runFails(t, Config{DataDir: t.TempDir(), Listen: addr}, addr, "address already in use", "choose another")
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	start(t, Options{Config: Config{DataDir: dir}})
	runFails(t, Config{DataDir: dir}, dir, "is in use by process "+strconv.Itoa(os.Getpid()))

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	runFails(t, Config{DataDir: filepath.Join(file, "data")}, "create broker data directory "+file, "not a directory")

	full := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(full, "lock")); err != nil {
		t.Fatal(err)
	}
	runFails(t, Config{DataDir: full}, "write to broker data directory "+full, "no space left on device")

	broken := t.TempDir()
	if err := os.Mkdir(filepath.Join(broken, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "log", "meta.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	runFails(t, Config{DataDir: broken}, "open broker data directory "+broken, "meta.json")

	if os.Getuid() != 0 { // root writes anywhere
		ro := t.TempDir()
		if err := os.Chmod(ro, 0o555); err != nil {
			t.Fatal(err)
		}
		runFails(t, Config{DataDir: ro}, "write to broker data directory "+ro, "permission denied")
	}
}

func TestConfigMistakes(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Config{}, "data_dir: missing")
	f(Config{DataDir: "d", Listen: "9092"}, `listen: want host:port, got "9092"`)
	f(Config{DataDir: "d", Listen: "h:x"}, "want host:port")
	f(Config{DataDir: "d", Listen: ":9092"}, "name one address")
	f(Config{DataDir: "d", Listen: "0.0.0.0:9092"}, "name one address")
	f(Config{DataDir: "d", Retention: -1}, "retention")
	f(Config{DataDir: "d", RetentionBytes: -1}, "retention_bytes")
}

// A full disk is told once a minute, and shows in the health.
func TestFailedWritesAreTold(t *testing.T) {
	var out bytes.Buffer
	l := &kfakeLog{log: slog.New(slog.NewTextHandler(&out, nil)), dir: "/data"}
	l.Logf(kfake.LogLevelInfo, "request %d", 1)
	l.Logf(kfake.LogLevelWarn, "compact %s", "t")
	if out.Len() != 0 || l.recent(time.Now()) != nil {
		t.Errorf("noise: %s", out.String())
	}
	for range 3 {
		l.Logf(kfake.LogLevelWarn, "persist batch %s-%d: %v", "t", 0, "no space left on device")
	}
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "dir=/data") {
		t.Errorf("log: %s", out.String())
	}
	now := time.Now()
	if err := l.recent(now); err == nil || !strings.Contains(err.Error(), "/data: persist batch t-0: no space left on device") {
		t.Errorf("health: %v", err)
	}
	if err := l.recent(now.Add(time.Minute)); err != nil {
		t.Errorf("health a minute later: %v", err)
	}
	l.fail(now.Add(2*time.Minute), "again")
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("log: %s", out.String())
	}
}

// victim is a broker in a process of its own.
type victim struct {
	cmd  *exec.Cmd
	addr string
}

func startVictim(t *testing.T, dir string) *victim {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: cmd}
	t.Cleanup(v.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start broker process: %v", err)
	}
	v.addr = strings.TrimSpace(line)
	return v
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
}

// kill -9 in the middle of writing: everything acknowledged is there afterwards,
// records, committed positions and tables alike.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	ctx := testContext(t)
	v := startVictim(t, dir)
	c := client(t, v.addr)
	for _, topic := range []bus.Topic{{Name: "log"}, {Name: "table", Compact: true}} {
		if _, err := c.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var acked []int64 // value i is acknowledged at offset acked[i]
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	wctx, stopWriting := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		p, tab := c.Producer("log", 0), bus.NewTable(c, "table", 0)
		for i := 0; ; i++ {
			v := strconv.AppendInt(nil, int64(i), 10)
			base, err := p.ProduceRetry(wctx, func() []bus.Record { return []bus.Record{{Value: v}} })
			if err == nil {
				err = tab.Put(wctx, "last", v)
			}
			if err != nil {
				return
			}
			mu.Lock()
			acked = append(acked, base)
			mu.Unlock()
		}
	})
	for range 3 {
		for n := count() + 30; count() < n && ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
		v.kill()
		v = startVictim(t, dir)
		if v.addr != c.Brokers()[0] {
			t.Fatalf("address %s after the kill, before %s", v.addr, c.Brokers()[0])
		}
	}
	stopWriting()
	wg.Wait()
	values := map[int64]string{}
	_, next, err := c.Offsets(ctx, "log", 0)
	if err != nil {
		t.Fatal(err)
	}
	for r := c.Reader("log", 0, 0); r.Offset() < next; {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil && (ctx.Err() != nil || !bus.Temporary(err)) {
			t.Fatal(err)
		}
		for _, rec := range recs {
			values[rec.Offset] = string(rec.Value)
		}
	}
	for i, offset := range acked {
		if values[offset] != strconv.Itoa(i) {
			t.Errorf("record %d, acknowledged at %d: found %q", i, offset, values[offset])
		}
	}
	tab := bus.NewTable(c, "table", 0)
	if err := tab.Load(ctx); err != nil {
		t.Fatal(err)
	}
	last, _ := tab.Get("last")
	if n, err := strconv.Atoi(string(last)); err != nil || n < len(acked)-1 {
		t.Errorf("table holds %q, acknowledged %d", last, len(acked)-1)
	}
}
