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

// pruning is one statement that deletes what is older than a time.
type pruning struct {
	statement string
	keep      time.Duration
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
	if err := l.pruneLog(ctx, now-r.Slots.Milliseconds()); err != nil {
		return err
	}
	for _, p := range []pruning{
		{`DELETE FROM ` + l.dialect.oldHours + ` WHERE hour < ?`, r.Slots, `SELECT MIN(hour) FROM ` + l.dialect.oldHours},
		{`DELETE FROM ` + l.dialect.recentHours + ` WHERE hour < ?`, r.Slots, `SELECT MIN(hour) FROM ` + l.dialect.recentHours},
		{`DELETE FROM days WHERE day < ?`, r.Slots, ``},
		{`DELETE FROM slot_versions WHERE start < ?`, r.Slots, ``},
		{`DELETE FROM sketches WHERE slot < ?`, r.Sketches, `SELECT MIN(slot) FROM sketches`},
		{`DELETE FROM statuses WHERE log_time < ?`, r.Sketches, ``},
		{`DELETE FROM gaps WHERE log_time < ?`, r.Gaps, ``},
		{`DELETE FROM unplaced WHERE log_time < ?`, r.Gaps, ``},
		{`DELETE FROM agents WHERE last_seen < ?`, r.Gaps, ``},
		{`DELETE FROM alerts WHERE firing = 0 AND ends_at < ?`, r.Alerts, ``},
	} {
		if err := l.pruneOne(ctx, p, now-p.keep.Milliseconds()); err != nil {
			return err
		}
	}
	return l.explain("tidy", l.dialect.tidy(ctx, l.rw))
}

func (l *Ledger) pruneOne(ctx context.Context, p pruning, before int64) error {
	for {
		until := before
		if p.step != "" {
			var oldest sql.NullInt64
			if err := l.ro.QueryRowContext(ctx, p.step).Scan(&oldest); err != nil {
				return l.explain("prune", err)
			}
			if !oldest.Valid || oldest.Int64 >= before {
				return nil
			}
			until = min(before, hourOf(oldest.Int64)+hourMillis)
		}
		if err := l.pruneUntil(ctx, p.statement, until); err != nil {
			return err
		}
		if until == before {
			return nil
		}
	}
}

func (l *Ledger) pruneUntil(ctx context.Context, statement string, until int64) error {
	return l.inTx(ctx, "prune", func(w *writer) error {
		n, err := w.execN(statement, until)
		l.met.pruned.Add(int(n))
		return err
	})
}
