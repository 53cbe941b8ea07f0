package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// renewEvery is how often a host says that it is still there, and validFor how
	// long it counts as being there.
	renewEvery = 5 * time.Minute
	validFor   = 3 * renewEvery
	// answerFor is how much longer its questions are answered: it may go on with
	// what it knows, while it cannot reach Kafka to renew.
	answerFor = time.Hour
	// maxEntries bounds what somebody who writes rubbish can make us keep.
	maxEntries = 1 << 16
)

var errFull = errors.New("the roster is full")

// roster is what this host has read of who takes part. It reads no clock.
type roster struct {
	entries map[seat]entry
}

func newRoster() *roster { return &roster{entries: map[seat]entry{}} }

// apply takes a record, in the log's order: the last of a seat counts. No value
// frees the seat. now is Unix ms.
func (r *roster) apply(key string, value []byte, now int64) error {
	at, err := parseSeat(key)
	if err != nil {
		return err
	}
	if len(value) == 0 {
		delete(r.entries, at)
		return nil
	}
	e, err := parseEntry(value)
	if err != nil {
		return err
	}
	if e.host.Zone != at.zone {
		return fmt.Errorf("key %q holds a host of zone %q", key, e.host.Zone)
	}
	e.announced = min(e.announced, now) // by a clock ahead of ours, or for ever
	if _, had := r.entries[at]; !had && len(r.entries) >= maxEntries {
		return errFull
	}
	r.entries[at] = e
	return nil
}

// prune forgets what expired long ago.
func (r *roster) prune(now int64) {
	for at, e := range r.entries {
		if now > e.until()+answerFor.Milliseconds() {
			delete(r.entries, at)
		}
	}
}

// live returns the hosts that are there at the time and that a host with the
// given address can reach: of its family, and of this machine where it is itself
// known by a loopback address only. They are sorted by zone and name.
func (r *roster) live(now int64, self Host) []Host {
	var out []Host
	own := self.Addr.Addr()
	for _, e := range r.entries {
		a := e.host.Addr.Addr()
		if now < e.until() && a.Is4() == own.Is4() && a.IsLoopback() == own.IsLoopback() {
			out = append(out, e.host)
		}
	}
	slices.SortFunc(out, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr))
	})
	return slices.CompactFunc(out, func(a, b Host) bool { return a.Zone == b.Zone && a.Name == b.Name })
}

// known returns whose questions are answered.
func (r *roster) known() sources {
	out := make(sources, len(r.entries))
	for _, e := range r.entries {
		out[e.host.Addr.Addr()] = true
	}
	return out
}

// seat returns the slot that a host has, or is to take: the one that the roster
// gives it, be it from before a restart, else the first of its own order that is
// free. A host that is there keeps its slot whoever comes. ok is false where all
// are taken; then the host stands by.
func (r *roster) seat(self Host, slots int, now int64) (slot int, ok bool) {
	free := -1
	for _, s := range slotsOf(self.Name, slots) {
		e, taken := r.entries[seat{self.Zone, s}]
		switch {
		case taken && e.host.Name == self.Name:
			return s, true
		case free < 0 && (!taken || now >= e.until()):
			free = s
		}
	}
	return free, free >= 0
}

// slotsOf returns the slots in the order in which a host wants them.
func slotsOf(host string, slots int) []int {
	id := xxhash.Sum64String(host)
	out := make([]int, slots)
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(weigh(id, uint64(a)), weigh(id, uint64(b))) })
	return out
}
