package spool

import "time"

// entry is a frame in memory and when it came, since the spool began.
type entry struct {
	Item
	at time.Duration
}

// ring is a queue of frames in memory that grows.
type ring struct {
	items   []entry // n from head on; a power of two
	head, n int
	bytes   int
}

func (r *ring) at(i int) *entry { return &r.items[(r.head+i)&(len(r.items)-1)] }
func (r *ring) front() *entry   { return r.at(0) }

func (r *ring) push(e entry) {
	if r.n == len(r.items) {
		bigger := make([]entry, max(16, 2*len(r.items)))
		for i := range r.n {
			bigger[i] = *r.at(i)
		}
		r.items, r.head = bigger, 0
	}
	*r.at(r.n) = e
	r.n++
	r.bytes += len(e.Bytes)
}

func (r *ring) pop() {
	e := r.front()
	r.bytes -= len(e.Bytes)
	*e = entry{}
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.n--
}

// remove takes out the entry that i others are before; there are few of these.
func (r *ring) remove(i int) entry {
	e := *r.at(i)
	for ; i > 0; i-- {
		*r.at(i) = *r.at(i - 1)
	}
	*r.front() = e
	r.pop()
	return e
}
