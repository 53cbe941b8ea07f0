package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Producer writes to one partition, one request at a time. It is safe for
// concurrent use; callers take turns.
type Producer struct {
	c         *Client
	topic     string
	partition int32
	turn      chan struct{} // holds one token while a request is in flight
	trouble   *trouble
	zenc      *zstd.Encoder
	buf       []byte
}

// Producer returns a producer for the partition. Make one per partition and
// share it: two of them would have two requests in flight.
func (c *Client) Producer(topic string, partition int32) *Producer {
	return &Producer{
		c: c, topic: topic, partition: partition, turn: make(chan struct{}, 1), zenc: c.zenc,
		trouble: &trouble{log: c.log, what: fmt.Sprintf("writing to %s/%d", topic, partition)},
	}
}

// Packed says that the records are packed already: compression looks for what is
// there twice and leaves the bytes themselves, which for partials takes half of
// the time for 2 to 8 % more bytes. It returns p; call it before the first
// Produce.
func (p *Producer) Packed() *Producer {
	p.zenc = p.c.zpacked
	return p
}

// Produce makes one attempt to store the records as one batch and returns the
// offset of the first. When it returns an error the records may have been
// stored all the same. See Temporary for which errors another attempt can mend.
// The batch must stay within the topic's max.message.bytes (1 MB unless set)
// after compression.
func (p *Producer) Produce(ctx context.Context, recs []Record) (base int64, err error) {
	if len(recs) == 0 {
		return 0, errors.New("produce: no records")
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-p.turn }()
	start := time.Now()
	base, n, err := p.send(ctx, recs)
	if err != nil {
		p.c.m.produceErrors.Inc()
		return 0, fmt.Errorf("write %d records to %s/%d: %w", len(recs), p.topic, p.partition, err)
	}
	p.c.m.produceSeconds.UpdateDuration(start)
	p.c.m.producedRecords.Add(len(recs))
	p.c.m.producedBytes.Add(n)
	return base, nil
}

func (p *Producer) send(ctx context.Context, recs []Record) (base int64, size int, err error) {
	// The library may still be reading the buffer when a cancelled call
	// returns, so it comes back only with an answer.
	buf := appendRecordSet(p.buf[:0], recs, time.Now().UnixMilli(), p.zenc)
	p.buf = nil
	err = p.c.call(ctx, 0, func(ctx context.Context) error {
		r, err := p.c.kc.RawProduce(ctx, &kafka.RawProduceRequest{
			Topic: p.topic, Partition: int(p.partition), RequiredAcks: kafka.RequireAll,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(buf)},
		})
		if err != nil {
			return err
		}
		p.buf = buf
		base = r.BaseOffset
		return needs("WRITE", r.Error)
	})
	if errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge) {
		err = fmt.Errorf("%w: %d bytes compressed", ErrTooLarge, len(buf))
	}
	return base, len(buf), err
}

// ProduceRetry repeats Produce until it succeeds, the error is not temporary or
// the context ends. recs is called anew for every attempt, so that a send time
// can be restamped. The first failure and the recovery are logged.
func (p *Producer) ProduceRetry(ctx context.Context, recs func() []Record) (base int64, err error) {
	for b := (backoff{}); ; {
		base, err = p.Produce(ctx, recs())
		if err == nil {
			p.trouble.ok()
			return base, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if !Temporary(err) {
			return 0, err
		}
		p.trouble.fail(err)
		if err := b.wait(ctx); err != nil {
			return 0, err
		}
	}
}
