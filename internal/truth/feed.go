package truth

// feed is one use of a series.
type feed struct {
	role   *role
	group  *group
	length int64
	// Of a counter: the boot that it counts in, the time of its last reading that
	// a collector counted, 0 before the first, and what it grew by since.
	boot  uint64
	last  int64
	grown float64
}

// hostState is what a collector knows of a host when a frame arrives.
type hostState struct {
	boot, seq uint64 // of the last frame that arrived
	newest    int64  // sample time of it
	before    int64  // of the frame before, in the same boot
	missed    bool   // the boot's first frames did not arrive
}

// arrive notes a frame whose newest sample is at the time, and whether it is the
// first of its boot that arrived, others before it being missed.
func (h *hostState) arrive(boot, seq uint64, newest int64, missed bool) {
	if h.boot != boot {
		*h = hostState{boot: boot}
	}
	h.missed = missed
	h.before, h.newest, h.seq = h.newest, newest, seq
}

// arrived counts a sample that reached a collector: in the slot of its time. A
// counter's growth happened before its reading, so it is in the slot that ends
// there or later; across more than a slot it belongs to none. A reading that is
// not later than the last, because the host's clock was set back, counts nothing
// until time has caught up (docs/torture.md).
func (f *feed) arrived(h *hostState, at int64, v float64) {
	if !f.role.counter {
		f.role.add(f.group.slot(at-at%f.length), v)
		return
	}
	f.measured(h.boot, v)
	if f.last != 0 && at <= f.last {
		return
	}
	since := f.last
	if since == 0 {
		since = h.before
	}
	to := &f.group.unplaced
	if since != 0 && at-since <= f.length || since == 0 && !h.missed {
		to = f.group.slot(at - 1 - (at-1)%f.length)
	}
	f.role.add(to, f.grown)
	f.last, f.grown = at, 0
}

// measured notes by how much a counter grew, whether a collector heard of it or
// not: its next reading tells. Another boot begins at nothing.
func (f *feed) measured(boot uint64, v float64) {
	if f.boot != boot {
		f.boot, f.last, f.grown = boot, 0, 0
	}
	f.grown += v
}
