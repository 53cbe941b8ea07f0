package slo

import (
	"encoding/binary"
	"math"
	"slices"
)

// track holds one number for each cell of a layout, and their running sums over
// its lengths, in as few bytes as they need. Numbers are modulo 2^64, taken as
// signed: what a restatement takes back may come before what it is taken from.
//
// Bytes: the width of a number (1, 2, 4 or 8); the sums by length, then the open
// cells by tier, each a number of that width, little-endian; then for each tier
// the closed cells, as the count of their bytes (uvarint) and the runs of
// appendRuns, the newest cell first. No bytes at all are zeros everywhere. A
// steady group of probes over 30 days takes some 90 bytes, one whose every cell
// differs one to three bytes a cell.
type track struct{ b []byte }

// run is a number of neighbouring cells that are equal.
type run struct {
	cells int64
	value int64
}

// runRoom is how many runs fit on the stack: two for what an advance pushes, and
// those of 120 cells, which tiers of up to 120 days have, with what splitting one
// adds.
const runRoom = 128

// number returns number i: the sum over length i, or with the lengths' count
// added the open cell of tier i.
func (t *track) number(i int) int64 {
	if t.b == nil {
		return 0
	}
	width := int(t.b[0])
	p := t.b[1+i*width:]
	switch width {
	case 1:
		return int64(int8(p[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(p)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(p)))
	}
	return int64(binary.LittleEndian.Uint64(p))
}

// put sets number i, which the width must have room for.
func put(b []byte, i int, n int64) {
	width := int(b[0])
	p := b[1+i*width:]
	switch width {
	case 1:
		p[0] = byte(n)
	case 2:
		binary.LittleEndian.PutUint16(p, uint16(n))
	case 4:
		binary.LittleEndian.PutUint32(p, uint32(n))
	default:
		binary.LittleEndian.PutUint64(p, uint64(n))
	}
}

// widthOf returns how many bytes the number needs.
func widthOf(n int64) int {
	switch {
	case n == int64(int8(n)):
		return 1
	case n == int64(int16(n)):
		return 2
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return 4
	}
	return 8
}

// set sets number i, in wider numbers than before where it needs them.
func (t *track) set(l *Layout, i int, n int64) {
	if width := widthOf(n); t.b == nil || width > int(t.b[0]) {
		t.widen(l, width)
	}
	put(t.b, i, n)
}

func (t *track) increase(l *Layout, i int, by int64) { t.set(l, i, t.number(i)+by) }

// widen makes room for numbers of the width.
func (t *track) widen(l *Layout, width int) {
	n := l.numbers()
	out := make([]byte, 1+n*width, 1+n*width+max(len(t.b)-t.tail(l), len(l.tiers)))
	out[0] = byte(width)
	if t.b == nil {
		t.b = out[:cap(out)] // no runs in any tier
		return
	}
	for i := range n {
		put(out, i, t.number(i))
	}
	t.b = append(out, t.b[t.tail(l):]...)
}

// numbers is how many numbers of fixed width a track has.
func (l *Layout) numbers() int { return len(l.lengths) + len(l.tiers) }

// tail is where the runs begin.
func (t *track) tail(l *Layout) int {
	if t.b == nil {
		return 0
	}
	return 1 + l.numbers()*int(t.b[0])
}

// closed returns where the runs of tier i begin and end; from includes the count
// of their bytes, which lies before at.
func (t *track) closed(l *Layout, i int) (from, at, end int) {
	end = t.tail(l)
	for range i + 1 {
		from = end
		size, n := binary.Uvarint(t.b[from:])
		at, end = from+n, from+n+int(size)
	}
	return from, at, end
}

// add adds n to the cell of each tier that holds start, and to the sums that
// reach it.
func (t *track) add(l *Layout, now, start, n int64) {
	if n == 0 {
		return
	}
	for i, tr := range l.tiers {
		cell, cur := start/tr.cell, now/tr.cell
		switch {
		case cell == cur:
			t.increase(l, len(l.lengths)+i, n)
		case cell > cur-tr.n:
			t.addClosed(l, i, cur-1-cell, n)
		}
		for j, s := range l.lengths {
			if s.tier == i && cell > cur-s.n {
				t.increase(l, j, n)
			}
		}
	}
}

// addClosed adds n to the closed cell of tier i that is so far from the newest.
func (t *track) addClosed(l *Layout, i int, at, n int64) {
	if t.b == nil {
		t.widen(l, 1)
	}
	var room [runRoom]run
	out := room[:0]
	var done int64 // cells before the run
	add := func(value int64) {
		out = append(out, run{at - done, value}, run{1, value + n})
	}
	r := t.runs(l, i)
	for r.next() {
		if at < done || at >= done+r.cells {
			out = append(out, r.run)
		} else {
			add(r.value)
			out = append(out, run{done + r.cells - at - 1, r.value})
		}
		done += r.cells
	}
	if at >= done { // among the cells before the first, which are zero
		add(0)
	}
	t.replace(l, i, out)
}

// addAll adds what of says of each, and sums the cells up anew.
func (t *track) addAll(l *Layout, now int64, list []Added, of func(*Added) int64) {
	if t.b == nil {
		t.widen(l, 1)
	}
	for i, tr := range l.tiers {
		cells := make([]int64, tr.n) // the open one first
		cells[0] = t.number(len(l.lengths) + i)
		at := int64(1)
		for r := t.runs(l, i); r.next(); {
			for range r.cells {
				cells[at] = r.value
				at++
			}
		}
		for k := range list {
			if ago := now/tr.cell - list[k].Start/tr.cell; ago < tr.n && list[k].Start >= 0 {
				cells[ago] += of(&list[k])
			}
		}
		t.fill(l, i, cells)
	}
}

// fill sets all cells of tier i, the open one first, and what they sum up to.
func (t *track) fill(l *Layout, i int, cells []int64) {
	all := make([]run, len(cells))
	for k, n := range cells {
		all[k] = run{1, n}
	}
	for j, s := range l.lengths {
		if s.tier == i {
			t.set(l, j, sumOf(all, 0, s.n))
		}
	}
	t.set(l, len(l.lengths)+i, cells[0])
	t.replace(l, i, all[1:])
}

// advance closes the cells that end between two times, and takes what falls out
// of each length from its sum.
func (t *track) advance(l *Layout, from, to int64) {
	if t.b == nil {
		return
	}
	for i, tr := range l.tiers {
		switch closes := to/tr.cell - from/tr.cell; {
		case closes >= tr.n:
			t.clear(l, i)
		case closes > 0:
			t.close(l, i, closes)
		}
	}
}

// close closes the open cell of tier i and those that came and went after it.
func (t *track) close(l *Layout, i int, closes int64) {
	var room [runRoom]run
	open := len(l.lengths) + i
	out := append(room[:0], run{closes - 1, 0}, run{1, t.number(open)})
	done := closes
	keep := l.tiers[i].n - 1
	for r := t.runs(l, i); r.next(); {
		out = append(out, r.run)
		done += r.cells
	}
	for j, s := range l.lengths {
		if s.tier == i {
			t.increase(l, j, -sumOf(out, s.n-1, s.n-1+closes))
		}
	}
	for last := len(out) - 1; done > keep; last-- {
		drop := min(done-keep, out[last].cells)
		out[last].cells -= drop
		done -= drop
	}
	put(t.b, open, 0)
	t.replace(l, i, out)
}

// sumOf sums up the cells [from, to) of the runs.
func sumOf(runs []run, from, to int64) (sum int64) {
	var done int64
	for _, r := range runs {
		if cells := min(to, done+r.cells) - max(from, done); cells > 0 {
			sum += cells * r.value
		}
		done += r.cells
	}
	return sum
}

// clear empties a whole tier.
func (t *track) clear(l *Layout, i int) {
	for j, s := range l.lengths {
		if s.tier == i {
			put(t.b, j, 0)
		}
	}
	put(t.b, len(l.lengths)+i, 0)
	t.replace(l, i, nil)
}

// empty tells whether every cell is zero.
func (t *track) empty(l *Layout) bool {
	for i := range l.numbers() {
		if t.number(i) != 0 {
			return false
		}
	}
	for _, size := range t.b[t.tail(l):] {
		if size != 0 {
			return false
		}
	}
	return true
}

// replace sets the closed cells of tier i. It allocates where they outgrow the
// memory, or need less than half of it.
func (t *track) replace(l *Layout, i int, runs []run) {
	var room [2 * runRoom]byte
	var count [binary.MaxVarintLen64]byte
	tokens := appendRuns(room[:0], runs)
	size := binary.AppendUvarint(count[:0], uint64(len(tokens)))
	from, _, end := t.closed(l, i)
	length := len(t.b) - (end - from) + len(size) + len(tokens)
	if length > cap(t.b) || length < cap(t.b)/2 {
		t.b = slices.Concat(t.b[:from], size, tokens, t.b[end:])
		return
	}
	rest := t.b[end:]
	t.b = t.b[:length]
	copy(t.b[from+len(size)+len(tokens):], rest)
	copy(t.b[from:], size)
	copy(t.b[from+len(size):], tokens)
}

// appendRuns appends the runs as bytes: a varint by how much a cell differs from
// the one before (the first from zero), or where they are equal a zero, then a
// uvarint of how many more are. Zeros at the end are left out.
func appendRuns(b []byte, runs []run) []byte {
	for n := len(runs); n > 0 && (runs[n-1].value == 0 || runs[n-1].cells == 0); n-- {
		runs = runs[:n-1]
	}
	var last, equal int64
	for _, r := range runs {
		if r.cells == 0 {
			continue
		}
		if r.value != last {
			b = binary.AppendVarint(appendEqual(b, equal), r.value-last)
			last, equal = r.value, -1
		}
		equal += r.cells
	}
	return appendEqual(b, equal)
}

func appendEqual(b []byte, cells int64) []byte {
	if cells == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, 0), uint64(cells))
}

// runs reads the closed cells of a tier.
type runs struct {
	b    []byte
	last int64
	run
}

func (t *track) runs(l *Layout, i int) runs {
	_, at, end := t.closed(l, i)
	return runs{b: t.b[at:end]}
}

// next reads the next run: a cell that differs, or those that equal the one
// before.
func (r *runs) next() bool {
	if len(r.b) == 0 {
		return false
	}
	d, n := binary.Varint(r.b)
	r.b = r.b[n:]
	if d == 0 {
		cells, n := binary.Uvarint(r.b)
		r.b = r.b[n:]
		r.run = run{int64(cells), r.last}
		return true
	}
	r.last += d
	r.run = run{1, r.last}
	return true
}
