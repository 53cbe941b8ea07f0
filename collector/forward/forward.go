// Package forward sends the series of nines.telemetry, of the topics of regions
// and of other fleets' topics on by Prometheus remote write: to VictoriaMetrics, Prometheus, Mimir and what else takes it. The log is
// its queue: it keeps none of its own.
//
// What it promises:
//
//   - A position is committed after the receiver took what lies before it. A
//     receiver that was away, for as long as the log is kept, misses nothing; what
//     a crash repeats has the same series and time, by which receivers drop it.
//   - Each target is a consumer group of its own: a slow one delays no other.
//   - Samples of a series go out in the order of the log, one request at a time
//     for each partition.
//   - Trouble with the receiver is retried for ever; what it refuses for its
//     content is narrowed down, counted by status and named in the log.
//
// Histograms, and what other fleets send as differences, are sent as running sums.
// They begin at zero with each life of the loop that sends them, and say so. Of
// other fleets' values, repeats by series and time are dropped.
//
// Goroutines of Run: one group per target, and one loop per partition that it
// owns, which has that partition's agents and its batch.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/decode"
	"nines/internal/bus"
	"nines/internal/wire"
)

// GroupPrefix begins the name of a target's consumer group.
const GroupPrefix = "nines-forward-"

// Options are what New needs.
type Options struct {
	Config Config
	// Client reaches nines.telemetry and the topics of Formats.
	Client *bus.Client
	// Formats are how other fleets write, by topic; 0 is that of our own agents, for
	// the topics of regions. These topics are sent besides nines.telemetry.
	Formats map[string]decode.Format
	Log     *slog.Logger
	// Metrics takes the role's own metrics; nil for none.
	Metrics *metrics.Set
}

// Forward is the role. Its methods are safe for concurrent use.
type Forward struct {
	client  *bus.Client
	topics  []string
	targets []*target
}

// target is one receiver.
type target struct {
	Target
	client  *bus.Client
	formats map[string]decode.Format
	send    *sender
	log     *slog.Logger
	m       *meters
	loads   *bus.Loads
}

// New checks the configuration, reads certificates, and starts nothing.
func New(o Options) (*Forward, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Client == nil {
		return nil, errors.New("start forward: needs a Kafka client")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	f := &Forward{client: o.Client, topics: decode.Topics(o.Formats)}
	for _, t := range o.Config.Targets {
		t = t.withDefaults()
		log, m := o.Log.With("target", t.Name), newMeters(o.Metrics, t.Name)
		send, err := newSender(t, log, m)
		if err != nil {
			return nil, fmt.Errorf("start forward: %w", err)
		}
		f.targets = append(f.targets, &target{Target: t, client: o.Client, formats: o.Formats, send: send, log: log, m: m,
			loads: bus.NewLoads("forward", wire.TopicTelemetry, o.Metrics).Labelled("target", t.Name)})
	}
	return f, nil
}

// Run sends until ctx ends. It may be called once.
func (f *Forward) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(f.targets))
	for i, t := range f.targets {
		wg.Go(func() {
			errs[i] = f.client.Group(bus.GroupOptions{ID: GroupPrefix + t.Name, Topics: f.topics,
				OnGeneration: t.generation, WatchPartitionChanges: growthWatch}).Run(ctx)
			t.send.post.client.CloseIdleConnections()
		})
	}
	wg.Wait()
	<-ctx.Done()
	return errors.Join(errs...)
}
