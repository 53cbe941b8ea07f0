package aggregate

import (
	"encoding/binary"
	"slices"
)

// maxRuns bounds what is remembered of a series' times.
const maxRuns = 16

// times remembers which times a series has had a value of, as runs of times at
// equal distances: a series that is measured at an interval needs one run,
// however long it is. Of one that is not, the newest times are remembered, two
// or more a run; at or before floor, nothing is known any more.
type times struct {
	runs  []run // by their ends
	floor int64
	some  bool // floor holds: something was forgotten
}

// run is the times last, last-step, …, n in all.
type run struct{ last, step, n int64 }

func (r *run) has(t int64) bool {
	if t == r.last {
		return true
	}
	if t > r.last || r.step <= 0 {
		return false
	}
	back := uint64(r.last) - uint64(t)
	return back%uint64(r.step) == 0 && back/uint64(r.step) < uint64(r.n)
}

// extend adds a time at either end of the run, if it lies there.
func (r *run) extend(t int64) bool {
	step := t - r.last
	if step <= 0 || step != r.step && r.n > 1 {
		return false
	}
	r.last, r.step, r.n = t, step, r.n+1
	return true
}

// timeIs is what is known of a time.
type timeIs uint8

const (
	timeNew timeIs = iota
	timeRepeated
	timeForgotten // too old to be told from a repeat
)

// add remembers the time, and tells what was known of it.
func (ts *times) add(t int64) timeIs {
	n := len(ts.runs)
	if n > 0 && t > ts.runs[n-1].last {
		ts.put(run{last: t, n: 1})
		return timeNew
	}
	for i := range ts.runs {
		if ts.runs[i].has(t) {
			return timeRepeated
		}
	}
	if ts.some && t <= ts.floor {
		return timeForgotten
	}
	ts.put(run{last: t, n: 1})
	return timeNew
}

// put adds a time at its place, to the run before it or as one of its own, and
// forgets the oldest run where there are too many.
func (ts *times) put(r run) {
	i := len(ts.runs)
	for i > 0 && ts.runs[i-1].last > r.last {
		i--
	}
	if i > 0 && ts.runs[i-1].extend(r.last) {
		return
	}
	ts.runs = slices.Insert(ts.runs, i, r)
	if len(ts.runs) > maxRuns {
		ts.floor, ts.some = ts.runs[0].last, true
		ts.runs = slices.Delete(ts.runs, 0, 1)
	}
}

func (ts *times) append(dst []byte) []byte {
	dst = appendTruth(dst, ts.some)
	dst = binary.AppendVarint(dst, ts.floor)
	dst = binary.AppendUvarint(dst, uint64(len(ts.runs)))
	for _, r := range ts.runs {
		dst = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(dst, r.last), r.step), r.n)
	}
	return dst
}

func (ts *times) read(r *bootReader) {
	ts.some, ts.floor = r.uvarint() == 1, r.varint()
	for range r.length() {
		ts.runs = append(ts.runs, run{r.varint(), r.varint(), r.varint()})
	}
}
