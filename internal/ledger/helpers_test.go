package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"nines/internal/access"
	"nines/internal/hist"
	"nines/internal/sla"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

const (
	minute = int64(60_000)
	t0     = int64(1_767_225_600_000) // 2026-01-01T00:00:00Z
)

const streamA = "00000000000000aa"

func operator() access.Principal { return access.Local() }

func customer(names ...string) access.Principal {
	return access.Principal{Name: "portal", Customers: names}
}

// openAt opens a ledger and closes it with the test.
func openAt(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func claim(t testing.TB, l *Ledger, partition int32) *Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), partition, "test")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// commit commits the batch one record further.
func commit(t testing.TB, l *Ledger, c *Claim, b *Batch) {
	t.Helper()
	if b.Offset == 0 {
		b.Offset = c.Offset + 1
	}
	if err := l.Commit(context.Background(), c, b); err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// group makes the i-th group of a stream.
func group(stream string, i int, owner string) Group {
	ls := telemetry.NewLabels(map[string]string{"target": fmt.Sprintf("host-%05d", i), "region": fmt.Sprintf("r%02d", i%29)})
	return Group{
		Key: wire.GroupKey{Stream: stream, Labels: ls.Hash()}, Labels: ls,
		Customer: owner, FirstSlot: t0,
	}
}

func openSlot(start int64, good, total uint64) Slot {
	return Slot{Start: start, Good: good, Total: total, Vantages: []sla.Bins{{Vantage: "agent-1", OK: []uint64{1<<good - 1}}}}
}

func goodSlot(start int64) Slot {
	return Slot{Start: start, State: sla.Good, Version: 1, Good: 60, Total: 60, Complete: []string{"agent-1", "agent-2"}}
}

func badSlot(start int64) Slot {
	return Slot{
		Start: start, State: sla.Bad, Version: 1, Good: 0, Total: 60, Reason: "unreachable",
		Vantages: []sla.Bins{
			{Vantage: "agent-1", Fail: []uint64{1<<60 - 1}},
			{Vantage: "agent-2", OK: []uint64{5}, Fail: []uint64{1<<60 - 6}, Missing: []uint64{0}},
		},
	}
}

func histOf(values ...float64) hist.Histogram {
	var h hist.Histogram
	for _, v := range values {
		h.Observe(v)
	}
	return h
}

func file(dir string) string { return filepath.Join(dir, FileName) }
