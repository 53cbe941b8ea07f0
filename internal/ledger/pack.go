package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
)

// packAfter is how long after its end a day is packed: by then late data is
// rare. In milliseconds.
const packAfter = 2 * dayMillis

// packGroups is how many groups' slots of a day are held in memory at once.
const packGroups = 500

// packedUntil returns the first day that is not packed. more ends the query.
func packedUntil(q querier, more string) (day int64, err error) {
	rows, err := q.query(`SELECT until FROM packing ORDER BY until DESC LIMIT 1` + more)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return math.MinInt64, rows.Err()
	}
	return day, cmp.Or(rows.Scan(&day), rows.Err())
}

// pack packs the days that ended long enough before now (log time, Unix
// milliseconds), one transaction each. Their rows in hours count for nothing from
// then on and go in small transactions, that let commits pass between them.
func (l *Ledger) pack(ctx context.Context, now int64) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		until := int64(math.MinInt64)
		err := l.inTx(ctx, "pack days of", func(w *writer) (err error) {
			if more, err = w.packNext(dayOf(now - packAfter)); err == nil {
				until, err = packedUntil(w, "")
			}
			return err
		})
		if err != nil {
			return err
		}
		// Also what an earlier process packed and left there.
		_, err = l.deleteOld(ctx, pruning{until, []string{`DELETE FROM hours WHERE hour < ?`}, `SELECT MIN(hour) FROM hours`})
		if err != nil {
			return err
		}
	}
	return nil
}

// packNext packs the oldest unpacked day with slots before the limit.
func (w *writer) packNext(limit int64) (more bool, err error) {
	// Commits under way know the days packed before: they end first.
	if err := w.lock(w.l.dialect.lockDays); err != nil {
		return false, err
	}
	until, err := packedUntil(w, "")
	if err != nil {
		return false, err
	}
	var oldest sql.NullInt64
	if err := w.row(`SELECT MIN(hour) FROM hours WHERE hour >= ?`, until).Scan(&oldest); err != nil {
		return false, err
	}
	if !oldest.Valid || dayOf(oldest.Int64) >= limit {
		return false, nil
	}
	day := dayOf(oldest.Int64)
	if err := w.packDay(day); err != nil {
		return false, err
	}
	if n, err := w.execN(`UPDATE packing SET until = ?`, day+dayMillis); err != nil || n > 0 {
		return true, err
	}
	return true, w.exec(`INSERT INTO packing (until) VALUES (?)`, day+dayMillis)
}

// packDay copies a day's hours to days and day_slots.
func (w *writer) packDay(day int64) error {
	ids, err := w.groupsOf(day)
	if err != nil {
		return err
	}
	put := w.putDays(day)
	for part := range slices.Chunk(ids, packGroups) {
		groups, err := w.readDay(day, part[0], part[len(part)-1])
		if err != nil {
			return err
		}
		for _, id := range part {
			if err := put.add(id, groups[id]); err != nil {
				return err
			}
		}
	}
	return put.flush()
}

// groupsOf returns the groups with unpacked hours in a day, ascending.
func (w *writer) groupsOf(day int64) (ids []int64, err error) {
	rows, err := w.query(`SELECT DISTINCT group_id FROM hours WHERE hour >= ? AND hour < ? ORDER BY group_id`, day, day+dayMillis)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// groupDay is all that a group has in one day: its blocks and their sums,
// ascending, of the same hours.
type groupDay struct {
	blocks []hourBlock
	totals []HourTotals
}

// set puts an hour's block in place of the one before, if any.
func (d *groupDay) set(hour int64, block []byte, t Totals) {
	i, found := slices.BinarySearchFunc(d.blocks, hour, byBlockHour)
	if !found {
		d.blocks = slices.Insert(d.blocks, i, hourBlock{})
	}
	d.blocks[i] = hourBlock{hour, block}
	i, found = slices.BinarySearchFunc(d.totals, hour, func(h HourTotals, hour int64) int { return cmp.Compare(h.Start, hour) })
	if !found {
		d.totals = slices.Insert(d.totals, i, HourTotals{})
	}
	d.totals[i] = HourTotals{hour, t}
}

// readDay reads the unpacked hours of a day of the groups from lo to hi.
func (w *writer) readDay(day, lo, hi int64) (map[int64]*groupDay, error) {
	var args []any
	for h := range int64(24) {
		args = append(args, day+h*hourMillis)
	}
	rows, err := w.query(`SELECT hour, group_id, good, total, good_slots, bad_slots, unknown_slots, slots FROM hours
		WHERE hour IN (?`+strings.Repeat(",?", 23)+`) AND group_id BETWEEN ? AND ?`, append(args, lo, hi)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]*groupDay{}
	for rows.Next() {
		var id int64
		var block []byte
		h, err := scanHour(rows, &id, &block)
		if err != nil {
			return nil, err
		}
		if out[id] == nil {
			out[id] = &groupDay{}
		}
		out[id].set(h.Start, block, h.Totals)
	}
	return out, rows.Err()
}

// dayWriter writes packed days.
type dayWriter struct {
	day           int64
	slots, totals *bulk
}

func (w *writer) putDays(day int64) *dayWriter {
	return &dayWriter{
		day: day,
		slots: w.bulk(`INSERT INTO day_slots (day, group_id, slots) VALUES `,
			` ON CONFLICT (day, group_id) DO UPDATE SET slots = excluded.slots`, 3),
		totals: w.bulk(`INSERT INTO days (day, group_id, totals) VALUES `,
			` ON CONFLICT (day, group_id) DO UPDATE SET totals = excluded.totals`, 3),
	}
}

func (d *dayWriter) add(id int64, g *groupDay) error {
	return cmp.Or(d.slots.add(d.day, id, appendDaySlots(nil, d.day, g.blocks)),
		d.totals.add(d.day, id, appendDay(nil, d.day, g.totals)))
}

// flush writes what is left. Call it once at the end.
func (d *dayWriter) flush() error { return cmp.Or(d.slots.flush(), d.totals.flush()) }
