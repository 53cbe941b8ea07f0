package mesh

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testReflector(key []byte, known ...string) *reflector {
	s := sources{}
	for _, a := range known {
		s[netip.MustParseAddr(a)] = true
	}
	r := &reflector{codec: newCodec(key), clock: func() ClockState { return ClockState{Bound: time.Millisecond} },
		known: &atomic.Pointer[sources]{}, limit: newLimiter(), figures: &Figures{}}
	r.known.Store(&s)
	return r
}

func from(addr string) *packet {
	return &packet{from: netip.MustParseAddrPort(addr), at: began, ttl: 61}
}

func TestAReflectorAnswersWhatTheRosterKnows(t *testing.T) {
	r := testReflector(nil, "198.18.0.1")
	b, why := r.answer(r.codec.appendQuestion(nil, vectorQ), from("198.18.0.1:4711"), began)
	if why != notRefused {
		t.Fatalf("refused: %s", why)
	}
	a, err := newCodec(nil).parseAnswer(b)
	if err != nil {
		t.Fatal(err)
	}
	if a.seq != vectorQ.seq || a.asked != vectorQ || a.ttl != 61 || a.received != timestampOf(began) || a.err.synchronised() {
		t.Errorf("answer %+v", a)
	}
	if d := time.Since(began.Add(a.sent.sub(a.received))).Abs(); d > time.Minute {
		t.Errorf("sent %s off", d)
	}
}

func TestWhatAReflectorRefuses(t *testing.T) {
	key := []byte("sixteen or more bytes")
	f := func(r *reflector, b []byte, source string, want refusal) {
		t.Helper()
		if _, got := r.answer(b, from(source), began); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	plain, keyed := testReflector(nil, "198.18.0.1"), testReflector(key, "198.18.0.1")
	q, sealedQ := newCodec(nil).appendQuestion(nil, vectorQ), newCodec(key).appendQuestion(nil, vectorQ)
	f(plain, q, "198.18.0.2:4711", refusedStranger)
	f(plain, q[:40], "198.18.0.1:4711", refusedShort)
	f(plain, nil, "198.18.0.1:4711", refusedShort)
	f(plain, newCodec(nil).appendAnswer(nil, vectorA), "198.18.0.1:9862", refusedEcho)
	f(keyed, q, "198.18.0.1:4711", refusedShort)
	f(keyed, append(sealedQ[:100:100], make([]byte, 12)...), "198.18.0.1:4711", refusedForged)
	f(keyed, sealedQ, "198.18.0.1:4711", notRefused)
	plain.anyone = true
	f(plain, q, "203.0.113.9:4711", notRefused)
	f(testReflector(nil), q, "198.18.0.1:4711", refusedStranger)
}

// An answer is never longer than its question, whatever comes.
func TestAReflectorCannotAmplify(t *testing.T) {
	for _, key := range [][]byte{nil, []byte("sixteen or more bytes")} {
		r := testReflector(key)
		r.anyone = true
		question := r.codec.appendQuestion(nil, vectorQ)
		for n := range 1500 {
			b := append([]byte(nil), question...)
			b = append(b, make([]byte, max(0, n-len(b)))...)[:n]
			now := began.Add(time.Duration(n) * time.Second)
			if reply, why := r.answer(b, from("198.18.0.1:4711"), now); why == notRefused && len(reply) > n || why != notRefused && n >= len(question) {
				t.Fatalf("%d bytes: %d bytes of answer, %s", n, len(reply), why)
			}
		}
	}
}

// One source that floods gets its rate and no more, and the others theirs; many
// that flood get the whole rate and no more.
func TestAReflectorsRateIsBounded(t *testing.T) {
	r := testReflector(nil)
	r.anyone = true
	q := r.codec.appendQuestion(nil, vectorQ)
	flood := func(source string, packets int, over time.Duration) (answered int) {
		for i := range packets {
			if _, why := r.answer(q, from(source), began.Add(over*time.Duration(i)/time.Duration(packets))); why == notRefused {
				answered++
			}
		}
		return answered
	}
	if n := flood("198.18.0.1:1", 100_000, 10*time.Second); n < sourceBurst+9*sourceRate || n > sourceBurst+10*sourceRate {
		t.Errorf("one source was answered %d times in 10 s", n)
	}
	if n := flood("198.18.0.2:1", 50, time.Second); n != 50 {
		t.Errorf("another was answered %d times of 50", n)
	}
	r.limit = newLimiter()
	total := 0
	for i := range 200_000 {
		p := &packet{from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1), at: began}
		if _, why := r.answer(q, p, began.Add(time.Duration(i)*50*time.Microsecond)); why == notRefused {
			total++
		}
	}
	if total > totalBurst+10*totalRate {
		t.Errorf("%d answers in 10 s", total)
	}
	if n := len(r.limit.sources); n > maxSources {
		t.Errorf("%d sources are remembered", n)
	}
}
