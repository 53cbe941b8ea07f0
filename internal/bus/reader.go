package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// Reader reads one partition from a position that its caller keeps. It is for
// one goroutine.
//
// Ownership: the records of a Fetch, their keys, values and headers point into
// the Reader's buffers and are valid until the next Fetch. Header keys are
// ordinary strings and may be kept. Whoever keeps more copies it.
type Reader struct {
	c         *Client
	topic     string
	partition int32
	offset    int64
	highWater int64
	dec       *decoder
	buf       []byte
	rest      []byte // of the last response, not decoded yet
	load      *Load  // nil unless measured
}

// Reader returns a reader that starts at offset from, which must be in the log
// or its end; see Client.Offsets. It contacts nobody.
func (c *Client) Reader(topic string, partition int32, from int64) *Reader {
	return &Reader{c: c, topic: topic, partition: partition, offset: from, highWater: -1, dec: newDecoder(c.zdec)}
}

// Portion has a Fetch return the records of about so many bytes of what a response
// held, instead of 256 KiB: fewer lie in the processor's own cache beside what
// they are added to. It is for callers for whom a Fetch more costs nothing.
func (r *Reader) Portion(bytes int) { r.dec.budget = bytes }

// SeekTo sets the offset of the next Fetch.
func (r *Reader) SeekTo(offset int64) { r.offset, r.rest = offset, nil }

// Offset is where the next Fetch begins.
func (r *Reader) Offset() int64 { return r.offset }

// More tells whether the next Fetch has records without asking the broker: those
// that came with the last ones.
func (r *Reader) More() bool { return len(r.rest) > 0 }

// HighWater is the offset after the last record, as of the last Fetch that
// reached the broker; -1 before it.
func (r *Reader) HighWater() int64 { return r.highWater }

// Fetch returns the next records, waiting up to maxWait (at most 30 s) for the
// first; nil, nil if none came. It retries nothing. A position outside the log
// is *ErrOutOfRange, a batch that cannot be decoded *ErrCorrupt; neither moves
// the position.
func (r *Reader) Fetch(ctx context.Context, maxWait time.Duration) (recs []Record, err error) {
	r.dec.reset()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from := r.offset
	r.behind(from)
	r.phase(fetching)
	defer func() {
		r.behind(from)
		if err != nil {
			r.phase(away) // the caller waits before it tries again
			return
		}
		r.phase(working)
	}()
	if len(r.rest) == 0 {
		if err := r.ask(ctx, min(max(maxWait, 0), maxFetchWait)); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.c.m.fetchErrors.Inc()
			return nil, fmt.Errorf("read %s/%d: %w", r.topic, r.partition, err)
		}
	}
	next, rest, bad := r.dec.decode(r.rest, r.offset)
	r.rest = rest
	if bad != nil {
		r.c.m.fetchErrors.Inc()
		return nil, &ErrCorrupt{Topic: r.topic, Partition: r.partition, Offset: bad.offset, Next: bad.next,
			Reason: bad.err.Error()}
	}
	r.offset = next
	if len(r.dec.records) == 0 {
		return nil, nil
	}
	r.c.m.fetchedRecords.Add(len(r.dec.records))
	return r.dec.records, nil
}

// Drain reads on to the partition's end, waiting for nothing, and calls each for
// every record, which is valid during the call. It goes on behind a damaged
// batch, which it logs. After another error the position is behind the last
// record given.
func (r *Reader) Drain(ctx context.Context, each func(rec *Record)) error {
	for {
		recs, err := r.Fetch(ctx, 0)
		if r.skip(err) {
			continue
		}
		if err != nil {
			return err
		}
		for i := range recs {
			each(&recs[i])
		}
		if r.offset >= r.highWater {
			return nil
		}
	}
}

// skip goes on behind a damaged batch, if that is what the error says.
func (r *Reader) skip(err error) bool {
	var bad *ErrCorrupt
	if !errors.As(err, &bad) {
		return false
	}
	r.c.log.Error("skipping a damaged batch of a compacted topic", "err", err)
	r.SeekTo(bad.Next)
	return true
}

// ask puts the next response into rest.
func (r *Reader) ask(ctx context.Context, maxWait time.Duration) error {
	if r.offset >= r.highWater {
		r.phase(waiting)
		defer r.phase(fetching)
	}
	var resp *fetchResponse
	err := r.c.call(ctx, maxWait, func(ctx context.Context) (err error) {
		resp, err = r.exchange(ctx, maxWait)
		return err
	})
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return r.outOfRange(ctx)
	}
	if err != nil {
		return err
	}
	r.buf, r.rest, r.highWater = resp.buf, resp.records, resp.highWatermark
	r.c.m.fetchedBytes.Add(len(resp.records))
	return nil
}

func (r *Reader) exchange(ctx context.Context, maxWait time.Duration) (*fetchResponse, error) {
	req := &fetchRequest{
		clientID: r.c.cfg.ClientID, topic: r.topic, partition: r.partition, offset: r.offset,
		maxWaitMS: int32(maxWait.Milliseconds()), maxBytes: int32(r.c.cfg.FetchMaxBytes), buf: r.buf,
	}
	// If the call is given up, the library may still write to the buffer.
	r.buf = nil
	m, err := r.c.transport.RoundTrip(ctx, r.c.addr, req)
	if err != nil {
		return nil, err
	}
	resp, ok := m.(*fetchResponse)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", m)
	}
	if resp.errorCode != 0 {
		return nil, needs("READ", kafka.Error(resp.errorCode))
	}
	return resp, nil
}

func (r *Reader) outOfRange(ctx context.Context) error {
	first, next, err := r.c.Offsets(ctx, r.topic, r.partition)
	if err != nil {
		return err
	}
	return &ErrOutOfRange{Topic: r.topic, Partition: r.partition, Offset: r.offset, First: first, Next: next}
}
