package spool

import (
	"path/filepath"
	"testing"
	"time"
)

// A frame of a host's base metrics, in bytes.
const usualFrame = 2000

func pass(b *testing.B, s *Spool) {
	b.ReportAllocs()
	body := make([]byte, usualFrame)
	seq := uint64(0)
	for b.Loop() {
		seq++
		s.Put(Item{Boot: 1, Seq: seq, From: int64(seq), To: int64(seq), Bytes: body})
		it, _ := s.Peek()
		if err := s.Ack(it.Seq); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory is a healthy broker: put, peek and acknowledge a frame.
func BenchmarkMemory(b *testing.B) { pass(b, mustNew(b, 1<<20)) }

// BenchmarkMemoryBesideDisk is the same with a directory, which stays empty.
func BenchmarkMemoryBesideDisk(b *testing.B) {
	s := newBed(b, Options{}).s
	s.opt.Now = time.Now
	pass(b, s)
}

// BenchmarkDisk is an outage: each frame is written by itself, and read again.
func BenchmarkDisk(b *testing.B) {
	bed := newBed(b, Options{DiskBytes: 1 << 40, Dir: filepath.Join(b.TempDir(), "spool")})
	b.ReportAllocs()
	b.SetBytes(usualFrame)
	for b.Loop() {
		bed.put(usualFrame)
	}
	b.StopTimer()
	if st := bed.s.Stats(); st.DiskFrames < st.Frames-3 {
		b.Fatalf("%d of %d frames are on disk", st.DiskFrames, st.Frames)
	}
}

// BenchmarkReplay reads what was written.
func BenchmarkReplay(b *testing.B) {
	bed := newBed(b, Options{DiskBytes: 1 << 40, Dir: filepath.Join(b.TempDir(), "spool")})
	b.ReportAllocs()
	b.SetBytes(usualFrame)
	for b.Loop() {
		it, ok := bed.s.Peek()
		if !ok {
			b.StopTimer()
			for range 10_000 {
				bed.put(usualFrame)
			}
			b.StartTimer()
			it, _ = bed.s.Peek()
		}
		if err := bed.s.Ack(it.Seq); err != nil {
			b.Fatal(err)
		}
	}
}
