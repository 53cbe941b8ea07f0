package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"nines/internal/bus"
	"nines/internal/wire"
)

// board is nines.roster as the mesh sees it. A zone's records share a partition,
// so that whoever wants one zone reads one. It is for one goroutine.
type board struct {
	client    *bus.Client
	clock     func() int64
	readers   map[int32]*boardReader
	producers map[int32]*bus.Producer
}

type boardReader struct {
	*bus.Reader
	at int64 // when it last reached the end, Unix ms
}

func newBoard(client *bus.Client, clock func() int64) *board {
	return &board{client: client, clock: clock, readers: map[int32]*boardReader{}, producers: map[int32]*bus.Producer{}}
}

func boardPartition(zone string, partitions int) int32 {
	return int32(xxhash.Sum64String(zone) % uint64(partitions))
}

// Poll implements mesh.Board.
func (b *board) Poll(ctx context.Context, zone string, since int64, each func(key string, value []byte)) error {
	n, err := b.client.Partitions(ctx, wire.TopicRoster)
	if err != nil {
		return err
	}
	from, to := int32(0), int32(n)
	if zone != "" {
		from = boardPartition(zone, n)
		to = from + 1
	}
	var errs []error
	for p := from; p < to; p++ {
		if err := b.read(ctx, p, since, each); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// read reads a partition on, from where it was left or from since, whichever is
// later.
func (b *board) read(ctx context.Context, p int32, since int64, each func(key string, value []byte)) error {
	now := b.clock()
	r := b.readers[p]
	if r == nil || r.at < since {
		offset, err := b.client.OffsetAt(ctx, wire.TopicRoster, p, since)
		if err != nil {
			return err
		}
		if r == nil {
			r = &boardReader{Reader: b.client.Reader(wire.TopicRoster, p, offset)}
			b.readers[p] = r
		}
		r.SeekTo(max(offset, r.Offset()))
	}
	err := r.Drain(ctx, func(rec *bus.Record) { each(string(rec.Key), append([]byte(nil), rec.Value...)) })
	var gone *bus.ErrOutOfRange
	if errors.As(err, &gone) { // recreated, or nothing of it is left
		delete(b.readers, p)
		return fmt.Errorf("read from its beginning the next time: %w", err)
	}
	if err != nil {
		return err
	}
	r.at = now
	return nil
}

// Put implements mesh.Board.
func (b *board) Put(ctx context.Context, zone, key string, value []byte) error {
	n, err := b.client.Partitions(ctx, wire.TopicRoster)
	if err != nil {
		return err
	}
	p := boardPartition(zone, n)
	if b.producers[p] == nil {
		b.producers[p] = b.client.Producer(wire.TopicRoster, p)
	}
	_, err = b.producers[p].Produce(ctx, []bus.Record{{Key: []byte(key), Value: value, Time: b.clock(),
		Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeRosterEntry)}}}})
	return err
}
