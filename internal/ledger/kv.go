package ledger

import (
	"context"
	"database/sql"
)

// The small state of other roles (silences, the log of what was notified) lies
// beside the slots, so that one backup has all. A write is on disk when the
// call returns. Kinds keep the roles' keys apart.

// StateEntry is one stored document.
type StateEntry struct {
	Key  string
	Blob []byte
}

// StateGet returns a document, or ErrNotFound.
func (l *Ledger) StateGet(ctx context.Context, kind, key string) ([]byte, error) {
	var blob []byte
	err := l.view(ctx, "read state of", func(tx *sql.Tx) error {
		return missing(l.viewer(ctx, tx).row(`SELECT body FROM state WHERE kind = ? AND state_key = ?`, kind, key).Scan(&blob))
	})
	return blob, err
}

// StatePut stores a document in place of the one before.
func (l *Ledger) StatePut(ctx context.Context, kind, key string, blob []byte) error {
	if blob == nil {
		blob = []byte{}
	}
	return l.inTx(ctx, "write state to", func(w *writer) error {
		return w.exec(`INSERT INTO state (kind, state_key, body) VALUES (?, ?, ?)
			ON CONFLICT (kind, state_key) DO UPDATE SET body = excluded.body`, kind, key, blob)
	})
}

// StateList returns the documents of a kind, by key.
func (l *Ledger) StateList(ctx context.Context, kind string) ([]StateEntry, error) {
	var out []StateEntry
	err := l.view(ctx, "list state of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(`SELECT state_key, body FROM state WHERE kind = ? ORDER BY state_key`, kind)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e StateEntry
			if err := rows.Scan(&e.Key, &e.Blob); err != nil {
				return err
			}
			if e.Blob == nil { // how SQLite's driver returns an empty one
				e.Blob = []byte{}
			}
			out = append(out, e)
		}
		return rows.Err()
	})
	return out, err
}

// StateDelete removes a document, if it is there.
func (l *Ledger) StateDelete(ctx context.Context, kind, key string) error {
	return l.inTx(ctx, "delete state from", func(w *writer) error {
		return w.exec(`DELETE FROM state WHERE kind = ? AND state_key = ?`, kind, key)
	})
}
