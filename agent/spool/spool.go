// Package spool holds the agent's encoded frames between measuring and
// Kafka's acknowledgement. Frames wait in memory. When they wait for long, or
// memory fills, they move to segments in a directory, where there is one, and
// outlive the process there. Both are bounded in bytes and age: the oldest
// frames go first, and every loss is reported with its sequence numbers, its
// sample times and the frames themselves, so that a gap is always explicit and
// never a silence.
//
// Frames leave in the order in which they came: those of earlier processes
// first. One goroutine puts, one peeks and acknowledges, one runs Run, which
// alone writes files; putting waits for no disk. What stands in memory is older
// than nothing on disk.
package spool

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// spillAfter is how long the oldest frame waits before memory moves to disk:
	// longer than a healthy broker takes, and what a kill may cost at most when an
	// outage begins.
	spillAfter = 2 * time.Second
	// segmentBytes is about how large a segment gets; what is dropped from disk is
	// dropped by segment.
	segmentBytes = 1 << 20
)

// Item is one encoded frame.
type Item struct {
	// Boot is the process that made the frame.
	Boot uint64
	// Seq is the frame's sequence number within the boot; Put wants it to grow
	// by one each time.
	Seq uint64
	// From and To bound the frame's sample times, Unix milliseconds.
	From, To int64
	// Bytes is the encoded frame. The spool's reader may change it in place
	// (the send time), so the writer hands it over.
	Bytes []byte
}

// Reasons of a Drop.
const (
	ReasonMemory = "memory" // memory was full, and frames did not go to disk
	ReasonDisk   = "disk"   // the segments had their bytes
	ReasonAge    = "age"    // they waited for too long
	ReasonDamage = "damage" // a segment could not be read
)

// Drop reports frames that left the spool unsent. A frame that was peeked is
// never dropped, because it may already be in the log.
type Drop struct {
	// Reason is one of the constants above.
	Reason string
	// Boot made the first of them; FirstSeq is its number. LastSeq is the number
	// of the last, of a later boot where they span two.
	Boot              uint64
	FirstSeq, LastSeq uint64
	// From and To bound their sample times, Unix milliseconds.
	From, To int64
	// Frames and Bytes count what was lost.
	Frames, Bytes int
	// Items are the frames lost, as far as they can still be read.
	Items []Item
}

// Stats describe the spool at one moment.
type Stats struct {
	// Frames and Bytes wait, in memory and on disk.
	Frames, Bytes int
	// DiskFrames of them are on disk. DiskBytes is what all segments take, those
	// partly sent included.
	DiskFrames int
	DiskBytes  int64
	// Disk tells whether there is a directory, and DiskFails that the last
	// attempt to write to it failed: frames wait in memory until one succeeds.
	Disk, DiskFails bool
	// DroppedFrames and DroppedBytes count since New.
	DroppedFrames, DroppedBytes uint64
	// Torn counts segments whose last record was cut short by a crash, and
	// SetAside those that were damaged and kept under another name.
	Torn, SetAside uint64
	// OldestTime is the first sample time waiting, Unix milliseconds; 0 when
	// the spool is empty.
	OldestTime int64
}

// Options are what New needs.
type Options struct {
	// MemoryBytes is the most that frames take in memory. A single frame larger
	// than that is held as long as it is alone.
	MemoryBytes int
	// Dir is where segments lie; empty keeps frames in memory alone.
	Dir string
	// DiskBytes is the most that segments take.
	DiskBytes int64
	// MaxAge is the longest that a frame waits; 0 is for ever.
	MaxAge time.Duration
	// Dropped, if not nil, is told of losses that Put does not return. It is
	// called from Open, Peek and Run, one at a time.
	Dropped func(Drop)
	// Now is the clock of ages; nil is time.Now.
	Now func() time.Time
	// Log says when the disk fails and works again; nil discards it.
	Log *slog.Logger
}

// Where the head of the queue is.
type place uint8

const (
	nowhere place = iota // no frame was peeked
	inMemory
	onDisk
	alone // its segment was dropped while it was being sent
)

// Spool is a bounded queue of frames.
type Spool struct {
	opt   Options
	start time.Time
	ages  bool // something depends on how long frames wait
	ready chan struct{}
	wake  chan struct{}
	disk  *disk // nil without a directory; its lock comes before mu

	mu      sync.Mutex
	memory  ring
	head    Item   // the frame peeked and not acknowledged yet
	place   place  // of head
	copied  []byte // head's bytes, where it is in memory and may be written
	moving  int    // frames at memory's front that are being written
	disked  int    // frames on disk, head included
	stored  int    // their bytes
	closing bool
	stats   Stats // those that only grow, and Disk's
}

// New returns a spool and touches no file; Open does where there is a
// directory.
func New(opt Options) (*Spool, error) {
	if opt.MemoryBytes <= 0 {
		return nil, fmt.Errorf("create spool: memory must be positive, got %d bytes", opt.MemoryBytes)
	}
	if opt.Dir != "" && opt.DiskBytes <= 0 {
		return nil, fmt.Errorf("create spool: room on disk must be positive, got %d bytes", opt.DiskBytes)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Dropped == nil {
		opt.Dropped = func(Drop) {}
	}
	s := &Spool{opt: opt, start: opt.Now(), ages: opt.MaxAge > 0 || opt.Dir != "", ready: make(chan struct{}, 1)}
	if opt.Dir != "" {
		s.disk, s.wake = newDisk(opt.Dir, opt.DiskBytes), make(chan struct{}, 1)
		s.stats.Disk = true
	}
	return s, nil
}

// Put appends a frame. It drops the oldest frames in memory that are neither
// being sent nor written until the bytes fit; lost says which, its Frames are
// zero where none were.
func (s *Spool) Put(it Item) (lost Drop) {
	at := time.Duration(0)
	if s.ages {
		at = s.opt.Now().Sub(s.start)
	}
	s.mu.Lock()
	for s.opt.MaxAge > 0 && s.memory.n > 0 && at-s.memory.front().at > s.opt.MaxAge {
		if !s.dropOldest(&lost, ReasonAge) {
			break
		}
	}
	for s.memory.bytes+len(it.Bytes) > s.opt.MemoryBytes {
		if !s.dropOldest(&lost, ReasonMemory) {
			break
		}
	}
	s.memory.push(entry{it, at})
	spill := s.disk != nil && s.wantsDisk(at)
	s.mu.Unlock()
	signal(s.ready)
	if spill {
		signal(s.wake)
	}
	return lost
}

// wantsDisk tells whether what waits in memory should be on disk: something
// older is, it has waited for long, or there is much of it.
func (s *Spool) wantsDisk(now time.Duration) bool {
	return s.memory.n > 0 && (s.closing || s.disked > 0 || s.memory.bytes > s.opt.MemoryBytes/2 || now-s.memory.front().at >= spillAfter)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ready receives after a Put into a spool whose reader may have found it empty.
// A receive does not promise an item: Peek tells.
func (s *Spool) Ready() <-chan struct{} { return s.ready }

// Peek returns the oldest frame and pins it until Ack. Repeated calls return
// the same frame. A segment that cannot be read is set aside and reported.
func (s *Spool) Peek() (Item, bool) {
	for {
		s.mu.Lock()
		switch {
		case s.place != nowhere:
		case s.disked > 0:
			s.mu.Unlock()
			s.peekDisk()
			continue
		case s.memory.n > 0:
			s.head, s.place = s.memory.front().Item, inMemory
			if s.disk != nil { // Run may be writing it while it is restamped
				s.copied = append(s.copied[:0], s.head.Bytes...)
				s.head.Bytes = s.copied
			}
		default:
			s.mu.Unlock()
			return Item{}, false
		}
		it := s.head
		s.mu.Unlock()
		return it, true
	}
}

// Ack removes the peeked frame once it is in the log. An Ack for any other
// sequence number changes nothing and returns an error.
func (s *Spool) Ack(seq uint64) error {
	s.mu.Lock()
	if s.place == nowhere || s.head.Seq != seq {
		s.mu.Unlock()
		return fmt.Errorf("acknowledge frame %d: it is not the frame being sent", seq)
	}
	if s.place == onDisk {
		s.mu.Unlock()
		s.ackDisk()
		return nil
	}
	if s.place == inMemory {
		s.memory.pop()
		s.moving = max(s.moving-1, 0)
	}
	s.head, s.place = Item{}, nowhere
	s.mu.Unlock()
	return nil
}

// Stats returns the present figures.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Frames, st.Bytes, st.DiskFrames = s.memory.n+s.disked, s.memory.bytes+s.stored, s.disked
	switch {
	case s.place != nowhere:
		st.OldestTime = s.head.From
	case s.disked > 0:
		st.OldestTime = s.disk.oldest.Load()
	case s.memory.n > 0:
		st.OldestTime = s.memory.front().From
	}
	if s.disk != nil {
		st.DiskBytes = s.disk.total.Load()
	}
	if s.place == alone {
		st.Frames, st.Bytes = st.Frames+1, st.Bytes+len(s.head.Bytes)
	}
	return st
}

// dropOldest removes the oldest frame in memory that is neither being sent nor
// being written.
func (s *Spool) dropOldest(lost *Drop, reason string) bool {
	keep := s.moving
	if s.place == inMemory {
		keep = max(keep, 1)
	}
	if s.memory.n <= keep {
		return false
	}
	it := s.memory.remove(keep).Item
	lost.Reason = reason
	lost.add(it, len(it.Bytes))
	s.stats.DroppedFrames++
	s.stats.DroppedBytes += uint64(len(it.Bytes))
	return true
}

// DropOf returns the loss of one frame that its reader gives up.
func DropOf(reason string, it Item) Drop {
	d := Drop{Reason: reason}
	d.add(it, len(it.Bytes))
	return d
}

// add counts a frame of so many bytes; one that cannot be read has none of them.
func (d *Drop) add(it Item, size int) {
	if d.Frames == 0 {
		d.Boot, d.FirstSeq, d.From, d.To = it.Boot, it.Seq, it.From, it.To
	}
	d.LastSeq = it.Seq
	d.From = min(d.From, it.From)
	d.To = max(d.To, it.To)
	d.Frames++
	d.Bytes += size
	if it.Bytes != nil {
		d.Items = append(d.Items, it)
	}
}
