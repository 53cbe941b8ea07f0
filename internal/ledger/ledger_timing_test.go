package ledger

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"nines/internal/sla"
	"nines/internal/wire"
)

// onBoth runs a benchmark on an empty ledger of each dialect.
func onBoth(b *testing.B, run func(*testing.B, *Ledger)) {
	b.Run("sqlite", func(b *testing.B) { run(b, openAt(b, b.TempDir())) })
	b.Run("postgresql", func(b *testing.B) { run(b, openPostgresAt(b, newPostgres(b))) })
}

// fleet is a claim with n announced groups.
func fleet(b testing.TB, l *Ledger, n int) (*Claim, []wire.GroupKey) {
	c := claim(b, l, 0)
	keys := make([]wire.GroupKey, n)
	groups := make([]Group, n)
	for i := range groups {
		groups[i] = group(streamA, i, "")
		keys[i] = groups[i].Key
	}
	commit(b, l, c, &Batch{LogTime: t0, Groups: groups})
	return c, keys
}

// BenchmarkCommitOpen10k is a second of a fleet of 10,000 groups: all of their
// open slots change, with a status each.
func BenchmarkCommitOpen10k(b *testing.B) { onBoth(b, commitOpen10k) }

func commitOpen10k(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		batch := &Batch{LogTime: t0 + int64(n)*1000, Offset: c.Offset + 1}
		for _, k := range keys {
			batch.Slots = append(batch.Slots, SlotChange{k, openSlot(t0, uint64(n%60), 60)})
		}
		commit(b, l, c, batch)
	}
	b.ReportMetric(float64(b.N)*float64(len(keys))/b.Elapsed().Seconds(), "slots/s")
}

// BenchmarkCommitStatus10k is the same fleet's statuses.
func BenchmarkCommitStatus10k(b *testing.B) { onBoth(b, commitStatus10k) }

func commitStatus10k(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		batch := &Batch{LogTime: t0 + int64(n)*1000, Offset: c.Offset + 1}
		for _, k := range keys {
			batch.Statuses = append(batch.Statuses, Status{
				Objective: "api-availability", Group: k, LogTime: batch.LogTime,
				Window: Totals{Good: uint64(n), Total: uint64(n)}, BudgetLeft: 0.5, State: "up",
				Burn: make([]BurnRate, 4),
			})
		}
		commit(b, l, c, batch)
	}
}

// BenchmarkCommitClose10k is the second in which a minute of all 10,000 groups
// closes.
func BenchmarkCommitClose10k(b *testing.B) { onBoth(b, commitClose10k) }

func commitClose10k(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		closeMinute(b, l, c, keys, t0+int64(n)*minute, nil)
	}
	b.ReportMetric(float64(b.N)*float64(len(keys))/b.Elapsed().Seconds(), "slots/s")
}

// BenchmarkSketches10k merges a histogram of 20 buckets into 10,000 slots.
func BenchmarkSketches10k(b *testing.B) { onBoth(b, sketches10k) }

func sketches10k(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 10_000)
	h := histOf(0.01, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016, 0.017, 0.018, 0.02, 0.03, 0.04, 0.05)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		batch := &Batch{LogTime: t0, Offset: c.Offset + 1}
		for _, k := range keys {
			batch.Sketches = append(batch.Sketches, Sketch{k, t0 + int64(n/4)*minute, h})
		}
		commit(b, l, c, batch)
	}
}

func closeMinute(b testing.TB, l *Ledger, c *Claim, keys []wire.GroupKey, start int64, rnd *rand.Rand) {
	batch := &Batch{LogTime: start + minute + 5000, Offset: c.Offset + 1, Slots: make([]SlotChange, 0, len(keys))}
	for _, k := range keys {
		batch.Slots = append(batch.Slots, SlotChange{k, realisticSlot(start, rnd)})
	}
	commit(b, l, c, batch)
}

// realisticSlot is a minute of 1 s probes from two vantage points: 0.5 % of
// minutes lose some, 0.1 % are bad, 0.1 % unknown.
func realisticSlot(start int64, rnd *rand.Rand) Slot {
	s := Slot{Start: start, State: sla.Good, Version: 1, Good: 120, Total: 120, Complete: []string{"probe-1.eu-central", "probe-2.eu-central"}}
	if rnd == nil {
		return s
	}
	switch p := rnd.IntN(1000); {
	case p < 5:
		s.Good -= uint64(1 + rnd.IntN(4))
	case p < 6:
		s = badSlot(start)
	case p < 7:
		s = Slot{Start: start, State: sla.Unknown, Version: 1, Reason: "silent"}
	}
	return s
}

// BenchmarkSize fills a day of 500 groups minute by minute, as evaluate does,
// and reports what thirteen months of 10,000 groups would take when they are
// packed, and, in addition, four days that are not.
func BenchmarkSize(b *testing.B) { onBoth(b, size) }

func size(b *testing.B, l *Ledger) {
	const groups, hours = 500, 24
	c, keys := fleet(b, l, groups)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range b.N {
		for m := range int64(hours * 60) {
			closeMinute(b, l, c, keys, t0+m*minute, rnd)
		}
	}
	recent := float64(bytesOf(b, l, "hours"))
	if err := l.pack(context.Background(), t0+4*dayMillis); err != nil {
		b.Fatal(err)
	}
	perHour := float64(bytesOf(b, l, "day_slots")+bytesOf(b, l, "days")) / groups / hours
	b.ReportMetric(perHour, "bytes/group-hour")
	b.ReportMetric(perHour*24*396*10_000/1e9, "GB/13-months-10k")
	b.ReportMetric(recent/groups*4*10_000/1e9, "GB/4-days-unpacked-10k")
}

// bytesOf is what a table takes on the disk, with its indexes and what is stored
// out of line.
func bytesOf(b *testing.B, l *Ledger, table string) (n int64) {
	if l.dialect.name == "sqlite" {
		if err := l.ro.QueryRow(`SELECT SUM(pgsize) FROM dbstat WHERE name IN (?, 'sqlite_autoindex_' || ? || '_1')`, table, table).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	// Maps of free space are as large for a day as for a month.
	err := l.ro.QueryRow(`SELECT SUM(pg_relation_size(oid) + pg_indexes_size(oid) + pg_relation_size(reltoastrelid) + pg_indexes_size(reltoastrelid))
		FROM pg_class WHERE oid = $1::regclass`, table).Scan(&n)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkMonthOfOneGroup reads 30 days of minutes of one group of a hundred,
// the newest of them not packed.
func BenchmarkMonthOfOneGroup(b *testing.B) { onBoth(b, monthOfOneGroup) }

func monthOfOneGroup(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 100)
	rnd := rand.New(rand.NewPCG(1, 2))
	for h := range int64(30 * 24) {
		batch := &Batch{LogTime: t0 + (h+1)*hourMillis, Offset: c.Offset + 1}
		for m := range int64(60) {
			for _, k := range keys {
				batch.Slots = append(batch.Slots, SlotChange{k, realisticSlot(t0+h*hourMillis+m*minute, rnd)})
			}
		}
		commit(b, l, c, batch)
	}
	if err := l.pack(context.Background(), t0+30*dayMillis); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		slots, err := l.GroupSlots(context.Background(), operator(), keys[n%len(keys)], t0, t0+30*24*hourMillis)
		if err != nil || len(slots) != 30*24*60 {
			b.Fatal(len(slots), err)
		}
	}
}

// BenchmarkPack2k packs a day of minutes of 2,000 groups, and reports how long
// commits wait for it at a stretch.
func BenchmarkPack2k(b *testing.B) { onBoth(b, pack2k) }

func pack2k(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 2_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range int64(b.N) {
		b.StopTimer()
		for h := range int64(24) {
			batch := &Batch{LogTime: t0, Offset: c.Offset + 1}
			for m := range int64(60) {
				for _, k := range keys {
					batch.Slots = append(batch.Slots, SlotChange{k, realisticSlot(t0+n*dayMillis+h*hourMillis+m*minute, rnd)})
				}
			}
			commit(b, l, c, batch)
		}
		b.StartTimer()
		began := time.Now()
		if err := l.inTx(bg, "pack", func(w *writer) error { return second(w.packNext(t0 + (n+1)*dayMillis)) }); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/transaction")
		if err := l.pack(context.Background(), t0+(n+3)*dayMillis); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad is a take-over of 1,000 groups with 92 days of hours.
func BenchmarkLoad(b *testing.B) { onBoth(b, load) }

func load(b *testing.B, l *Ledger) {
	c, keys := fleet(b, l, 1000)
	for d := range int64(92) {
		batch := &Batch{LogTime: t0, Offset: c.Offset + 1}
		for h := range int64(24) {
			for _, k := range keys {
				batch.Slots = append(batch.Slots, SlotChange{k, goodSlot(t0 + (d*24+h)*hourMillis)})
			}
		}
		commit(b, l, c, batch)
	}
	if err := l.pack(context.Background(), t0+94*24*hourMillis); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		out, err := l.Load(context.Background(), 0, t0+91*24*hourMillis)
		if err != nil || len(out) != 1000 || len(out[0].Hours) != 91*24 {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/take-over")
	}
}

// BenchmarkLog logs hours of 2,000 groups, and verifies them.
func BenchmarkLog(b *testing.B) { onBoth(b, logging) }

func logging(b *testing.B, l *Ledger) {
	const groups, hours = 2_000, 6
	c, keys := fleet(b, l, groups)
	rnd := rand.New(rand.NewPCG(1, 2))
	for m := range int64(hours * 60) {
		closeMinute(b, l, c, keys, t0+m*minute, rnd)
	}
	size := `SELECT SUM(LENGTH(members) + LENGTH(root) + 4 * 8) FROM log_hours`
	b.ResetTimer()
	for range b.N {
		if _, err := l.rw.Exec(`DELETE FROM log_hours`); err != nil {
			b.Fatal(err)
		}
		if _, err := l.rw.Exec(`UPDATE log_state SET until = -1`); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if n := must(l.Log(bg, t0+10*hourMillis))(b); n != hours {
			b.Fatal(n)
		}
		b.ReportMetric(time.Since(began).Seconds()*1e6/hours/groups, "µs/group-hour-logged")
		began = time.Now()
		if err := l.view(bg, "verify", func(tx *sql.Tx) error {
			c := &check{v: l.viewer(bg, tx), progress: Progress(nil).orNone()}
			return errors.Join(append(c.found, c.log())...)
		}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds()*1e6/hours/groups, "µs/group-hour-verified")
	}
	var n int64
	if err := l.ro.QueryRow(size).Scan(&n); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/hours/groups, "bytes/group-hour")
	b.ReportMetric(float64(n)/hours/groups*10_000*24*396/1e9, "GB/13-months-10k")
}
