package mesh

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nines/internal/telemetry"
)

// samples collects what a prober measured, by peer and name.
type samples struct {
	mu     sync.Mutex
	rounds []telemetry.Round
}

func (s *samples) sink(r telemetry.Round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds = append(s.rounds, r)
}

// of returns the values of a series towards a peer, NaN where absent.
func (s *samples) of(peer, name string) []float64 { return s.since(0, peer, name) }

// since returns those of packets that were sent after a time, Unix ms.
func (s *samples) since(at int64, peer, name string) (out []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rounds {
		if r.Time < at {
			continue
		}
		b := telemetry.Block{Absent: r.Absent}
		for i, sr := range r.Schema.Series {
			if sr.Name != name || sr.Labels.Get("peer") != peer {
				continue
			}
			v := r.Values[i]
			if b.IsAbsent(i) {
				v = math.NaN()
			}
			out = append(out, v)
		}
	}
	return out
}

func testHost(name, zone, addr string) Host {
	return Host{Name: name, Zone: zone, Region: "r", Addr: netip.MustParseAddrPort(addr)}
}

// testProber has one peer, which it met, and no socket.
func testProber() (*prober, *peer, *samples) {
	s := &samples{}
	p := newProber()
	p.every, p.sink, p.figures, p.codec = 200*time.Millisecond, s.sink, &Figures{}, newCodec(nil)
	p.set([]Host{testHost("b", "z", "198.18.0.2:9862")}, began)
	p.peers[0].met, p.peers[0].newest = true, p.seq
	return p, p.peers[0], s
}

// sent stands for a packet that left at t.
func (p *prober) sent(to *peer, t time.Time, clock ClockState) *flight {
	p.seq++
	f := &flight{seq: p.seq, peer: to, t1: t, at: t.UnixMilli()}
	f.asked = question{seq: p.seq, sent: timestampOf(t), err: clock.estimate()}
	p.flights[f.seq] = f
	p.order = append(p.order, f)
	to.flights = append(to.flights, f)
	return f
}

// replyTo stands for an answer: the peer's clock is offset ahead, it got the
// packet after there, kept it for dwell, and it took back.
func replyTo(f *flight, there, dwell, back, offset time.Duration, clock ClockState) *reply {
	t2 := f.t1.Add(there + offset)
	t4 := f.t1.Add(there + dwell + back)
	return &reply{
		answer: answer{seq: f.seq, received: timestampOf(t2), sent: timestampOf(t2.Add(dwell)), err: clock.estimate(), asked: f.asked},
		from:   packet{from: f.peer.host.Addr}, wall: t4, mono: t4,
	}
}

const ms = time.Millisecond

func near(a, b float64) bool { return math.Abs(a-b) < 1e-8 || math.IsNaN(a) && math.IsNaN(b) }

func TestDelaysOfAnAnswer(t *testing.T) {
	synced, loose, off := ClockState{true, 1 * ms}, ClockState{true, 30 * ms}, ClockState{false, time.Millisecond}
	f := func(name string, there, dwell, back, offset time.Duration, mine, theirs ClockState, rtt, forward, backward float64) {
		t.Helper()
		p, to, s := testProber()
		p.take(replyTo(p.sent(to, began, mine), there, dwell, back, offset, theirs))
		for series, want := range map[string]float64{
			"mesh_success": 1, "mesh_rtt_seconds": rtt, "mesh_forward_seconds": forward, "mesh_backward_seconds": backward, "mesh_jitter_seconds": math.NaN(),
		} {
			if got := s.of("b", series); len(got) != 1 || !near(got[0], want) {
				t.Errorf("%s: %s %v, want %v", name, series, got, want)
			}
		}
	}
	no := math.NaN()
	f("clocks agree", 10*ms, 5*ms, 12*ms, 0, synced, synced, 0.022, 0.010, 0.012)
	f("the peer's clock is nobody's", 10*ms, 5*ms, 12*ms, 0, synced, off, 0.022, no, no)
	f("ours is", 10*ms, 5*ms, 12*ms, 0, off, synced, 0.022, no, no)
	f("the peer's clock is an hour ahead", 10*ms, 5*ms, 12*ms, time.Hour, synced, synced, 0.022, no, no)
	f("clocks may be further off than the way is long", 10*ms, 5*ms, 12*ms, 0, loose, loose, 0.022, no, no)
	f("the peer's clock was set back in between", 10*ms, -time.Second, 10*ms+time.Second, 0, off, off, 0.020, no, no)
}

func TestLossIsKnownAfterASecond(t *testing.T) {
	p, to, s := testProber()
	first := p.sent(to, began, ClockState{})
	second := p.sent(to, began.Add(600*ms), ClockState{})
	p.take(replyTo(second, ms, 0, ms, 0, ClockState{}))
	if got := s.of("b", "mesh_success"); len(got) != 0 {
		t.Fatalf("samples %v overtook one whose fate is open", got)
	}
	p.expire(began.Add(Timeout))
	if got := s.of("b", "mesh_success"); len(got) != 0 {
		t.Fatalf("given up before its slack: %v", got)
	}
	p.expire(began.Add(Timeout + slack))
	if got := s.of("b", "mesh_success"); !slices.Equal(got, []float64{0, 1}) {
		t.Fatalf("samples %v", got)
	}
	if at := []int64{s.rounds[0].Time, s.rounds[1].Time}; !slices.Equal(at, []int64{first.at, second.at}) {
		t.Errorf("samples at %v", at)
	}
	p.take(replyTo(first, time.Second, 0, time.Second, 0, ClockState{}))
	if n := p.figures.strays[strayLate].Load(); n != 1 || len(s.rounds) != 2 {
		t.Errorf("%d late, %d samples", n, len(s.rounds))
	}
	// One that came within the slack, but not in time, is late and lost.
	third := p.sent(to, began.Add(5*time.Second), ClockState{})
	p.take(replyTo(third, time.Second, 0, 100*ms, 0, ClockState{}))
	p.expire(third.t1.Add(Timeout + slack))
	if got := s.of("b", "mesh_success"); got[len(got)-1] != 0 || p.figures.strays[strayLate].Load() != 2 {
		t.Errorf("samples %v", got)
	}
	p.expire(began.Add(time.Minute))
	if len(p.flights) != 0 || len(p.order) != 0 || len(to.flights) != 0 {
		t.Errorf("%d packets are remembered for ever", len(p.flights))
	}
}

func TestAnswersThatNobodyAskedFor(t *testing.T) {
	p, to, s := testProber()
	f := p.sent(to, began, ClockState{})
	is := func(r *reply, want stray) {
		t.Helper()
		before := p.figures.strays[want].Load()
		p.take(r)
		if p.figures.strays[want].Load() != before+1 {
			t.Errorf("not counted as %s", want)
		}
	}
	elsewhere := replyTo(f, ms, 0, ms, 0, ClockState{})
	elsewhere.from.from = netip.MustParseAddrPort("198.18.0.3:9862")
	is(elsewhere, strayUnknown)
	port := replyTo(f, ms, 0, ms, 0, ClockState{})
	port.from.from = netip.MustParseAddrPort("198.18.0.2:9863")
	is(port, strayUnknown)
	never := replyTo(f, ms, 0, ms, 0, ClockState{})
	never.asked.seq += 17
	is(never, strayUnknown)
	guessed := replyTo(f, ms, 0, ms, 0, ClockState{})
	guessed.asked.sent++
	is(guessed, strayUnknown)
	is(&reply{bad: true}, strayBad)
	if len(s.rounds) != 0 {
		t.Fatalf("they made samples: %v", s.rounds)
	}
	p.take(replyTo(f, ms, 0, ms, 0, ClockState{}))
	is(replyTo(f, ms, 0, ms, 0, ClockState{}), strayDuplicate)
	if got := s.of("b", "mesh_success"); !slices.Equal(got, []float64{1}) {
		t.Errorf("samples %v", got)
	}
}

func TestReorderedAnswersAndJitter(t *testing.T) {
	p, to, s := testProber()
	a, b := p.sent(to, began, ClockState{}), p.sent(to, began.Add(200*ms), ClockState{})
	lost := p.sent(to, began.Add(400*ms), ClockState{})
	c := p.sent(to, began.Add(600*ms), ClockState{})
	p.take(replyTo(b, 10*ms, 0, 10*ms, 0, ClockState{}))
	p.take(replyTo(a, 200*ms, 0, 100*ms, 0, ClockState{}))
	p.take(replyTo(c, 10*ms, 0, 15*ms, 0, ClockState{}))
	p.expire(lost.t1.Add(Timeout + slack))
	if n := p.figures.reordered.Load(); n != 1 {
		t.Errorf("%d reordered", n)
	}
	want := []float64{math.NaN(), 0.28, math.NaN(), 0.005}
	if got := s.of("b", "mesh_jitter_seconds"); !slices.EqualFunc(got, want, near) {
		t.Errorf("jitter %v, want %v", got, want)
	}
}

func TestANewPairMayBeSilentAtFirst(t *testing.T) {
	p, to, s := testProber()
	to.met = false
	p.sent(to, began, ClockState{})
	p.expire(began.Add(2 * time.Second))
	if len(s.rounds) != 0 || p.figures.unmet.Load() != 1 {
		t.Fatalf("samples %v", s.rounds)
	}
	f := p.sent(to, began.Add(3*time.Second), ClockState{})
	p.take(replyTo(f, ms, 0, ms, 0, ClockState{}))
	p.sent(to, began.Add(4*time.Second), ClockState{})
	p.expire(began.Add(6 * time.Second))
	if got := s.of("b", "mesh_success"); !slices.Equal(got, []float64{1, 0}) {
		t.Errorf("samples %v", got)
	}
	p, to, s = testProber()
	to.met = false
	p.sent(to, began.Add(grace), ClockState{})
	p.expire(began.Add(grace + 2*time.Second))
	if got := s.of("b", "mesh_success"); !slices.Equal(got, []float64{0}) {
		t.Errorf("one that stays silent: %v", got)
	}
}

func TestAPeerThatIsGoneHasNoMoreSamples(t *testing.T) {
	p, to, s := testProber()
	stays := p.peers[0].host
	f := p.sent(to, began, ClockState{})
	p.set([]Host{stays, testHost("c", "z", "198.18.0.3:9862")}, began)
	p.take(replyTo(f, ms, 0, ms, 0, ClockState{}))
	if got := s.of("b", "mesh_success"); len(got) != 1 {
		t.Fatalf("a change disturbed a peer that stayed: %v", got)
	}
	p.sent(to, began.Add(time.Second), ClockState{})
	p.set(nil, began.Add(time.Second))
	p.expire(began.Add(time.Minute))
	if got := s.of("b", "mesh_success"); len(got) != 1 {
		t.Errorf("samples of a peer that is gone: %v", got)
	}
}

// The kernel's time counts, not when this process was given the CPU.
func TestAnswersAreTimedByTheKernel(t *testing.T) {
	c := newCodec(nil)
	b := c.appendAnswer(nil, vectorA)
	now := time.Now()
	f := func(kernel time.Time, want time.Duration) {
		t.Helper()
		r := arrived(c, b, packet{at: kernel}, now)
		if got := now.Sub(r.mono); r.bad || (got-want).Abs() > time.Microsecond {
			t.Errorf("%v before now, want %v", got, want)
		}
	}
	f(now.Round(0).Add(-300*ms), 300*ms)
	f(time.Time{}, 0)
	f(now.Round(0).Add(-time.Hour), 0) // the clock was set
	f(now.Round(0).Add(time.Hour), 0)
	if r := arrived(c, b[:20], packet{}, now); !r.bad {
		t.Error("a cut answer was taken")
	}
}

// pair runs a prober and the reflector that it asks, over the loopback.
func TestPacketsOverTheLoopback(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "keyed": []byte("sixteen or more bytes")} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			overLoopback(t, key, "127.0.0.1:0", "127.0.0.1")
			overLoopback(t, key, "[::1]:0", "::1")
		})
	}
}

func overLoopback(t *testing.T, key []byte, listen, known string) {
	t.Helper()
	open := func() *socket {
		s, err := openSocket(netip.MustParseAddrPort(listen))
		if err != nil {
			t.Skipf("no such address here: %v", err)
		}
		return s
	}
	clock := func() ClockState { return ClockState{Synchronised: true} }
	r := testReflector(key, known)
	r.sock, r.clock = open(), clock
	s := &samples{}
	p := newProber()
	p.sock, p.codec, p.every, p.now, p.clock, p.sink, p.figures = open(), newCodec(key), 5*ms, func() int64 { return time.Now().UnixMilli() }, clock, s.sink, &Figures{}

	ctx, cancel := context.WithCancel(t.Context())
	replies, peers, stop := make(chan reply), make(chan []Host, 1), make(chan struct{})
	peers <- []Host{{Name: "b", Zone: "z", Addr: r.sock.local()}}
	var wg sync.WaitGroup
	wg.Go(r.run)
	wg.Go(func() { p.read(newCodec(key), replies, stop) })
	wg.Go(func() { p.loop(ctx, replies, peers) })
	deadline := time.Now().Add(20 * time.Second)
	for len(s.of("b", "mesh_rtt_seconds")) < 25 && time.Now().Before(deadline) {
		<-time.After(ms)
	}
	cancel()
	close(stop)
	r.sock.close()
	p.sock.close()
	wg.Wait()
	rtt, there := s.of("b", "mesh_rtt_seconds"), s.of("b", "mesh_forward_seconds")
	answered := 0
	for i, d := range rtt {
		if math.IsNaN(d) {
			continue
		}
		answered++
		if d <= 0 || d > Timeout.Seconds() {
			t.Errorf("round trip of %v s", d)
		}
		if there[i] < 0 || there[i] > Timeout.Seconds() {
			t.Errorf("one way of %v s", there[i])
		}
	}
	if answered < 20 || r.figures.answered.Load() < 20 {
		t.Fatalf("%d answers of %d packets, %d reflected", answered, len(rtt), r.figures.answered.Load())
	}
}
