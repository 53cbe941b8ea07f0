package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// A take-over needs the totals of every hour of a quarter. Row by row that is
// 2,200 rows a group; so the hours of past days are summed up in one row a day.
// From the day named in table packing on, totals lie in hours only; before it,
// days has them too, and a restatement writes both.

// dayMillis is the length of a day in UTC, in milliseconds.
const dayMillis = 24 * hourMillis

// packAfter is how long after its end a day is packed: by then late data is
// rare. In milliseconds.
const packAfter = 2 * dayMillis

// dayFormat is the first byte of a packed day.
const dayFormat = 1

func dayOf(t int64) int64 {
	d := t - t%dayMillis
	if d > t {
		d -= dayMillis
	}
	return d
}

// appendDay encodes a day's hours, ascending.
func appendDay(b []byte, day int64, hours []HourTotals) []byte {
	b = append(b, dayFormat, byte(len(hours)))
	for _, h := range hours {
		b = append(b, byte((h.Start-day)/hourMillis))
	}
	col := make([]uint64, len(hours))
	for _, f := range []func(*Totals) uint64{
		func(t *Totals) uint64 { return t.Total },
		func(t *Totals) uint64 { return t.Total - t.Good },
		func(t *Totals) uint64 { return t.GoodSlots },
		func(t *Totals) uint64 { return t.BadSlots },
		func(t *Totals) uint64 { return t.UnknownSlots },
	} {
		for i := range hours {
			col[i] = f(&hours[i].Totals)
		}
		b = appendColumn(b, col)
	}
	return b
}

// decodeDay appends a packed day's hours to dst.
func decodeDay(dst []HourTotals, day int64, b []byte) ([]HourTotals, error) {
	r := &reader{b: b}
	if f := r.byte(); f != dayFormat && r.err == nil {
		return dst, fmt.Errorf("%w: day of format %d", errBytes, f)
	}
	n := int(r.byte())
	if n > 24 {
		r.fail("more than 24 hours")
		n = 0
	}
	first := len(dst)
	last := -1
	for range n {
		h := int(r.byte())
		if h <= last || h > 23 {
			r.fail("hours out of order")
		}
		last = h
		dst = append(dst, HourTotals{Start: day + int64(h)*hourMillis})
	}
	hours := dst[first:]
	var buf [24]uint64
	for _, f := range []func(*Totals, uint64){
		func(t *Totals, v uint64) { t.Total = v },
		func(t *Totals, v uint64) { t.Good = t.Total - v },
		func(t *Totals, v uint64) { t.GoodSlots = v },
		func(t *Totals, v uint64) { t.BadSlots = v },
		func(t *Totals, v uint64) { t.UnknownSlots = v },
	} {
		for i, v := range r.column(buf[:0], n) {
			f(&hours[i].Totals, v)
		}
	}
	if err := r.end(); err != nil {
		return dst[:first], err
	}
	return dst, nil
}

// pack packs the days that ended long enough before now (log time, Unix
// milliseconds), one transaction each.
func (l *Ledger) pack(ctx context.Context, now int64) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := l.inTx(ctx, "pack days of", func(w *writer) (err error) {
			more, err = w.packNext(dayOf(now - packAfter))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// packedUntil returns the first day that is not packed.
// No day is packed before the transaction ends.
func (w *writer) packedUntil() (day int64, err error) {
	err = w.row(`SELECT until FROM packing ORDER BY until DESC LIMIT 1` + w.l.dialect.share).Scan(&day)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return day, err
}

// packNext packs the oldest unpacked day with slots before the limit.
func (w *writer) packNext(limit int64) (more bool, err error) {
	// Commits under way know the days packed before: they end first.
	if err := w.lock(w.l.dialect.lockDays); err != nil {
		return false, err
	}
	until, err := w.packedUntil()
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
	rows, err := w.query(selectTotals+` WHERE hour >= ? AND hour < ?`, day, day+dayMillis)
	if err != nil {
		return false, err
	}
	if err := w.writeDay(day, rows); err != nil {
		return false, err
	}
	if move := w.l.dialect.moveDay; move != "" {
		if err := w.exec(move, day, day+dayMillis); err != nil {
			return false, err
		}
	}
	if n, err := w.execN(`UPDATE packing SET until = ?`, day+dayMillis); err != nil || n > 0 {
		return true, err
	}
	return true, w.exec(`INSERT INTO packing (until) VALUES (?)`, day+dayMillis)
}

const selectTotals = `SELECT hour, group_id, good, total, good_slots, bad_slots, unknown_slots FROM hours`

// repack writes the groups' packed rows of a day again, after one of its hours
// changed.
func (w *writer) repack(day int64, ids []int64) error {
	for _, id := range ids {
		var args []any
		for h := range int64(24) {
			args = append(args, day+h*hourMillis)
		}
		rows, err := w.query(selectTotals+` WHERE hour IN (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) AND group_id = ?`,
			append(args, id)...)
		if err != nil {
			return err
		}
		if err := w.writeDay(day, rows); err != nil {
			return err
		}
	}
	return nil
}

// writeDay packs the rows of selectTotals, which are of one day.
func (w *writer) writeDay(day int64, rows *sql.Rows) error {
	byGroup, ids, err := collectHours(rows)
	if err != nil {
		return err
	}
	ins := w.bulk(`INSERT INTO days (day, group_id, totals) VALUES `,
		` ON CONFLICT (day, group_id) DO UPDATE SET totals = excluded.totals`, 3)
	for _, id := range ids {
		if err := ins.add(day, id, appendDay(nil, day, byGroup[id])); err != nil {
			return err
		}
	}
	return ins.flush()
}

// collectHours reads the rows of selectTotals, closes them and sorts them.
func collectHours(rows *sql.Rows) (byGroup map[int64][]HourTotals, ids []int64, err error) {
	defer rows.Close()
	byGroup = map[int64][]HourTotals{}
	for rows.Next() {
		var id int64
		h, err := scanHour(rows, &id)
		if err != nil {
			return nil, nil, err
		}
		if byGroup[id] == nil {
			ids = append(ids, id)
		}
		byGroup[id] = append(byGroup[id], h)
	}
	slices.Sort(ids)
	for _, id := range ids {
		slices.SortFunc(byGroup[id], byHourStart)
	}
	return byGroup, ids, rows.Err()
}
