package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A backup of either dialect is a SQLite ledger in one file: what opens a
// ledger opens a backup, to be verified, read or restored.

// Progress hears how far a long call has come; total is 0 where it is not known.
// It is called from one goroutine at a time and should return at once.
type Progress func(done, total int64)

// ErrNotEmpty says that a backup would be restored over something.
var ErrNotEmpty = errors.New("the ledger is not empty")

// table is one to be copied; its columns are of every dialect.
type table struct{ name, columns string }

// tables are all but schema_version, groups before what refers to them.
func tables() []table {
	return []table{
		{"claims", "partition, epoch, owner, next_offset, log_time, sources, commits"},
		{"groups", "id, stream, labels_hash, labels, partition, customer, first_slot, retired"},
		{"open_slots", "group_id, start, slot"},
		{"hours", "hour, group_id, slots, good, total, good_slots, bad_slots, unknown_slots"},
		{"days", "day, group_id, totals"},
		{"day_slots", "day, group_id, slots"},
		{"packing", "until"},
		{"slot_versions", "group_id, start, version, slot"},
		{"sketches", "slot, group_id, hist"},
		{"statuses", "group_id, objective, log_time, status"},
		{"rule_sets", "id, body"},
		{"rule_set_uses", "partition, since, rule_set"},
		{"alerts", "alert_key, starts_at, ends_at, partition, firing, customer, body"},
		{"gaps", "id, log_time, partition, agent, boot, first_seq, last_seq, from_time, to_time, reason"},
		{"unplaced", "id, log_time, stream, labels_hash, from_time, to_time, good, total"},
		{"agents", "agent, boot, host, frames, samples, repeats, gap_frames, last_seq, newest, skew, first_seen, last_seen"},
		{"state", "kind, state_key, body"},
		{"inventory_facts", "id, resource, attribute, effective, value, withdrawn, recorded, author, reason, supersedes"},
		{"exclusion_events", "id, exclusion, contract, customer, step, recorded, author, reason, proposed"},
		{"log_state", "until, pruned, secret"},
		{"log_hours", "leaf, hour, logged_at, groups, root, members"},
		{"log_pending", "hour, group_id, start, version"},
	}
}

// Backup writes one commit's state to a new file, while commits go on. The file
// is complete or absent. progress may be nil; it counts rows or bytes.
func (l *Ledger) Backup(ctx context.Context, file string, progress Progress) error {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("back up ledger %s: %s exists: name a new file", l.where, file)
	}
	part := file + ".partial"
	err := errors.Join(removeSQLite(part), l.dialect.copyTo(ctx, l, part, progress.orNone()))
	if err == nil {
		err = publish(part, file)
	}
	if err != nil {
		return fmt.Errorf("back up ledger %s to %s: %w", l.where, file, errors.Join(err, removeSQLite(part)))
	}
	return nil
}

func (p Progress) orNone() Progress {
	if p == nil {
		return func(int64, int64) {}
	}
	return p
}

func removeSQLite(file string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// publish makes a complete file appear under its name, on the disk.
func publish(part, file string) error {
	for _, sync := range []struct {
		name string
		then func() error
	}{{part, func() error { return os.Rename(part, file) }}, {filepath.Dir(file), func() error { return nil }}} {
		f, err := os.Open(sync.name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := sync.then(); err != nil {
			return err
		}
	}
	return nil
}

// copyPages copies a SQLite ledger, on a connection of its own so that commits
// go on.
func copyPages(ctx context.Context, l *Ledger, file string, progress Progress) error {
	db, err := sqliteHandle(l.where, "_txlock=deferred", 1)
	if err != nil {
		return err
	}
	return errors.Join(vacuumInto(ctx, db, file, progress), db.Close())
}

// vacuumInto copies page by page, leaving free ones out.
func vacuumInto(ctx context.Context, db *sql.DB, file string, progress Progress) error {
	var pages, free, size int64
	for q, n := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := db.QueryRowContext(ctx, "PRAGMA "+q).Scan(n); err != nil {
			return explainSQLite(err)
		}
	}
	total := (pages - free) * size
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if st, err := os.Stat(file); err == nil {
					progress(min(st.Size(), total), total)
				}
			}
		}
	}()
	_, err := db.ExecContext(ctx, "VACUUM INTO ?", file)
	close(stop)
	<-stopped
	if err != nil {
		return explainSQLite(err)
	}
	progress(total, total)
	return nil
}

// copyRows copies a ledger of another dialect row by row into a new file.
func copyRows(ctx context.Context, l *Ledger, file string, progress Progress) error {
	made, err := Open(ctx, Options{Path: file}) // its name has an extension, so it is a file
	if err != nil {
		return err
	}
	defer made.Close()
	// The file is not used before it is complete and synced, and removed otherwise.
	for _, pragma := range []string{"journal_mode=DELETE", "synchronous=OFF"} {
		if _, err := made.rw.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	return l.view(ctx, "read", func(tx *sql.Tx) error {
		return made.tryTx(ctx, 0, func(w *writer) error { return w.copyAll(ctx, l.viewer(ctx, tx), progress) })
	})
}

// Restore fills this ledger from a backup. It refuses one that is not empty,
// with ErrNotEmpty, and leaves nothing behind after an error. progress may be
// nil; it counts rows.
func (l *Ledger) Restore(ctx context.Context, file string, progress Progress) error {
	from, err := openBackup(ctx, file)
	if err != nil {
		return fmt.Errorf("restore ledger %s from %s: %w", l.where, file, err)
	}
	var refused error // this ledger's, not the backup's
	err = from.view(ctx, "read backup", func(tx *sql.Tx) error {
		refused = l.explain("restore", l.tryTx(ctx, 0, func(w *writer) error {
			if err := w.lock(l.dialect.lockDays); err != nil {
				return err
			}
			if err := w.mustBeEmpty(); err != nil {
				return err
			}
			if err := w.copyAll(ctx, from.viewer(ctx, tx), progress.orNone()); err != nil {
				return err
			}
			for _, s := range l.dialect.restored {
				if err := w.exec(s); err != nil {
					return err
				}
			}
			return nil
		}))
		return nil
	})
	return errors.Join(err, refused, from.Close())
}

// OpenBackup opens a backup to be read; commits to it fail. Nothing is written
// to the file or beside it. Of one with an older schema it makes and migrates a
// copy, which Close removes.
func OpenBackup(ctx context.Context, file string) (*Ledger, error) {
	l, err := openBackup(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("open backup %s: %w", file, err)
	}
	return l, nil
}

func openBackup(ctx context.Context, file string) (*Ledger, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, errors.New("it is a directory: name the backup's file")
	}
	version, err := schemaOf(ctx, file)
	if err != nil {
		return nil, explainSQLite(err)
	}
	switch last := len(sqliteDialect().migrations); {
	case version > last:
		return nil, fmt.Errorf("%w: it has schema %d, this release knows up to %d: upgrade nines", ErrNewer, version, last)
	case version < last:
		return migratedCopy(ctx, file)
	}
	db, err := immutable(file)
	if err != nil {
		return nil, err
	}
	return open(ctx, Options{}, sqliteDialect(), file, db, db)
}

// migratedCopy opens a copy of the backup, brought up to date.
func migratedCopy(ctx context.Context, file string) (*Ledger, error) {
	dir, err := os.MkdirTemp("", "nines-restore-")
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(dir, FileName)
	var l *Ledger
	from, err := immutable(file)
	if err == nil {
		err = errors.Join(vacuumInto(ctx, from, copied, Progress(nil).orNone()), from.Close())
	}
	if err == nil {
		l, err = Open(ctx, Options{Path: copied})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l.temporary = dir
	// Else the ledger that is restored would hold years row by row until it packs
	// them, and never give the space back.
	now, err := l.logTime(ctx)
	if err = errors.Join(err, l.pack(ctx, now)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func immutable(file string) (*sql.DB, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	return sqliteConns(abs, "mode=ro&immutable=1", 1)
}

func schemaOf(ctx context.Context, file string) (version int, err error) {
	db, err := immutable(file)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version)
	if err == nil && version == 0 || err != nil && strings.Contains(err.Error(), "no such table") {
		err = fmt.Errorf("%w: it is no ledger", ErrDamaged)
	}
	return version, err
}

func (w *writer) mustBeEmpty() error {
	for _, t := range tables() {
		if t.name == "packing" || t.name == "log_state" {
			continue // says nothing by itself
		}
		var one int
		err := w.row(`SELECT 1 FROM ` + t.name + ` LIMIT 1`).Scan(&one)
		if err == nil {
			return fmt.Errorf("%w: it has rows in table %s; restore into a new one", ErrNotEmpty, t.name)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// copyAll copies every table into this empty ledger.
func (w *writer) copyAll(ctx context.Context, from *viewer, progress Progress) error {
	var done int64
	total, err := from.countRows(tables())
	if err != nil {
		return err
	}
	for _, q := range []string{`DELETE FROM packing`, `DELETE FROM log_state`} { // a new ledger has a row of each
		if err := w.exec(q); err != nil {
			return err
		}
	}
	for _, t := range tables() {
		err := w.copyTable(ctx, from, t, func() {
			if done++; done%1000 == 0 || done == total {
				progress(done, total)
			}
		})
		if err != nil {
			return fmt.Errorf("copy table %s: %w", t.name, err)
		}
	}
	return nil
}

// countRows returns how many rows the tables have together.
func (v *viewer) countRows(tables []table) (total int64, err error) {
	for _, t := range tables {
		var n int64
		if err := v.row(`SELECT COUNT(*) FROM ` + t.name).Scan(&n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (w *writer) copyTable(ctx context.Context, from *viewer, t table, copied func()) error {
	rows, err := from.query(`SELECT ` + t.columns + ` FROM ` + t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	width := strings.Count(t.columns, ",") + 1
	ins := w.bulk(`INSERT INTO `+t.name+` (`+t.columns+`) VALUES `, ``, width)
	values, into := make([]any, width), make([]any, width)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := errors.Join(ctx.Err(), rows.Scan(into...)); err != nil {
			return err
		}
		for i := range values {
			if b, blob := values[i].([]byte); values[i] == nil || blob && b == nil {
				values[i] = []byte{} // no column is ever null: an empty blob
			}
		}
		if err := ins.add(values...); err != nil {
			return err
		}
		copied()
	}
	return errors.Join(rows.Err(), ins.flush())
}
