package aggregate

import (
	"context"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
)

const (
	tickEvery = 250 * time.Millisecond
	// hasteBurst ticks may come before their time in a row, hastePause apart, and
	// one more every hasteEvery: a fleet that is never quiet has an eighth more
	// ticks by it. A burst is some fifty outages of what five vantage points see, or
	// as many ticks as two minutes have.
	hasteBurst = 480
	hastePause = 50 * time.Millisecond
	hasteEvery = 2 * time.Second
	// hasteBound is how far log time may be behind for haste to be of use to anybody.
	hasteBound = 2000
)

// haste bounds how many ticks come before their time.
type haste struct {
	left int
	at   time.Time // when the next one comes back
	last time.Time // when one was taken last
}

func newHaste(now time.Time) *haste { return &haste{left: hasteBurst, at: now.Add(hasteEvery)} }

// take takes one, if there is any left, and returns how long it must wait to be
// hastePause behind the last.
func (h *haste) take(now time.Time) (wait time.Duration, ok bool) {
	for h.left < hasteBurst && !now.Before(h.at) {
		h.left, h.at = h.left+1, h.at.Add(hasteEvery)
	}
	if h.left == 0 {
		return 0, false
	}
	if h.left == hasteBurst {
		h.at = now.Add(hasteEvery)
	}
	h.left--
	wait = max(0, hastePause-now.Sub(h.last))
	h.last = now.Add(wait)
	return wait, true
}

// hurry asks for a tick now, unless log time is far behind now, Unix milliseconds.
func (o *owner) hurry(now int64) {
	if now-o.state.LogTime() > hasteBound {
		return
	}
	select {
	case o.urgent <- struct{}{}:
	default: // one is asked for already
	}
}

// await waits until a tick is due; it is false once the context has ended.
func (o *owner) await(ctx context.Context, t *time.Ticker, h *haste) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-o.urgent:
		}
		wait, ok := h.take(time.Now())
		if !ok {
			continue
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-time.After(wait):
			t.Reset(tickEvery)
			return true
		}
	}
}

// tick appends the clock to the partition until the context ends: every tickEvery,
// and sooner after a failure that an alert may hang on.
func (o *owner) tick(ctx context.Context, incarnation uint64) {
	p := o.o.Client.Producer(o.topic, o.partition)
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	h := newHaste(time.Now())
	for failing := false; ; {
		rec := func() []bus.Record {
			tick := wire.Tick{Clock: time.Now().UnixMilli(), Incarnation: incarnation, RuleSet: o.o.Rules.Current(), Owner: o.o.Owner}
			return []bus.Record{{Value: wire.AppendTick(nil, &tick), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeTick)}}}}
		}
		_, err := p.Produce(ctx, rec())
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			o.log.Warn("writing ticks fails: log time stands still", "err", err)
		}
		failing = err != nil
		if !o.await(ctx, t, h) {
			return
		}
	}
}
