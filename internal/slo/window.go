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
}

// tier is a row of cells that ends with the open one.
type tier struct {
	cell int64 // length in milliseconds
	n    int64 // number of cells, the open one included
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
//
// Memory: a window of which nothing has failed keeps one track, of all events;
// that of the bad ones appears with the first of them and goes when the last has
// left the window.
type Window struct {
	layout *Layout
	now    int64
	total  track
	bad    *track // nil while every cell of it is zero
}

// NewWindow returns an empty window at the epoch.
func NewWindow(l *Layout) Window { return Window{layout: l} }

// Now returns the newest time that the window was advanced to.
func (w *Window) Now() int64 { return w.now }

// Advance moves the window's end to the cells that contain now, in Unix
// milliseconds; an earlier time than before changes nothing. Its cost is that of
// the cells that fall out and of the runs of equal cells, whatever the lengths.
func (w *Window) Advance(now int64) {
	if now <= w.now {
		return
	}
	w.total.advance(w.layout, w.now, now)
	if w.bad != nil {
		if w.bad.advance(w.layout, w.now, now); w.bad.empty(w.layout) {
			w.bad = nil
		}
	}
	w.now = now
}

// Closes tells whether an advance to now closes a cell: all last whole minutes.
func (w *Window) Closes(now int64) bool { return now > w.now && now/minute != w.now/minute }

// Add adds good of total events, or slots, to the slot that starts at slotStart
// (Unix milliseconds); negative deltas take back what a restatement changed. A
// slot later than now advances the window first. A slot older than a length
// counts in the longer ones only. Its cost depends on the number of lengths,
// not on how long they are; one that is older than the open cells costs as much
// as an advance.
func (w *Window) Add(slotStart, good, total int64) {
	if slotStart < 0 {
		return
	}
	w.Advance(slotStart)
	w.total.add(w.layout, w.now, slotStart, total)
	if bad := total - good; bad != 0 { // wraps, as do the sums, to the right value
		if w.bad == nil {
			w.bad = &track{}
		}
		w.bad.add(w.layout, w.now, slotStart, bad)
	}
}

// Added is what one slot adds to a window; see Window.Add.
type Added struct{ Start, Good, Total int64 }

// AddAll does what Add does of each, in any order, and costs less of many: every
// cell is written once.
func (w *Window) AddAll(list []Added) {
	newest, failed := w.now, false
	for i := range list {
		newest = max(newest, list[i].Start)
		failed = failed || list[i].Good != list[i].Total
	}
	w.Advance(newest)
	w.total.addAll(w.layout, w.now, list, func(a *Added) int64 { return a.Total })
	if failed {
		if w.bad == nil {
			w.bad = &track{}
		}
		w.bad.addAll(w.layout, w.now, list, func(a *Added) int64 { return a.Total - a.Good })
	}
}

// Sum returns the good and all events, or slots, in the window of the length,
// which is one of its layout's; else zeros.
func (w *Window) Sum(length int64) (good, total uint64) {
	j := w.layout.find(length)
	if j < 0 {
		return 0, 0
	}
	return w.sum(j)
}

// SumWith returns what Sum does once more has been added, to a slot that starts
// no later than now.
func (w *Window) SumWith(length int64, more Added) (good, total uint64) {
	j := w.layout.find(length)
	if j < 0 {
		return 0, 0
	}
	good, total = w.sum(j)
	s := &w.layout.lengths[j]
	cell := w.layout.tiers[s.tier].cell
	// The first condition holds for most that the second holds for, and divides
	// nothing.
	if more.Start >= 0 && (more.Start > w.now-(s.n-1)*cell || more.Start/cell > w.now/cell-s.n) {
		good += uint64(more.Good) // wraps, as do the sums, to the right value
		total += uint64(more.Total)
	}
	return good, total
}

// sum is that over length j.
func (w *Window) sum(j int) (good, total uint64) {
	total = uint64(w.total.number(j))
	if w.bad == nil {
		return total, total
	}
	return total - uint64(w.bad.number(j)), total
}
