package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nines/agent/framing"
	"nines/agent/spool"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
)

func spooling(t *testing.T, dir string) Config {
	t.Helper()
	return Config{Agent: "a", Interval: 100 * time.Millisecond, Flush: 100 * time.Millisecond, Inputs: "[[inputs.mem]]",
		StateDir: dir, Spool: SpoolConfig{Dir: "spool"}}
}

// An agent that is stopped without Kafka leaves its frames to the next one,
// which sends them first, under the boot that measured them.
func TestTheNextProcessSendsWhatThisOneLeft(t *testing.T) {
	cfg := spooling(t, t.TempDir())
	away := newLogbook(t)
	away.fail = func(int) error { return errors.New("no broker") }
	first, stop := start(t, cfg, away)
	until(t, "frames", func() bool { return first.self.frames.Load() > 8 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	made := first.framer.Seq()

	book := newLogbook(t)
	second, stop := start(t, cfg, book)
	book.wait("both", func(f []telemetry.Frame) bool { return len(f) > int(made)+3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i, f := range book.frames {
		boot, seq := first.Boot(), uint64(i+1)
		if seq > made {
			boot, seq = second.Boot(), seq-made
		}
		if f.Boot != boot || f.Seq != seq {
			t.Fatalf("frame %d is %016x/%d, want %016x/%d", i+1, f.Boot, f.Seq, boot, seq)
		}
	}
	if n := first.self.droppedFrames.Load() + second.self.droppedFrames.Load(); n != 0 {
		t.Errorf("%d frames were dropped", n)
	}
}

func TestTwoAgentsOnOneDirectory(t *testing.T) {
	cfg := spooling(t, t.TempDir())
	book := newLogbook(t)
	_, stop := start(t, cfg, book)
	book.wait("the first agent", func(f []telemetry.Frame) bool { return len(f) > 0 })
	other, err := New(Options{Config: cfg, Sender: newLogbook(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := other.Run(ctx); !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), cfg.StateDir) {
		t.Errorf("the second agent ended with %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestAgentRunsWithoutItsDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var text lockedBuffer
	book := newLogbook(t)
	a, err := New(Options{Config: spooling(t, file), Sender: book, Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	book.wait("frames", func(f []telemetry.Frame) bool { return len(f) > 2 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !a.spool.Stats().DiskFails || !strings.Contains(text.b.String(), "frames wait in memory alone") {
		t.Errorf("nobody is told: %s", text.b.String())
	}
}

// Partitions were added while an agent was away: what its process left goes to
// the partition that it kept, and the frames behind it too, so that who counts
// them knows what came before. Without any left it is chosen anew.
func TestFramesLeftStayOnTheirPartition(t *testing.T) {
	server := kafka.Serve(t)
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	const partitions = 6
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	own := framing.Partition("", "a", partitions)
	kept := (own + 1) % partitions
	f := func(route string, boots []uint64, want int32) {
		t.Helper()
		a, err := New(Options{Config: spooling(t, t.TempDir()), Client: client})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.spool.Open(); err != nil {
			t.Fatal(err)
		}
		if err := a.spool.SetRoute(route); err != nil {
			t.Fatal(err)
		}
		a.framer.Sink(telemetry.Round{Schema: schemaOf("x"), Time: 1000, Values: []float64{1}})
		frame := a.framer.Flush(1000)[0].Bytes
		_, before, err := client.Offsets(ctx, wire.TopicTelemetry, want)
		if err != nil {
			t.Fatal(err)
		}
		for _, boot := range boots {
			if boot == 0 {
				boot = a.Boot()
			}
			if err := a.sender.Send(ctx, boot, frame); err != nil {
				t.Fatal(err)
			}
		}
		_, after, err := client.Offsets(ctx, wire.TopicTelemetry, want)
		if err != nil || after-before != int64(len(boots)) {
			t.Errorf("after %q: %d of %d frames went to partition %d, %v", route, after-before, len(boots), want, err)
		}
		if got := a.spool.Route(); got != formatRoute(wire.TopicTelemetry, want) {
			t.Errorf("after %q the directory says %q", route, got)
		}
	}
	f(formatRoute(wire.TopicTelemetry, kept), []uint64{5, 6, 0}, kept)
	f(formatRoute(wire.TopicTelemetry, kept), []uint64{0}, own)
	f("", []uint64{5, 0}, own)
	f(formatRoute(wire.TopicTelemetry, partitions), []uint64{5, 0}, own) // it is gone
	f(formatRoute(wire.TopicTelemetry+".r1", kept), []uint64{5, 0}, own)
	f("garbage", []uint64{5}, own)
}
