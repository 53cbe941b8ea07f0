package host

import "math"

// flaps counts how often a port went down. The port's own counter (link_downed)
// sees what happens between two rounds, but not every driver counts there, and
// it stops at 255 on many; the state sees a port that stays down. Both together,
// each event once:
//
//   - every step of link_downed is one; a counter that fell was cleared, and
//     counts from zero;
//   - a port that was up in the round before and is not now is one, unless
//     link_downed grew in the same round: then that was it;
//   - a step of link_downed that follows such a change before the port is up
//     again is the same event.
//
// link_downed is read before the state, so that a port that is up again has
// counted already what it was down for. The first round counts nothing.
type flaps struct {
	begun, up bool
	downed    float64 // NaN where there is no counter
	owed      bool    // counted by the state, not yet seen in link_downed
	total     uint64
}

// add takes what one round saw. up is false also for a device that is gone.
func (f *flaps) add(up bool, downed float64) {
	if !f.begun {
		*f = flaps{begun: true, up: up, downed: downed}
		return
	}
	grown := growth(f.downed, downed)
	if f.owed && grown > 0 {
		grown--
		f.owed = false
	}
	fell := f.up && !up
	switch {
	case grown > 0:
		f.total += grown
	case fell:
		f.total++
		f.owed = true
	}
	if up {
		f.owed = false
	}
	f.up = up
	if !math.IsNaN(downed) {
		f.downed = downed
	}
}

// growth is by how much a counter grew that may have been cleared between.
func growth(before, now float64) uint64 {
	switch {
	case math.IsNaN(now), math.IsNaN(before):
		return 0
	case now < before:
		return uint64(now)
	}
	return uint64(now - before)
}
