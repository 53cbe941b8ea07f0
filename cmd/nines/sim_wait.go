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

// awaitCollectors waits a moment for a tick of a collector on every partition of
// the topics, from now on, because objectives count from the first one; a broker
// that has no collector is played to all the same.
func (p *simPlay) awaitCollectors(ctx context.Context, client *bus.Client, topics []string) {
	wait, stop := context.WithTimeout(ctx, ticksWait)
	defer stop()
	missing := make([]string, len(topics))
	var all sync.WaitGroup
	for i, topic := range topics {
		all.Go(func() {
			if awaitTopic(wait, client, topic); wait.Err() != nil {
				missing[i] = topic
			}
		})
	}
	all.Wait()
	if missing = slices.DeleteFunc(missing, func(topic string) bool { return topic == "" }); len(missing) > 0 && ctx.Err() == nil {
		p.log.Warn("no collector writes to all partitions: objectives will not count what is played before one does", "topics", missing, "waited", ticksWait)
	}
}

// awaitTopic waits for the next tick of each partition of a topic.
func awaitTopic(ctx context.Context, client *bus.Client, topic string) {
	for ctx.Err() == nil {
		n, err := client.Partitions(ctx, topic)
		if err != nil || n == 0 {
			pause(ctx)
			continue
		}
		var all sync.WaitGroup
		for partition := range n {
			all.Go(func() { awaitTick(ctx, client, topic, int32(partition)) })
		}
		all.Wait()
		return
	}
}

// awaitTick waits for the next tick of a partition, among whatever else is
// written to it, until ctx ends.
func awaitTick(ctx context.Context, client *bus.Client, topic string, partition int32) {
	var reader *bus.Reader
	for ctx.Err() == nil {
		if reader == nil {
			_, next, err := client.Offsets(ctx, topic, partition)
			if err != nil {
				pause(ctx)
				continue
			}
			reader = client.Reader(topic, partition, next)
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
