package host

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestFlapsCountEachEventOnce(t *testing.T) {
	type round struct {
		up     bool
		downed float64
	}
	none := math.NaN()
	f := func(name string, want uint64, rounds ...round) {
		t.Helper()
		var fl flaps
		for _, r := range rounds {
			fl.add(r.up, r.downed)
		}
		if fl.total != want {
			t.Errorf("%s: %d flaps, want %d", name, fl.total, want)
		}
	}
	f("what was before the agent does not count", 0, round{false, 7}, round{true, 7}, round{true, 7})
	f("down and up again between two rounds", 1, round{true, 3}, round{true, 4})
	f("twice between two rounds", 2, round{true, 3}, round{true, 5})
	f("down, seen by both at once", 1, round{true, 3}, round{false, 4}, round{false, 4}, round{true, 4})
	f("down, the counter a round late", 1, round{true, 3}, round{false, 3}, round{false, 4}, round{true, 4})
	f("down, the counter seen when it is up again", 1, round{true, 3}, round{false, 3}, round{true, 4})
	f("down, and twice more before it stays up", 3, round{true, 3}, round{false, 3}, round{true, 6})
	f("a driver that does not count", 2, round{true, 0}, round{false, 0}, round{true, 0}, round{false, 0})
	f("no such counter (N/A)", 1, round{true, none}, round{false, none}, round{true, none})
	f("a driver that does not count one event counts the next", 2, round{true, 0}, round{false, 0}, round{true, 0}, round{true, 1})
	f("saturated at 255", 1, round{true, 255}, round{false, 255}, round{true, 255})
	f("cleared by perfquery -R", 0, round{true, 9}, round{true, 0})
	f("cleared, then down once", 1, round{true, 9}, round{true, 1})
	f("a counter that cannot be read for a while", 1, round{true, 3}, round{true, none}, round{true, 4})
	f("up all the time", 0, round{true, 3}, round{true, 3}, round{true, 3})
}

// A port whose driver counts every event, read at any rate: the flaps are the
// events, but for those while it was never up.
func TestFlapsAreTheEventsOfADriverThatCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fl flaps
		up, downed, want := true, 100.0, uint64(0)
		fl.add(up, downed)
		for _, toggles := range rapid.SliceOf(rapid.IntRange(0, 5)).Draw(t, "toggles between rounds") {
			for range toggles {
				if up {
					downed++
					want++
				}
				up = !up
			}
			fl.add(up, downed)
			if fl.total != want {
				t.Fatalf("%d flaps, want %d", fl.total, want)
			}
		}
	})
}

// A port whose driver counts nothing: the flaps are the falls that rounds see.
func TestFlapsAreTheFallsThatRoundsSee(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fl flaps
		fl.add(true, 0)
		last, want := true, uint64(0)
		for _, up := range rapid.SliceOf(rapid.Bool()).Draw(t, "up") {
			if last && !up {
				want++
			}
			last = up
			fl.add(up, 0)
		}
		if fl.total != want {
			t.Fatalf("%d flaps, want %d", fl.total, want)
		}
	})
}
