package aggregate

import (
	"context"
	"errors"
	"sync"

	"nines/internal/bus"
	"nines/internal/wire"
)

// publishAt is how many bytes of partials wait at most until all records that the
// broker sent at a time have been applied: then they are sent together, which is
// at once where nothing is behind.
const publishAt = 256 << 10

// sink is a partition of nines.partials, with the partials that wait to be sent.
type sink struct {
	*bus.Producer
	enc  wire.PartialEncoder
	buf  []byte // the partials, one after the other
	ends []int  // where each ends
}

// publish has the partial sent to every partition of nines.partials. Its memory
// goes back to the state.
func (o *owner) publish(ctx context.Context, p *wire.Partial) error {
	full := false
	for i, part := range Split(p, int32(len(o.sinks))) {
		s := o.sinks[i]
		s.buf = s.enc.Append(s.buf, part)
		s.ends = append(s.ends, len(s.buf))
		full = full || len(s.buf) >= publishAt
	}
	o.state.Recycle(p)
	if full {
		return o.flush(ctx)
	}
	return nil
}

// flush sends the partials that wait and returns when all partitions have theirs.
func (o *owner) flush(ctx context.Context) error {
	errs := make([]error, len(o.sinks))
	var wg sync.WaitGroup
	for i, s := range o.sinks {
		send := func() { errs[i] = s.send(ctx) }
		if i == len(o.sinks)-1 {
			send()
		} else {
			wg.Go(send)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// send sends what waits as one batch.
func (s *sink) send(ctx context.Context) error {
	if len(s.ends) == 0 {
		return nil
	}
	recs := make([]bus.Record, len(s.ends))
	headers := []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypePartial)}}
	from := 0
	for i, end := range s.ends {
		recs[i] = bus.Record{Value: s.buf[from:end], Headers: headers}
		from = end
	}
	_, err := s.ProduceRetry(ctx, func() []bus.Record { return recs })
	s.drop()
	return err
}

// drop forgets what waits.
func (s *sink) drop() { s.buf, s.ends = s.buf[:0], s.ends[:0] }
