package spool

import (
	"context"
	"time"
)

const (
	// syncEvery is how often what was written is made to survive a loss of power.
	// A killed process needs none of it: the kernel has the bytes.
	syncEvery = time.Second
	// retryEvery is the pause after a failed write.
	retryEvery = 5 * time.Second
)

// Open locks the directory and reads the segments that earlier processes left:
// their frames come first. It is called before Peek and Run, and fails where
// another agent uses the directory (ErrLocked) or it cannot be used; the spool
// then holds frames in memory alone. Without a directory it does nothing.
func (s *Spool) Open() error {
	d := s.disk
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		d.close()
		s.mu.Lock()
		s.disk, s.stats.DiskFails = nil, true
		s.mu.Unlock()
		return err
	}
	now := s.opt.Now()
	found := d.segments
	d.segments = nil
	for _, seg := range found {
		d.segments = append(d.segments, seg)
		res := d.scan(seg, now)
		d.total.Add(seg.size)
		s.mu.Lock()
		s.disked += seg.unread.frames
		s.stored += seg.unread.bytes
		if res.torn {
			s.stats.Torn++
		}
		if seg.damaged {
			s.stats.SetAside++
		}
		s.mu.Unlock()
		if res.err != nil {
			s.opt.Log.Error("a segment of the spool is damaged; what can be read of it is sent, then it is set aside",
				"segment", d.path(seg), "error", res.err)
		}
		if res.lost.Frames > 0 {
			res.lost.Reason = ReasonDamage
			s.lost(res.lost)
		}
		if seg.unread.frames == 0 {
			d.finish(seg)
		}
	}
	if len(d.segments) > 0 {
		d.oldest.Store(d.segments[0].unread.from)
	}
	s.expire(now)
	return nil
}

// Run writes frames to the directory when they wait for long, until ctx ends.
// Then it writes all that waits and gives the directory back; nobody peeks any
// more by then. It returns nil.
func (s *Spool) Run(ctx context.Context) error {
	if s.disk == nil {
		<-ctx.Done()
		return nil
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	retry, armed := time.Time{}, false
	for {
		select {
		case <-ctx.Done():
			s.close()
			return nil
		case <-timer.C:
			armed = false
			s.disk.mu.Lock()
			s.disk.sync()
			s.disk.mu.Unlock()
		case <-s.wake:
			now := s.opt.Now()
			if now.Before(retry) {
				continue
			}
			retry = time.Time{}
			if err := s.write(now); err != nil {
				retry = now.Add(retryEvery)
			}
			if !armed {
				armed = true
				timer.Reset(syncEvery)
			}
		}
	}
}

func (s *Spool) close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	_ = s.write(s.opt.Now()) // it has said what is wrong
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.place == alone {
		d.prepend(&s.head)
	}
	d.close()
}

// write moves what waits in memory to disk, a segment's worth at a time, as
// long as it should be there.
func (s *Spool) write(now time.Time) error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	s.expire(now)
	for {
		batch, size := s.batch(now)
		if len(batch) == 0 {
			return nil
		}
		for len(d.segments) > 0 && d.total.Load()+size > d.limit {
			s.dropFirst(ReasonDisk)
		}
		err := d.append(batch, now)
		s.moved(batch, err)
		s.tell(err)
		if err != nil {
			return err
		}
	}
}

// expire drops segments that waited for too long.
func (s *Spool) expire(now time.Time) {
	for d := s.disk; s.opt.MaxAge > 0 && len(d.segments) > 0 && now.Sub(d.segments[0].written) > s.opt.MaxAge; {
		s.dropFirst(ReasonAge)
	}
}

// batch returns the frames at memory's front that are to be written now, and the
// bytes that they take. They stay where they are.
func (s *Spool) batch(now time.Time) (items []entry, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wantsDisk(now.Sub(s.start)) {
		return nil, 0
	}
	for i := range s.memory.n {
		e := s.memory.at(i)
		if size += recordSize(&e.Item); i > 0 && size > s.disk.roll {
			size -= recordSize(&e.Item)
			break
		}
		items = append(items, *e)
	}
	s.moving = len(items)
	return items, size
}

// moved takes the frames that were written out of memory. What left from there
// meanwhile has been sent: it is not read again.
func (s *Spool) moved(batch []entry, err error) {
	d := s.disk
	s.mu.Lock()
	sent := len(batch) - s.moving
	s.moving = 0
	if err != nil {
		s.mu.Unlock()
		return
	}
	for i := sent; i < len(batch); i++ {
		s.memory.pop()
		s.disked++
		s.stored += len(batch[i].Bytes)
	}
	pinned := s.place == inMemory && sent < len(batch)
	if pinned {
		s.place = onDisk
	}
	head := s.head
	s.mu.Unlock()
	for i := range sent {
		d.consume(&batch[i].Item)
	}
	if pinned {
		d.pending, d.has = head, true
	}
	if len(d.segments) > 0 {
		d.oldest.Store(d.segments[0].unread.from)
	}
}

// tell says when the disk fails, and when it works again.
func (s *Spool) tell(err error) {
	s.mu.Lock()
	before := s.stats.DiskFails
	s.stats.DiskFails = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !before:
		s.opt.Log.Error("the spool cannot write to its directory; frames wait in memory until it can", "dir", s.disk.dir, "error", err)
	case err == nil && before:
		s.opt.Log.Info("the spool writes to its directory again", "dir", s.disk.dir)
	}
}

// dropFirst drops the first segment.
func (s *Spool) dropFirst(reason string) {
	d := s.disk
	first := d.segments[0].unread
	lost, pinned := d.dropFirst(reason)
	s.mu.Lock()
	s.disked -= first.frames
	s.stored -= first.bytes
	if pinned {
		s.place = alone
	}
	s.mu.Unlock()
	s.lost(lost)
}

// lost counts a loss and reports it.
func (s *Spool) lost(d Drop) {
	if d.Frames == 0 {
		return
	}
	s.mu.Lock()
	s.stats.DroppedFrames += uint64(d.Frames)
	s.stats.DroppedBytes += uint64(d.Bytes)
	s.mu.Unlock()
	s.opt.Dropped(d)
}

// peekDisk pins the first frame on disk. A segment that cannot be read is set
// aside.
func (s *Spool) peekDisk() {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.segments) == 0 {
		return // dropped meanwhile
	}
	it, err := d.peek()
	if err == nil {
		s.mu.Lock()
		s.head, s.place = it, onDisk
		s.mu.Unlock()
		return
	}
	seg := d.segments[0]
	s.opt.Log.Error("a segment of the spool cannot be read; it is set aside", "segment", d.path(seg), "error", err)
	lost := Drop{Reason: ReasonDamage}
	lost.unreadable(&seg.unread)
	s.mu.Lock()
	s.disked -= seg.unread.frames
	s.stored -= seg.unread.bytes
	s.stats.SetAside++
	s.mu.Unlock()
	seg.damaged = true
	d.finish(seg)
	s.lost(lost)
}

// ackDisk goes past the head, which is on disk or was when it was looked at.
func (s *Spool) ackDisk() {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	s.mu.Lock()
	at, head := s.place, s.head
	s.mu.Unlock()
	if at == onDisk { // it stays so while the directory is locked
		d.consume(&head)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == onDisk {
		s.disked--
		s.stored -= len(head.Bytes)
	}
	s.head, s.place = Item{}, nowhere
}

// Route returns what SetRoute kept last, by this process or an earlier one
// whose frames may wait; "" where nothing was.
func (s *Spool) Route() string {
	if s.disk == nil {
		return ""
	}
	return s.disk.route()
}

// SetRoute keeps where frames go, for the process that sends what this one
// leaves behind. Without a directory it does nothing.
func (s *Spool) SetRoute(route string) error {
	if s.disk == nil {
		return nil
	}
	return s.disk.setRoute(route)
}
