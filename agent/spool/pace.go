package spool

import "time"

const (
	// paceAfter is how old the samples of a frame are when it counts as backlog;
	// what waited for less leaves at once.
	paceAfter = 10 * time.Second
	// paceHole is the most of time without samples that is paced: a host that was
	// off for a day has nothing to send of it.
	paceHole = 5 * time.Second
	// paceSpread is the longest that a backlog's first frame waits for, in parts
	// of the backlog's age; and paceSpreadMost in all.
	paceSpread     = 20
	paceSpreadMost = 30 * time.Second
)

// Pacer says when a backlog's frames leave. They leave in order, so that the
// newest wait for all before them: a backlog is not held to bytes a second but
// to a multiple of the speed at which it was measured, which is a share of what
// the broker takes from the same host every day, and is over after its length
// divided by the multiple less one. Frames that are on time never wait.
type Pacer struct {
	// Speed is how many seconds of samples leave in a second; above 1.
	Speed float64
	// Draw is a random number in [0, 1) of this agent's own: a fleet that has lost
	// its broker does not begin to send in the same instant.
	Draw float64

	behind bool
	last   int64     // newest sample time that left, Unix milliseconds
	due    time.Time // when the next frame may leave
}

// Wait returns how long a frame waits before it is sent. now tells how time
// passes; sampled is what the clock shows that times samples, Unix milliseconds.
func (p *Pacer) Wait(it *Item, now time.Time, sampled int64) time.Duration {
	age := time.Duration(sampled-it.To) * time.Millisecond
	if age < paceAfter {
		p.behind, p.last = false, it.To
		return 0
	}
	if !p.behind || now.Sub(p.due) > paceAfter { // the broker is back, or back again
		p.behind, p.due = true, now.Add(time.Duration(p.Draw*float64(min(age/paceSpread, paceSpreadMost))))
	} else {
		step := min(max(time.Duration(it.To-p.last)*time.Millisecond, 0), paceHole)
		p.due = p.due.Add(time.Duration(float64(step) / p.Speed))
	}
	p.last = it.To
	if late := now.Sub(p.due); late > 0 { // the broker is slower than the pace: nothing is made up
		p.due = now
		return 0
	}
	return p.due.Sub(now)
}
