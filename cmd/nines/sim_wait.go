package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
)

// ticksWait is how long it waits for collectors.
const ticksWait = 15 * time.Second

// awaitCollectors waits a moment for a tick of a collector on every partition,
// from now on, because objectives count from the first one; a broker that has no
// collector is played to all the same.
func (p *simPlay) awaitCollectors(ctx context.Context, client *bus.Client) {
	wait, stop := context.WithTimeout(ctx, ticksWait)
	defer stop()
	n := 0
	for n == 0 && wait.Err() == nil {
		if known, err := client.Partitions(wait, wire.TopicTelemetry); err == nil && known > 0 {
			n = known
			break
		}
		pause(wait)
	}
	var all sync.WaitGroup
	for partition := range n {
		all.Go(func() { awaitTick(wait, client, int32(partition)) })
	}
	all.Wait()
	if wait.Err() != nil && ctx.Err() == nil {
		p.log.Warn("no collector writes to all of the topic's partitions: objectives will not count what is played before one does", "topic", wire.TopicTelemetry, "partitions", n, "waited", ticksWait)
	}
}

// awaitTick waits for the next tick of a partition, among whatever else is
// written to it, until ctx ends.
func awaitTick(ctx context.Context, client *bus.Client, partition int32) {
	var reader *bus.Reader
	for ctx.Err() == nil {
		if reader == nil {
			_, next, err := client.Offsets(ctx, wire.TopicTelemetry, partition)
			if err != nil {
				pause(ctx)
				continue
			}
			reader = client.Reader(wire.TopicTelemetry, partition, next)
		}
		records, err := reader.Fetch(ctx, time.Second)
		if err != nil {
			reader = nil // from its end again, wherever that is now
			pause(ctx)
		}
		for i := range records {
			if slices.ContainsFunc(records[i].Headers, isTick) {
				return
			}
		}
	}
}

func isTick(h bus.Header) bool { return h.Key == wire.HeaderType && string(h.Value) == wire.TypeTick }

// pause waits before something is tried again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}
