package mesh

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

const (
	// Timeout is how long an answer may take; one that takes longer is lost.
	Timeout = time.Second
	// slack is how long a packet's fate waits beyond that for an answer that is
	// here in time and not read yet.
	slack = 200 * time.Millisecond
	// remember is how long an answered or lost packet is told from one never sent.
	remember = 10 * time.Second
	// grace is how long a new pair may be silent without counting as lost: the peer
	// answers only those that it has read of in the roster.
	grace = 2 * time.Minute
)

// reply is an answer as it came in.
type reply struct {
	answer
	from packet
	wall time.Time // T4 by the wall clock
	mono time.Time // T4 by the monotonic clock
	bad  bool
}

// flight is a packet that was sent.
type flight struct {
	seq   uint32
	peer  *peer
	t1    time.Time // wall and monotonic
	asked question
	at    int64 // sample time
	done  bool  // answered or given up
	lost  bool
	got   measured
}

// peer is a host that this one probes.
type peer struct {
	host    Host
	schema  *telemetry.Schema
	since   time.Time
	met     bool // it answered once
	gone    bool
	last    time.Duration // RTT of its last answer; negative before it
	newest  uint32        // greatest sequence answered
	flights []*flight     // in the order sent, the first is still open
}

// prober asks its peers in turn, evenly spaced, and makes a sample of each
// packet. One goroutine, loop, owns it.
type prober struct {
	sock    *socket
	codec   *codec
	every   time.Duration
	now     func() int64 // sample time, Unix ms
	clock   func() ClockState
	sink    telemetry.Sink
	figures *Figures

	peers   []*peer
	turn    int
	seq     uint32
	flights map[uint32]*flight
	order   []*flight // in the order sent
	nextDue time.Time
	// patience is until when nothing is given up, after this process stood still.
	patience time.Time
	buf      []byte
}

func newProber() *prober {
	return &prober{seq: rand.Uint32(), flights: map[uint32]*flight{}, buf: make([]byte, 0, sealedSize)}
}

// read hands answers to the loop until the socket is closed. It has a codec of
// its own.
func (p *prober) read(c *codec, out chan<- reply, stop <-chan struct{}) {
	p.sock.each(p.figures, func(b []byte, in packet) bool {
		select {
		case out <- arrived(c, b, in, time.Now()):
			return true
		case <-stop:
			return false
		}
	})
}

// arrived parses an answer and says when it came: the kernel's time is before
// this program was given the CPU.
func arrived(c *codec, b []byte, in packet, now time.Time) reply {
	r := reply{from: in, wall: now, mono: now}
	var err error
	if r.answer, err = c.parseAnswer(b); err != nil {
		r.bad = true
	}
	if d := now.Round(0).Sub(in.at); !in.at.IsZero() && d >= 0 && d < Timeout {
		r.wall, r.mono = in.at, now.Add(-d)
	}
	return r
}

// loop sends and judges until ctx ends.
func (p *prober) loop(ctx context.Context, replies <-chan reply, peers <-chan []Host) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-replies:
			p.take(&r)
		case hosts := <-peers:
			p.set(hosts, time.Now())
		case <-timer.C:
			now := time.Now()
			if now.Sub(wake) >= slack { // nobody ran: what came meanwhile is read first
				p.patience = now.Add(slack)
			}
			p.expire(now)
			p.sendDue(now)
		}
		wake = p.wake(time.Now())
		timer.Reset(time.Until(wake))
	}
}

// wake is when there is something to do next, now at the earliest.
func (p *prober) wake(now time.Time) time.Time {
	next := now.Add(remember)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(p.peers) > 0 {
		sooner(p.nextDue)
	}
	if f := p.firstOpen(); f != nil {
		sooner(later(f.t1.Add(Timeout+slack), p.patience))
	}
	return later(next, now)
}

func later(t, u time.Time) time.Time {
	if t.After(u) {
		return t
	}
	return u
}

// firstOpen is the oldest packet whose fate is open.
func (p *prober) firstOpen() *flight {
	for _, f := range p.order {
		if !f.done {
			return f
		}
	}
	return nil
}

// set replaces the peers; those that stay go on undisturbed, and those that are
// gone give no more samples.
func (p *prober) set(hosts []Host, now time.Time) {
	old := make(map[Host]*peer, len(p.peers))
	for _, e := range p.peers {
		old[e.host] = e
		e.gone = true
	}
	if len(p.peers) == 0 {
		p.nextDue = now.Add(rand.N(p.every))
	}
	p.peers = p.peers[:0]
	for _, h := range hosts {
		e := old[h]
		if e == nil {
			e = &peer{host: h, schema: schemaOf(h), since: now, last: -1}
		}
		e.gone = false
		p.peers = append(p.peers, e)
	}
	p.figures.peers.Store(int64(len(p.peers)))
}

// sendDue asks the peer whose turn it is. Turns that passed while nobody ran are
// left out: the rate is fixed.
func (p *prober) sendDue(now time.Time) {
	if len(p.peers) == 0 || now.Before(p.nextDue) {
		return
	}
	p.nextDue = p.nextDue.Add(p.every)
	if late := now.Sub(p.nextDue); late > 0 {
		missed := late/p.every + 1
		p.figures.missedTurn.Add(uint64(missed))
		p.nextDue = p.nextDue.Add(missed * p.every)
	}
	p.turn = (p.turn + 1) % len(p.peers)
	p.ask(p.peers[p.turn])
}

// ask sends a packet to a peer.
func (p *prober) ask(to *peer) {
	p.seq++
	f := &flight{seq: p.seq, peer: to, at: p.now(), t1: time.Now()}
	f.asked = question{seq: f.seq, sent: timestampOf(f.t1), err: p.clock().estimate()}
	p.buf = p.codec.appendQuestion(p.buf[:0], f.asked)
	err := p.sock.write(p.buf, to.host.Addr, netip.Addr{})
	switch {
	case err == nil:
		p.figures.sent.Add(1)
	case errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH):
		p.figures.sent.Add(1) // the network's word, not this host's: it runs into its time-out
	default:
		p.figures.sendErrors.Add(1)
		return
	}
	p.flights[f.seq] = f
	p.order = append(p.order, f)
	to.flights = append(to.flights, f)
}

// take deals with what came in.
func (p *prober) take(r *reply) {
	if r.bad {
		p.figures.strays[strayBad].Add(1)
		return
	}
	f := p.flights[r.asked.seq]
	if f == nil || r.asked != f.asked || r.from.from != f.peer.host.Addr {
		p.figures.strays[strayUnknown].Add(1)
		return
	}
	total := r.mono.Sub(f.t1)
	switch {
	case f.done && !f.lost:
		p.figures.strays[strayDuplicate].Add(1)
		return
	case f.done || total > Timeout:
		p.figures.strays[strayLate].Add(1)
		return
	}
	f.done = true
	p.figures.answers.Add(1)
	to := f.peer
	if to.met && int32(f.seq-to.newest) < 0 {
		p.figures.reordered.Add(1)
	} else {
		to.newest = f.seq
	}
	to.met = true
	f.got = measure(f, r, total)
	p.settle(to)
}

// measure makes delays of the four times. The reflector's own time is taken off
// the whole where it can be right. One-way delays need clocks that follow UTC at
// both ends, and whose errors together are smaller than the round trip: else
// they would tell of clocks and not of the network.
func measure(f *flight, r *reply, total time.Duration) measured {
	m := measured{rtt: max(total, 0), forward: -1, backward: -1, jitter: -1}
	if dwell := r.sent.sub(r.received); dwell >= 0 && dwell <= total {
		m.rtt = total - dwell
	}
	mine, theirs := f.asked.err, r.err
	if mine.synchronised() && theirs.synchronised() && mine.bound()+theirs.bound() <= m.rtt {
		there, back := r.received.sub(f.asked.sent), timestampOf(r.wall).sub(r.sent)
		if there >= 0 && back >= 0 {
			m.forward, m.backward = there, back
		}
	}
	return m
}

// settle gives samples of the packets whose fate is known, in the order sent.
func (p *prober) settle(to *peer) {
	for len(to.flights) > 0 && to.flights[0].done {
		f := to.flights[0]
		to.flights = to.flights[1:]
		switch {
		case to.gone:
		case !f.lost:
			if to.last >= 0 {
				f.got.jitter = (f.got.rtt - to.last).Abs()
			}
			to.last = f.got.rtt
			p.sink(round(to.schema, f.at, &f.got))
		case !to.met && f.t1.Sub(to.since) < grace:
			p.figures.unmet.Add(1)
		default:
			p.figures.lost.Add(1)
			p.sink(round(to.schema, f.at, nil))
		}
	}
}

// expire gives up what had no answer in time, and forgets what is long past.
func (p *prober) expire(now time.Time) {
	if now.Before(p.patience) {
		return
	}
	for _, f := range p.order {
		age := now.Sub(f.t1)
		if age < Timeout+slack {
			break
		}
		if !f.done {
			f.done, f.lost = true, true
			p.settle(f.peer)
		}
	}
	n := 0
	for n < len(p.order) && now.Sub(p.order[n].t1) >= remember {
		delete(p.flights, p.order[n].seq)
		n++
	}
	p.order = p.order[n:]
}
