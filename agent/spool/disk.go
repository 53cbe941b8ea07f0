package spool

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Names of files in the directory.
const (
	segmentSuffix = ".seg"
	asideSuffix   = ".bad"
	lockName      = "lock"
	routeName     = "route"
	// keepAside is how many damaged segments are kept for a person to look at.
	keepAside = 4
)

// ErrLocked says that another agent uses the directory.
var ErrLocked = errors.New("another agent uses it: give each agent a directory of its own")

// segment is a file of records.
type segment struct {
	serial  uint64 // its name; they ascend
	size    int64  // whole records, header included
	read    int64  // where the next record to read begins
	unread  account
	written time.Time // the last record
	damaged bool
}

// disk is the directory. Its lock comes before the spool's; whoever holds it may
// wait for the disk.
type disk struct {
	dir   string
	limit int64
	roll  int64 // a segment is closed when it would get larger
	table *crc32.Table

	mu       sync.Mutex
	lock     *os.File
	segments []*segment
	serial   uint64   // of the last one made
	active   *os.File // the last segment, while this process writes it
	dirty    bool     // it has bytes that fsync has not seen
	made     bool     // and a name
	buf      []byte

	data    records // of the first segment, from base on
	base    int64
	loaded  *segment // what data is of
	pending Item     // read and not consumed
	has     bool

	total  atomic.Int64 // bytes of all segments
	oldest atomic.Int64 // first sample time waiting, about
}

func newDisk(dir string, limit int64) *disk {
	return &disk{dir: dir, limit: limit, roll: min(max(limit/16, 1), segmentBytes), table: crc32.MakeTable(crc32.Castagnoli)}
}

func (d *disk) path(s *segment) string {
	return filepath.Join(d.dir, fmt.Sprintf("%016x%s", s.serial, segmentSuffix))
}

// open makes and locks the directory and finds the segments in it.
func (d *disk) open() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("create spool directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(d.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock spool directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return fmt.Errorf("lock spool directory %s: %w", d.dir, err)
	}
	d.lock = f
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("read spool directory: %w", err)
	}
	for _, e := range files {
		name, ours := strings.CutSuffix(e.Name(), segmentSuffix)
		serial, err := strconv.ParseUint(name, 16, 64)
		switch {
		case strings.HasSuffix(e.Name(), ".tmp"):
			_ = os.Remove(filepath.Join(d.dir, e.Name())) // of a process that was killed
		case ours && err == nil && len(name) == 16:
			d.segments = append(d.segments, &segment{serial: serial, unread: newAccount()})
			d.serial = max(d.serial, serial)
		}
	}
	slices.SortFunc(d.segments, func(a, b *segment) int { return cmp.Compare(a.serial, b.serial) })
	return nil
}

// scanned is what scan found wrong.
type scanned struct {
	lost Drop
	torn bool
	err  error
}

// scan reads a segment of an earlier process: it counts the frames that are
// whole, and cuts off what a crash left behind them.
func (d *disk) scan(s *segment, now time.Time) (out scanned) {
	b, err := os.ReadFile(d.path(s))
	switch {
	case err != nil:
		s.damaged, out.err = true, err
		return out
	case len(b) < segmentHeader:
		out.torn = true
		return out
	case string(b[:segmentHeader]) != segmentMagic:
		s.damaged, out.err = true, errors.New("it is no segment, or of another version")
		return out
	}
	r := records{b: b[segmentHeader:], table: d.table}
	for it, ok := r.next(); ok; it, ok = r.next() {
		s.unread.add(&it)
	}
	s.read, s.size = int64(segmentHeader), int64(len(b)-r.cut)
	out.torn = r.cut > 0
	for i := range r.damaged {
		out.lost.add(r.damaged[i], 0)
	}
	if s.damaged = len(r.damaged) > 0 || r.skipped > 0; s.damaged {
		out.err = fmt.Errorf("%d frames and %d bytes besides are damaged", len(r.damaged), r.skipped)
	}
	age := now.Sub(time.UnixMilli(s.unread.to))
	s.written = now.Add(-max(age, 0))
	return out
}

// append writes frames behind all others, to one segment. What fails leaves no
// trace.
func (d *disk) append(items []entry, now time.Time) (err error) {
	d.buf = d.buf[:0]
	for i := range items {
		d.buf = appendRecord(d.buf, &items[i].Item, d.table)
	}
	s, err := d.last(int64(len(d.buf)))
	if err != nil {
		return err
	}
	if _, err := d.active.WriteAt(d.buf, s.size); err != nil {
		if cut := d.active.Truncate(s.size); cut != nil {
			d.closeActive() // the next one begins anew; a reader ends before what is torn
		}
		d.discard(s)
		return fmt.Errorf("write spool: %w", err)
	}
	s.size += int64(len(d.buf))
	d.total.Add(int64(len(d.buf)))
	s.written, d.dirty = now, true
	for i := range items {
		s.unread.add(&items[i].Item)
	}
	return nil
}

// last returns the segment that takes so many bytes more, a new one where needed.
func (d *disk) last(bytes int64) (*segment, error) {
	if d.active != nil {
		s := d.segments[len(d.segments)-1]
		if s.size == int64(segmentHeader) || s.size+bytes <= d.roll {
			return s, nil
		}
		d.sync()
		d.closeActive()
	}
	s := &segment{serial: d.serial + 1, size: int64(segmentHeader), read: int64(segmentHeader), unread: newAccount()}
	f, err := os.OpenFile(d.path(s), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	d.serial++ // the name is taken, whatever comes
	if _, err := f.Write([]byte(segmentMagic)); err != nil {
		f.Close()
		_ = os.Remove(d.path(s))
		return nil, fmt.Errorf("write spool: %w", err)
	}
	d.active, d.made = f, true
	d.segments = append(d.segments, s)
	d.total.Add(s.size)
	return s, nil
}

// discard removes the last segment if nothing was ever written to it.
func (d *disk) discard(s *segment) {
	if s.size > int64(segmentHeader) {
		return
	}
	d.closeActive()
	d.remove(s)
}

func (d *disk) closeActive() {
	if d.active != nil {
		d.active.Close()
		d.active, d.dirty, d.made = nil, false, false
	}
}

// sync has what was written survive a loss of power.
func (d *disk) sync() {
	if d.active == nil || !d.dirty {
		return
	}
	if d.active.Sync() == nil {
		d.dirty = false
	}
	if d.made {
		if dir, err := os.Open(d.dir); err == nil {
			d.made = dir.Sync() != nil
			dir.Close()
		}
	}
}

// peek reads the next frame of the first segment without consuming it.
func (d *disk) peek() (Item, error) {
	if d.has {
		return d.pending, nil
	}
	s := d.segments[0]
	if d.loaded != s || d.data.at == len(d.data.b) {
		if err := d.load(s); err != nil {
			return Item{}, err
		}
	}
	it, ok := d.data.next()
	if !ok {
		return Item{}, fmt.Errorf("read segment: %d frames are missing", s.unread.frames)
	}
	d.pending, d.has = it, true
	return it, nil
}

// load reads the rest of a segment.
func (d *disk) load(s *segment) error {
	f, err := os.Open(d.path(s))
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	b := make([]byte, s.size-s.read)
	if _, err := f.ReadAt(b, s.read); err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	d.data, d.base, d.loaded = records{b: b, table: d.table}, s.read, s
	return nil
}

// consume goes past a frame: the pending one, or one that was appended to an
// empty disk and left from memory meanwhile.
func (d *disk) consume(it *Item) {
	s := d.segments[0]
	if s.read += recordSize(it); d.loaded == s {
		s.read = d.base + int64(d.data.at)
	}
	s.unread.frames--
	s.unread.bytes -= len(it.Bytes)
	s.unread.firstSeq, s.unread.from = it.Seq+1, it.To
	d.has, d.pending = false, Item{}
	d.oldest.Store(it.To)
	if s.unread.frames == 0 {
		d.finish(s)
	}
}

// finish removes a segment that was read to its end, or sets it aside.
func (d *disk) finish(s *segment) {
	if d.active != nil && s == d.segments[len(d.segments)-1] {
		d.closeActive()
	}
	if s.damaged {
		d.setAside(s)
		return
	}
	d.remove(s)
}

func (d *disk) remove(s *segment) {
	_ = os.Remove(d.path(s)) // one that stays is read again, and its frames are repeats
	d.forget(s)
}

func (d *disk) forget(s *segment) {
	d.segments = slices.DeleteFunc(d.segments, func(o *segment) bool { return o == s })
	d.total.Add(-s.size)
	if d.loaded == s {
		d.loaded, d.data, d.has, d.pending = nil, records{}, false, Item{}
	}
}

// setAside keeps a damaged segment for a person, and the newest few of these.
func (d *disk) setAside(s *segment) {
	_ = os.Rename(d.path(s), strings.TrimSuffix(d.path(s), segmentSuffix)+asideSuffix)
	d.forget(s)
	old, _ := filepath.Glob(filepath.Join(d.dir, "*"+asideSuffix)) // sorted by name, which is by age
	for len(old) > keepAside {
		_ = os.Remove(old[0])
		old = old[1:]
	}
}

// dropFirst removes the first segment and reports what was not read of it. The
// pending frame, which may be in the log already, is not among these.
func (d *disk) dropFirst(reason string) (lost Drop, pinned bool) {
	s := d.segments[0]
	lost.Reason = reason
	unread := s.unread
	if pinned = d.has; pinned {
		unread.frames--
		unread.bytes -= len(d.pending.Bytes)
	}
	if d.loaded != s && d.load(s) == nil && pinned {
		d.data.next()
	}
	for d.loaded == s {
		for it, ok := d.data.next(); ok; it, ok = d.data.next() {
			lost.add(it, len(it.Bytes))
		}
		if s.read = d.base + int64(len(d.data.b)); s.read == s.size || d.load(s) != nil { // it grew since
			break
		}
	}
	lost.unreadable(&unread)
	if d.active != nil && s == d.segments[len(d.segments)-1] {
		d.closeActive()
	}
	d.remove(s)
	return lost, pinned
}

// unreadable adds the frames of an account that could not be read.
func (d *Drop) unreadable(a *account) {
	more := a.frames - d.Frames
	if more <= 0 {
		return
	}
	if d.Frames == 0 {
		d.Boot, d.FirstSeq, d.From = a.boot, a.firstSeq, a.from
	}
	d.LastSeq = a.lastSeq
	d.From, d.To = min(d.From, a.from), max(d.To, a.to)
	d.Frames, d.Bytes = a.frames, a.bytes
}

// prepend writes a frame before all others, whose segment was dropped while it
// was being sent.
func (d *disk) prepend(it *Item) {
	s := &segment{serial: d.serial}
	if len(d.segments) > 0 {
		s.serial = d.segments[0].serial - 1
	}
	_ = writeFile(d.path(s), appendRecord([]byte(segmentMagic), it, d.table)) // else it is a gap, if it was not sent
}

// trim rewrites a segment that was read in part, so that the next process
// repeats nothing of it.
func (d *disk) trim() {
	if len(d.segments) == 0 {
		return
	}
	s := d.segments[0]
	if s.read == int64(segmentHeader) || s.damaged {
		return
	}
	b, err := os.ReadFile(d.path(s))
	if err != nil || int64(len(b)) < s.size {
		return
	}
	tmp := d.path(s) + ".tmp"
	if writeFile(tmp, append([]byte(segmentMagic), b[s.read:s.size]...)) == nil {
		_ = os.Rename(tmp, d.path(s)) // else its frames are repeats
	}
}

// writeFile writes a file that survives a loss of power.
func writeFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// close ends the directory's use.
func (d *disk) close() {
	d.sync()
	d.closeActive()
	d.trim()
	if d.lock != nil {
		d.lock.Close() // and so its lock
		d.lock = nil
	}
}

// route returns what setRoute kept, "" where nothing was.
func (d *disk) route() string {
	b, err := os.ReadFile(filepath.Join(d.dir, routeName))
	if err != nil {
		return "" // there is none; at worst frames are repeated elsewhere
	}
	return string(b)
}

func (d *disk) setRoute(route string) error {
	name := filepath.Join(d.dir, routeName)
	if err := writeFile(name+".tmp", []byte(route)); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return os.Rename(name+".tmp", name)
}
