package bus_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nines/internal/bus"
)

// The broker goes away and comes back while an agent writes: nothing is lost,
// the order holds, and what is repeated can be told by its content.
func TestBrokerRestartsWhileProducing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var log logBuffer
	c := s.client(bus.Config{}, &log)
	ensure(t, c, bus.Topic{Name: "frames"})
	const total, restarts = 600, 3
	ctx := testContext(t, 6*time.Minute)

	var sent, attempts atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		p := c.Producer("frames", 0)
		for i := range int64(total) {
			_, err := p.ProduceRetry(ctx, func() []bus.Record {
				attempts.Add(1)
				return []bus.Record{{Value: strconv.AppendInt(nil, i, 10)}}
			})
			if err != nil {
				t.Errorf("record %d: %v", i, err)
				return
			}
			sent.Store(i + 1)
		}
	})
	var read atomic.Int64
	wg.Go(func() { followFrames(t, ctx, c, total, &read) })

	for i := range int64(restarts) {
		from := total * (i + 1) / (restarts + 2)
		eventually(t, 2*time.Minute, "the producer goes on", func() bool { return sent.Load() >= from })
		s.Stop()
		before := attempts.Load()
		eventually(t, 2*time.Minute, "the producer tries while the broker is away", func() bool { return attempts.Load() > before+1 })
		s.Start()
	}
	wg.Wait()
	if sent.Load() != total || read.Load() != total {
		t.Errorf("sent %d and read %d, want %d", sent.Load(), read.Load(), total)
	}
	// One line when it begins, one when it is over, not one per attempt; the
	// reason may change from a broken connection to a refused one.
	if n := strings.Count(log.String(), "writing to frames/0 fails"); n > 3*restarts {
		t.Errorf("%d lines for %d outages:\n%s", n, restarts, log.String())
	}
	if n := strings.Count(log.String(), "writing to frames/0 works again"); n != restarts {
		t.Errorf("%d recoveries logged, want %d:\n%s", n, restarts, log.String())
	}
}

// followFrames reads records 0, 1, 2, … and accepts repeats only.
func followFrames(t *testing.T, ctx context.Context, c *bus.Client, total int64, read *atomic.Int64) {
	r := c.Reader("frames", 0, 0)
	var offset int64
	for want := int64(0); want < total; {
		recs, err := r.Fetch(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			t.Errorf("read %d of %d", want, total)
			return
		}
		if err != nil {
			if !bus.Temporary(err) {
				t.Errorf("fetch: %v", err)
				return
			}
			select { // a caller's own pause
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		for _, rec := range recs {
			if rec.Offset != offset {
				t.Errorf("offset %d, want %d", rec.Offset, offset)
			}
			offset++
			n, err := strconv.ParseInt(string(rec.Value), 10, 64)
			if err != nil || n > want {
				t.Errorf("read %q, want %d or a repeat", rec.Value, want)
				return
			}
			if n == want {
				want++
				read.Store(want)
			}
		}
	}
}

func TestUnreachableBrokerIsRetriedUntilItComes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c0 := s.client(bus.Config{}, nil)
	ensure(t, c0, bus.Topic{Name: "late"})
	s.Stop()

	var log logBuffer
	c := s.client(bus.Config{}, &log)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var attempts atomic.Int64
	done := make(chan error, 1)
	go func() {
		_, err := c.Producer("late", 0).ProduceRetry(ctx, func() []bus.Record {
			attempts.Add(1)
			return []bus.Record{{Value: []byte("x")}}
		})
		done <- err
	}()
	eventually(t, 2*time.Minute, "five attempts", func() bool { return attempts.Load() >= 5 })
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "is the broker running?") {
		t.Errorf("log after five attempts:\n%s", log.String())
	}
	s.Start()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// A caller that gives up is told so.
	s.Stop()
	gone, stop := context.WithCancel(ctx)
	stop()
	if _, err := c.Producer("late", 0).ProduceRetry(gone, func() []bus.Record { return []bus.Record{{}} }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := s.client(bus.Config{}, nil)
	ensure(t, c, bus.Topic{Name: "t"})
	ctx := testContext(t, 2*time.Minute)
	done := make(chan error, 1)
	r := c.Reader("t", 0, 0)
	if _, err := r.Fetch(ctx, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := r.Fetch(ctx, 20*time.Second)
		done <- err
	}()
	c.Close()
	c.Close()
	if err := <-done; !errors.Is(err, bus.ErrClosed) {
		t.Errorf("fetch in flight: %v", err)
	}
	if err := c.Ping(ctx); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("ping: %v", err)
	}
}
