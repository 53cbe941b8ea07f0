package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nines/internal/access"
	"nines/internal/wire"
)

// viewer runs queries on one consistent state, each prepared once.
type viewer struct {
	ctx context.Context
	d   *dialect
	tx  *sql.Tx
	// hours and days are what there is of either, once somebody has asked.
	hours, days *span
}

func (l *Ledger) viewer(ctx context.Context, tx *sql.Tx) *viewer {
	return &viewer{ctx: ctx, d: l.dialect, tx: tx}
}

func (v *viewer) query(q string, args ...any) (*sql.Rows, error) {
	return v.tx.QueryContext(v.ctx, v.d.rebind(q), v.d.storable(args)...)
}

func (v *viewer) row(q string, args ...any) *sql.Row {
	return v.tx.QueryRowContext(v.ctx, v.d.rebind(q), v.d.storable(args)...)
}

// hourSeries begins a query with the hours in [?, ?), so that rows ordered by
// hour and group are looked up rather than scanned. daySeries does with days. The
// first is always there. Both count every hour and day between: cut the range to
// what the ledger has before, see keptHours.
const (
	hourSeries = `WITH RECURSIVE series (hour) AS (
	SELECT CAST(? AS BIGINT) UNION ALL SELECT hour + 3600000 FROM series WHERE hour + 3600000 < CAST(? AS BIGINT))`
	daySeries = `WITH RECURSIVE series (day) AS (
	SELECT CAST(? AS BIGINT) UNION ALL SELECT day + 86400000 FROM series WHERE day + 86400000 < CAST(? AS BIGINT))`
)

// span is a stretch of time, [from, to), Unix milliseconds; an empty one begins
// where it ends.
type span struct{ from, to int64 }

// keptHours cuts [from, to) to the hours that have rows of their own: a caller
// that asks for everything, from 1970 on, has no half a million hours counted for
// each group.
func (v *viewer) keptHours(from, to int64) (int64, int64, error) {
	return v.kept(&v.hours, `SELECT (SELECT MIN(hour) FROM hours), (SELECT MAX(hour) FROM hours)`, hourMillis, from, to)
}

// keptDays does so with packed days.
func (v *viewer) keptDays(from, to int64) (int64, int64, error) {
	return v.kept(&v.days, `SELECT (SELECT MIN(day) FROM days), (SELECT MAX(day) FROM days)`, dayMillis, from, to)
}

func (v *viewer) kept(known **span, q string, unit, from, to int64) (int64, int64, error) {
	if *known == nil {
		var first, last sql.NullInt64
		if err := v.row(q).Scan(&first, &last); err != nil {
			return 0, 0, err
		}
		*known = &span{first.Int64, first.Int64}
		if last.Valid {
			(*known).to = last.Int64 + unit
		}
	}
	return max(from, (*known).from), min(to, (*known).to), nil
}

// visible returns the condition on a customer column that a principal's reads
// carry, and its parameters.
func visible(p access.Principal, column string) (string, []any) {
	if p.Operator {
		return "1 = 1", nil
	}
	var args []any
	for _, c := range p.Customers {
		if p.Sees(c) {
			args = append(args, c)
		}
	}
	if len(args) == 0 {
		return "1 = 0", nil
	}
	return column + " IN (" + strings.Repeat("?, ", len(args)-1) + "?)", args
}

// group returns a group that the principal sees, else ErrNotFound: what others
// own is not even confirmed to exist.
func (v *viewer) group(p access.Principal, key wire.GroupKey) (*knownGroup, error) {
	rows, err := v.query(selectGroups+` WHERE stream = ? AND labels_hash = ?`, key.Stream, int64(key.Labels))
	if err != nil {
		return nil, err
	}
	var found *knownGroup
	err = eachGroup(rows, func(g *knownGroup) error {
		if p.Sees(g.Customer) {
			found = g
		}
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("group %s/%016x: %w", key.Stream, key.Labels, ErrNotFound)
	}
	return found, err
}

// groups returns the groups that the principal sees, by stream and labels.
func (v *viewer) groups(p access.Principal, streams []string) ([]*knownGroup, error) {
	cond, args := visible(p, "customer")
	if len(streams) > 0 {
		cond += " AND stream IN (" + strings.Repeat("?, ", len(streams)-1) + "?)"
		for _, s := range streams {
			args = append(args, s)
		}
	}
	rows, err := v.query(selectGroups+` WHERE `+cond, args...)
	if err != nil {
		return nil, err
	}
	type named struct {
		*knownGroup
		text string // made once: sorting compares each a dozen times
	}
	var all []named
	err = eachGroup(rows, func(g *knownGroup) error {
		all = append(all, named{g, g.Labels.String()})
		return nil
	})
	slices.SortFunc(all, func(a, b named) int {
		return cmp.Or(strings.Compare(a.Key.Stream, b.Key.Stream), strings.Compare(a.text, b.text))
	})
	out := make([]*knownGroup, len(all))
	for i := range all {
		out[i] = all[i].knownGroup
	}
	return out, err
}

// slots returns a group's slots that start in [from, to), ascending, open ones
// included.
func (v *viewer) slots(id, from, to int64) ([]Slot, error) {
	if from >= to {
		return nil, nil
	}
	out, err := v.finalSlots(id, from, to)
	if err != nil {
		return nil, err
	}
	rows, err := v.query(`SELECT group_id, start, slot FROM open_slots WHERE group_id = ? AND start >= ? AND start < ? ORDER BY start`,
		id, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		_, s, err := scanOpen(rows)
		if err != nil {
			return nil, err
		}
		out = insertOpen(out, s)
	}
	return out, rows.Err()
}

func (v *viewer) finalSlots(id, from, to int64) (out []Slot, err error) {
	var scratch []Versioned
	var decoder blockDecoder
	err = v.eachBlock(id, from, to, func(h hourBlock) error {
		if scratch, err = decoder.decode(scratch[:0], h.hour, h.block); err != nil {
			return damaged(h.hour, id, err)
		}
		if out == nil { // the hours after it are mostly like the first, and a month is asked for most
			out = make([]Slot, 0, len(scratch)*int(min(31*24, (to-1-h.hour)/hourMillis+1)))
		}
		for i := range scratch {
			if s := &scratch[i].Slot; s.Start >= from && s.Start < to {
				out = append(out, *s)
			}
		}
		return nil
	})
	return out, err
}

// eachBlock calls f with a group's blocks of the hours that touch [from, to),
// ascending. A block is valid until f returns.
func (v *viewer) eachBlock(id, from, to int64, f func(hourBlock) error) error {
	until, err := packedUntil(v, "")
	if err != nil {
		return err
	}
	if from < min(to, until) {
		if err := v.eachPackedBlock(id, from, min(to, until), f); err != nil {
			return err
		}
	}
	if from, to, err = v.keptHours(max(from, until), to); err != nil || from >= to {
		return err
	}
	rows, err := v.query(hourSeries+`
		SELECT hours.hour, hours.slots FROM series JOIN hours ON hours.hour = series.hour AND hours.group_id = ?
		ORDER BY hours.hour`, hourOf(from), to, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hour int64
		var blob sql.RawBytes
		if err := rows.Scan(&hour, &blob); err != nil {
			return err
		}
		if err := f(hourBlock{hour, blob}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachPackedBlock is eachBlock for packed days.
func (v *viewer) eachPackedBlock(id, from, to int64, f func(hourBlock) error) error {
	from, to, err := v.keptDays(from, to)
	if err != nil || from >= to {
		return err
	}
	rows, err := v.query(daySeries+`
		SELECT day_slots.day, day_slots.slots FROM series JOIN day_slots ON day_slots.day = series.day AND day_slots.group_id = ?
		ORDER BY day_slots.day`, dayOf(from), to, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	var hours []hourBlock
	for rows.Next() {
		var day int64
		var blob sql.RawBytes
		if err := rows.Scan(&day, &blob); err != nil {
			return err
		}
		if hours, err = decodeDaySlots(hours[:0], day, blob); err != nil {
			return damaged(day, id, err)
		}
		for _, h := range hours {
			if h.hour < hourOf(from) || h.hour >= to {
				continue
			}
			if err := f(h); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}

func bySlotStart(s Slot, start int64) int { return cmp.Compare(s.Start, start) }

// decodeJSON reads a stored document.
func decodeJSON(b []byte, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// missing turns "no rows" into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
