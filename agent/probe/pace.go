package probe

// pace decides about an attempt that is due at due (Unix ms) when the clock
// says now. An attempt is started while it is late by at most half an interval;
// what is later was missed, because the process was suspended or starved, and
// is not started at a false time. next is the following due time; it may have
// passed already.
func pace(due, interval, now int64) (start bool, missed, next int64) {
	late := now - due
	if late <= interval/2 {
		return true, 0, due + interval
	}
	missed = (late - interval/2 + interval - 1) / interval
	return false, missed, due + missed*interval
}

// firstDue returns the first time after now that is phase past a multiple of
// interval. All in milliseconds, phase within [0, interval).
func firstDue(now, interval, phase int64) int64 {
	n := (now - phase) / interval
	due := n*interval + phase
	for due <= now {
		due += interval
	}
	return due
}

// queue is a binary heap of targets by due time. The scheduler owns it.
type queue []*target

func (q queue) less(i, j int) bool { return q[i].due < q[j].due }

// init orders q.
func (q queue) init() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

// down restores the order after q[i] got a later due time.
func (q queue) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(q) {
			return
		}
		if c+1 < len(q) && q.less(c+1, c) {
			c++
		}
		if !q.less(c, i) {
			return
		}
		q[i], q[c] = q[c], q[i]
		i = c
	}
}
