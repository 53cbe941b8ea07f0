package ledger

import (
	"context"
	"database/sql"

	"nines/internal/access"
	"nines/internal/wire"
)

// GroupFilter selects groups; the zero value takes all that are live.
type GroupFilter struct {
	// Streams are the IDs wanted; none takes all.
	Streams []string
	// Labels that a group must have, with these values.
	Labels map[string]string
	// IncludeRetired adds groups that are no longer expected.
	IncludeRetired bool
}

func (f *GroupFilter) takes(g *Group) bool {
	if g.Retired != 0 && !f.IncludeRetired {
		return false
	}
	for n, v := range f.Labels {
		if g.Labels.Get(n) != v {
			return false
		}
	}
	return true
}

// Groups returns the groups that the principal sees, by stream and labels.
func (l *Ledger) Groups(ctx context.Context, p access.Principal, f GroupFilter) ([]Group, error) {
	var out []Group
	err := l.view(ctx, "read groups of", func(tx *sql.Tx) error {
		groups, err := l.viewer(ctx, tx).groups(p, f.Streams)
		for _, g := range groups {
			if f.takes(&g.Group) {
				out = append(out, g.Group)
			}
		}
		return err
	})
	return out, err
}

// Slots calls each with every group of the stream, retired ones included, and
// its slots that start in [from, to) (Unix milliseconds), ascending, open ones
// included. All groups are of one state of the ledger, which is kept for as
// long as the calls take: each should not wait for anybody.
func (l *Ledger) Slots(ctx context.Context, p access.Principal, stream string, from, to int64, each func(Group, []Slot) error) error {
	return l.SlotsOf(ctx, p, stream, from, to, func(*Group) bool { return true }, each)
}

// SlotsOf is Slots for the groups that are wanted: nothing is read of others.
func (l *Ledger) SlotsOf(ctx context.Context, p access.Principal, stream string, from, to int64, want func(*Group) bool, each func(Group, []Slot) error) error {
	return l.view(ctx, "read slots of", func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		groups, err := v.groups(p, []string{stream})
		if err != nil {
			return err
		}
		for _, g := range groups {
			if !want(&g.Group) {
				continue
			}
			slots, err := v.slots(g.id, from, to)
			if err != nil {
				return err
			}
			if err := each(g.Group, slots); err != nil {
				return err
			}
		}
		return nil
	})
}

// GroupSlots returns the group's slots that start in [from, to) (Unix
// milliseconds), ascending, open ones included.
func (l *Ledger) GroupSlots(ctx context.Context, p access.Principal, key wire.GroupKey, from, to int64) ([]Slot, error) {
	var out []Slot
	err := l.ofGroup(ctx, p, key, "read slots of", func(v *viewer, id int64) (err error) {
		out, err = v.slots(id, from, to)
		return err
	})
	return out, err
}

// ofGroup runs f on the group, if the principal sees it.
func (l *Ledger) ofGroup(ctx context.Context, p access.Principal, key wire.GroupKey, verb string, f func(v *viewer, id int64) error) error {
	return l.view(ctx, verb, func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		g, err := v.group(p, key)
		if err != nil {
			return err
		}
		return f(v, g.id)
	})
}

// Versions returns all versions of one final slot, the one in force last. It
// is empty for a slot that is open or was never written.
func (l *Ledger) Versions(ctx context.Context, p access.Principal, key wire.GroupKey, start int64) ([]Versioned, error) {
	var out []Versioned
	err := l.ofGroup(ctx, p, key, "read versions of", func(v *viewer, id int64) error {
		rows, err := v.query(`SELECT slot FROM slot_versions WHERE group_id = ? AND start = ? ORDER BY version`, id, start)
		if err != nil {
			return err
		}
		if out, err = scanVersions(rows, id, start); err != nil {
			return err
		}
		return v.eachBlock(id, start, start+1, func(h hourBlock) error {
			out, err = appendVersions(out, h.block, id, start)
			return err
		})
	})
	return out, err
}

// Restated returns when the slots start, in [from, to) (Unix milliseconds), that
// have more than one version, ascending.
func (l *Ledger) Restated(ctx context.Context, p access.Principal, key wire.GroupKey, from, to int64) ([]int64, error) {
	var out []int64
	err := l.ofGroup(ctx, p, key, "read restated slots of", func(v *viewer, id int64) error {
		rows, err := v.query(`SELECT DISTINCT start FROM slot_versions WHERE group_id = ? AND start >= ? AND start < ? ORDER BY start`, id, from, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var start int64
			if err := rows.Scan(&start); err != nil {
				return err
			}
			out = append(out, start)
		}
		return rows.Err()
	})
	return out, err
}

// scanVersions reads blocks, closes the rows and returns the slots of the start.
func scanVersions(rows *sql.Rows, id, start int64) ([]Versioned, error) {
	defer rows.Close()
	var out []Versioned
	for rows.Next() {
		var blob sql.RawBytes
		if err := rows.Scan(&blob); err != nil {
			return nil, err
		}
		var err error
		if out, err = appendVersions(out, blob, id, start); err != nil {
			return nil, err
		}
	}
	return out, rows.Err()
}

// appendVersions appends the slots of the start that a block has.
func appendVersions(dst []Versioned, block []byte, id, start int64) ([]Versioned, error) {
	slots, err := decodeBlock(nil, hourOf(start), block)
	if err != nil {
		return dst, damaged(start, id, err)
	}
	for i := range slots {
		if slots[i].Start == start {
			dst = append(dst, slots[i])
		}
	}
	return dst, nil
}

// HourTotals returns the sums over the final slots of the hours that start in
// [from, to) (Unix milliseconds), ascending; hours without slots are left out.
func (l *Ledger) HourTotals(ctx context.Context, p access.Principal, key wire.GroupKey, from, to int64) ([]HourTotals, error) {
	var out []HourTotals
	err := l.ofGroup(ctx, p, key, "read totals of", func(v *viewer, id int64) error {
		until, err := packedUntil(v, "")
		if err != nil {
			return err
		}
		if from < min(to, until) {
			if out, err = v.packedTotals(id, from, min(to, until)); err != nil {
				return err
			}
		}
		first, end, err := v.keptHours(max(from, until), to)
		if first = hourOf(first + hourMillis - 1); err != nil || first >= end {
			return err
		}
		rows, err := v.query(hourSeries+`
			SELECT hours.hour, hours.group_id, good, total, good_slots, bad_slots, unknown_slots
			FROM series JOIN hours ON hours.hour = series.hour AND hours.group_id = ? ORDER BY hours.hour`, first, end, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			h, err := scanHour(rows, &id)
			if err != nil {
				return err
			}
			out = append(out, h)
		}
		return rows.Err()
	})
	return out, err
}

// packedTotals returns a group's hours in [from, to), which are of packed days.
func (v *viewer) packedTotals(id, from, to int64) (out []HourTotals, err error) {
	if from, to, err = v.keptDays(from, to); err != nil || from >= to {
		return nil, err
	}
	rows, err := v.query(daySeries+`
		SELECT days.day, days.totals FROM series JOIN days ON days.day = series.day AND days.group_id = ?
		ORDER BY days.day`, dayOf(from), to, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var hours []HourTotals
	for rows.Next() {
		var day int64
		var blob sql.RawBytes
		if err := rows.Scan(&day, &blob); err != nil {
			return nil, err
		}
		if hours, err = decodeDay(hours[:0], day, blob); err != nil {
			return nil, damaged(day, id, err)
		}
		for _, h := range hours {
			if h.Start >= from && h.Start < to {
				out = append(out, h)
			}
		}
	}
	return out, rows.Err()
}

// Sketches returns the group's histograms of the slots that start in [from, to)
// (Unix milliseconds), ascending.
func (l *Ledger) Sketches(ctx context.Context, p access.Principal, key wire.GroupKey, from, to int64) ([]Sketch, error) {
	var out []Sketch
	err := l.ofGroup(ctx, p, key, "read sketches of", func(v *viewer, id int64) error {
		// The series steps from one slot that exists to the next, whatever the
		// streams' slot lengths.
		rows, err := v.query(`WITH RECURSIVE series (slot) AS (
				SELECT MIN(slot) FROM sketches WHERE slot >= ?
				UNION ALL
				SELECT (SELECT MIN(s.slot) FROM sketches s WHERE s.slot > series.slot) FROM series WHERE series.slot < ?)
			SELECT sketches.slot, sketches.hist FROM series
			JOIN sketches ON sketches.slot = series.slot AND sketches.group_id = ?
			WHERE series.slot < ? ORDER BY sketches.slot`, from, to, id, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s := Sketch{Group: key}
			var blob sql.RawBytes
			if err := rows.Scan(&s.Slot, &blob); err != nil {
				return err
			}
			if err := decodeHist(&s.Hist, blob); err != nil {
				return damaged(s.Slot, id, err)
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}
