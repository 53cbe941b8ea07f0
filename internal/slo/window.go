package slo

// Layout is the shape of the windows of one objective: which lengths are summed,
// and in which cells. All groups of an objective share one layout.
//
// Cell alignment: cells are aligned to Unix time. A window of length L ends with
// the running, open cell and covers ceil(L / cell) whole cells, so it reaches
// back at least L - cell and at most L. Cells last 1 min for L ≤ 1 h, 5 min for
// L ≤ 6 h, 1 h for L ≤ 3 d; beyond, the least of 2, 3, 4, 6, 8, 12 and 24 h that
// gives at most 120 cells (6 h for 28 and 30 days, 24 h for 90 days).
type Layout struct {
	tiers   []tier
	lengths []span
	cells   int
}

// tier is one ring of cells.
type tier struct {
	cell   int64 // length in milliseconds
	n      int64 // number of cells
	offset int   // index of its first cell in Window.cells
}

// span is one window length.
type span struct {
	length int64
	tier   int
	n      int64 // cells covered
}

// NewLayout returns the layout for windows of the lengths, in milliseconds.
// Lengths of zero or less are left out; doubles count once.
func NewLayout(lengths ...int64) *Layout {
	l := &Layout{}
	for _, length := range lengths {
		if length > 0 && l.find(length) < 0 {
			l.add(length)
		}
	}
	for i := range l.tiers {
		l.tiers[i].offset = l.cells
		l.cells += int(l.tiers[i].n)
	}
	return l
}

func (l *Layout) add(length int64) {
	cell := cellFor(length)
	n := (length + cell - 1) / cell
	at := -1
	for i := range l.tiers {
		if l.tiers[i].cell == cell {
			at = i
		}
	}
	if at < 0 {
		at = len(l.tiers)
		l.tiers = append(l.tiers, tier{cell: cell})
	}
	l.tiers[at].n = max(l.tiers[at].n, n)
	l.lengths = append(l.lengths, span{length, at, n})
}

func (l *Layout) find(length int64) int {
	for i := range l.lengths {
		if l.lengths[i].length == length {
			return i
		}
	}
	return -1
}

// cellFor returns the cell length for a window length.
func cellFor(length int64) int64 {
	switch {
	case length <= hour:
		return minute
	case length <= 6*hour:
		return 5 * minute
	case length <= 3*day:
		return hour
	}
	for _, h := range []int64{2, 3, 4, 6, 8, 12} {
		if length <= 120*h*hour {
			return h * hour
		}
	}
	return day
}

// Reach returns how far back, in milliseconds before now, the longest window
// can reach: adding every slot since then restores a window exactly.
func (l *Layout) Reach() int64 {
	var reach int64
	for _, t := range l.tiers {
		reach = max(reach, t.n*t.cell)
	}
	return reach
}

// LayoutFor returns the layout of an objective: its burn-rate rows and, unless
// it is calendar-aligned, its own window.
func LayoutFor(o *Objective) *Layout {
	var lengths []int64
	for _, r := range o.Burn {
		lengths = append(lengths, r.Long, r.Short)
	}
	if o.Calendar == nil {
		lengths = append(lengths, o.Window)
	}
	return NewLayout(lengths...)
}

// Window holds the running sums of one group over every length of its layout.
// Its sums are a function of what was added and of the newest time alone, not
// of the order in which slots and advances came. The zero time is the epoch. It
// is not safe for concurrent use.
type Window struct {
	layout     *Layout
	now        int64
	bad, total planes
	sums       []sum
}

type sum struct{ bad, total uint64 }

// planes hold a number for each cell, 16 bits a plane, the lowest first: none
// while all are zero, one for probes, up to four for large request counts.
type planes [][]uint16

func (p planes) get(at int) (n uint64) {
	for i := len(p) - 1; i >= 0; i-- {
		n = n<<16 | uint64(p[i][at])
	}
	return n
}

func (p *planes) set(at int, n uint64, cells int) {
	for i := 0; i < len(*p) || n != 0; i++ {
		if i == len(*p) {
			*p = append(*p, make([]uint16, cells))
		}
		(*p)[i][at] = uint16(n)
		n >>= 16
	}
}

func (p planes) clear(from, to int) {
	for _, plane := range p {
		clear(plane[from:to])
	}
}

// NewWindow returns an empty window at the epoch.
func NewWindow(l *Layout) *Window {
	return &Window{layout: l, sums: make([]sum, len(l.lengths))}
}

// Now returns the newest time that the window was advanced to.
func (w *Window) Now() int64 { return w.now }

// Advance moves the window's end to the cells that contain now, in Unix
// milliseconds; an earlier time than before changes nothing. Its cost is that of
// the cells that fall out, whatever the lengths.
func (w *Window) Advance(now int64) {
	if now <= w.now {
		return
	}
	for i, t := range w.layout.tiers {
		from, to := w.now/t.cell, now/t.cell
		if to-from >= t.n {
			w.clear(i)
			continue
		}
		for cur := from + 1; cur <= to; cur++ {
			w.open(i, cur)
		}
	}
	w.now = now
}

// open starts cell number cur of the tier: it takes what falls out of each
// length from the length's sum, then empties the ring position.
func (w *Window) open(i int, cur int64) {
	for j, s := range w.layout.lengths {
		if s.tier == i && cur >= s.n {
			c := w.cell(i, cur-s.n)
			w.sums[j].bad -= c.bad
			w.sums[j].total -= c.total
		}
	}
	w.setCell(i, cur, sum{})
}

// clear empties a whole tier.
func (w *Window) clear(i int) {
	t := w.layout.tiers[i]
	w.bad.clear(t.offset, t.offset+int(t.n))
	w.total.clear(t.offset, t.offset+int(t.n))
	for j, s := range w.layout.lengths {
		if s.tier == i {
			w.sums[j] = sum{}
		}
	}
}

// Add adds good of total events, or slots, to the slot that starts at slotStart
// (Unix milliseconds); negative deltas take back what a restatement changed. A
// slot later than now advances the window first. A slot older than a length
// counts in the longer ones only. Its cost depends on the number of lengths,
// not on how long they are.
func (w *Window) Add(slotStart, good, total int64) {
	if slotStart < 0 {
		return
	}
	w.Advance(slotStart)
	d := sum{bad: uint64(total - good), total: uint64(total)} // wraps, as do the sums, to the right value
	for i, t := range w.layout.tiers {
		cell, cur := slotStart/t.cell, w.now/t.cell
		if cell <= cur-t.n {
			continue
		}
		c := w.cell(i, cell)
		w.setCell(i, cell, sum{c.bad + d.bad, c.total + d.total})
		for j, s := range w.layout.lengths {
			if s.tier == i && cell > cur-s.n {
				w.sums[j].bad += d.bad
				w.sums[j].total += d.total
			}
		}
	}
}

// Sum returns the good and all events, or slots, in the window of the length,
// which is one of its layout's; else zeros.
func (w *Window) Sum(length int64) (good, total uint64) {
	j := w.layout.find(length)
	if j < 0 {
		return 0, 0
	}
	s := w.sums[j]
	return s.total - s.bad, s.total
}

func (w *Window) cell(i int, number int64) sum {
	at := w.place(i, number)
	return sum{w.bad.get(at), w.total.get(at)}
}

func (w *Window) setCell(i int, number int64, c sum) {
	at := w.place(i, number)
	w.bad.set(at, c.bad, w.layout.cells)
	w.total.set(at, c.total, w.layout.cells)
}

func (w *Window) place(i int, number int64) int {
	t := w.layout.tiers[i]
	return t.offset + int(number%t.n)
}
