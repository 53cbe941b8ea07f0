package probe

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// packet is one echo request of a round and what became of it.
type packet struct {
	sent    bool
	rtt     time.Duration // of an answered one
	err     error
	starved bool // its time-out was noticed late: we slept, and it may have been answered
}

// round sends the packets of a round, each at its time whatever became of those
// before it, and waits for each as long as for a single one.
func (p *icmpProbe) round(ctx context.Context, to netip.Addr, r *result) {
	list := make([]packet, p.packets)
	var wg sync.WaitGroup
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range list {
		timer.Reset(time.Until(start.Add(time.Duration(i) * p.spacing)))
		select {
		case <-ctx.Done():
		case <-timer.C:
			wg.Go(func() { list[i] = p.send(ctx, to) })
			continue
		}
		break
	}
	wg.Wait()
	if err := ctx.Err(); err != nil && context.Cause(ctx) == context.Canceled {
		r.fail(err)
		return
	}
	p.judge(list, r)
}

func (p *icmpProbe) send(ctx context.Context, to netip.Addr) packet {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	start := time.Now()
	rtt, err := p.ping.echo(ctx, to, p.size)
	late := time.Since(start) - p.wait
	return packet{
		sent: !isLocal(err), rtt: rtt, err: err,
		starved: isTimeout(err) && late > p.spacing*time.Duration(p.packets)/2,
	}
}

// judge fills in the result of a round: of what was sent at most the share
// maxLoss may be lost.
func (p *icmpProbe) judge(list []packet, r *result) {
	var last error
	for _, k := range list {
		r.starved = r.starved || k.starved
		switch {
		case k.err == nil && k.sent:
			r.sent++
			r.rtts = append(r.rtts, k.rtt)
		case k.sent:
			r.sent++
			r.lost++
			last = k.err
		case k.err != nil:
			last = first(last, k.err)
		}
	}
	r.figures[figureJitter] = jitter(list)
	switch {
	case len(r.rtts) == 0:
		r.fail(last)
	case float64(r.lost) > p.maxLoss*float64(r.sent):
		r.failAs(reasonLoss, fmt.Errorf("%d of %d packets were lost", r.lost, r.sent))
	default:
		r.ok, r.latency = true, median(r.rtts)
	}
}

// jitter is the mean of the absolute differences between the round-trip times of
// packets that follow each other, in seconds; NaN where no two that do were
// answered. It is the packet delay variation of RFC 3393 of the selection
// "consecutive packets", taken of the round trip: the |D(i-1,i)| of RFC 3550,
// section 6.4.1, averaged over the round instead of smoothed over the past.
func jitter(list []packet) float64 {
	sum, n := time.Duration(0), 0
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if a.sent && b.sent && a.err == nil && b.err == nil {
			sum += max(a.rtt-b.rtt, b.rtt-a.rtt)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum.Seconds() / float64(n)
}

// median returns the middle value; the lower one of two.
func median(list []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(list))
	return s[(len(s)-1)/2]
}
