package ledger

import (
	"context"
	"database/sql"
	"time"
)

// Retention says how long each kind of row is kept. A zero field takes
// DefaultRetention's. Rule sets and groups are kept for ever: they are small,
// and old statements need them.
type Retention struct {
	// Slots, and their superseded versions. The contracts of the field ask for
	// thirteen months.
	Slots time.Duration `yaml:"slots"`
	// Sketches are for display.
	Sketches time.Duration `yaml:"sketches"`
	// Gaps, unplaced increments, and agents' boots that were not heard since.
	Gaps time.Duration `yaml:"gaps"`
	// Alerts that ended.
	Alerts time.Duration `yaml:"alerts"`
}

// DefaultRetention keeps thirteen months of slots, gaps and alerts, and 35 days
// of sketches.
func DefaultRetention() Retention {
	const day = 24 * time.Hour
	return Retention{Slots: 400 * day, Sketches: 35 * day, Gaps: 400 * day, Alerts: 400 * day}
}

func (r Retention) orDefault() Retention {
	d := DefaultRetention()
	for _, f := range []struct {
		have *time.Duration
		want time.Duration
	}{{&r.Slots, d.Slots}, {&r.Sketches, d.Sketches}, {&r.Gaps, d.Gaps}, {&r.Alerts, d.Alerts}} {
		if *f.have <= 0 {
			*f.have = f.want
		}
	}
	return r
}

// pruning deletes what is older than a time, Unix milliseconds: statements that
// belong together, each with the time as its parameter.
type pruning struct {
	before     int64
	statements []string
	// step, if set, finds the oldest time to be deleted, so that big tables are
	// pruned in small transactions that let commits pass between them.
	step string
}

// Prune deletes what is older than the retention at the time now (Unix
// milliseconds of log time).
func (l *Ledger) Prune(ctx context.Context, r Retention, now int64) error {
	r, err := l.asContracted(ctx, r.orDefault(), now)
	if err != nil {
		return err
	}
	slots, err := l.slotsBefore(ctx, now-r.Slots.Milliseconds())
	if err != nil {
		return err
	}
	if err := l.pruneLog(ctx, slots); err != nil {
		return err
	}
	of := func(s ...string) []string { return s }
	sketches, gaps := now-r.Sketches.Milliseconds(), now-r.Gaps.Milliseconds()
	for _, p := range []pruning{
		{dayOf(slots), of(`DELETE FROM day_slots WHERE day < ?`, `DELETE FROM days WHERE day < ?`), `SELECT MIN(day) FROM day_slots`},
		{slots, of(`DELETE FROM hours WHERE hour < ?`), `SELECT MIN(hour) FROM hours`},
		{slots, of(`DELETE FROM slot_versions WHERE start < ?`), ``},
		{sketches, of(`DELETE FROM sketches WHERE slot < ?`), `SELECT MIN(slot) FROM sketches`},
		{sketches, of(`DELETE FROM statuses WHERE log_time < ?`), ``},
		{gaps, of(`DELETE FROM gaps WHERE log_time < ?`), ``},
		{gaps, of(`DELETE FROM unplaced WHERE log_time < ?`), ``},
		{gaps, of(`DELETE FROM agents WHERE last_seen < ?`), ``},
		{now - r.Alerts.Milliseconds(), of(`DELETE FROM alerts WHERE firing = 0 AND ends_at < ?`), ``},
	} {
		n, err := l.deleteOld(ctx, p)
		l.met.pruned.Add(n)
		if err != nil {
			return err
		}
	}
	return l.explain("tidy", l.dialect.tidy(ctx, l.rw))
}

// slotsBefore returns the time before which slots and their versions go: a
// packed day goes whole, once all of it is too old.
func (l *Ledger) slotsBefore(ctx context.Context, before int64) (int64, error) {
	err := l.view(ctx, "prune", func(tx *sql.Tx) error {
		until, err := packedUntil(l.viewer(ctx, tx), "")
		if before < until {
			before = dayOf(before)
		}
		return err
	})
	return before, err
}

// deleteOld returns how many rows it deleted, also with an error.
func (l *Ledger) deleteOld(ctx context.Context, p pruning) (rows int, err error) {
	for {
		until := p.before
		if p.step != "" {
			var oldest sql.NullInt64
			if err := l.ro.QueryRowContext(ctx, p.step).Scan(&oldest); err != nil {
				return rows, l.explain("prune", err)
			}
			if !oldest.Valid || oldest.Int64 >= p.before {
				return rows, nil
			}
			until = min(p.before, hourOf(oldest.Int64)+hourMillis)
		}
		n, err := l.deleteUntil(ctx, p.statements, until)
		if rows += n; err != nil || until == p.before {
			return rows, err
		}
	}
}

func (l *Ledger) deleteUntil(ctx context.Context, statements []string, until int64) (rows int, err error) {
	err = l.inTx(ctx, "prune", func(w *writer) error {
		rows = 0
		for _, s := range statements {
			n, err := w.execN(s, until)
			if err != nil {
				return err
			}
			rows += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return rows, nil
}
