package mesh

import (
	"net/netip"
	"time"
)

// Rates of a reflector. A prober asks a peer at most at its whole rate, 50 a
// second, and no reflector has more than zones × k of them.
const (
	sourceRate, sourceBurst = 60, 120
	totalRate, totalBurst   = 2000, 2000
	maxSources              = 4096
)

// bucket is a token bucket; the zero value is full at any time.
type bucket struct {
	used float64 // of the burst
	at   time.Time
}

// fill lets time pass.
func (b *bucket) fill(now time.Time, rate float64) {
	if d := now.Sub(b.at); d > 0 {
		b.used = max(0, b.used-d.Seconds()*rate)
		b.at = now
	}
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	b.fill(now, rate)
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

// limiter bounds what a reflector answers, for each source and in all. It is for
// one goroutine.
type limiter struct {
	total   bucket
	sources map[netip.Addr]*bucket
	others  bucket // of sources beyond the most that are kept apart
	cleared time.Time
}

func newLimiter() *limiter { return &limiter{sources: map[netip.Addr]*bucket{}} }

// allow takes a token for an answer to the source.
func (l *limiter) allow(from netip.Addr, now time.Time) bool {
	b := l.sources[from]
	if b == nil {
		b = l.add(from, now)
	}
	return b.take(now, sourceRate, sourceBurst) && l.total.take(now, totalRate, totalBurst)
}

// add finds a bucket for a new source; buckets that are full again are as good
// as none and make room.
func (l *limiter) add(from netip.Addr, now time.Time) *bucket {
	if len(l.sources) >= maxSources && now.Sub(l.cleared) > time.Second {
		l.cleared = now
		for a, b := range l.sources {
			if b.fill(now, sourceRate); b.used == 0 {
				delete(l.sources, a)
			}
		}
	}
	if len(l.sources) >= maxSources {
		return &l.others
	}
	b := &bucket{}
	l.sources[from] = b
	return b
}
