package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"nines/internal/hist"
	"nines/internal/sla"
)

// maxFindings is how many faults Verify reports before it stops.
const maxFindings = 20

// Verify reads the whole ledger and reports what is wrong with it: pages and
// indexes by the database's own check, blobs that do not decode, hours whose
// totals are not the sums of their slots, packed days that differ from their hours, slots both open and final, rows of
// unknown groups, facts and exclusions in an impossible order (ErrDamaged);
// closed slots that are not what was logged (ErrRewritten). It takes seconds per
// gigabyte, and commits go on meanwhile. The error names each fault.
func (l *Ledger) Verify(ctx context.Context) error { return l.VerifyWith(ctx, nil) }

// VerifyWith is Verify with progress, which counts rows.
func (l *Ledger) VerifyWith(ctx context.Context, progress Progress) error {
	if err := l.dialect.integrity(ctx, l.ro); err != nil {
		return l.explain("verify", err)
	}
	return l.view(ctx, "verify", func(tx *sql.Tx) error {
		c := &check{v: l.viewer(ctx, tx), progress: progress.orNone()}
		var err error
		if c.total, err = c.v.countRows([]table{{name: "hours"}, {name: "open_slots"}, {name: "slot_versions"}, {name: "sketches"}, {name: "statuses"}, {name: "hours"}}); err != nil {
			return err
		}
		for _, f := range []func() error{c.hours, c.days, c.open, c.versions, c.sketches, c.statuses, c.orphans, c.inventory, c.log} {
			if err := f(); err != nil {
				return err
			}
		}
		return errors.Join(c.found...)
	})
}

// errOther says that a blob decodes, to something that its row does not say.
var errOther = errors.New("its bytes are of another slot")

// check is a Verify in progress.
type check struct {
	v           *viewer
	found       []error
	progress    Progress
	done, total int64
}

func (c *check) fault(format string, args ...any) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...))
	}
}

// each calls f for every row of the query.
func (c *check) each(q string, f func(*sql.Rows) error) error {
	rows, err := c.v.query(q)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
		if c.done++; c.done%1000 == 0 {
			c.progress(min(c.done, c.total), c.total)
		}
	}
	return rows.Err()
}

func (c *check) hours() error {
	q := `SELECT hour, group_id, good, total, good_slots, bad_slots, unknown_slots, slots FROM hours`
	var slots []Versioned
	return c.each(q, func(rows *sql.Rows) error {
		var hour, id int64
		var n [5]int64
		var blob sql.RawBytes
		if err := rows.Scan(&hour, &id, &n[0], &n[1], &n[2], &n[3], &n[4], &blob); err != nil {
			return err
		}
		var err error
		if slots, err = decodeBlock(slots[:0], hour, blob); err != nil {
			c.fault("hour %d of group %d: %w", hour, id, err)
			return nil
		}
		t := totalsOf(slots)
		sums := [5]int64{int64(t.Good), int64(t.Total), int64(t.GoodSlots), int64(t.BadSlots), int64(t.UnknownSlots)}
		if sums != n {
			c.fault("hour %d of group %d: totals %v are not the sums of its slots, %v", hour, id, n, sums)
		}
		for i := range slots {
			if slots[i].State == sla.Open || slots[i].Version == 0 || i > 0 && slots[i].Start <= slots[i-1].Start {
				c.fault("hour %d of group %d: slot %d is open, without a version or twice there", hour, id, slots[i].Start)
			}
		}
		return nil
	})
}

// days compares packed days with their hours: both must have the same sums.
func (c *check) days() error {
	var days []int64
	err := c.each(`SELECT DISTINCT day FROM days ORDER BY day`, func(rows *sql.Rows) error {
		var day int64
		err := rows.Scan(&day)
		days = append(days, day)
		return err
	})
	for _, day := range days {
		err = errors.Join(err, c.day(day))
	}
	return err
}

func (c *check) day(day int64) error {
	packed, err := c.packed(day)
	if err != nil {
		return err
	}
	rows, err := c.v.query(selectTotals+` WHERE hour >= ? AND hour < ?`, day, day+dayMillis)
	if err != nil {
		return err
	}
	hours, ids, err := collectHours(rows)
	for _, id := range ids {
		if !slices.Equal(hours[id], packed[id]) {
			c.fault("day %d of group %d: the packed totals are not its hours'", day, id)
		}
		delete(packed, id)
	}
	if len(packed) > 0 {
		c.fault("day %d: %d groups have packed totals and no hours", day, len(packed))
	}
	return err
}

func (c *check) packed(day int64) (map[int64][]HourTotals, error) {
	packed := map[int64][]HourTotals{}
	rows, err := c.v.query(`SELECT group_id, totals FROM days WHERE day = ?`, day)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return nil, err
		}
		if packed[id], err = decodeDay(nil, day, blob); err != nil {
			c.fault("day %d of group %d: %w", day, id, err)
		}
	}
	return packed, rows.Err()
}

func (c *check) open() error {
	return c.each(`SELECT group_id, start, slot, (SELECT slots FROM hours
		WHERE hours.group_id = open_slots.group_id AND hours.hour = open_slots.start - open_slots.start % 3600000) FROM open_slots`,
		func(rows *sql.Rows) error {
			var id, start int64
			var blob, hour sql.RawBytes
			if err := rows.Scan(&id, &start, &blob, &hour); err != nil {
				return err
			}
			slots, err := decodeBlock(nil, hourOf(start), blob)
			if err == nil && (len(slots) != 1 || slots[0].Start != start || slots[0].State != sla.Open) {
				err = errOther
			}
			if err != nil {
				c.fault("open slot %d of group %d: %w", start, id, err)
			}
			if hour == nil {
				return nil
			}
			final, _ := decodeBlock(nil, hourOf(start), hour) // hours() reports an error
			if slices.ContainsFunc(final, func(v Versioned) bool { return v.Start == start }) {
				c.fault("slot %d of group %d is both open and final", start, id)
			}
			return nil
		})
}

func (c *check) versions() error {
	return c.each(`SELECT group_id, start, version, slot FROM slot_versions`, func(rows *sql.Rows) error {
		var id, start, version int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &start, &version, &blob); err != nil {
			return err
		}
		slots, err := decodeBlock(nil, hourOf(start), blob)
		if err == nil && (len(slots) != 1 || slots[0].Start != start || int64(slots[0].Version) != version) {
			err = errOther
		}
		if err != nil {
			c.fault("version %d of slot %d of group %d: %w", version, start, id, err)
		}
		return nil
	})
}

func (c *check) sketches() error {
	var h hist.Histogram
	return c.each(`SELECT group_id, slot, hist FROM sketches`, func(rows *sql.Rows) error {
		var id, slot int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &slot, &blob); err != nil {
			return err
		}
		if err := decodeHist(&h, blob); err != nil {
			c.fault("sketch of slot %d of group %d: %w", slot, id, err)
		}
		return nil
	})
}

func (c *check) statuses() error {
	return c.each(`SELECT group_id, objective, status FROM statuses`, func(rows *sql.Rows) error {
		var id int64
		var s Status
		var blob sql.RawBytes
		if err := rows.Scan(&id, &s.Objective, &blob); err != nil {
			return err
		}
		if err := decodeStatus(&s, blob); err != nil {
			c.fault("status of %s, group %d: %w", s.Objective, id, err)
		}
		return nil
	})
}

// orphans finds rows of groups that are not there.
func (c *check) orphans() error {
	for _, table := range []string{"hours", "days", "open_slots", "slot_versions", "sketches", "statuses"} {
		var n int64
		err := c.v.row(`SELECT COUNT(*) FROM ` + table + ` WHERE group_id NOT IN (SELECT id FROM groups)`).Scan(&n)
		if err != nil {
			return err
		}
		if n > 0 {
			c.fault("%d rows of %s belong to no group", n, table)
		}
	}
	return nil
}
