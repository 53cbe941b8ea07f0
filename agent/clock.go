package agent

import (
	"sync/atomic"
	"time"
)

// Bounds of how the sample clock follows the system clock.
const (
	// A difference beyond stepAfter is a step: somebody set the clock.
	stepAfter = time.Second
	// Below deadband nothing is done: reading two clocks takes time itself.
	deadband = 2 * time.Millisecond
	// slewShare is the most by which a sample clock's second may differ from a
	// second while it closes a small difference: 0.5 %.
	slewShare = 200
)

// Clock is the agent's sample clock: wall time as it was when the agent
// started, carried on by the monotonic clock, so that a set system clock bends
// no series. It follows the system clock by Sync alone: small differences are
// closed slowly, steps beyond one second are adopted at once, and its caller
// calls Sync between frames. Now is safe for concurrent use; Sync is for one
// goroutine.
type Clock struct {
	wall  func() time.Time
	mono  func() time.Duration
	base  int64 // wall nanoseconds at mono = 0
	shift atomic.Int64

	synced time.Duration // mono at the last Sync
}

// NewClock returns a clock that agrees with the system clock now.
func NewClock() *Clock {
	start := time.Now()
	return newClock(func() time.Time { return time.Now().Round(0) }, func() time.Duration { return time.Since(start) })
}

func newClock(wall func() time.Time, mono func() time.Duration) *Clock {
	at := mono()
	return &Clock{wall: wall, mono: mono, base: wall().UnixNano() - int64(at), synced: at}
}

// Now returns the sample time in Unix milliseconds.
func (c *Clock) Now() int64 {
	return (c.base + int64(c.mono()) + c.shift.Load()) / int64(time.Millisecond)
}

// Sync compares with the system clock. It returns the step it adopted, system
// minus sample clock, or 0 where there was none.
func (c *Clock) Sync() time.Duration {
	at := c.mono()
	diff := time.Duration(c.wall().UnixNano() - (c.base + int64(at) + c.shift.Load()))
	elapsed := at - c.synced
	c.synced = at
	switch {
	case diff.Abs() > stepAfter:
		c.shift.Add(int64(diff))
		return diff
	case diff.Abs() > deadband:
		most := elapsed / slewShare
		c.shift.Add(int64(min(max(diff, -most), most)))
	}
	return 0
}
