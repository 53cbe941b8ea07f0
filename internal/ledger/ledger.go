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
	// ErrUnreachable says that the database server does not answer. Whether a
	// commit took place is open; the same call succeeds once the server is back,
	// or says ErrConflict if it did.
	ErrUnreachable = errors.New("the database cannot be reached")
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
	// Postgres, in place of Path, is the address of a PostgreSQL database, as a
	// URL or in libpq's key=value form; the variables PGPASSWORD, PGPASSFILE and
	// the like count. Several ledgers share a database by schemas of their own
	// (search_path=NAME in the address).
	Postgres string
	// Password goes before one in the address or the environment.
	Password string
	// Retention is what Run keeps; zero fields take DefaultRetention's.
	Retention Retention
	// People are who may change inventory and exclusions, by the names that they
	// give as authors; none lets anybody.
	People []string
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
	people  []string

	// temporary is the directory of a backup's copy, which Close removes.
	temporary string

	mu    sync.Mutex
	known map[int32]*knownGroups // by partition, of the newest claim here
	feed  *feed
	// months are for how long each rule set's contracts keep evidence.
	months map[string]int
}

// Open opens the ledger, creating it where there is none and bringing an older
// schema up to date.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.Postgres != "" {
		rw, ro, where, err := openPostgres(o.Postgres, o.Password)
		if err != nil {
			return nil, err
		}
		return open(ctx, o, postgresDialect(), where, rw, ro)
	}
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
		log: o.Log, met: newMeters(o.Metrics), keep: o.Retention.orDefault(), people: o.People,
		known: map[int32]*knownGroups{}, feed: newFeed(), months: map[string]int{},
	}
	if err := l.migrate(ctx); err != nil {
		_ = l.Close() // the error that matters is the first
		return nil, l.explain("open", err)
	}
	return l, nil
}

// Where names the ledger for people: its file, or the database's address
// without secrets.
func (l *Ledger) Where() string { return l.where }

// Close releases the ledger. Call it after the last commit and read.
func (l *Ledger) Close() error {
	err := errors.Join(l.ro.Close(), l.rw.Close())
	if l.temporary != "" {
		err = errors.Join(err, os.RemoveAll(l.temporary))
	}
	return err
}

// Run prunes what is older than the retention, packs past days and logs closed
// hours, once an hour, until the context ends. How old is judged by log time, as everything is.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now, err := l.logTime(ctx)
		if err == nil && now > 0 {
			_, logErr := l.Log(ctx, now)
			err = errors.Join(logErr, l.Prune(ctx, l.keep, now), l.pack(ctx, now))
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l.met.pruneErrors.Inc()
			l.log.Error("ledger not pruned, packed or logged; trying again in an hour", "err", err)
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

// maxTries bounds how often a transaction that others got in the way of is run.
const maxTries = 10

// inTx runs f in one write transaction; any error leaves nothing written. Where
// writers run side by side and one got in the way, f is run again.
func (l *Ledger) inTx(ctx context.Context, verb string, f func(*writer) error) error {
	return l.explain(verb, l.tryTxs(ctx, l.dialect.lockRetry, f))
}

// tryTxs runs f until nothing gets in its way, after the first time under the
// lock, if any.
func (l *Ledger) tryTxs(ctx context.Context, lockRetry string, f func(*writer) error) error {
	lock := ""
	for try := 1; ; try++ {
		err := l.tryTx(ctx, l.dialect.patience, func(w *writer) error {
			if err := w.lock(lock); err != nil {
				return err
			}
			return f(w)
		})
		if err == nil || try == maxTries || l.dialect.again == nil || !l.dialect.again(err) {
			return err
		}
		lock = lockRetry
		l.met.retries.Inc()
	}
}

func (l *Ledger) tryTx(ctx context.Context, patience time.Duration, f func(*writer) error) error {
	stmts := context.WithoutCancel(ctx)
	if patience > 0 {
		var stop, stopStmts context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, patience)
		defer stop()
		stmts, stopStmts = context.WithTimeout(stmts, patience)
		defer stopStmts()
	}
	tx, err := l.rw.BeginTx(ctx, &l.dialect.writeTx)
	if err != nil {
		return err
	}
	w := l.writer(stmts, tx)
	defer w.close()
	if err := f(w); err != nil {
		_ = tx.Rollback() // a failed roll-back changes nothing: nothing was committed
		return err
	}
	return tx.Commit()
}

// view runs f on one consistent state of the ledger.
func (l *Ledger) view(ctx context.Context, verb string, f func(*sql.Tx) error) error {
	tx, err := l.ro.BeginTx(ctx, &l.dialect.readTx)
	if err != nil {
		return l.explain(verb, err)
	}
	defer func() { _ = tx.Rollback() }() // ends the snapshot; there is nothing to lose
	return l.explain(verb, f(tx))
}
