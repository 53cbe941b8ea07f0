package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"nines/agent/framing"
	"nines/internal/bus"
	"nines/internal/wire"
)

// ErrRefused says that a frame can never be stored, so that it must not hold up
// those behind it.
var ErrRefused = errors.New("frame refused")

// Sender takes frames to the log. One goroutine calls it.
type Sender interface {
	// Send stores one frame, which it may change in place (the send time). It
	// returns when the frame is acknowledged, and tries again for as long as
	// that can help. ErrRefused gives the frame up; any other error ends
	// sending.
	Send(ctx context.Context, frame []byte) error
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
		err := a.sender.Send(ctx, it.Bytes)
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

// busSender sends to the partition that the agent keeps for its boot.
type busSender struct {
	client     *bus.Client
	topic      string
	zone, host string
	clock      func() int64
	log        *slog.Logger
	producer   *bus.Producer
	record     [1]bus.Record
}

func newBusSender(c *bus.Client, topic, agent, zone, host string, clock func() int64, log *slog.Logger) *busSender {
	s := &busSender{client: c, topic: topic, zone: zone, host: host, clock: clock, log: log}
	s.record[0] = bus.Record{Key: []byte(agent), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeFrame)}}}
	return s
}

// Send implements Sender.
func (s *busSender) Send(ctx context.Context, frame []byte) error {
	if s.producer == nil {
		n, err := s.partitions(ctx)
		if err != nil {
			return err
		}
		p := framing.Partition(s.zone, s.host, n)
		s.log.Info("sending frames", "topic", s.topic, "partition", p, "partitions", n)
		s.producer = s.client.Producer(s.topic, p)
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
			s.log.Warn("cannot see the telemetry topic, trying again; frames wait in memory", "topic", s.topic, "error", err)
		}
		if !pause(ctx, wait) {
			return 0, ctx.Err()
		}
	}
}
