package ledger

import (
	"database/sql"
	"math"
)

// cachedDay is how many bytes of a packed day hourReader keeps, so that the
// hours of the day are not read 24 times.
const cachedDay = 64 << 20

// hourReader reads whole hours, of all groups, in one state of the ledger.
type hourReader struct {
	q     querier
	until int64 // the first day that is not packed

	day    int64 // whose slots are kept in blobs, if any are
	blobs  map[int64][]byte
	listed int64 // the day that present is about
	// present says which hours of a packed day have slots.
	present [24]bool
}

func readHours(q querier) (*hourReader, error) {
	until, err := packedUntil(q, "")
	return &hourReader{q: q, until: until, listed: math.MinInt64}, err
}

// blocks returns the groups' blocks of an hour, by group.
func (r *hourReader) blocks(hour int64) (map[int64][]byte, error) {
	out := map[int64][]byte{}
	if hour >= r.until {
		rows, err := r.q.query(`SELECT group_id, slots FROM hours WHERE hour = ?`, hour)
		if err != nil {
			return nil, err
		}
		return out, scanBlobs(rows, out)
	}
	put := func(id int64, blob []byte) error {
		block, err := blockOf(hour, blob)
		if err != nil {
			return damaged(hour, id, err)
		}
		if block != nil {
			out[id] = block
		}
		return nil
	}
	if r.blobs == nil || r.day != dayOf(hour) {
		return out, r.readDay(dayOf(hour), put)
	}
	for id, blob := range r.blobs {
		if err := put(id, blob); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readDay calls each with every group's slots of a packed day, and keeps them if
// they are few bytes.
func (r *hourReader) readDay(day int64, each func(id int64, blob []byte) error) error {
	r.day, r.blobs = day, nil
	rows, err := r.q.query(`SELECT group_id, slots FROM day_slots WHERE day = ?`, day)
	if err != nil {
		return err
	}
	defer rows.Close()
	size, kept := 0, map[int64][]byte{}
	for rows.Next() {
		var id int64
		var blob []byte
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		if size += len(blob); size <= cachedDay {
			kept[id] = blob
		} else {
			kept = nil
		}
		if err := each(id, blob); err != nil {
			return err
		}
	}
	if size <= cachedDay {
		r.blobs = kept
	}
	return rows.Err()
}

// next returns the first hour in [from, before) in which any group has slots.
func (r *hourReader) next(from, before int64) (hour int64, found bool, err error) {
	from = max(from, math.MinInt64/2) // a log that is new begins at the least number, whose day is none
	for from < min(r.until, before) {
		day, found, err := r.least(`SELECT MIN(day) FROM days WHERE day >= ? AND day < ?`, dayOf(from), min(r.until, before))
		if err != nil {
			return 0, false, err
		}
		if !found {
			from = r.until
			break
		}
		if err := r.list(day); err != nil {
			return 0, false, err
		}
		for h, has := range r.present {
			if at := day + int64(h)*hourMillis; has && at >= from {
				return at, at < before, nil
			}
		}
		from = day + dayMillis
	}
	return r.least(`SELECT MIN(hour) FROM hours WHERE hour >= ? AND hour < ?`, max(from, r.until), before)
}

func (r *hourReader) least(q string, from, before int64) (least int64, found bool, err error) {
	rows, err := r.q.query(q, from, before)
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	var n sql.NullInt64
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, false, err
		}
	}
	return n.Int64, n.Valid, rows.Err()
}

// list finds out which hours of a packed day have slots.
func (r *hourReader) list(day int64) error {
	if r.listed == day {
		return nil
	}
	r.present = [24]bool{}
	rows, err := r.q.query(`SELECT group_id, totals FROM days WHERE day = ?`, day)
	if err != nil {
		return err
	}
	defer rows.Close()
	var hours []HourTotals
	for rows.Next() {
		var id int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		if hours, err = decodeDay(hours[:0], day, blob); err != nil {
			return damaged(day, id, err)
		}
		for _, h := range hours {
			r.present[(h.Start-day)/hourMillis] = true
		}
	}
	r.listed = day
	return rows.Err()
}
