package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"nines/internal/bus"
)

// open starts kfake as Run does, without the housekeeping.
func open(t *testing.T, dir string, cfg Config) (*kfake.Cluster, *bus.Client) {
	t.Helper()
	cfg.DataDir = dir
	b, err := New(Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(dir); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(b.options(ln, dir)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, client(t, ln.Addr().String())
}

// fill writes n checkpoints over ten keys and returns what must be found.
func fill(t *testing.T, ctx context.Context, c *bus.Client, n int) map[string]string {
	t.Helper()
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "checkpoints", Compact: true}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	p := c.Producer("checkpoints", 0)
	for i := range n {
		key, value := fmt.Sprintf("agent-%d", i%10), strconv.Itoa(i)
		if _, err := p.Produce(ctx, []bus.Record{{Key: []byte(key), Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		want[key] = value
	}
	return want
}

func check(t *testing.T, ctx context.Context, c *bus.Client, want map[string]string) {
	t.Helper()
	tab := bus.NewTable(c, "checkpoints", 0)
	if err := tab.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(tab.Keys()); got != len(want) {
		t.Errorf("%d keys, want %d", got, len(want))
	}
	for k, v := range want {
		if got, _ := tab.Get(k); string(got) != v {
			t.Errorf("%s is %q, want %q", k, got, v)
		}
	}
}

func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	ctx := testContext(t)
	cluster, c := open(t, dir, Config{})
	want := fill(t, ctx, c, 300)
	parts, err := compactedPartitions(dir)
	if err != nil || len(parts) != 1 {
		t.Fatalf("partitions %v, %v", parts, err)
	}
	before := dataBytes(parts)

	// Compaction takes its turn between the requests of a busy broker.
	busy, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		p := c.Producer("checkpoints", 0)
		for i := 0; busy.Err() == nil; i++ {
			_, _ = p.Produce(busy, []bus.Record{{Key: []byte("busy"), Value: []byte("x")}})
		}
	})
	k := &compactor{cluster: cluster, dir: dir, log: slog.New(slog.DiscardHandler), after: -minGrowth}
	k.round(ctx)
	stop()
	wg.Wait()
	want["busy"] = "x"
	if k.after >= before || k.after <= 0 {
		t.Errorf("%d bytes after compaction, before %d", k.after, before)
	}
	check(t, ctx, c, want)
	if _, err := os.Stat(filepath.Join(dir, backupName)); !os.IsNotExist(err) {
		t.Errorf("the backup is left: %v", err)
	}
	// Without growth there is nothing to do.
	small := k.after
	k.round(ctx)
	if k.after != small {
		t.Error("compacted again")
	}
	// Without requests there is nothing to run inside of; a round gives up.
	c.Close()
	given, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	k.after = -minGrowth
	k.round(given)
	if k.after != -minGrowth {
		t.Error("compacted without a request")
	}
}

// A kill in the middle of kfake's compaction leaves no files, or half of them.
func TestInterruptedCompaction(t *testing.T) {
	f := func(name string, interrupt func(dir, backup string, parts []string)) {
		t.Helper()
		dir := t.TempDir()
		ctx := testContext(t)
		cluster, c := open(t, dir, Config{})
		want := fill(t, ctx, c, 50)
		c.Close()
		cluster.Close()
		parts, err := compactedPartitions(dir)
		if err != nil {
			t.Fatal(err)
		}
		interrupt(dir, filepath.Join(dir, backupName), parts)
		_, c = open(t, dir, Config{})
		check(t, ctx, c, want)
		if left, _ := filepath.Glob(filepath.Join(dir, backupName) + "*"); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wipe := func(parts []string) {
		for _, dir := range parts {
			files, _ := filepath.Glob(filepath.Join(dir, "*.*"))
			for _, file := range files {
				must(os.Remove(file))
			}
		}
	}
	f("files removed", func(_, backup string, parts []string) {
		must(link(parts, backup))
		wipe(parts)
	})
	f("files half written", func(_, backup string, parts []string) {
		must(link(parts, backup))
		wipe(parts)
		must(os.WriteFile(filepath.Join(parts[0], "49.dat"), bytes.Repeat([]byte{1}, 70), 0o644))
	})
	f("killed while linking", func(_, backup string, parts []string) {
		must(link(parts, backup))
		must(os.Rename(backup, backup+tmpSuffix))
	})
	f("killed while restoring", func(dir, backup string, parts []string) {
		must(link(parts, backup))
		wipe(parts)
		must(linkAll(filepath.Join(backup, filepath.Base(parts[0])), parts[0]))
	})
	f("killed after compacting", func(_, backup string, parts []string) {
		must(link(parts, backup))
	})
}

// Retention bounds a log that is written for weeks.
func TestRetentionByBytes(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	cluster, c := open(t, dir, Config{RetentionBytes: 1 << 20})
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "telemetry"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnsureTopic(ctx, bus.Topic{Name: "rules", Compact: true}); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 100_000)
	rnd := rand.NewChaCha8([32]byte{})
	for i := range 40 {
		_, _ = rnd.Read(noise)
		for _, topic := range []string{"telemetry", "rules"} {
			if _, err := c.Producer(topic, 0).Produce(ctx, []bus.Record{{Key: []byte{byte(i)}, Value: noise}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cluster.ApplyRetention()
	first, next, err := c.Offsets(ctx, "telemetry", 0)
	if err != nil || next != 40 || first < 29 || first > 31 {
		t.Errorf("telemetry holds %d to %d, %v; want the last megabyte", first, next, err)
	}
	if first, next, err := c.Offsets(ctx, "rules", 0); err != nil || first != 0 || next != 40 {
		t.Errorf("a compacted topic holds %d to %d, %v; want all", first, next, err)
	}
}
