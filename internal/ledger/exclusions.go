package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/sla"
)

const selectEvents = `SELECT id, exclusion, contract, customer, step, recorded, author, reason, proposed FROM exclusion_events`

func collectEvents(rows *sql.Rows) (out []inventory.ExclusionEvent, err error) {
	defer rows.Close()
	for rows.Next() {
		var e inventory.ExclusionEvent
		var proposed string
		if err := rows.Scan(&e.ID, &e.Exclusion, &e.Contract, &e.Customer, &e.Step, &e.Recorded, &e.Author, &e.Reason, &proposed); err != nil {
			return nil, err
		}
		if proposed != "" {
			e.Proposed = &sla.Exclusion{}
			if err := decodeJSON([]byte(proposed), e.Proposed); err != nil {
				return nil, fmt.Errorf("exclusion %d: %w", e.ID, err)
			}
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Exclusions returns the exclusions of the contracts that the principal may see,
// with their history, as of a recorded instant in Unix milliseconds; 0 for now.
// An empty contract means all.
func (l *Ledger) Exclusions(ctx context.Context, p access.Principal, contract string, recorded int64) ([]inventory.Exclusion, error) {
	var events []inventory.ExclusionEvent
	err := l.view(ctx, "read exclusions of", func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		cond, args := visible(p, "customer")
		if contract != "" {
			cond, args = cond+" AND contract = ?", append(args, contract)
		}
		rows, err := v.query(selectEvents+` WHERE `+cond+` AND recorded <= ? ORDER BY id`, append(args, until(recorded))...)
		if err != nil {
			return err
		}
		events, err = collectEvents(rows)
		return err
	})
	return inventory.Exclusions(events, recorded), err
}

// ProposeExclusion writes down an exclusion of a contract, which somebody else
// is to approve before a settlement applies it. The note's author is its author.
func (l *Ledger) ProposeExclusion(ctx context.Context, p access.Principal, n Note, contract, customer string, x sla.Exclusion) (*inventory.Exclusion, error) {
	if n.Author == "" {
		n.Author = x.Author
	}
	if err := l.mayChange(p, n, false); err != nil {
		return nil, err
	}
	if x.ApprovedBy != "" {
		return nil, inventory.Refusal("a proposal is not approved yet: leave approvedBy out, and have somebody else approve it")
	}
	x.Author = n.Author
	e := inventory.ExclusionEvent{Contract: contract, Customer: customer, Step: inventory.Propose, Author: n.Author, Reason: n.Reason, Proposed: &x}
	return l.exclusionStep(ctx, n, e)
}

// StepExclusion approves, rejects or withdraws an exclusion. A step that may not
// be taken is an inventory.Refusal; an exclusion that there is not, ErrNotFound.
func (l *Ledger) StepExclusion(ctx context.Context, p access.Principal, n Note, id int64, step inventory.Step) (*inventory.Exclusion, error) {
	if err := l.mayChange(p, n, false); err != nil {
		return nil, err
	}
	return l.exclusionStep(ctx, n, inventory.ExclusionEvent{Exclusion: id, Step: step, Author: n.Author, Reason: n.Reason})
}

// exclusionStep adds an event and returns the exclusion after it.
func (l *Ledger) exclusionStep(ctx context.Context, n Note, e inventory.ExclusionEvent) (*inventory.Exclusion, error) {
	var out *inventory.Exclusion
	refused := error(nil)
	err := l.inTx(ctx, "record an exclusion in", func(w *writer) error {
		out, refused = nil, nil
		if err := w.lock(w.l.dialect.lockEvents); err != nil {
			return err
		}
		var newest int64
		if err := w.row(`SELECT COALESCE(MAX(id), 0), COALESCE(MAX(recorded), 0) FROM exclusion_events`).Scan(&e.ID, &newest); err != nil {
			return err
		}
		e.ID++
		e.Recorded = max(n.At, newest+1)
		if e.Step == inventory.Propose {
			e.Exclusion = e.ID
		}
		rows, err := w.query(selectEvents+` WHERE exclusion = ? ORDER BY id`, e.Exclusion)
		if err != nil {
			return err
		}
		events, err := collectEvents(rows)
		if err != nil {
			return err
		}
		if e.Step != inventory.Propose {
			if refused = mayStep(events, &e); refused != nil {
				return errRefused
			}
		}
		out = &inventory.Exclusions(append(events, e), 0)[0]
		return w.putEvent(&e)
	})
	if refused != nil {
		return nil, refused
	}
	return out, err
}

// mayStep tells whether the step may follow the events of its exclusion, and
// fills in whose it is.
func mayStep(events []inventory.ExclusionEvent, e *inventory.ExclusionEvent) error {
	list := inventory.Exclusions(events, 0)
	if len(list) == 0 {
		return fmt.Errorf("exclusion %d: %w", e.Exclusion, ErrNotFound)
	}
	x := &list[0]
	e.Contract, e.Customer = x.Contract, x.Customer
	return x.May(e.Step, e.Author, e.Reason)
}

func (w *writer) putEvent(e *inventory.ExclusionEvent) error {
	proposed := ""
	if e.Proposed != nil {
		body, err := json.Marshal(e.Proposed)
		if err != nil {
			return fmt.Errorf("encode exclusion: %w", err)
		}
		proposed = string(body)
	}
	return w.exec(`INSERT INTO exclusion_events (id, exclusion, contract, customer, step, recorded, author, reason, proposed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.ID, e.Exclusion, e.Contract, e.Customer, string(e.Step), e.Recorded, e.Author, e.Reason, proposed)
}

// inventory checks what Verify can tell of facts and exclusions: that records
// stand in the order of their recording and correct what came before, that
// values are in their stored form, and that steps follow one another.
func (c *check) inventory() error {
	var last inventory.Record
	known := map[int64]inventory.Record{}
	rows, err := c.v.query(selectFacts + ` ORDER BY id`)
	if err != nil {
		return err
	}
	err = eachFact(rows, func(r inventory.Record) error {
		was, ok := known[r.Supersedes]
		stored, valueErr := inventory.ParseValue(r.Attribute, r.Value)
		switch {
		case r.Recorded < last.Recorded:
			c.fault("fact %d was recorded before fact %d", r.ID, last.ID)
		case r.Supersedes != 0 && (!ok || was.Resource != r.Resource || was.Attribute != r.Attribute || was.From != r.From):
			c.fault("fact %d corrects fact %d, which is not about the same", r.ID, r.Supersedes)
		case r.Value != "" && (valueErr != nil || stored != r.Value):
			c.fault("fact %d: %s %q is no such value", r.ID, r.Attribute, r.Value)
		}
		known[r.ID], last = r, r
		return nil
	})
	if err != nil {
		return err
	}
	return c.exclusions()
}

func (c *check) exclusions() error {
	rows, err := c.v.query(selectEvents + ` ORDER BY id`)
	if err != nil {
		return err
	}
	events, err := collectEvents(rows)
	if errors.Is(err, ErrDamaged) {
		c.fault("%w", err)
		return nil
	}
	if err != nil {
		return err
	}
	before := map[int64][]inventory.ExclusionEvent{}
	for _, e := range events {
		if e.Step == inventory.Propose {
			if e.Exclusion != e.ID || e.Proposed == nil {
				c.fault("exclusion %d: its proposal is missing", e.ID)
			}
		} else if err := mayStep(before[e.Exclusion], &e); err != nil {
			c.fault("exclusion %d: step %d cannot follow: %w", e.Exclusion, e.ID, err)
		}
		before[e.Exclusion] = append(before[e.Exclusion], e)
	}
	return nil
}
