package ledger

import (
	"context"
	"database/sql"
	"strings"
)

// rowsPerInsert is how many rows one statement writes: enough to make the cost
// of a statement small, few enough for every database's limit on parameters.
const rowsPerInsert = 64

// writer runs statements of one write transaction, each prepared once. Its
// context has the dialect's patience and no more: a transaction takes a fraction
// of a second, and one that is given up half-way gains nobody anything.
type writer struct {
	ctx   context.Context
	l     *Ledger
	tx    *sql.Tx
	stmts map[string]*statement
}

// statement is one text of SQL, as the database has it.
type statement struct {
	tx   *sql.Tx
	text string
	stmt *sql.Stmt // nil where the driver prepares by itself
}

func (s *statement) exec(ctx context.Context, args []any) (sql.Result, error) {
	if s.stmt == nil {
		return s.tx.ExecContext(ctx, s.text, args...)
	}
	return s.stmt.ExecContext(ctx, args...)
}

func (s *statement) query(ctx context.Context, args []any) (*sql.Rows, error) {
	if s.stmt == nil {
		return s.tx.QueryContext(ctx, s.text, args...)
	}
	return s.stmt.QueryContext(ctx, args...)
}

func (s *statement) row(ctx context.Context, args []any) *sql.Row {
	if s.stmt == nil {
		return s.tx.QueryRowContext(ctx, s.text, args...)
	}
	return s.stmt.QueryRowContext(ctx, args...)
}

func (l *Ledger) writer(ctx context.Context, tx *sql.Tx) *writer {
	return &writer{ctx: ctx, l: l, tx: tx, stmts: map[string]*statement{}}
}

func (w *writer) close() {
	for _, s := range w.stmts {
		if s.stmt != nil {
			_ = s.stmt.Close() // the transaction's end frees it anyway
		}
	}
}

func (w *writer) stmt(q string) (*statement, error) {
	if s := w.stmts[q]; s != nil {
		return s, nil
	}
	s := &statement{tx: w.tx, text: w.l.dialect.rebind(q)}
	if !w.l.dialect.unprepared {
		var err error
		if s.stmt, err = w.tx.PrepareContext(w.ctx, s.text); err != nil {
			return nil, err
		}
	}
	w.stmts[q] = s
	return s, nil
}

// lock runs a statement of the dialect's, if it has one.
func (w *writer) lock(q string) error {
	if q == "" {
		return nil
	}
	return w.exec(q)
}

func (w *writer) exec(q string, args ...any) error {
	_, err := w.execN(q, args...)
	return err
}

// execN returns how many rows the statement changed.
func (w *writer) execN(q string, args ...any) (int64, error) {
	s, err := w.stmt(q)
	if err != nil {
		return 0, err
	}
	res, err := s.exec(w.ctx, w.l.dialect.storable(args))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// scanner is a *sql.Row, or the error that prevented it.
type scanner struct {
	row *sql.Row
	err error
}

func (s scanner) Scan(dst ...any) error {
	if s.err != nil {
		return s.err
	}
	return s.row.Scan(dst...)
}

func (w *writer) row(q string, args ...any) scanner {
	s, err := w.stmt(q)
	if err != nil {
		return scanner{err: err}
	}
	return scanner{row: s.row(w.ctx, w.l.dialect.storable(args))}
}

func (w *writer) query(q string, args ...any) (*sql.Rows, error) {
	s, err := w.stmt(q)
	if err != nil {
		return nil, err
	}
	return s.query(w.ctx, w.l.dialect.storable(args))
}

// bulk writes rows with few statements: before and after surround the list of
// rows, each of width parameters.
type bulk struct {
	w             *writer
	before, after string
	width         int
	args          []any
}

func (w *writer) bulk(before, after string, width int) *bulk {
	return &bulk{w: w, before: before, after: after, width: width, args: make([]any, 0, rowsPerInsert*width)}
}

// add takes one row.
func (b *bulk) add(args ...any) error {
	b.args = append(b.args, args...)
	if len(b.args) < rowsPerInsert*b.width {
		return nil
	}
	return b.flush()
}

// flush writes the rows that are left. Call it once at the end.
func (b *bulk) flush() error {
	n := len(b.args) / b.width
	if n == 0 {
		return nil
	}
	row := "(" + strings.Repeat("?,", b.width-1) + "?)"
	err := b.w.exec(b.before+strings.Repeat(row+",", n-1)+row+b.after, b.args...)
	b.args = b.args[:0]
	return err
}
