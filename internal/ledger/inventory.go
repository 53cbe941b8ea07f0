package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nines/internal/access"
	"nines/internal/inventory"
)

// Note says who changes something, why and when.
type Note struct {
	Author, Reason string
	// At is the present, Unix milliseconds. What is recorded bears it, or the
	// millisecond after the newest record where that is later: no two changes
	// share an instant, and none comes before one that was made earlier.
	At int64
}

// errRefused ends a transaction that must not be; its reason is returned.
var errRefused = errors.New("refused")

const selectFacts = `SELECT id, resource, attribute, effective, value, withdrawn, recorded, author, reason, supersedes FROM inventory_facts`

func eachFact(rows *sql.Rows, f func(inventory.Record) error) error {
	defer rows.Close()
	for rows.Next() {
		var r inventory.Record
		var withdrawn int
		err := rows.Scan(&r.ID, &r.Resource, &r.Attribute, &r.From, &r.Value, &withdrawn, &r.Recorded, &r.Author, &r.Reason, &r.Supersedes)
		if err != nil {
			return err
		}
		r.Withdrawn = withdrawn != 0
		if err := f(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Inventory returns the records that the principal may see, by ID, as of a
// recorded instant in Unix milliseconds; 0 for all. A customer sees what held of
// its resources while they were its own.
func (l *Ledger) Inventory(ctx context.Context, p access.Principal, recorded int64) ([]inventory.Record, error) {
	var out []inventory.Record
	err := l.view(ctx, "read the inventory of", func(tx *sql.Tx) (err error) {
		v := l.viewer(ctx, tx)
		rows, err := v.query(selectFacts+` WHERE recorded <= ? ORDER BY id`, until(recorded))
		if err != nil {
			return err
		}
		return eachFact(rows, func(r inventory.Record) error {
			out = append(out, r)
			return nil
		})
	})
	if err != nil || p.Operator {
		return out, err
	}
	return inventory.Visible(out, p.Sees), nil
}

// until returns the bound of a query for what was recorded by an instant.
func until(recorded int64) int64 {
	if recorded == 0 {
		return 1<<63 - 1
	}
	return recorded
}

// InventoryVersion returns the ID of the newest record, 0 for none: the
// inventory has changed where it has.
func (l *Ledger) InventoryVersion(ctx context.Context) (int64, error) {
	var id int64
	err := l.view(ctx, "read the inventory of", func(tx *sql.Tx) error {
		return l.viewer(ctx, tx).row(`SELECT COALESCE(MAX(id), 0) FROM inventory_facts`).Scan(&id)
	})
	return id, err
}

// RecordFacts adds what entries tell beyond what is known, as inventory.Plan
// finds it, and returns the records that it made, none where nothing is new.
// What cannot be true is refused with yamlconf.Errors, and nothing is written.
// Only an operator may.
func (l *Ledger) RecordFacts(ctx context.Context, p access.Principal, n Note, entries []inventory.Entry) ([]inventory.Record, error) {
	if err := l.mayChange(p, n, true); err != nil {
		return nil, err
	}
	var made []inventory.Record
	refused := error(nil)
	err := l.inTx(ctx, "record facts in", func(w *writer) error {
		made, refused = nil, nil
		if err := w.lock(w.l.dialect.lockFacts); err != nil {
			return err
		}
		var known []inventory.Record
		rows, err := w.query(selectFacts + ` ORDER BY id`)
		if err != nil {
			return err
		}
		if err := eachFact(rows, func(r inventory.Record) error {
			known = append(known, r)
			return nil
		}); err != nil {
			return err
		}
		var changes []inventory.Change
		if changes, refused = inventory.Plan(known, entries); refused != nil {
			return errRefused
		}
		made = recordsOf(changes, n, known)
		return w.putFacts(made)
	})
	if refused != nil {
		return nil, refused
	}
	return made, err
}

// recordsOf makes records of changes, later than those that are known.
func recordsOf(changes []inventory.Change, n Note, known []inventory.Record) []inventory.Record {
	var id, at int64 = 0, n.At
	if len(known) > 0 {
		last := known[len(known)-1]
		id, at = last.ID, max(at, last.Recorded+1)
	}
	var out []inventory.Record
	for _, c := range changes {
		id++
		r := inventory.Record{ID: id, Fact: c.Fact, Recorded: at, Author: n.Author, Reason: n.Reason}
		if c.Corrects != nil {
			r.Supersedes = c.Corrects.ID
		}
		out = append(out, r)
	}
	return out
}

func (w *writer) putFacts(records []inventory.Record) error {
	ins := w.bulk(`INSERT INTO inventory_facts (id, resource, attribute, effective, value, withdrawn, recorded, author, reason, supersedes) VALUES `, ``, 10)
	for i := range records {
		r, withdrawn := &records[i], 0
		if r.Withdrawn {
			withdrawn = 1
		}
		if err := ins.add(r.ID, r.Resource, string(r.Attribute), r.From, r.Value, withdrawn, r.Recorded, r.Author, r.Reason, r.Supersedes); err != nil {
			return err
		}
	}
	return ins.flush()
}

// check refuses changes by nobody, without a reason where one is asked for, or
// by a principal that may only read.
func (n Note) check(p access.Principal, reason bool) error {
	switch {
	case !p.Operator:
		return inventory.Refusal(fmt.Sprintf("%q may read, not change: only operators may", p.Name))
	case access.SamePerson(n.Author, ""):
		return inventory.Refusal("say who you are: an author is required")
	case reason && n.Reason == "":
		return inventory.Refusal("say why: a reason is required")
	}
	return nil
}

// mayChange refuses a change as Note.check does, and by nobody whom the ledger's
// people name, where they name any.
func (l *Ledger) mayChange(p access.Principal, n Note, reason bool) error {
	if err := n.check(p, reason); err != nil {
		return err
	}
	if !Declared(l.people, n.Author) {
		return inventory.Refusal(fmt.Sprintf("author: %q is not declared: ledger.people names %s", n.Author, strings.Join(l.people, ", ")))
	}
	return nil
}

// Declared tells whether somebody is one of the people who may change inventory
// and exclusions; where none are named, anybody is.
func Declared(people []string, name string) bool {
	return len(people) == 0 || slices.ContainsFunc(people, func(p string) bool { return access.SamePerson(p, name) })
}
