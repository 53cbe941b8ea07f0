package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
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
	// readOnlyTx says whether the driver supports read-only transactions.
	readOnlyTx bool
}

// migrate brings the schema up to date, one step a transaction.
func (l *Ledger) migrate(ctx context.Context) error {
	_, err := l.rw.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)`)
	if err != nil {
		return err
	}
	for {
		more, err := l.migrateOne(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// migrateOne applies the next migration; the version is read in the same
// transaction, so that two processes starting at once take turns.
func (l *Ledger) migrateOne(ctx context.Context) (more bool, err error) {
	tx, err := l.rw.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // no effect after the commit
	var version int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return false, err
	}
	last := len(l.dialect.migrations)
	if version > last {
		return false, fmt.Errorf("%w: it has schema %d, this release knows up to %d: upgrade nines, or restore the copy made before the upgrade",
			ErrNewer, version, last)
	}
	if version == last {
		return false, nil
	}
	for _, s := range strings.Split(l.dialect.migrations[version], ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return false, fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM schema_version`); err != nil {
		return false, err
	}
	insert := l.dialect.rebind(`INSERT INTO schema_version (version) VALUES (?)`)
	if _, err := tx.ExecContext(ctx, insert, version+1); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, err
	}
	l.log.Info("ledger schema migrated", "ledger", l.where, "schema", version+1)
	return version+1 < last, nil
}
