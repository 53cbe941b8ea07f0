package aggregate

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
)

// BenchmarkGarbage has the role read b.N records that cannot be used, each of
// which becomes a dead letter. Run it with -benchtime 200000x, and with
// NINES_KAFKA=apache: the embedded broker's CPU time would be counted too.
func BenchmarkGarbage(b *testing.B) {
	w := newWorld(b)
	w.flood(b.N)
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	_, stop := w.start("one", w.client)
	w.awaitLetters(int64(b.N), 10*time.Minute)
	b.StopTimer()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	stop()
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/letter")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
}

// flood writes records of 120 bytes that are no frames.
func (w *world) flood(n int) {
	w.t.Helper()
	p := w.client.Producer(wire.TopicTelemetry, 0)
	for i := 0; i < n; {
		var recs []bus.Record
		for ; i < n && len(recs) < 2000; i++ {
			recs = append(recs, bus.Record{Key: []byte("web-1"), Value: fmt.Appendf(nil, "%0120d", i), Headers: []bus.Header{{Key: wire.HeaderType, Value: []byte(wire.TypeFrame)}}})
		}
		if _, err := p.ProduceRetry(w.ctx, func() []bus.Record { return recs }); err != nil {
			w.t.Fatal(err)
		}
	}
}

// awaitLetters waits until so many letters are stored.
func (w *world) awaitLetters(n int64, limit time.Duration) {
	w.t.Helper()
	for deadline := time.Now().Add(limit); ; <-time.After(10 * time.Millisecond) {
		_, next, err := w.client.Offsets(w.ctx, wire.TopicDeadLetter, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		if next >= n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d letters within %s", next, n, limit)
		}
	}
}
