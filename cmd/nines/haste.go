package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"nines/internal/bus"
)

const (
	// hastyPercent is the most garbage that may pile up while a role catches up,
	// as a percentage of what lives, and spareHeap how much that may be at most
	// where it is more than usual, in bytes.
	hastyPercent = 400
	spareHeap    = 128 << 20
	// piledUp is how old what is read next must be for a loop to be catching up.
	piledUp = 30 * time.Second
	// hasteLook is the time between two looks, and calmFor for how long nobody
	// may have been catching up before memory counts as usual again.
	hasteLook = 250 * time.Millisecond
	calmFor   = 5 * time.Second
)

// haste collects garbage less often while roles read what has piled up, as after
// a start or an outage: collecting takes a sixth of the CPU time then, for memory
// that is given back a little later. Whoever sets GOGC is left alone, and
// GOMEMLIMIT holds whatever the percentage is.
type haste struct {
	loads []func(time.Time) []bus.LoadView
	// set sets the percentage and returns the one before; live is how many bytes
	// the last collection left.
	set  func(percent int) int
	live func() uint64

	usual, now int
	hurried    time.Time // when somebody was catching up last
}

// newHaste begins to hurry: what starts has much to read.
func newHaste() *haste {
	h := &haste{set: debug.SetGCPercent, live: liveHeap}
	if _, chosen := os.LookupEnv("GOGC"); chosen {
		h.set = nil
		return h
	}
	h.begin(time.Now())
	return h
}

func (h *haste) begin(now time.Time) {
	h.usual, h.now, h.hurried = h.set(hastyPercent), hastyPercent, now
}

// Run looks at the loops until the context ends.
func (h *haste) Run(ctx context.Context) error {
	tick := time.NewTicker(hasteLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			h.look(now)
		}
	}
}

// look sets the percentage that suits how the loops stand.
func (h *haste) look(now time.Time) {
	if h.set == nil {
		return
	}
	for _, views := range h.loads {
		for _, v := range views(now) {
			if catchesUp(&v) {
				h.hurried = now
			}
		}
	}
	percent := h.usual
	if now.Sub(h.hurried) < calmFor {
		percent = hastyFor(h.usual, h.live())
	}
	// To set it waits for a collection that is under way.
	if percent == h.usual && h.now != h.usual || percent < h.now*9/10 || percent > h.now*11/10 {
		h.set(percent)
		h.now = percent
	}
}

// end makes the percentage what it was.
func (h *haste) end() {
	if h.set != nil && h.now != h.usual {
		h.set(h.usual)
		h.now = h.usual
	}
}

// catchesUp tells whether the loop reads what has piled up, or has not begun.
func catchesUp(v *bus.LoadView) bool {
	return v.Owned && v.LagRecords != 0 && (v.LagSeconds < 0 || v.LagSeconds > piledUp.Seconds())
}

// hastyFor returns the percentage by which what piles up beyond live bytes stays
// within spareHeap.
func hastyFor(usual int, live uint64) int {
	return min(max(int(spareHeap*100/max(live, 1)), usual), max(hastyPercent, usual))
}

// liveHeap is how many bytes were live at the last collection.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
