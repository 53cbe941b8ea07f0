package aggregate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/wire"
)

const (
	// clockBound is how far a collector's clock may be from the ticks of others.
	clockBound = 5 * time.Second
	// listenFor is how long a joining collector listens for live ticks: more
	// than two of them.
	listenFor = 600 * time.Millisecond
	// tailRecords is how many of the newest records are looked at for ticks.
	tailRecords = 32
)

// errClock says that this host's clock disagrees with the log's ticks.
type errClock struct{ ahead time.Duration }

func (e errClock) Error() string {
	return fmt.Sprintf("log time is %s ahead of this host's clock (negative: behind): one of the collectors' clocks is wrong; check NTP; this one owns no partition until they agree",
		e.ahead.Round(time.Millisecond))
}

// awaitClock returns once this host's clock agrees with the ticks: with those
// that another collector is writing now, and with the newest that any wrote.
func (r *Role) awaitClock(ctx context.Context) error {
	for said := false; ; {
		err := r.compareClock(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var wrong errClock
		if !errors.As(err, &wrong) {
			r.problems.Delete(source{})
			return nil // other trouble is the group's to find and retry
		}
		r.problems.Store(source{}, err)
		if !said {
			r.o.Log.Error("this collector stands aside", "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryWait):
		}
	}
}

func (r *Role) compareClock(ctx context.Context) error {
	var all []source
	for _, topic := range decode.Topics(r.o.Formats) {
		n, err := r.o.Client.Partitions(ctx, topic)
		if err != nil {
			return err
		}
		for p := range n {
			all = append(all, source{topic, int32(p)})
		}
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, of := range all {
		wg.Go(func() { errs[i] = r.compareTicks(ctx, of) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// compareTicks looks at the partition's newest ticks, and at those that come
// while it listens.
func (r *Role) compareTicks(ctx context.Context, of source) error {
	first, next, err := r.o.Client.Offsets(ctx, of.topic, of.partition)
	if err != nil {
		return err
	}
	end := time.Now().Add(listenFor)
	for reader := r.o.Client.Reader(of.topic, of.partition, max(first, next-tailRecords)); time.Now().Before(end); {
		recs, err := reader.Fetch(ctx, time.Until(end))
		if err != nil {
			return err
		}
		for i := range recs {
			live := recs[i].Offset >= next
			if err := judgeTick(&recs[i], time.Now(), live); err != nil {
				return err
			} else if live && isTick(&recs[i]) {
				return nil
			}
		}
	}
	return nil
}

// judgeTick compares a tick with the clock. One that was written before may be
// old, for nobody may have owned the partition since; a live one may not.
func judgeTick(rec *bus.Record, now time.Time, live bool) error {
	var t wire.Tick
	if !isTick(rec) || wire.DecodeTick(rec.Value, &t) != nil {
		return nil
	}
	ahead := time.UnixMilli(t.Clock).Sub(now)
	if ahead > clockBound || live && ahead < -clockBound {
		return errClock{ahead}
	}
	return nil
}

// isTick tells whether the record is a tick, which always says so.
func isTick(rec *bus.Record) bool {
	var other decode.Record
	typ, _ := decode.TypeOf(rec, 0, &other)
	return typ == wire.TypeTick
}
