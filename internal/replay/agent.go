package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"nines/internal/ledger"
	"nines/internal/telemetry"
)

const (
	// frameValues bounds the values of a frame, and frameBlocks its blocks.
	frameValues = 1 << 13
	frameBlocks = 1 << 10
	// bootLife is after how long a silence an agent counts as started anew:
	// aggregate has forgotten the numbers of its frames.
	bootLife = 48 * 3600_000
)

// Agent is a simulated agent. It holds samples until their time has come, and
// sends them in numbered frames, as an agent on a host does.
type Agent struct {
	p         *Pipeline
	partition int
	name      string
	host      telemetry.Labels
	boot, seq uint64
	sent      int64 // log time of the last frame
	held      bool
	queued    bool      // in the pipeline's list of those with samples
	due       []*Source // with samples that were not sent
	frame     telemetry.Frame
}

// Agent adds an agent with a name of its own; its host labels apply to all of
// its series. Agents take the partitions in turn.
func (p *Pipeline) Agent(name string, host telemetry.Labels) *Agent {
	a := &Agent{p: p, partition: len(p.agents) % len(p.sources), name: name, host: host, boot: 1}
	p.agents = append(p.agents, a)
	return a
}

// Source is a list of series of one agent that are sampled together: a schema.
type Source struct {
	a      *Agent
	schema *telemetry.Schema
	times  []int64
	values []float64 // row by row
	head   int       // rounds that were sent and are still in memory
	mixed  bool      // times do not ascend
	queued bool      // in the agent's list of those with samples
	block  telemetry.Block
}

// Source adds series that are sampled together.
func (a *Agent) Source(series ...telemetry.Series) *Source {
	return &Source{a: a, schema: telemetry.NewSchema(series)}
}

// Add gives a sample of each series, in their order, at a time in Unix
// milliseconds. It is sent with the first tick that is not before it, together
// with what else is due; a NaN was not measured. Times need not ascend, but
// between two ticks those that do cost less.
func (s *Source) Add(at int64, values ...float64) {
	if n := len(s.times); n > 0 && at < s.times[n-1] {
		s.mixed = true
	}
	s.times = append(s.times, at)
	for i := range s.schema.Series {
		v := math.NaN()
		if i < len(values) {
			v = values[i]
		}
		s.values = append(s.values, v)
	}
	if !s.queued {
		s.queued = true
		s.a.due = append(s.a.due, s)
	}
	s.a.queue()
}

// queue puts the agent among those that have something to send.
func (a *Agent) queue() {
	if !a.queued && !a.held {
		a.queued = true
		a.p.due = append(a.p.due, a)
	}
}

// Hold cuts the agent off from the collector: it goes on sampling into its spool.
// Hold(false) lets it send all of that with the next tick.
func (a *Agent) Hold(on bool) {
	a.held = on
	if !on && len(a.due) > 0 {
		a.queue()
	}
}

// forget drops all samples that were not sent.
func (a *Agent) forget() {
	for _, s := range a.due {
		s.drop(s.held())
		s.queued = false
	}
	a.due = a.due[:0]
}

// Restart begins another boot of the agent; what it holds was lost with the one
// before.
func (a *Agent) Restart() {
	a.boot, a.seq = a.boot+1, 0
	a.forget()
}

// Lose loses the next frame on its way: it is numbered and never arrives. What it
// would have held is gone; samples that are added later are not.
func (a *Agent) Lose() {
	a.seq++
	a.forget()
}

// send has every agent send what it sampled up to the log time to.
func (p *Pipeline) send(to int64) error {
	due := p.due
	p.due = p.due[:0]
	for _, a := range due {
		a.queued = false
		if a.held {
			continue
		}
		if err := a.send(to); err != nil {
			return fmt.Errorf("send samples of agent %s: %w", a.name, err)
		}
		if len(a.due) > 0 {
			a.queue()
		}
	}
	return nil
}

// send makes frames of the samples up to the time to.
func (a *Agent) send(to int64) error {
	if a.seq > 0 && to-a.sent >= bootLife {
		a.boot, a.seq = a.boot+1, 0
	}
	values, due := 0, a.due
	a.due = a.due[:0]
	for _, s := range due {
		s.order()
		for n := s.until(to); n > 0; {
			width := len(s.schema.Series)
			rounds := min(n, max((frameValues-values)/width, 1))
			// A source has one block of memory: a second one ends the frame.
			a.frame.Blocks = append(a.frame.Blocks, s.take(rounds))
			n -= rounds
			if values += rounds * width; n > 0 || values >= frameValues || len(a.frame.Blocks) >= frameBlocks {
				values = 0
				if err := a.flush(to); err != nil {
					return err
				}
			}
		}
		if s.queued = s.held() > 0; s.queued {
			a.due = append(a.due, s)
		}
	}
	return a.flush(to)
}

// flush sends the frame, if there is anything in it.
func (a *Agent) flush(now int64) error {
	f := &a.frame
	if len(f.Blocks) == 0 {
		return nil
	}
	a.seq++
	a.sent = now
	f.Agent, f.Boot, f.Seq, f.SendTime, f.Host = a.name, a.boot, a.seq, a.p.now, a.host
	err := a.p.Frame(a.partition, f)
	f.Blocks = f.Blocks[:0]
	return err
}

// until returns how many rounds are due; order was called.
func (s *Source) until(to int64) int {
	times := s.times[s.head:]
	if n := len(times); n == 0 || times[n-1] <= to {
		return n
	}
	n, _ := slices.BinarySearch(times, to+1)
	return n
}

// order sorts the rounds by time; those of one time stay in their order.
func (s *Source) order() {
	if !s.mixed {
		return
	}
	s.mixed = false
	width := len(s.schema.Series)
	at := make([]int, s.held())
	for i := range at {
		at[i] = s.head + i
	}
	slices.SortStableFunc(at, func(x, y int) int { return int(s.times[x] - s.times[y]) })
	times, values := make([]int64, 0, len(s.times)), make([]float64, 0, len(s.values))
	for _, i := range at {
		times = append(times, s.times[i])
		values = append(values, s.values[i*width:(i+1)*width]...)
	}
	s.times, s.values, s.head = times, values, 0
}

// take makes a block of the first rounds, in memory that the next one reuses.
func (s *Source) take(rounds int) telemetry.Block {
	b, width := &s.block, len(s.schema.Series)
	b.Fingerprint, b.Schema = s.schema.Fingerprint, s.schema
	b.Times = append(b.Times[:0], s.times[s.head:s.head+rounds]...)
	b.Values, b.Absent = b.Values[:0], b.Absent[:0]
	for col := range width {
		for r := range rounds {
			v := s.values[(s.head+r)*width+col]
			if v != v {
				b.SetAbsent(len(b.Values))
				v = 0
			}
			b.Values = append(b.Values, v)
		}
	}
	s.drop(rounds)
	return *b
}

// held returns how many rounds wait.
func (s *Source) held() int { return len(s.times) - s.head }

// drop forgets the first rounds. It moves the others only when they are fewer, so
// that a month that was sampled at once costs no more than one by one.
func (s *Source) drop(rounds int) {
	s.head += rounds
	if 2*s.head < len(s.times) {
		return
	}
	width := len(s.schema.Series)
	s.times = append(s.times[:0], s.times[s.head:]...)
	s.values = append(s.values[:0], s.values[s.head*width:]...)
	s.head = 0
	s.mixed = s.mixed && len(s.times) > 0
}

// Temporary opens a ledger in a directory of its own, which done removes.
func Temporary(ctx context.Context) (led *ledger.Ledger, done func() error, err error) {
	dir, err := os.MkdirTemp("", "nines-replay-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a directory for a temporary ledger: %w", err)
	}
	led, err = ledger.Open(ctx, ledger.Options{Path: dir})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return led, func() error { return errors.Join(led.Close(), os.RemoveAll(dir)) }, nil
}
