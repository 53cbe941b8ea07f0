// Package deadletter sends records that could not be used to nines.deadletter,
// with the reason: consumption goes on, and nothing is thrown away silently. It
// reads them again for people, and sends them again when the reason is mended,
// each once.
package deadletter

import (
	"context"
	"errors"
	"fmt"

	"nines/internal/bus"
	"nines/internal/wire"
)

const (
	// keptBytes is what is kept of a record that is too large with its reason.
	keptBytes = 64 << 10
	// batchBytes and batchLetters bound what is sent by one write: below what a
	// topic takes unless it is configured for less.
	batchBytes   = 512 << 10
	batchLetters = 2000
)

// Batch is letters that are sent together: a flood of records that cannot be
// used costs a write for each thousand of them. It is for one goroutine.
type Batch struct {
	producer *bus.Producer
	letters  []letter
	records  []bus.Record // what the letters are on the topic
	bytes    int
}

// letter is a record that could not be used and why; nothing of it is copied.
type letter struct {
	rec *bus.Record
	why wire.DeadLetter
}

// NewBatch returns an empty batch.
func NewBatch(client *bus.Client) *Batch {
	return &Batch{producer: client.Producer(wire.TopicDeadLetter, 0)}
}

// Add puts a record in, with its headers, and why it could not be used. The
// record must stay as it is until Send returns. A batch that is full is sent.
func (b *Batch) Add(ctx context.Context, rec *bus.Record, why wire.DeadLetter) error {
	size := len(rec.Key) + len(rec.Value) + len(why.Detail)
	if len(b.letters) == batchLetters || len(b.letters) > 0 && b.bytes+size > batchBytes {
		if err := b.Send(ctx); err != nil {
			return err
		}
	}
	why.Time = rec.Time
	b.letters = append(b.letters, letter{rec, why})
	b.records = append(b.records, record(rec, rec.Value, &why))
	b.bytes += size
	return nil
}

// Send stores all letters, trying until it succeeds or the context ends. A
// letter that the topic does not take with its reason is cut, and says so. After
// an error some may have been stored.
func (b *Batch) Send(ctx context.Context) error {
	if len(b.letters) == 0 {
		return nil
	}
	if err := b.send(ctx, 0, len(b.letters)); err != nil {
		return err
	}
	clear(b.letters) // what they point to may go
	clear(b.records)
	b.letters, b.records, b.bytes = b.letters[:0], b.records[:0], 0
	return nil
}

func (b *Batch) send(ctx context.Context, from, to int) error {
	_, err := b.producer.ProduceRetry(ctx, func() []bus.Record { return b.records[from:to] })
	if !errors.Is(err, bus.ErrTooLarge) {
		return err
	}
	if to-from > 1 {
		half := (from + to) / 2
		if err := b.send(ctx, from, half); err != nil {
			return err
		}
		return b.send(ctx, half, to)
	}
	l := &b.letters[from]
	l.why.Size = len(l.rec.Value)
	l.why.Detail = fmt.Sprintf("(cut from %d bytes) %s", l.why.Size, l.why.Detail)
	b.records[from] = record(l.rec, l.rec.Value[:min(len(l.rec.Value), keptBytes)], &l.why)
	_, err = b.producer.ProduceRetry(ctx, func() []bus.Record { return b.records[from:to] })
	return err
}

// record is a letter as it stands on the topic.
func record(rec *bus.Record, value []byte, why *wire.DeadLetter) bus.Record {
	out := bus.Record{Key: rec.Key, Value: value}
	about := why.Headers()
	out.Headers = make([]bus.Header, 0, len(about)+len(rec.Headers))
	for _, h := range about {
		out.Headers = append(out.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	out.Headers = append(out.Headers, rec.Headers...)
	return out
}
