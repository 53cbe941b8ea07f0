package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrFenced says that a newer claim of the partition exists: stop, and claim
	// again if the partition is still yours.
	ErrFenced = errors.New("the partition was claimed by another evaluator")
	// ErrConflict says that the stored offset is not the claim's: an earlier
	// commit reported an error and yet took place. Claim and load again.
	ErrConflict = errors.New("the ledger is at another offset than the claim")
	// ErrNotFound says that there is no such thing, or that the principal may
	// not see it.
	ErrNotFound = errors.New("not in the ledger")
	// ErrFull says that the volume of the ledger is full. Nothing was written;
	// the same call succeeds once there is room.
	ErrFull = errors.New("the disk is full")
	// ErrDamaged says that the ledger's file is not what this package wrote.
	ErrDamaged = errors.New("the ledger is damaged")
	// ErrNewer says that a newer release wrote the ledger.
	ErrNewer = errors.New("the ledger was written by a newer release")
	// ErrReused says that a commit would change a final slot without raising
	// its version, which would lose what was promised before.
	ErrReused = errors.New("a final slot changes only under a higher version")
)

// FileName is the ledger's file within a data directory.
const FileName = "ledger.db"

// Options are what Open needs.
type Options struct {
	// Path is a directory, in which the file is FileName, or the file itself.
	Path string
	// Retention is what Run keeps; zero fields take DefaultRetention's.
	Retention Retention
	// Log and Metrics may be nil.
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Ledger is an open ledger. All methods are safe for concurrent use; commits
// take turns, reads go on beside them and each sees one commit's state.
type Ledger struct {
	dialect *dialect
	where   string // names the database in errors
	rw, ro  *sql.DB
	log     *slog.Logger
	met     *meters
	keep    Retention

	mu    sync.Mutex
	known map[int32]*knownGroups // by partition, of the newest claim here
	feed  *feed
}

// Open opens the ledger, creating it where there is none and bringing an older
// schema up to date.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.Path == "" {
		return nil, errors.New("open ledger: no path given: name a data directory")
	}
	path := o.Path
	if st, err := os.Stat(path); (err == nil && st.IsDir()) || filepath.Ext(path) == "" {
		path = filepath.Join(path, FileName)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open ledger %s: create its directory: %w", path, err)
	}
	rw, ro, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return open(ctx, o, sqliteDialect(), path, rw, ro)
}

// open finishes Open for any database.
func open(ctx context.Context, o Options, d *dialect, where string, rw, ro *sql.DB) (*Ledger, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	l := &Ledger{
		dialect: d, where: where, rw: rw, ro: ro,
		log: o.Log, met: newMeters(o.Metrics), keep: o.Retention.orDefault(),
		known: map[int32]*knownGroups{}, feed: newFeed(),
	}
	if err := l.migrate(ctx); err != nil {
		_ = l.Close() // the error that matters is the first
		return nil, l.explain("open", err)
	}
	return l, nil
}

// Close releases the ledger. Call it after the last commit and read.
func (l *Ledger) Close() error {
	return errors.Join(l.ro.Close(), l.rw.Close())
}

// Run prunes what is older than the retention and packs past days, once an
// hour, until the context ends. How old is judged by log time, as everything is.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now, err := l.logTime(ctx)
		if err == nil && now > 0 {
			err = errors.Join(l.Prune(ctx, l.keep, now), l.pack(ctx, now))
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l.met.pruneErrors.Inc()
			l.log.Error("ledger not pruned; trying again in an hour", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// logTime returns the greatest committed log time.
func (l *Ledger) logTime(ctx context.Context) (int64, error) {
	var t int64
	err := l.ro.QueryRowContext(ctx, `SELECT COALESCE(MAX(log_time), 0) FROM claims`).Scan(&t)
	return t, l.explain("read log time of", err)
}

// explain adds to a database's error which ledger it is about and what to do.
func (l *Ledger) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ledger %s: %w", verb, l.where, l.dialect.explain(err))
}

// inTx runs f in one write transaction; any error leaves nothing written.
func (l *Ledger) inTx(ctx context.Context, verb string, f func(*sql.Tx) error) error {
	tx, err := l.rw.BeginTx(ctx, nil)
	if err != nil {
		return l.explain(verb, err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // a failed roll-back changes nothing: nothing was committed
		return l.explain(verb, err)
	}
	return l.explain(verb, tx.Commit())
}

// view runs f on one consistent state of the ledger.
func (l *Ledger) view(ctx context.Context, verb string, f func(*sql.Tx) error) error {
	tx, err := l.ro.BeginTx(ctx, &sql.TxOptions{ReadOnly: l.dialect.readOnlyTx})
	if err != nil {
		return l.explain(verb, err)
	}
	defer func() { _ = tx.Rollback() }() // ends the snapshot; there is nothing to lose
	return l.explain(verb, f(tx))
}
