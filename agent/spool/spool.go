// Package spool holds the agent's encoded frames between measuring and
// Kafka's acknowledgement. It is bounded in bytes: when it is full the oldest
// frames go first, and every loss is reported with its sequence numbers and
// sample times, so that a gap is always explicit and never a silence.
//
// One goroutine puts, one goroutine peeks and acknowledges. What leaves memory
// today is lost; a later stage may move it to disk behind the same three calls.
package spool

import (
	"fmt"
	"sync"
)

// Item is one encoded frame.
type Item struct {
	// Seq is the frame's sequence number within the boot; Put wants it to grow
	// by one each time.
	Seq uint64
	// From and To bound the frame's sample times, Unix milliseconds.
	From, To int64
	// Bytes is the encoded frame. The spool's reader may change it in place
	// (the send time), so the writer hands it over.
	Bytes []byte
}

// Drop reports frames that left the spool unsent. A frame that was peeked is
// never dropped, because it may already be in the log.
type Drop struct {
	// FirstSeq and LastSeq are the sequence numbers lost, both inclusive.
	FirstSeq, LastSeq uint64
	// From and To bound their sample times, Unix milliseconds.
	From, To int64
	// Frames and Bytes count what was lost.
	Frames, Bytes int
}

// Stats describe the spool at one moment.
type Stats struct {
	Frames, Bytes int
	// DroppedFrames and DroppedBytes count since New.
	DroppedFrames, DroppedBytes uint64
	// OldestTime is the first sample time waiting, Unix milliseconds; 0 when
	// the spool is empty.
	OldestTime int64
}

// Spool is a bounded queue of frames. It is safe for concurrent use.
type Spool struct {
	limit int
	ready chan struct{}

	mu      sync.Mutex
	items   []Item // a ring: n items from head on
	head, n int
	bytes   int
	pinned  bool // the head was peeked and not acknowledged yet
	dropped Stats
}

// New returns an empty spool that holds at most limit bytes of frames; a single
// frame larger than that is held as long as it is alone.
func New(limit int) (*Spool, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("create spool: limit must be positive, got %d bytes", limit)
	}
	return &Spool{limit: limit, ready: make(chan struct{}, 1)}, nil
}

// Put appends a frame. It drops the oldest frames that are not being sent until
// the bytes fit; lost says which, its Frames are zero where none were.
func (s *Spool) Put(it Item) (lost Drop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes+len(it.Bytes) > s.limit {
		if !s.dropOldest(&lost) {
			break
		}
	}
	s.push(it)
	select {
	case s.ready <- struct{}{}:
	default:
	}
	return lost
}

// Ready receives after a Put into a spool whose reader may have found it empty.
// A receive does not promise an item: Peek tells.
func (s *Spool) Ready() <-chan struct{} { return s.ready }

// Peek returns the oldest frame and pins it until Ack. Repeated calls return
// the same frame.
func (s *Spool) Peek() (Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 {
		return Item{}, false
	}
	s.pinned = true
	return s.items[s.head], true
}

// Ack removes the peeked frame once it is in the log. An Ack for any other
// sequence number changes nothing and returns an error.
func (s *Spool) Ack(seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 || !s.pinned || s.items[s.head].Seq != seq {
		return fmt.Errorf("acknowledge frame %d: it is not the frame being sent", seq)
	}
	s.pop()
	s.pinned = false
	return nil
}

// Stats returns the present figures.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.dropped
	st.Frames, st.Bytes = s.n, s.bytes
	if s.n > 0 {
		st.OldestTime = s.items[s.head].From
	}
	return st
}

func (s *Spool) push(it Item) {
	if s.n == len(s.items) {
		s.grow()
	}
	s.items[(s.head+s.n)%len(s.items)] = it
	s.n++
	s.bytes += len(it.Bytes)
}

func (s *Spool) grow() {
	bigger := make([]Item, max(16, 2*len(s.items)))
	for i := range s.n {
		bigger[i] = s.items[(s.head+i)%len(s.items)]
	}
	s.items, s.head = bigger, 0
}

func (s *Spool) pop() Item {
	it := s.items[s.head]
	s.items[s.head] = Item{}
	s.head = (s.head + 1) % len(s.items)
	s.n--
	s.bytes -= len(it.Bytes)
	return it
}

// dropOldest removes the oldest frame that is not pinned; with a pinned head
// that is the one behind it.
func (s *Spool) dropOldest(lost *Drop) bool {
	if s.n == 0 || s.pinned && s.n == 1 {
		return false
	}
	var kept Item
	if s.pinned {
		kept = s.pop()
	}
	it := s.pop()
	if s.pinned {
		s.head = (s.head + len(s.items) - 1) % len(s.items)
		s.items[s.head] = kept
		s.n++
		s.bytes += len(kept.Bytes)
	}
	lost.add(it)
	s.dropped.DroppedFrames++
	s.dropped.DroppedBytes += uint64(len(it.Bytes))
	return true
}

func (d *Drop) add(it Item) {
	if d.Frames == 0 {
		d.FirstSeq, d.From, d.To = it.Seq, it.From, it.To
	}
	d.LastSeq = it.Seq
	d.From = min(d.From, it.From)
	d.To = max(d.To, it.To)
	d.Frames++
	d.Bytes += len(it.Bytes)
}
