package torture

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nines/collector/aggregate"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/rulelog"
	"nines/internal/wire"
	brokers "nines/test/kafka"
)

// fault is something that befalls the three nodes, a topic or the collectors
// while agents write.
type fault struct {
	name string
	// shape is the site; small is said of those that `make test` runs, FAULTS=all
	// runs every one.
	shape shape
	small bool
	// stall is how long writing and reading may stand still.
	stall time.Duration
	do    func(*trial)
}

// takeOver is the promise, others go on for who is gone within 10 s, and a fifth
// of it for a machine that is busy with other tests: less than two sessions and
// what follows each. docs/testing.md has what was measured.
const takeOver = 12 * time.Second

var (
	two  = shape{Agents: 3, Collectors: 2}
	four = shape{Agents: 3, Collectors: 4, Postgres: true}
)

// faults are those of a cluster that does as docs/operate.md says.
var faultsOfACluster = []fault{
	{"leader killed", two, true, takeOver, leaderKilled},
	{"rolling restart", two, false, takeOver, rollingRestart},
	{"node cut off", two, false, takeOver, nodeCutOff},
	{"disk full", two, false, takeOver, diskFull},
	{"topic deleted", two, true, time.Minute, topicDeleted},
	{"partitions added", two, false, takeOver, partitionsAdded},
	{"collectors come and go", four, false, takeOver, collectorsComeAndGo},
	{"collector paused", two, false, takeOver, collectorPaused},
}

// threeNodes is the cluster of all faults, each node with an address and a disk
// of its own. It ends with the process.
var threeNodes = sync.OnceValues(func() (*brokers.Cluster, error) {
	return brokers.Launch(brokers.Options{Nodes: 3, Isolated: true, DiskBytes: 192 << 20,
		Config: map[string]string{"log.segment.bytes": "8388608"}})
})

// TestFaults plays faults of Kafka, one after the other on one cluster: each
// time the ledger and its gaps equal the truth.
func TestFaults(t *testing.T) {
	t.Parallel()
	brokers.ApacheOnly(t)
	for _, f := range faultsOfACluster {
		if !f.small && os.Getenv("FAULTS") != "all" {
			continue
		}
		t.Run(f.name, func(t *testing.T) { suffer(t, &f) })
	}
}

// suffer plays one fault.
func suffer(t *testing.T, f *fault) {
	c, err := threeNodes()
	if err != nil {
		brokers.Absent(t, err)
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	s := emptySite(t, f.shape)
	s.kafka = kafka{addrs: c.Addrs()}
	s.people(uint64(len(f.name)))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("timeline:\n%s", strings.Join(s.timeline, "\n"))
			t.Log(c.Describe(context.Background()))
			s.keep(strings.ReplaceAll(f.name, " ", "-"))
		}
	})
	tr := &trial{site: s, ctx: ctx, c: c}
	tr.prepare()
	s.startAll()
	tr.awaitFlow()
	watched := tr.watch()
	tr.load(3 * time.Second)
	f.do(tr)
	tr.load(3 * time.Second)
	s.note("over")
	stallsBy := watched()
	tr.whole()
	m, v := s.reckon(f.name, tr.model)
	stood := stallsBy(m)
	fmt.Printf("torture: %s: the longest stall: %s of writing, %s without an owner's ticks, %s of the ledger\n", f.name,
		stood.write.Round(10*time.Millisecond), stood.own.Round(10*time.Millisecond), stood.ledger.Round(10*time.Millisecond))
	t.Logf("%s: %d rounds, %d lost and reported; %d frames, %d repeats; %d slots of %d events, %d unplaced; %d gaps",
		f.name, v.rounds, v.lost, m.frames, m.repeats, v.slots, v.events, v.unplaced, v.gaps)
	if longest := max(stood.write, stood.own, stood.ledger); longest > f.stall {
		t.Errorf("the longest stall took %s, more than %s", longest, f.stall)
	}
	if v.slots < 10 || v.events < 200 {
		t.Error("too little was compared")
	}
}

// trial is one fault under way.
type trial struct {
	*site
	ctx   context.Context
	c     *brokers.Cluster
	model *model // what has been read so far, nil: nothing
	added int    // partitions, while it ran
}

func (tr *trial) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

// prepare leaves an empty cluster of three nodes that run.
func (tr *trial) prepare() {
	tr.whole()
	tr.must(tr.c.Empty(tr.ctx))
}

// whole waits until the cluster has all nodes and copies.
func (tr *trial) whole() {
	for i := range tr.c.Nodes() {
		if !tr.c.Node(i).Running() {
			tr.must(tr.c.Node(i).Start())
		}
	}
	tr.must(tr.c.AwaitInSync(tr.ctx))
}

// load lets the agents write for a while.
func (tr *trial) load(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); tr.wait(200 * time.Millisecond) {
		tr.supervise()
	}
}

// awaitFlow waits until what agents write reaches the ledger.
func (tr *trial) awaitFlow() {
	tr.eventually(60*time.Second, "the ledger hears of the agents", func(ctx context.Context) error {
		led, err := ledger.Open(ctx, tr.ledgerOf)
		if err != nil {
			return err
		}
		defer led.Close()
		at, err := led.LogTime(ctx)
		if err == nil && at == 0 {
			err = fmt.Errorf("nothing was committed")
		}
		return err
	})
}

// flow waits until log time and the ledger have passed now: whoever takes over
// has.
func (tr *trial) flow(limit time.Duration) {
	tr.t.Helper()
	now := time.Now().UnixMilli()
	tr.eventually(limit, "the ledger goes on", func(ctx context.Context) error {
		led, err := ledger.Open(ctx, tr.ledgerOf)
		if err != nil {
			return err
		}
		defer led.Close()
		at, err := led.LogTime(ctx)
		if err == nil && at < now {
			err = fmt.Errorf("it is at %s", clock(at))
		}
		return err
	})
}

// leader is the node that leads the first partition of nines.telemetry, and the
// group's coordinator where that can be had at once.
func (tr *trial) leader() *brokers.Node {
	n, err := tr.c.Leader(tr.ctx, wire.TopicTelemetry, 0)
	tr.must(err)
	if n < 0 {
		tr.t.Fatal("no node leads")
	}
	return tr.c.Node(n)
}

func leaderKilled(tr *trial) {
	n := tr.leader()
	tr.note("node %d, which leads, is killed", n.ID())
	n.Kill()
	tr.flow(60 * time.Second)
	tr.load(2 * time.Second)
	tr.note("node %d starts", n.ID())
	tr.must(n.Start())
	tr.must(tr.c.AwaitInSync(tr.ctx))
}

func rollingRestart(tr *trial) {
	for i := range tr.c.Nodes() {
		tr.note("node %d is restarted", i+1)
		tr.must(tr.c.Node(i).Restart())
		tr.must(tr.c.AwaitInSync(tr.ctx))
		tr.load(2 * time.Second)
	}
}

func nodeCutOff(tr *trial) {
	n := tr.leader()
	tr.note("node %d, which leads, is cut off", n.ID())
	tr.must(n.Cut())
	tr.flow(60 * time.Second)
	tr.load(2 * time.Second)
	tr.note("node %d is back", n.ID())
	tr.must(n.Heal())
	tr.must(tr.c.AwaitInSync(tr.ctx))
}

func diskFull(tr *trial) {
	n := tr.leader()
	tr.note("the disk of node %d is full", n.ID())
	free, err := n.FillDisk()
	tr.must(err)
	tr.eventually(90*time.Second, "another leads", func(ctx context.Context) error {
		now, err := tr.c.Leader(ctx, wire.TopicTelemetry, 0)
		if err == nil && (now < 0 || now == n.ID()-1) {
			err = fmt.Errorf("node %d leads", now+1)
		}
		return err
	})
	tr.note("another node leads")
	tr.flow(60 * time.Second)
	tr.load(2 * time.Second)
	tr.must(free())
	n.Kill() // it may have halted by itself
	tr.note("node %d starts", n.ID())
	tr.must(n.Start())
	tr.must(tr.c.AwaitInSync(tr.ctx))
}

func partitionsAdded(tr *trial) {
	tr.note("a partition is added")
	tr.must(tr.c.AddPartitions(tr.ctx, wire.TopicTelemetry, tr.partitions+1))
	tr.grown()
	tr.load(5 * time.Second)
	a := tr.agents[0]
	tr.must(a.end(syscall.SIGTERM, 20*time.Second)) // its next life chooses among three
	tr.begin(a.process)
	tr.load(3 * time.Second)
	tr.note("another is added")
	tr.must(tr.c.AddPartitions(tr.ctx, wire.TopicTelemetry, tr.partitions+1))
	tr.grown()
	tr.load(3 * time.Second)
	tr.flow(30 * time.Second)
}

func (tr *trial) grown() { tr.partitions, tr.added = tr.partitions+1, tr.added+1 }

// collectorsComeAndGo has one collector, then four, then two, of which one is
// killed and one stops.
func collectorsComeAndGo(tr *trial) {
	all := tr.collectors
	for _, c := range all[1:] {
		tr.must(c.end(syscall.SIGTERM, 20*time.Second))
	}
	tr.note("one collector is left")
	tr.load(4 * time.Second)
	for _, c := range all[1:] {
		tr.begin(c)
		tr.load(time.Second)
	}
	tr.note("four collectors run")
	tr.load(5 * time.Second)
	tr.must(all[0].end(syscall.SIGKILL, 20*time.Second))
	tr.must(all[1].end(syscall.SIGTERM, 20*time.Second))
	tr.note("two collectors are left: one was killed, one stopped")
	tr.flow(60 * time.Second)
	tr.load(3 * time.Second)
}

// collectorPaused suspends the collector that evaluates nothing, so that the
// other has to take its partitions, for longer than any session.
func collectorPaused(tr *trial) {
	c := tr.collectors[1]
	c.signal(syscall.SIGSTOP)
	tr.note("%s is paused", c.name)
	tr.flow(60 * time.Second)
	tr.load(pauseLength)
	c.signal(syscall.SIGCONT)
	tr.note("%s goes on", c.name)
	tr.load(5 * time.Second)
}

const pauseLength = time.Minute

// topicDeleted takes nines.telemetry away with records that nobody has read.
func topicDeleted(tr *trial) {
	tr.awaitCheckpoint()
	for _, c := range tr.collectors {
		tr.must(c.end(syscall.SIGKILL, 20*time.Second))
	}
	read := tr.aggregated()
	tr.note("the collectors were killed having read to %v", read)
	m := newModel(rulelog.New(tr.client))
	tr.must(m.readTo(tr.ctx, tr.client, read))
	tr.model = m
	tr.load(3 * time.Second)
	tr.must(tr.c.DeleteTopic(tr.ctx, wire.TopicTelemetry))
	tr.note("the topic is gone")
	tr.load(2 * time.Second)
	_, err := tr.client.EnsureTopic(tr.ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: tr.partitions})
	tr.must(err)
	m.begunAnew()
	tr.note("the topic is back")
	for _, c := range tr.collectors {
		tr.begin(c)
	}
	tr.flow(60 * time.Second)
}

// awaitCheckpoint waits until the next owner of each partition would know what
// the agents send.
func (tr *trial) awaitCheckpoint() {
	for i := range tr.partitions {
		_, next, err := tr.client.Offsets(tr.ctx, wire.TopicTelemetry, int32(i))
		tr.must(err)
		tr.eventually(time.Minute, "a checkpoint is taken", func(ctx context.Context) error {
			at, _, err := tr.client.Committed(ctx, aggregate.Group, wire.TopicTelemetry, int32(i))
			if err == nil && at < next {
				err = fmt.Errorf("the last is at %d of %d", at, next)
			}
			return err
		})
	}
}

// aggregated is how far each partition of nines.telemetry was read: where the
// last of its partials ends.
func (tr *trial) aggregated() []int64 {
	to := make([]int64, tr.partitions)
	n := 0
	tr.eventually(time.Minute, "partials are there", func(ctx context.Context) (err error) {
		n, err = tr.client.Partitions(ctx, wire.TopicPartials)
		return err
	})
	for i := range n {
		first, next, err := tr.client.Offsets(tr.ctx, wire.TopicPartials, int32(i))
		tr.must(err)
		for r := tr.client.Reader(wire.TopicPartials, int32(i), first); r.Offset() < next; {
			recs, err := r.Fetch(tr.ctx, time.Second)
			tr.must(err)
			for j := range recs {
				var p wire.Partial
				tr.must(wire.DecodePartial(recs[j].Value, &p))
				to[p.Source] = max(to[p.Source], p.To)
			}
		}
	}
	return to
}

// stalls are the longest times in which something stood still: a client with
// default settings could not write, a partition had no owner who could, the
// ledger's log time stayed.
type stalls struct{ write, own, ledger time.Duration }

// watch measures from now on until the function that it returns is called; what
// that returns is for the end, when the log has been read.
func (tr *trial) watch() (end func() func(*model) stalls) {
	ctx, cancel := context.WithCancel(tr.ctx)
	var out stalls
	var wg sync.WaitGroup
	from := time.Now().UnixMilli()
	wg.Go(func() { out.ledger = tr.watchLedger(ctx) })
	longest := make([]time.Duration, tr.partitions)
	for i := range longest {
		wg.Go(func() { longest[i] = tr.watchWriting(ctx, int32(i)) })
	}
	return func() func(*model) stalls {
		to := time.Now().UnixMilli()
		cancel()
		wg.Wait()
		out.write = slices.Max(longest)
		return func(m *model) stalls {
			for i, times := range m.ticked {
				since := from
				if i >= tr.partitions-tr.added {
					since = slices.Min(times)
				}
				out.own = max(out.own, longestStep(times, since, to))
			}
			return out
		}
	}
}

// watchWriting writes to a partition and returns the longest time between two
// acknowledgements. What it writes are ticks, of which a log may have any number.
func (tr *trial) watchWriting(ctx context.Context, partition int32) (longest time.Duration) {
	p := tr.client.Producer(wire.TopicTelemetry, partition)
	for last := time.Now(); ; {
		_, err := p.ProduceRetry(ctx, func() []bus.Record { return []bus.Record{tickOf(time.Now())} })
		longest = max(longest, time.Since(last))
		if ctx.Err() != nil {
			return longest
		}
		if err != nil {
			tr.t.Errorf("write to partition %d: %v", partition, err)
			return longest
		}
		last = time.Now()
		select {
		case <-ctx.Done():
			return longest
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// watchLedger returns the longest time without progress of the ledger's log time.
func (tr *trial) watchLedger(ctx context.Context) (longest time.Duration) {
	led, err := ledger.Open(ctx, tr.ledgerOf)
	if err != nil {
		tr.t.Error(err)
		return 0
	}
	defer led.Close()
	last, since := int64(0), time.Now()
	for {
		at, err := led.LogTime(ctx)
		if err == nil && at > last {
			last, since = at, time.Now()
		}
		longest = max(longest, time.Since(since))
		select {
		case <-ctx.Done():
			return longest
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// longestStep is the longest time between two of the times, or between one of
// them and the bounds.
func longestStep(times []int64, from, to int64) time.Duration {
	slices.Sort(times)
	longest, last := int64(0), from
	for _, t := range times {
		if t >= from && t <= to {
			longest, last = max(longest, t-last), t
		}
	}
	return time.Duration(max(longest, to-last)) * time.Millisecond
}
