package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyMillis is how long a statement waits for another process's transaction.
const busyMillis = 10_000

// openSQLite returns the one writer and the readers of a file. Readers have
// their own connections, so that a statement over a year holds up no commit.
func openSQLite(path string) (rw, ro *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	if rw, err = sqliteHandle(abs, "_txlock=immediate", 1); err != nil {
		return nil, nil, err
	}
	if ro, err = sqliteHandle(abs, "_txlock=deferred&_pragma=query_only(1)", 4); err != nil {
		return nil, nil, errors.Join(err, rw.Close())
	}
	return rw, ro, nil
}

func sqliteHandle(path, more string, conns int) (*sql.DB, error) {
	return sqliteConns(path, "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&"+more, conns)
}

func sqliteConns(path, more string, conns int) (*sql.DB, error) {
	dsn := fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-16000)&%s",
		(&url.URL{Path: path}).EscapedPath(), busyMillis, more)
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// sqliteDialect returns the SQLite dialect.
func sqliteDialect() *dialect {
	return &dialect{
		name:       "sqlite",
		migrations: []string{sqliteSchema1, sqliteInventory, sqliteLog, sqliteDays, sharedBlocks},
		rebind:     func(q string) string { return q },
		explain:    explainSQLite,
		nextCommit: `SELECT COALESCE(MAX(commits), 0) + 1 FROM claims`,
		integrity:  sqliteIntegrity,
		copyTo:     copyPages,
		tidy: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
			return err
		},
	}
}

// explainSQLite says in words what the operator can do about an error.
func explainSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: nothing was written; free space on its volume (%w)", ErrFull, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: it is truncated, overwritten or no ledger at all; move it away and restore a copy (%w)", ErrDamaged, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Errorf("the file or its directory is read-only: make both writable for this user (%w)", err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file cannot be opened or created: check that its directory exists and is writable for this user (%w)", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another process has held its lock for %d s: stop the other writer (%w)", busyMillis/1000, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("reading or writing the file failed: check the disk, and that it is not full (%w)", err)
	}
	return err
}

// sqliteIntegrity runs SQLite's own check of every page and index.
func sqliteIntegrity(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `PRAGMA integrity_check(20)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []error
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		if s != "ok" {
			found = append(found, fmt.Errorf("%w: %s", ErrDamaged, s))
		}
	}
	return errors.Join(append(found, rows.Err())...)
}
