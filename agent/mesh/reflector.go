package mesh

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
)

// reflector answers the questions of other agents: a stateless
// Session-Reflector (RFC 8762, 4.3). Nothing it sends is longer than what came,
// nothing goes anywhere but back, it never answers an answer, and it answers at
// a bounded rate.
type reflector struct {
	sock    *socket
	codec   *codec
	clock   func() ClockState
	known   *atomic.Pointer[sources]
	anyone  bool
	limit   *limiter
	figures *Figures
	out     []byte
}

// sources are the addresses that are answered.
type sources map[netip.Addr]bool

// run answers until the socket is closed.
func (r *reflector) run() {
	r.sock.each(r.figures, func(b []byte, p packet) bool {
		r.reflect(b, &p)
		return true
	})
}

func (r *reflector) reflect(b []byte, p *packet) {
	reply, why := r.answer(b, p, time.Now())
	if why != notRefused {
		r.figures.refused[why].Add(1)
		return
	}
	if err := r.sock.write(reply, p.from, p.to); err != nil {
		r.figures.refused[refusedSend].Add(1)
		return
	}
	r.figures.answered.Add(1)
}

// answer decides about one packet that was read at now. The answer is valid
// until the next call.
func (r *reflector) answer(b []byte, p *packet, now time.Time) ([]byte, refusal) {
	if len(b) < r.codec.size() {
		return nil, refusedShort
	}
	if !r.anyone {
		if known := r.known.Load(); known == nil || !(*known)[p.from.Addr()] {
			return nil, refusedStranger
		}
	}
	q, err := r.codec.parseQuestion(b)
	switch {
	case errors.Is(err, errForged):
		return nil, refusedForged
	case err != nil:
		return nil, refusedEcho
	case !r.limit.allow(p.from.Addr(), now):
		return nil, refusedRate
	}
	received := p.at
	if received.IsZero() {
		received = now
	}
	r.out = r.codec.appendAnswer(r.out[:0], answer{
		seq: q.seq, sent: timestampOf(time.Now()), err: r.clock().estimate(), received: timestampOf(received), asked: q, ttl: p.ttl,
	})
	return r.out, notRefused
}
