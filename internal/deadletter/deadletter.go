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

// keptBytes is what is kept of a record that is too large with its reason.
const keptBytes = 64 << 10

// Bury sends the record, with its headers, and why it could not be used, and
// returns when it is stored. A record that no longer fits with the reason is cut,
// and the letter says so.
func Bury(ctx context.Context, client *bus.Client, rec *bus.Record, why wire.DeadLetter) error {
	p := client.Producer(wire.TopicDeadLetter, 0)
	why.Time = rec.Time
	err := send(ctx, p, rec, rec.Value, &why)
	if errors.Is(err, bus.ErrTooLarge) {
		why.Size = len(rec.Value)
		why.Detail = fmt.Sprintf("(cut from %d bytes) %s", why.Size, why.Detail)
		err = send(ctx, p, rec, rec.Value[:min(len(rec.Value), keptBytes)], &why)
	}
	return err
}

func send(ctx context.Context, p *bus.Producer, rec *bus.Record, value []byte, why *wire.DeadLetter) error {
	out := bus.Record{Key: rec.Key, Value: value}
	for _, h := range why.Headers() {
		out.Headers = append(out.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	out.Headers = append(out.Headers, rec.Headers...)
	_, err := p.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{out} })
	return err
}
