package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// dialect is all in which databases differ. Statements are written once, with
// question marks, in the SQL that SQLite and PostgreSQL share; the conformance
// suite (RunSuite) holds every dialect to the same behaviour.
type dialect struct {
	name string
	// migrations bring schema i to schema i+1; each runs in its own
	// transaction. They are append-only: a release in the field ran them.
	migrations []string
	// rebind turns question marks into the database's placeholders.
	rebind func(string) string
	// explain turns the driver's errors into ErrFull, ErrDamaged and words that
	// say what to do.
	explain func(error) error
	// integrity runs the database's own check of its files.
	integrity func(context.Context, *sql.DB) error
	// tidy gives back space and truncates logs after a pruning.
	tidy func(context.Context, *sql.DB) error
	// copyTo writes a backup to a file that is absent.
	copyTo func(ctx context.Context, l *Ledger, file string, progress Progress) error
	// restored are statements that end a restoring.
	restored []string
	// readTx sees one commit's state; writeTx fails rather than overwrite what
	// a transaction beside it has written.
	readTx, writeTx sql.TxOptions
	// again, where writers run side by side, says whether a transaction failed
	// only because of another one, so that it is run once more.
	again func(error) bool
	// patience, if set, bounds a write transaction: a server may fall silent.
	patience time.Duration
	// text, if set, replaces what the database cannot store in a string.
	text func(string) string
	// unprepared says that the driver keeps prepared statements by itself.
	unprepared bool
	// lockSchema begins a migration, lockDays a packing, and lockOrder the end
	// of a commit, so that commits become visible in the order of their
	// numbers. Empty where there is one writer at a time.
	lockSchema, lockDays, lockOrder string
	// lockRetry begins a transaction that is run again: it waits for the commits
	// under way and keeps others from beginning, so that it does not fail again.
	lockRetry string
	// lockFacts and lockEvents let those who add to the inventory, and to the
	// exclusions, take turns.
	lockFacts, lockEvents string
	// share follows a SELECT whose row must stay until the transaction ends.
	share string
	// nextCommit is the query for a commit's number.
	nextCommit string
}

// migrate brings the schema up to date, one step a transaction.
func (l *Ledger) migrate(ctx context.Context) error {
	err := l.tryTxs(ctx, "", func(w *writer) error {
		return w.exec(`CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)`)
	})
	if err != nil {
		return err
	}
	for more := true; more; {
		err := l.tryTxs(ctx, "", func(w *writer) (err error) {
			more, err = w.migrateOne()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// migrateOne applies the next migration; the version is read in the same
// transaction, so that two processes starting at once take turns.
func (w *writer) migrateOne() (more bool, err error) {
	d := w.l.dialect
	if err := w.lock(d.lockSchema); err != nil {
		return false, err
	}
	var version int
	if err := w.row(`SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return false, err
	}
	last := len(d.migrations)
	if version > last {
		return false, fmt.Errorf("%w: it has schema %d, this release knows up to %d: upgrade nines, or restore the copy made before the upgrade",
			ErrNewer, version, last)
	}
	if version == last {
		return false, nil
	}
	for _, s := range strings.Split(d.migrations[version], ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if _, err := w.tx.ExecContext(w.ctx, s); err != nil {
			return false, fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}
	if err := w.exec(`DELETE FROM schema_version`); err != nil {
		return false, err
	}
	if err := w.exec(`INSERT INTO schema_version (version) VALUES (?)`, version+1); err != nil {
		return false, err
	}
	w.l.log.Info("ledger schema migrated", "ledger", w.l.where, "schema", version+1)
	return version+1 < last, nil
}

// storable replaces, in place, strings among the parameters that the database
// cannot store.
func (d *dialect) storable(args []any) []any {
	if d.text == nil {
		return args
	}
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = d.text(s)
		}
	}
	return args
}

// stored returns the text as the database stores it.
func (d *dialect) stored(s string) string {
	if d.text == nil {
		return s
	}
	return d.text(s)
}
