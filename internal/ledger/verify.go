package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"nines/internal/hist"
	"nines/internal/sla"
)

// maxFindings is how many faults Verify reports before it stops.
const maxFindings = 20

// Verify reads the whole ledger and reports what is wrong with it: pages and
// indexes by the database's own check, blobs that do not decode, hours whose
// totals are not the sums of their slots, packed days whose totals are not those
// of their slots, slots both open and final, rows of unknown groups, facts and exclusions in an impossible order (ErrDamaged);
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
		packed, err := c.v.countRows([]table{{name: "day_slots"}})
		if err != nil {
			return err
		}
		c.total += 2 * 24 * packed // hours, which are read once more for the log
		if c.until, err = packedUntil(c.v, ""); err != nil {
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
	until       int64 // the first day that is not packed
	slots       []Versioned
	decoder     blockDecoder
}

func (c *check) fault(format string, args ...any) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...))
	}
}

// each calls f for every row of the query.
func (c *check) each(q string, f func(*sql.Rows) error, args ...any) error {
	rows, err := c.v.query(q, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
		c.tell(1)
	}
	return rows.Err()
}

// tell counts what was read.
func (c *check) tell(rows int64) {
	before := c.done
	if c.done += rows; c.done/1000 > before/1000 {
		c.progress(min(c.done, c.total), c.total)
	}
}

func (c *check) hours() error {
	q := `SELECT hour, group_id, good, total, good_slots, bad_slots, unknown_slots, slots FROM hours WHERE hour >= ?`
	return c.each(q, func(rows *sql.Rows) error {
		var id int64
		var blob sql.RawBytes
		h, err := scanHour(rows, &id, &blob)
		if err != nil {
			return err
		}
		if t, ok := c.block(id, hourBlock{h.Start, blob}); ok && t != h.Totals {
			c.fault("hour %s of group %d: totals %v are not the sums of its slots, %v", hourText(h.Start), id, h.Totals, t)
		}
		return nil
	}, c.until)
}

// block checks a block and returns the sums of its slots.
func (c *check) block(id int64, h hourBlock) (t Totals, ok bool) {
	var err error
	if c.slots, err = c.decoder.decode(c.slots[:0], h.hour, h.block); err != nil {
		c.fault("hour %s of group %d: %w", hourText(h.hour), id, err)
		return t, false
	}
	for i, s := range c.slots {
		if s.State == sla.Open || s.Version == 0 || i > 0 && s.Start <= c.slots[i-1].Start {
			c.fault("hour %s of group %d: slot %s is open, without a version or twice there", hourText(h.hour), id, hourText(s.Start))
		}
	}
	return totalsOf(c.slots), true
}

// days checks packed days: slots and totals must say the same.
func (c *check) days() error {
	for day := int64(math.MinInt64); ; {
		var next sql.NullInt64
		err := c.v.row(`SELECT MIN(day) FROM (SELECT MIN(day) AS day FROM days WHERE day > ?
			UNION ALL SELECT MIN(day) AS day FROM day_slots WHERE day > ?) AS least`, day, day).Scan(&next)
		if err != nil || !next.Valid {
			return err
		}
		day = next.Int64
		if day >= c.until {
			c.fault("day %s is packed after %s, until which days are", hourText(day), hourText(c.until))
		}
		if err := c.day(day); err != nil {
			return err
		}
	}
}

func (c *check) day(day int64) error {
	packed, err := c.packed(day)
	if err != nil {
		return err
	}
	var hours []hourBlock
	rows, err := c.v.query(`SELECT group_id, slots FROM day_slots WHERE day = ?`, day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		if hours, err = decodeDaySlots(hours[:0], day, blob); err != nil {
			c.fault("day %s of group %d: %w", hourText(day), id, err)
		} else if !slices.Equal(c.sums(id, hours), packed[id]) {
			c.fault("day %s of group %d: the packed totals are not its hours'", hourText(day), id)
		}
		delete(packed, id)
		c.tell(int64(len(hours)))
	}
	if len(packed) > 0 {
		c.fault("day %s: %d groups have packed totals and no hours", hourText(day), len(packed))
	}
	return rows.Err()
}

// sums checks a day's blocks and returns the sums of their slots.
func (c *check) sums(id int64, hours []hourBlock) []HourTotals {
	out := make([]HourTotals, 0, len(hours))
	for _, h := range hours {
		if t, ok := c.block(id, h); ok {
			out = append(out, HourTotals{h.hour, t})
		}
	}
	return out
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
			c.fault("day %s of group %d: %w", hourText(day), id, err)
		}
	}
	return packed, rows.Err()
}

func (c *check) open() error {
	return c.each(`SELECT group_id, start, slot, (SELECT slots FROM hours
			WHERE hours.group_id = open_slots.group_id AND hours.hour = open_slots.start - open_slots.start % 3600000),
		(SELECT slots FROM day_slots
			WHERE day_slots.group_id = open_slots.group_id AND day_slots.day = open_slots.start - open_slots.start % 86400000)
		FROM open_slots`,
		func(rows *sql.Rows) error {
			var id, start int64
			var blob, hour, day sql.RawBytes
			if err := rows.Scan(&id, &start, &blob, &hour, &day); err != nil {
				return err
			}
			if day != nil {
				hour, _ = blockOf(hourOf(start), day) // days() reports an error
			}
			slots, err := decodeBlock(nil, hourOf(start), blob)
			if err == nil && (len(slots) != 1 || slots[0].Start != start || slots[0].State != sla.Open) {
				err = errOther
			}
			if err != nil {
				c.fault("open slot %s of group %d: %w", hourText(start), id, err)
			}
			if hour == nil {
				return nil
			}
			final, _ := decodeBlock(nil, hourOf(start), hour) // hours() reports an error
			if slices.ContainsFunc(final, func(v Versioned) bool { return v.Start == start }) {
				c.fault("slot %s of group %d is both open and final", hourText(start), id)
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
			c.fault("version %d of slot %s of group %d: %w", version, hourText(start), id, err)
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
			c.fault("sketch of slot %s of group %d: %w", hourText(slot), id, err)
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
	for _, table := range []string{"hours", "days", "day_slots", "open_slots", "slot_versions", "sketches", "statuses"} {
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
