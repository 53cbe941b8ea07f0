package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// GroupOptions describe a member of a consumer group.
type GroupOptions struct {
	// ID names the group.
	ID string
	// Topics are shared out between the members. Run waits until all exist.
	Topics []string
	// OnGeneration is called with each generation, one at a time. Its context
	// ends with the generation or Run's; it must return then, well within the session
	// timeout, because the group waits for it. What it commits after the
	// context has ended (with another context) is still accepted unless the
	// coordinator has moved on. If it returns nil earlier, the member stays in
	// the group with its partitions; if it returns an error, the member joins
	// again after a pause.
	OnGeneration func(ctx context.Context, g *Generation) error
	// Member is a name that stays the same over restarts, for an assignment
	// that does not depend on chance (client id and host name).
	Member string
	// SessionTimeout is after what silence the coordinator gives a member's
	// partitions away (6s, the least that brokers allow by default).
	SessionTimeout time.Duration
	// Heartbeat is how often a member reports, which is also how soon it learns
	// of a new generation (500ms).
	Heartbeat time.Duration
	// RebalanceTimeout is how long the group waits for a member that is busy
	// (the session timeout).
	RebalanceTimeout time.Duration
	// WatchPartitionChanges rebalances when a topic grows. Zero turns it off;
	// otherwise it is how often to look.
	WatchPartitionChanges time.Duration
}

func (o GroupOptions) withDefaults(clientID string) GroupOptions {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.SessionTimeout, 6*time.Second)
	def(&o.Heartbeat, 500*time.Millisecond)
	def(&o.RebalanceTimeout, o.SessionTimeout)
	if o.Member == "" {
		host, _ := os.Hostname()
		o.Member = clientID + "@" + host
	}
	return o
}

const (
	// joinPause is how long a member waits after a failed attempt to join.
	joinPause = 300 * time.Millisecond
	// coordinatorTimeout bounds a heartbeat, so that a member that lost its
	// coordinator stops before its session is over and a successor starts.
	coordinatorTimeout = 2 * time.Second
	// leaveGrace bounds the attempts to leave.
	leaveGrace = 3 * time.Second
)

// Group is a member of a consumer group.
type Group struct {
	c       *Client
	o       GroupOptions
	log     *slog.Logger
	balance *sticky
	trouble *trouble
}

// Group returns a member of a consumer group; Run joins.
func (c *Client) Group(o GroupOptions) *Group {
	o = o.withDefaults(c.cfg.ClientID)
	return &Group{
		c: c, o: o, log: c.log.With("group", o.ID),
		balance: &sticky{claim: claim{Name: o.Member}},
		trouble: &trouble{log: c.log, what: "taking part in group " + o.ID},
	}
}

// Run is a member of the group until ctx ends, and leaves it then, so that the
// others take over at once. Trouble with the broker is retried for ever. The
// error is nil, or says why the options cannot work.
func (g *Group) Run(ctx context.Context) error {
	if err := g.awaitTopics(ctx); err != nil {
		return nil //nolint:nilerr // only the context ends the wait
	}
	conns := newConns(g.c.cfg, g.o.RebalanceTimeout+coordinatorTimeout+g.c.cfg.RequestTimeout)
	conns.connect, conns.wrap = g.c.conns.connect, g.c.conns.wrap
	defer conns.closeAll(true)
	cg, err := kafka.NewConsumerGroup(g.config(conns))
	if err != nil {
		return fmt.Errorf("join group %s: %w", g.o.ID, err)
	}
	var running, banishing sync.WaitGroup
	bctx, cancel := context.WithCancel(ctx)
	defer banishing.Wait()
	defer cancel()
	member := "" // who we are in the group
	for {
		gen, err := cg.Next(ctx)
		if gen != nil {
			member = gen.MemberID
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if !errors.Is(err, kafka.RebalanceInProgress) {
				g.trouble.fail(g.c.explain(err))
				if former := member; former != "" {
					banishing.Go(func() { g.banish(bctx, former) })
				}
				member = ""
			}
			continue
		}
		g.trouble.ok()
		g.c.m.generations.Inc()
		g.start(gen, &running)
	}
	g.leave(cg, conns, member, &running)
	return nil
}

// awaitTopics waits until every topic exists. The library would otherwise
// rebalance in a tight loop.
func (g *Group) awaitTopics(ctx context.Context) error {
	b := backoff{}
	for _, topic := range g.o.Topics {
		for {
			_, err := g.c.Partitions(ctx, topic)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				g.trouble.fail(err)
			}
			if err := b.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Group) config(conns *conns) kafka.ConsumerGroupConfig {
	debug := kafka.LoggerFunc(func(format string, args ...any) {
		if g.log.Enabled(context.Background(), slog.LevelDebug) {
			g.log.Debug(fmt.Sprintf(format, args...))
		}
	})
	return kafka.ConsumerGroupConfig{
		ID: g.o.ID, Brokers: g.c.cfg.Brokers, Topics: g.o.Topics,
		Dialer: &kafka.Dialer{
			ClientID: g.c.cfg.ClientID, Timeout: g.c.cfg.DialTimeout, DialFunc: conns.dial,
			SASLMechanism: g.c.sasl,
		},
		GroupBalancers:         []kafka.GroupBalancer{g.balance},
		HeartbeatInterval:      g.o.Heartbeat,
		SessionTimeout:         g.o.SessionTimeout,
		RebalanceTimeout:       g.o.RebalanceTimeout,
		JoinGroupBackoff:       joinPause,
		WatchPartitionChanges:  g.o.WatchPartitionChanges > 0,
		PartitionWatchInterval: g.o.WatchPartitionChanges,
		Timeout:                coordinatorTimeout,
		ErrorLogger:            debug,
	}
}

// start runs OnGeneration inside the library's generation, which does not end
// before it returns. Its context is the generation's alone, which closing the
// group ends too: if it returned by itself while the group is to be left, the
// library would take that for the generation's end and join again, and wait for
// members that are gone.
func (g *Group) start(kg *kafka.Generation, running *sync.WaitGroup) {
	gen := g.generation(kg)
	g.balance.own(gen.ID, gen.Assigned)
	g.log.Info("joined group", "generation", gen.ID, "assigned", gen.count())
	running.Add(1)
	kg.Start(func(over context.Context) {
		defer running.Done()
		gctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer context.AfterFunc(over, cancel)()
		err := g.o.OnGeneration(gctx, gen)
		switch {
		case gctx.Err() != nil:
			return
		case err != nil:
			g.trouble.fail(fmt.Errorf("generation %d: %w", gen.ID, err))
			_ = (&backoff{next: maxBackoff / 2}).wait(gctx)
		default:
			<-gctx.Done()
		}
	})
}

func (g *Group) generation(kg *kafka.Generation) *Generation {
	gen := &Generation{ID: kg.ID, MemberID: kg.MemberID, Assigned: map[string][]int32{}, c: g.c, group: g.o.ID}
	for topic, parts := range kg.Assignments {
		for _, p := range parts {
			gen.Assigned[topic] = append(gen.Assigned[topic], int32(p.ID))
		}
		slices.Sort(gen.Assigned[topic])
	}
	return gen
}

// leave ends the membership. The generation's function is given all the time it
// takes; what follows is not. The library says that it leaves only where it does
// not join, and a join may wait for others; a member that was cut off while it
// joins would be waited for itself, for a session. So the group is told here, and
// what the library still waits for is cut off.
func (g *Group) leave(cg *kafka.ConsumerGroup, conns *conns, member string, running *sync.WaitGroup) {
	open, closed := context.WithCancel(context.Background())
	go func() {
		defer closed()
		_ = cg.Close()
	}()
	running.Wait()
	ctx, cancel := context.WithTimeout(open, leaveGrace)
	defer cancel()
	if member != "" {
		g.banish(ctx, member)
	} else {
		<-ctx.Done() // no name to leave under yet: after the join, if it ends in time
	}
	conns.closeAll(true)
	<-open.Done()
}
