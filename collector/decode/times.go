package decode

import "slices"

// maxRuns bounds what is remembered of a series' times.
const maxRuns = 16

// Times remembers which times a series has had a value of, as runs of times at
// equal distances: a series that is measured at an interval needs one run,
// however long it is. Of one that is not, the newest times are remembered, two
// or more a run; at or before Floor, nothing is known any more.
type Times struct {
	Runs  []Run // by their ends
	Floor int64
	Some  bool // Floor holds: something was forgotten
}

// Run is the times Last, Last-Step, …, N in all.
type Run struct{ Last, Step, N int64 }

func (r *Run) has(t int64) bool {
	if t == r.Last {
		return true
	}
	if t > r.Last || r.Step <= 0 {
		return false
	}
	back := uint64(r.Last) - uint64(t)
	return back%uint64(r.Step) == 0 && back/uint64(r.Step) < uint64(r.N)
}

// extend adds a time at either end of the run, if it lies there.
func (r *Run) extend(t int64) bool {
	step := t - r.Last
	if step <= 0 || step != r.Step && r.N > 1 {
		return false
	}
	r.Last, r.Step, r.N = t, step, r.N+1
	return true
}

// TimeIs is what is known of a time.
type TimeIs uint8

// What is known of a time.
const (
	TimeNew TimeIs = iota
	TimeRepeated
	TimeForgotten // too old to be told from a repeat
)

// Add remembers the time, and tells what was known of it.
func (ts *Times) Add(t int64) TimeIs {
	n := len(ts.Runs)
	if n > 0 && t > ts.Runs[n-1].Last {
		ts.put(Run{Last: t, N: 1})
		return TimeNew
	}
	for i := range ts.Runs {
		if ts.Runs[i].has(t) {
			return TimeRepeated
		}
	}
	if ts.Some && t <= ts.Floor {
		return TimeForgotten
	}
	ts.put(Run{Last: t, N: 1})
	return TimeNew
}

// put adds a time at its place, to the run before it or as one of its own, and
// forgets the oldest run where there are too many.
func (ts *Times) put(r Run) {
	i := len(ts.Runs)
	for i > 0 && ts.Runs[i-1].Last > r.Last {
		i--
	}
	if i > 0 && ts.Runs[i-1].extend(r.Last) {
		return
	}
	ts.Runs = slices.Insert(ts.Runs, i, r)
	if len(ts.Runs) > maxRuns {
		ts.Floor, ts.Some = ts.Runs[0].Last, true
		ts.Runs = slices.Delete(ts.Runs, 0, 1)
	}
}
