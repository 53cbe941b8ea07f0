package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// bed is a spool with a directory whose writer takes its turns when told.
type bed struct {
	t     testing.TB
	s     *Spool
	opt   Options
	now   time.Time
	next  uint64
	boot  uint64
	drops []Drop
}

func newBed(t testing.TB, opt Options) *bed {
	t.Helper()
	b := &bed{t: t, now: time.UnixMilli(1_790_000_000_000), opt: opt}
	if b.opt.MemoryBytes == 0 {
		b.opt.MemoryBytes = 1 << 20
	}
	if b.opt.DiskBytes == 0 {
		b.opt.DiskBytes = 1 << 20
	}
	if b.opt.Dir == "" {
		b.opt.Dir = filepath.Join(t.TempDir(), "spool")
	}
	b.opt.Now = func() time.Time { return b.now }
	b.opt.Dropped = func(d Drop) { b.drops = append(b.drops, d) }
	b.boots()
	return b
}

// boots begins a process: frames are numbered from 1.
func (b *bed) boots() {
	b.t.Helper()
	var err error
	if b.s, err = New(b.opt); err == nil {
		err = b.s.Open()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.boot, b.next = b.boot+1, 0
	b.t.Cleanup(func() { b.s.disk.close() })
}

// killed ends the process as kill -9 does: what is in memory is gone.
func (b *bed) killed() {
	b.s.disk.closeActive()
	b.s.disk.lock.Close()
	b.s.disk.lock = nil
}

// put puts a frame, a second after the one before, and gives the writer a turn.
func (b *bed) put(size int) Drop {
	b.next++
	b.now = b.now.Add(time.Second)
	at := b.now.UnixMilli()
	lost := b.s.Put(Item{Boot: b.boot, Seq: b.next, From: at - 900, To: at, Bytes: bytes.Repeat([]byte{byte(b.next)}, size)})
	_ = b.s.write(b.now)
	return lost
}

// take sends frames until none is left and returns boot and number of each.
func (b *bed) take() (got [][2]uint64) {
	b.t.Helper()
	for {
		it, ok := b.s.Peek()
		if !ok {
			return got
		}
		if len(it.Bytes) == 0 || it.Bytes[0] != byte(it.Seq) || it.Bytes[len(it.Bytes)-1] != byte(it.Seq) {
			b.t.Fatalf("frame %d has other bytes", it.Seq)
		}
		got = append(got, [2]uint64{it.Boot, it.Seq})
		if err := b.s.Ack(it.Seq); err != nil {
			b.t.Fatal(err)
		}
	}
}

// span lists the frames of a boot.
func span(boot, from, to uint64) (out [][2]uint64) {
	for seq := from; seq <= to; seq++ {
		out = append(out, [2]uint64{boot, seq})
	}
	return out
}

func (b *bed) want(what string, got [][2]uint64, spans ...[][2]uint64) {
	b.t.Helper()
	if want := slices.Concat(spans...); !slices.Equal(got, want) {
		b.t.Fatalf("%s: got %d frames %v, want %d", what, len(got), got, len(want))
	}
}

func (b *bed) segments() []string {
	names, err := filepath.Glob(filepath.Join(b.opt.Dir, "*"+segmentSuffix))
	if err != nil {
		b.t.Fatal(err)
	}
	return names
}

func TestHealthyBrokerNeverSeesTheDisk(t *testing.T) {
	b := newBed(t, Options{})
	for range 10 {
		b.put(100)
		b.take()
	}
	if n := len(b.segments()); n != 0 {
		t.Errorf("%d segments were written", n)
	}
}

func TestOutageGoesToDiskAndComesBackInOrder(t *testing.T) {
	b := newBed(t, Options{})
	if _, ok := b.s.Peek(); ok {
		t.Fatal("a frame came from nowhere")
	}
	b.put(1000)
	b.s.Peek() // being sent
	for range 299 {
		b.put(1000)
	}
	st := b.s.Stats()
	if st.Frames != 300 || st.DiskFrames != 300 || st.Bytes != 300_000 || st.DiskBytes < 300_000 || st.DiskFails {
		t.Fatalf("stats %+v", st)
	}
	b.want("the backlog", b.take(), span(1, 1, 300))
	if st := b.s.Stats(); st.Frames != 0 || st.Bytes != 0 || st.DiskBytes != 0 || len(b.segments()) != 0 {
		t.Errorf("left behind: %+v, %v", st, b.segments())
	}
	b.put(10)
	b.want("after the outage", b.take(), span(1, 301, 301))
}

func TestKilledProcessLosesOnlyWhatHadNotWaited(t *testing.T) {
	b := newBed(t, Options{})
	for range 20 {
		b.put(100)
	}
	b.killed()
	b.boots()
	b.put(100)
	b.s.Peek()
	for range 4 {
		b.put(100)
	}
	b.killed()
	b.boots()
	b.put(100)
	b.want("three boots", b.take(), span(1, 1, 20), span(2, 1, 5), span(3, 1, 1))
}

// What was sent in part is sent again after a kill, with the same numbers, and
// not at all after a clean stop.
func TestSegmentSentInPart(t *testing.T) {
	part := func(b *bed) {
		for range 10 {
			b.put(100)
		}
		for range 4 {
			it, _ := b.s.Peek()
			if err := b.s.Ack(it.Seq); err != nil {
				t.Fatal(err)
			}
		}
		b.s.Peek() // sent perhaps, not acknowledged
	}
	b := newBed(t, Options{})
	part(b)
	b.killed()
	b.boots()
	b.want("after a kill", b.take(), span(1, 1, 10))

	b = newBed(t, Options{})
	part(b)
	b.s.close()
	b.boots()
	b.want("after a stop", b.take(), span(1, 5, 10))
}

func TestStopWritesWhatWaits(t *testing.T) {
	b := newBed(t, Options{})
	b.put(100)
	b.put(100)
	b.s.close()
	b.boots()
	b.want("the next process", b.take(), span(1, 1, 2))
}

// Frames are acknowledged between what the writer saw and what it wrote.
func TestBrokerReturnsWhileMemoryIsWritten(t *testing.T) {
	for acked := range 4 {
		for _, pinned := range []bool{false, true} {
			b := newBed(t, Options{})
			for range 3 {
				b.next++
				b.s.Put(Item{Boot: 1, Seq: b.next, Bytes: bytes.Repeat([]byte{byte(b.next)}, 9)})
			}
			b.now = b.now.Add(time.Minute)
			batch, _ := b.s.batch(b.now)
			if len(batch) != 3 {
				t.Fatalf("%d frames to write", len(batch))
			}
			for range acked {
				it, _ := b.s.Peek()
				if err := b.s.Ack(it.Seq); err != nil {
					t.Fatal(err)
				}
			}
			if pinned {
				b.s.Peek()
			}
			b.s.moved(batch, b.s.disk.append(batch, b.now))
			if st := b.s.Stats(); st.Frames != 3-acked || st.DiskFrames != 3-acked {
				t.Fatalf("%d acknowledged: %+v", acked, st)
			}
			b.put(9)
			b.want("the rest", b.take(), span(1, uint64(acked+1), 4))
		}
	}
}

func TestBytesOnDiskAreBoundedOldestFirst(t *testing.T) {
	b := newBed(t, Options{DiskBytes: 64 << 10})
	for range 200 {
		b.put(1000)
		if st := b.s.Stats(); st.DiskBytes > 64<<10 {
			t.Fatalf("%d bytes on disk", st.DiskBytes)
		}
	}
	var lost uint64
	for _, d := range b.drops {
		if d.Reason != ReasonDisk || d.FirstSeq != lost+1 || int(d.LastSeq-d.FirstSeq) != d.Frames-1 || len(d.Items) != d.Frames || d.Bytes != 1000*d.Frames {
			t.Fatalf("drop %+v after frame %d", d, lost)
		}
		lost = d.LastSeq
	}
	st := b.s.Stats()
	if lost < 100 || st.DroppedFrames != lost || st.DroppedBytes != 1000*lost {
		t.Fatalf("%d lost, %+v", lost, st)
	}
	b.want("the rest", b.take(), span(1, lost+1, 200))
}

func TestFrameBeingSentOutlivesItsSegment(t *testing.T) {
	b := newBed(t, Options{DiskBytes: 64 << 10})
	b.put(1000)
	b.s.Peek()
	for range 200 {
		b.put(1000)
	}
	if d := b.drops[0]; d.FirstSeq != 2 || len(d.Items) != d.Frames {
		t.Errorf("first drop %+v", d)
	}
	it, ok := b.s.Peek()
	if !ok || it.Seq != 1 || len(it.Bytes) != 1000 || it.Bytes[0] != 1 {
		t.Fatalf("the frame being sent is %d", it.Seq)
	}
	if err := b.s.Ack(1); err != nil {
		t.Fatal(err)
	}
	b.want("the rest", b.take(), span(1, b.drops[len(b.drops)-1].LastSeq+1, 201))
}

func TestFramesThatWaitForTooLongGo(t *testing.T) {
	b := newBed(t, Options{MaxAge: time.Minute, DiskBytes: 64 << 10})
	for range 30 {
		b.put(1000)
	}
	b.now = b.now.Add(55 * time.Second)
	b.put(1000)
	if len(b.drops) == 0 || b.drops[0].Reason != ReasonAge || b.drops[0].FirstSeq != 1 {
		t.Fatalf("drops %+v", b.drops)
	}
	kept := b.drops[len(b.drops)-1].LastSeq + 1
	b.killed()
	b.drops = nil
	b.now = b.now.Add(time.Hour) // the host was off
	b.boots()
	if len(b.drops) == 0 || b.drops[0].Reason != ReasonAge || b.drops[0].FirstSeq != kept {
		t.Fatalf("drops %+v", b.drops)
	}
	b.want("what is left", b.take())

	s, err := New(Options{MemoryBytes: 1 << 20, MaxAge: time.Minute, Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.Put(frame(1, 10))
	b.now = b.now.Add(2 * time.Minute)
	if lost := s.Put(frame(2, 10)); lost.Frames != 1 || lost.Reason != ReasonAge {
		t.Errorf("in memory: %+v", lost)
	}
}

// damage changes a segment's file.
func (b *bed) damage(i int, f func([]byte) []byte) {
	b.t.Helper()
	name := b.segments()[i]
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, f(text), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestTornAndDamagedSegments(t *testing.T) {
	const size = recordHeader + 100
	at := func(frame, i int) int { return segmentHeader + (frame-1)*size + i }
	f := func(name string, change func([]byte) []byte, torn, aside uint64, want ...[][2]uint64) {
		t.Helper()
		b := newBed(t, Options{})
		for range 10 {
			b.put(100)
		}
		b.killed()
		b.damage(0, change)
		b.boots()
		st := b.s.Stats()
		if st.Torn != torn || st.SetAside != aside {
			t.Errorf("%s: %d torn, %d set aside; want %d, %d", name, st.Torn, st.SetAside, torn, aside)
		}
		b.put(100)
		b.want(name, b.take(), append(want, span(2, 1, 1))...)
		bad, _ := filepath.Glob(filepath.Join(b.opt.Dir, "*"+asideSuffix))
		if len(bad) != int(aside) || len(b.segments()) != 0 {
			t.Errorf("%s: %v set aside, %v left", name, bad, b.segments())
		}
	}
	f("last frame cut", func(p []byte) []byte { return p[:len(p)-1] }, 1, 0, span(1, 1, 9))
	f("last header cut", func(p []byte) []byte { return p[:at(10, 7)] }, 1, 0, span(1, 1, 9))
	f("zeros after a loss of power", func(p []byte) []byte { return append(p, make([]byte, 4096)...) }, 1, 0, span(1, 1, 10))
	f("only a beginning", func(p []byte) []byte { return p[:3] }, 1, 0)
	f("nothing", func([]byte) []byte { return nil }, 1, 0)
	f("only the magic", func(p []byte) []byte { return p[:segmentHeader] }, 0, 0)
	f("a flipped byte in a frame", func(p []byte) []byte { p[at(4, recordHeader+50)] ^= 1; return p }, 0, 1, span(1, 1, 3), span(1, 5, 10))
	f("a flipped byte in a header", func(p []byte) []byte { p[at(4, 5)] ^= 1; return p }, 0, 1, span(1, 1, 3), span(1, 5, 10))
	f("a hole", func(p []byte) []byte { clear(p[at(4, 10):at(6, 10)]); return p }, 0, 1, span(1, 1, 3), span(1, 7, 10))
	f("another file", func(p []byte) []byte { return []byte("not a segment at all, but text") }, 0, 1)
}

func TestDamagedFramesAreReported(t *testing.T) {
	b := newBed(t, Options{})
	for range 3 {
		b.put(100)
	}
	b.killed()
	b.damage(0, func(p []byte) []byte { p[len(p)-150] ^= 1; return p }) // in frame 2
	b.boots()
	if len(b.drops) != 1 || b.drops[0].Reason != ReasonDamage || b.drops[0].FirstSeq != 2 || b.drops[0].Frames != 1 || b.drops[0].Boot != 1 {
		t.Errorf("drops %+v", b.drops)
	}
}

// A segment goes while the process runs: its frames are a gap, the others leave.
func TestSegmentVanishes(t *testing.T) {
	b := newBed(t, Options{DiskBytes: 64 << 10})
	for range 20 {
		b.put(1000)
	}
	names := b.segments()
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	got := b.take()
	if len(b.drops) != 1 || b.drops[0].Reason != ReasonDamage || b.drops[0].FirstSeq != 1 {
		t.Fatalf("drops %+v", b.drops)
	}
	b.want("the others", got, span(1, b.drops[0].LastSeq+1, 20))
	if st := b.s.Stats(); st.Frames != 0 || st.Bytes != 0 || st.DiskBytes != 0 || st.SetAside != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestDirectoryIsOfOneAgent(t *testing.T) {
	b := newBed(t, Options{})
	other, err := New(b.opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Open(); !errors.Is(err, ErrLocked) {
		t.Fatalf("the second agent got %v", err)
	}
	b.s.close()
	b.boots()
}

func TestDirectoryThatCannotBeUsedLeavesMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{MemoryBytes: 1000, Dir: filepath.Join(file, "spool"), DiskBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err == nil {
		t.Fatal("a directory below a file was opened")
	}
	s.Put(frame(1, 10))
	it, ok := s.Peek()
	if st := s.Stats(); !ok || it.Seq != 1 || !st.DiskFails {
		t.Errorf("peeked %v, %+v", ok, st)
	}
}

// The file system has a real end: a small one in memory.
func TestFullDiskDegradesToMemoryAndBack(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("nines-spool", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	b := newBed(t, Options{Dir: filepath.Join(dir, "spool"), DiskBytes: 4 << 20, MemoryBytes: 64 << 10})
	t.Cleanup(func() { b.s.disk.close() })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 160<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var lost []Drop
	for range 200 {
		if d := b.put(1000); d.Frames > 0 {
			lost = append(lost, d)
		}
	}
	st := b.s.Stats()
	if !st.DiskFails || st.DiskFrames < 20 || st.Frames-st.DiskFrames < 60 || len(lost) == 0 {
		t.Fatalf("%+v, %d losses", st, len(lost))
	}
	for _, d := range lost {
		if d.Reason != ReasonMemory {
			t.Errorf("loss %+v", d)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	lost = append(lost, b.put(1000))
	if st := b.s.Stats(); st.DiskFails {
		t.Fatalf("there is room again: %+v", st)
	}
	b.killed()
	b.boots()
	first, last := lost[0].FirstSeq, lost[len(lost)-1].LastSeq
	b.want("all but what was reported", b.take(), span(1, 1, first-1), span(1, last+1, 201))
}

func TestRunSyncsAndStops(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{MemoryBytes: 1 << 20, Dir: dir, DiskBytes: 1 << 20})
		if err == nil {
			err = s.Open()
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		for seq := range uint64(10) {
			s.Put(frame(seq+1, 100))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if st := s.Stats(); st.DiskFrames != 10 {
			t.Errorf("%+v", st)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.disk.mu.Lock()
		if s.disk.dirty || s.disk.made {
			t.Error("what was written two seconds ago is not synced")
		}
		s.disk.mu.Unlock()
		cancel()
		wg.Wait()
	})
}

// Whatever happens, frames leave in order, once in the life of a process, and
// each is sent, waiting or reported.
func TestEveryFrameOnDiskIsAccountedFor(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{MemoryBytes: rapid.IntRange(500, 20_000).Draw(t, "memory"), DiskBytes: int64(rapid.IntRange(2000, 60_000).Draw(t, "disk")),
			Dir: filepath.Join(outer.TempDir(), "spool")}
		b := newBed(outer, opt)
		fate := map[[2]uint64]int{} // how often a frame was sent or reported
		var made, sent [][2]uint64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2:
				if it, ok := b.s.Peek(); ok {
					id := [2]uint64{it.Boot, it.Seq}
					sent = append(sent, id)
					fate[id]++
					if err := b.s.Ack(it.Seq); err != nil {
						t.Fatal(err)
					}
				}
			case 3:
				b.s.Peek()
			case 4:
				if rapid.Bool().Draw(t, "clean") {
					b.s.close()
				} else {
					b.killed()
					for i := range b.s.memory.n { // gone with memory
						it := b.s.memory.at(i)
						fate[[2]uint64{it.Boot, it.Seq}]++
					}
					if b.s.place == alone { // and what was being sent of a dropped segment
						fate[[2]uint64{b.s.head.Boot, b.s.head.Seq}]++
					}
				}
				b.boots()
			default:
				lost := b.put(rapid.IntRange(1, 3000).Draw(t, "size"))
				made = append(made, [2]uint64{b.boot, b.next})
				b.drops = append(b.drops, lost)
			}
		}
		for _, id := range b.take() {
			sent = append(sent, id)
			fate[id]++
		}
		for _, d := range b.drops {
			if len(d.Items) != d.Frames {
				t.Fatalf("drop of %d frames has %d", d.Frames, len(d.Items))
			}
			for _, it := range d.Items {
				fate[[2]uint64{it.Boot, it.Seq}]++
			}
		}
		for _, id := range made {
			if fate[id] == 0 {
				t.Fatalf("frame %d of boot %d left without a trace", id[1], id[0])
			}
		}
		seen := [2]uint64{}
		for i, id := range sent { // repeats begin again at the first frame of a segment
			if slices.Compare(id[:], seen[:]) <= 0 && !slices.Contains(sent[:i], id) {
				t.Fatalf("frame %v came after %v", id, seen)
			}
			seen = id
		}
	})
}

func FuzzReadSegment(f *testing.F) {
	d := newDisk("", 1)
	var good []byte
	for seq := range uint64(3) {
		it := frame(seq+1, 20)
		good = appendRecord(good, &it, d.table)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append([]byte(marker), good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := records{b: b, table: d.table}
		n := 0
		for it, ok := r.next(); ok; it, ok = r.next() {
			again := appendRecord(nil, &it, d.table)
			if !bytes.Contains(b, again) {
				t.Fatalf("frame %d was not there", it.Seq)
			}
			n += len(again)
		}
		for i := range r.damaged {
			_ = i
			n += recordHeader
		}
		if n+r.skipped+r.cut > len(b) {
			t.Fatalf("%d bytes read, %d skipped, %d cut of %d", n, r.skipped, r.cut, len(b))
		}
		// What stands before damage is read whatever comes behind.
		r = records{b: append(slices.Clone(good), b...), table: d.table}
		for seq := range uint64(3) {
			if it, ok := r.next(); !ok || it.Seq != seq+1 {
				t.Fatalf("frame %d is gone", seq+1)
			}
		}
	})
}

// Hostile headers cost no more than reading the file.
func TestManyMarkersAreReadOnce(t *testing.T) {
	d := newDisk("", 1)
	b := bytes.Repeat(binary.LittleEndian.AppendUint32([]byte(marker), 100), 1<<17)
	r := records{b: b, table: d.table}
	if _, ok := r.next(); ok || r.cut != len(b) {
		t.Fatalf("read a frame, or cut only %d", r.cut)
	}
}
