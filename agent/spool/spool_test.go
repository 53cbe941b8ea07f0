package spool

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func frame(seq uint64, size int) Item {
	t := int64(seq) * 1000
	return Item{Seq: seq, From: t, To: t + 999, Bytes: make([]byte, size)}
}

func mustNew(t testing.TB, limit int) *Spool {
	t.Helper()
	s, err := New(Options{MemoryBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewRejectsNoRoom(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Fatal("a spool without room was created")
	}
}

func TestKafkaGoneFillsSpoolAndDropsOldest(t *testing.T) {
	s := mustNew(t, 300)
	for seq := uint64(1); seq <= 3; seq++ {
		if lost := s.Put(frame(seq, 100)); lost.Frames != 0 {
			t.Fatalf("frame %d: lost %+v although it fits", seq, lost)
		}
	}
	lost := s.Put(frame(4, 150))
	want := Drop{Reason: ReasonMemory, FirstSeq: 1, LastSeq: 2, From: 1000, To: 2999, Frames: 2, Bytes: 200, Items: lost.Items}
	if !reflect.DeepEqual(lost, want) || len(lost.Items) != 2 || len(lost.Items[1].Bytes) != 100 {
		t.Fatalf("lost %+v, want %+v", lost, want)
	}
	st := s.Stats()
	if st.Frames != 2 || st.Bytes != 250 || st.DroppedFrames != 2 || st.DroppedBytes != 200 || st.OldestTime != 3000 {
		t.Fatalf("stats %+v", st)
	}
}

func TestFrameBeingSentIsNeverDropped(t *testing.T) {
	s := mustNew(t, 300)
	for seq := uint64(1); seq <= 3; seq++ {
		s.Put(frame(seq, 100))
	}
	if it, ok := s.Peek(); !ok || it.Seq != 1 {
		t.Fatalf("peeked %d, %v", it.Seq, ok)
	}
	lost := s.Put(frame(4, 100))
	if lost.FirstSeq != 2 || lost.LastSeq != 2 {
		t.Fatalf("lost %+v, want frame 2", lost)
	}
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
	if it, _ := s.Peek(); it.Seq != 3 {
		t.Fatalf("next is %d, want 3", it.Seq)
	}
}

func TestAckWantsThePeekedFrame(t *testing.T) {
	s := mustNew(t, 300)
	s.Put(frame(1, 1))
	if err := s.Ack(1); err == nil {
		t.Fatal("acknowledged a frame that was never peeked")
	}
	s.Peek()
	if err := s.Ack(2); err == nil {
		t.Fatal("acknowledged another frame")
	}
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
}

func TestOversizedFrameIsHeldAlone(t *testing.T) {
	s := mustNew(t, 10)
	s.Put(frame(1, 5))
	if lost := s.Put(frame(2, 50)); lost.Frames != 1 || lost.LastSeq != 1 {
		t.Fatalf("lost %+v", lost)
	}
	if it, ok := s.Peek(); !ok || it.Seq != 2 {
		t.Fatal("the large frame is not there")
	}
}

// Every frame is, in the end, either acknowledged in order or reported as
// dropped, and the bytes never exceed the limit while more than one is held.
func TestEveryFrameIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 500).Draw(rt, "limit")
		s, _ := New(Options{MemoryBytes: limit})
		seen := map[uint64]bool{}
		var next, lastAck uint64
		mark := func(seq uint64) {
			if seen[seq] {
				rt.Fatalf("frame %d left twice", seq)
			}
			seen[seq] = true
		}
		ack := func() bool {
			it, ok := s.Peek()
			if !ok {
				return false
			}
			if it.Seq <= lastAck {
				rt.Fatalf("frame %d after %d", it.Seq, lastAck)
			}
			lastAck = it.Seq
			mark(it.Seq)
			return s.Ack(it.Seq) == nil
		}
		for range rapid.IntRange(0, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				ack()
			case 1:
				s.Peek()
			default:
				next++
				it, pinned := Item{}, s.place != nowhere
				if pinned {
					it, _ = s.Peek()
				}
				lost := s.Put(frame(next, rapid.IntRange(1, 200).Draw(rt, "size")))
				gone := 0
				for seq := lost.FirstSeq; lost.Frames > 0 && seq <= lost.LastSeq; seq++ {
					if pinned && seq == it.Seq {
						continue
					}
					mark(seq)
					gone++
				}
				if gone != lost.Frames {
					rt.Fatalf("drop %+v names %d frames", lost, gone)
				}
				if st := s.Stats(); st.Bytes > limit && st.Frames > 2 {
					rt.Fatalf("holds %d bytes of %d", st.Bytes, limit)
				}
			}
		}
		for ack() {
		}
		if len(seen) != int(next) {
			rt.Fatalf("%d of %d frames accounted for", len(seen), next)
		}
	})
}
