package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"nines/bench/program"
)

// Window is what both programs took in the same stretch of time.
type Window struct {
	Length          time.Duration
	Nines, Telegraf Side
	// Load is the machine's load average at its end.
	Load string
}

// Side is one program's part of a window.
type Side struct {
	// CPU is the CPU time, user and system, of all threads.
	CPU time.Duration
	// RSS is the most memory resident of all looks, one a second; Peak is the most
	// since the process began. Both in bytes.
	RSS, Peak int64
	// Bytes are the batches of records that it sent, compressed; Records and
	// Samples are what they hold, Series of how many. Own are further samples,
	// of the agent itself, whose bytes count all the same.
	Bytes                         int64
	Records, Samples, Own, Series int
}

// CPU is a side's CPU time in seconds an hour.
func (w *Window) CPU(s *Side) float64 { return s.CPU.Seconds() / w.Length.Hours() }

// PerSample is the bytes a sample.
func (s *Side) PerSample() float64 { return float64(s.Bytes) / float64(s.Samples) }

// window measures both for the length, a multiple of the interval. It begins
// when both have sent what they measured last.
func (p *pair) window(ctx context.Context, length time.Duration) (*Window, error) {
	now := time.Now()
	begin := now.Truncate(p.interval).Add(p.interval * 9 / 10)
	if begin.Before(now) {
		begin = begin.Add(p.interval)
	}
	if err := p.watch(ctx, begin, nil); err != nil {
		return nil, err
	}
	w := &Window{}
	before, err := p.mark(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.watch(ctx, begin.Add(length), w); err != nil {
		return nil, err
	}
	after, err := p.mark(ctx)
	if err != nil {
		return nil, err
	}
	w.Length, w.Load = after[0].at.Sub(before[0].at), program.Load()
	var found [2]*contents
	for i, side := range []*Side{&w.Nines, &w.Telegraf} {
		if found[i], err = p.fill(ctx, side, &before[i], &after[i]); err != nil {
			return nil, err
		}
	}
	return w, sameSeries(found[0], found[1])
}

// mark is where a program stands at an instant.
type mark struct {
	at     time.Time
	usage  program.Usage
	offset int64
	reader *reader
}

// mark reads both programs' CPU time, then their topics' ends.
func (p *pair) mark(ctx context.Context) (m [2]mark, err error) {
	for i, q := range []*program.Process{p.nines, p.telegraf} {
		m[i].at = time.Now()
		if m[i].usage, err = q.Usage(); err != nil {
			return m, err
		}
	}
	for i, r := range []*reader{p.ours, p.theirs} {
		m[i].reader = r
		if _, m[i].offset, err = p.s.client.Offsets(ctx, r.topic, 0); err != nil {
			return m, err
		}
	}
	return m, nil
}

// watch waits until an instant. Each second it looks how much memory is
// resident, for the window where there is one.
func (p *pair) watch(ctx context.Context, until time.Time, w *Window) error {
	for {
		wait := min(time.Until(until), time.Second)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-p.nines.Done():
			return p.nines.Failure("it ended")
		case <-p.telegraf.Done():
			return p.telegraf.Failure("it ended")
		case <-timer.C:
		}
		if w == nil {
			continue
		}
		for q, side := range map[*program.Process]*Side{p.nines: &w.Nines, p.telegraf: &w.Telegraf} {
			rss, err := q.Resident()
			if err != nil {
				return fmt.Errorf("read memory: %w", err)
			}
			side.RSS = max(side.RSS, rss)
		}
	}
}

// fill fills in what a program used and sent between two marks.
func (p *pair) fill(ctx context.Context, side *Side, from, to *mark) (*contents, error) {
	r := from.reader
	side.CPU, side.Peak = to.usage.CPU-from.usage.CPU, to.usage.RSS
	c, err := r.read(ctx, from.offset, to.offset)
	if err != nil {
		return nil, err
	}
	side.Records, side.Samples, side.Own, side.Series = c.records, c.samples, c.own, len(c.series)
	if side.Samples == 0 {
		return nil, fmt.Errorf("compare agents: %s holds no samples of %s", r.topic, to.at.Sub(from.at).Round(time.Second))
	}
	side.Bytes, err = batchBytes(filepath.Join(p.s.cluster.Node(0).DataDir(), r.topic+"-0"), from.offset, to.offset)
	return c, err
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
