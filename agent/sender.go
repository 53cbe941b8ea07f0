package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nines/agent/framing"
	"nines/agent/spool"
	"nines/internal/bus"
	"nines/internal/wire"
)

// ErrRefused says that a frame can never be stored, so that it must not hold up
// those behind it.
var ErrRefused = errors.New("frame refused")

// Sender takes frames to the log. One goroutine calls it.
type Sender interface {
	// Send stores one frame of a boot, this process's or an earlier one's, and may
	// change it in place (the send time). It returns when the frame is
	// acknowledged, and tries again for as long as that can help. ErrRefused gives
	// the frame up; any other error ends sending.
	Send(ctx context.Context, boot uint64, frame []byte) error
}

// deliver sends what the spool holds, what earlier processes left there first.
// When it returns, frames that were not sent are on disk, where there is one.
// failed is closed if it ends before stopped is.
func (a *Agent) deliver(ctx context.Context, stopped <-chan struct{}, failed chan<- struct{}) error {
	if err := a.openSpool(); err != nil {
		close(failed)
		return err
	}
	writeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var writing sync.WaitGroup
	writing.Go(func() { _ = a.spool.Run(writeCtx) }) // it says itself what fails
	err := a.send(ctx, stopped)
	if err != nil {
		close(failed)
		<-stopped
	}
	stop()
	writing.Wait()
	return err
}

// openSpool takes the spool's directory. One that cannot be used is no reason
// to measure nothing; one that another agent uses is.
func (a *Agent) openSpool() error {
	err := a.spool.Open()
	if errors.Is(err, spool.ErrLocked) {
		return err
	}
	if err != nil {
		a.log.Error("the spool's directory cannot be used; frames wait in memory alone, and are lost with this process", "error", err)
	} else if st := a.spool.Stats(); st.Frames > 0 {
		a.log.Info("sending what the process before left", "frames", st.Frames, "bytes", st.Bytes, "oldest", time.UnixMilli(st.OldestTime).UTC())
	}
	return nil
}

// send takes frames from the spool in order, each after the one before is
// acknowledged. It returns when ctx ends, or when stopped is closed and the
// spool is empty.
func (a *Agent) send(ctx context.Context, stopped <-chan struct{}) error {
	for ctx.Err() == nil {
		it, ok := a.spool.Peek()
		if !ok {
			select {
			case <-ctx.Done():
			case <-a.spool.Ready():
			case <-stopped:
				if _, more := a.spool.Peek(); !more {
					return nil
				}
			}
			continue
		}
		wait := a.pacer.Wait(&it, time.Now(), a.clock.Now())
		if wait > 0 && !pauseUnless(ctx, stopped, wait) {
			return nil
		}
		err := a.sender.Send(ctx, it.Boot, it.Bytes)
		switch {
		case err == nil:
			a.self.sent(len(it.Bytes))
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrRefused):
			a.self.refused(it)
			a.log.Error("frame given up; it will show as a gap", "seq", it.Seq, "bytes", len(it.Bytes), "error", err)
		default:
			return fmt.Errorf("send frames: %w", err)
		}
		if err := a.spool.Ack(it.Seq); err != nil {
			return err
		}
	}
	return nil
}

// pauseUnless waits for d, or until stopped is closed. It returns false when
// ctx ended.
func pauseUnless(ctx context.Context, stopped <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-stopped:
	case <-t.C:
	}
	return ctx.Err() == nil
}

// routes keeps where frames went for the process that sends the rest.
type routes interface {
	Route() string
	SetRoute(string) error
}

// busSender sends to the partition that the agent keeps for its boot, and what
// an earlier boot left to the partition that that one kept: who counts them
// knows there which ones came before.
type busSender struct {
	client     *bus.Client
	topic      string
	zone, host string
	boot       uint64
	routes     routes
	clock      func() int64
	log        *slog.Logger
	producer   *bus.Producer
	own        bool // producer is of this boot
	record     [1]bus.Record
}

func newBusSender(c *bus.Client, a *Agent) *busSender {
	labels := a.framer.Host()
	s := &busSender{client: c, topic: a.cfg().Topic, zone: labels.Get("zone"), host: labels.Get("host"), boot: a.boot,
		routes: a.spool, clock: a.clock.Now, log: a.log}
	agent := a.cfg().Agent
	s.record[0] = bus.Record{Key: []byte(agent), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeFrame)}}}
	return s
}

// Send implements Sender.
func (s *busSender) Send(ctx context.Context, boot uint64, frame []byte) error {
	if s.producer == nil || boot == s.boot && !s.own {
		if err := s.choose(ctx, boot == s.boot); err != nil {
			return err
		}
	}
	s.record[0].Value = frame
	var bad error
	_, err := s.producer.ProduceRetry(ctx, func() []bus.Record {
		now := s.clock()
		s.record[0].Time = now
		bad = wire.RestampFrame(frame, now)
		return s.record[:]
	})
	switch {
	case bad != nil:
		return fmt.Errorf("%w: restamp frame: %w", ErrRefused, bad)
	case errors.Is(err, bus.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// choose decides on the partition: that of the process before, where frames of
// it come first, else by zone and host. A boot that begins behind another's
// frames stays with them, so that the host's own counters go on. What is decided
// is kept before the first frame leaves.
func (s *busSender) choose(ctx context.Context, own bool) error {
	if s.producer != nil {
		s.own = true
		return nil
	}
	n, err := s.partitions(ctx)
	if err != nil {
		return err
	}
	p := framing.Partition(s.zone, s.host, n)
	if was, ok := parseRoute(s.routes.Route(), s.topic); ok && !own && int(was) < n {
		p = was
	}
	if err := s.routes.SetRoute(formatRoute(s.topic, p)); err != nil {
		s.log.Warn("cannot note where frames go; if partitions are added while frames wait on disk, some may count twice after a restart", "error", err)
	}
	s.log.Info("sending frames", "topic", s.topic, "partition", p, "partitions", n)
	s.producer, s.own = s.client.Producer(s.topic, p), own
	return nil
}

func formatRoute(topic string, partition int32) string {
	return fmt.Sprintf("%s %d\n", topic, partition)
}

// parseRoute reads what formatRoute wrote of the same topic.
func parseRoute(text, topic string) (partition int32, ok bool) {
	var was string
	if n, _ := fmt.Sscanf(text, "%s %d", &was, &partition); n != 2 || was != topic || partition < 0 {
		return 0, false
	}
	return partition, true
}

// partitions asks how many partitions there are until Kafka answers. It says
// once what is wrong, and again when the reason changes.
func (s *busSender) partitions(ctx context.Context) (int, error) {
	said := ""
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		n, err := s.client.Partitions(ctx, s.topic)
		if err == nil && n > 0 {
			return n, nil
		}
		if err == nil {
			err = errors.New("it has no partitions")
		}
		if errors.Is(err, bus.ErrClosed) {
			return 0, err
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			s.log.Warn("cannot see the telemetry topic, trying again; frames wait", "topic", s.topic, "error", err)
		}
		if !pause(ctx, wait) {
			return 0, ctx.Err()
		}
	}
}
