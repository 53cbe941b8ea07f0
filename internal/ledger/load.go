package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"nines/internal/alert"
)

// loadedHours is how far back Load sums up hours, in milliseconds: a calendar
// quarter.
const loadedHours = 92 * 24 * hourMillis

// Loaded is what an evaluator needs of one group to go on where it was.
type Loaded struct {
	Group Group
	// Slots are all open slots, and the final ones from the asked time on,
	// ascending, with their evidence.
	Slots []Slot
	// Hours sum up the final slots of the hours before, ascending; hours
	// without slots are left out.
	Hours []HourTotals
}

// HourTotals sums up the final slots that start within an hour.
type HourTotals struct {
	// Start of the hour, Unix milliseconds.
	Start int64
	Totals
}

// Load returns the groups of a partition with their state. since, in Unix
// milliseconds, is rounded down to the hour: final slots from there on are
// given one by one, and the 92 days before by the hour. It is for the
// partition's evaluator, hence without a principal. Load after Claim, so that
// no other commit comes between.
func (l *Ledger) Load(ctx context.Context, partition int32, since int64) ([]Loaded, error) {
	since = hourOf(since)
	var out []Loaded
	err := l.view(ctx, "load a partition from", func(tx *sql.Tx) error {
		p := loading{v: l.viewer(ctx, tx), at: map[int64]int{}}
		var err error
		if err = p.groups(partition); err != nil || len(p.ids) == 0 {
			return err
		}
		if p.until, err = packedUntil(p.v, ""); err != nil {
			return err
		}
		if err := p.hours(since-loadedHours, since); err != nil {
			return err
		}
		if err := p.slots(since); err != nil {
			return err
		}
		err = p.open()
		out = p.out
		return err
	})
	return out, err
}

// loading is a Load in progress.
type loading struct {
	v   *viewer
	out []Loaded
	ids []int64
	at  map[int64]int // index in out, by id
	// until is the first day that is not packed.
	until int64
	// slot and decoder are take's.
	slot    []Versioned
	decoder blockDecoder
}

func (p *loading) groups(partition int32) error {
	rows, err := p.v.query(selectGroups+` WHERE partition = ? ORDER BY id`, partition)
	if err != nil {
		return err
	}
	return eachGroup(rows, func(g *knownGroup) error {
		p.at[g.id] = len(p.out)
		p.ids = append(p.ids, g.id)
		p.out = append(p.out, Loaded{Group: g.Group})
		return nil
	})
}

// bounds returns the least and the greatest id: few rows between them are of
// other partitions.
func (p *loading) bounds() (lo, hi int64) { return p.ids[0], p.ids[len(p.ids)-1] }

// hours reads the totals in [from, to): packed days first, then hours.
func (p *loading) hours(from, to int64) error {
	if from < p.until {
		if err := p.days(from, min(to, p.until)); err != nil {
			return err
		}
		from = p.until
	}
	lo, hi := p.bounds()
	rows, err := p.v.query(selectTotals+` WHERE hour >= ? AND hour < ? AND group_id BETWEEN ? AND ? ORDER BY hour, group_id`,
		from, to, lo, hi)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		h, err := scanHour(rows, &id)
		if err != nil {
			return err
		}
		if i, ours := p.at[id]; ours {
			p.out[i].Hours = append(p.out[i].Hours, h)
		}
	}
	return rows.Err()
}

// days reads the packed totals in [from, to).
func (p *loading) days(from, to int64) error {
	var hours []HourTotals
	return p.eachDay("days", "totals", from, to, func(i int, day int64, blob []byte) (err error) {
		if hours, err = decodeDay(hours[:0], day, blob); err != nil {
			return err
		}
		for _, h := range hours {
			if h.Start >= from && h.Start < to {
				p.out[i].Hours = append(p.out[i].Hours, h)
			}
		}
		return nil
	})
}

// eachDay calls f with a column of the groups' packed days that touch [from, to).
func (p *loading) eachDay(table, column string, from, to int64, f func(i int, day int64, blob []byte) error) error {
	lo, hi := p.bounds()
	rows, err := p.v.query(`SELECT day, group_id, `+column+` FROM `+table+`
		WHERE day >= ? AND day < ? AND group_id BETWEEN ? AND ? ORDER BY day, group_id`, dayOf(from), to, lo, hi)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var day, id int64
		var blob sql.RawBytes
		if err := rows.Scan(&day, &id, &blob); err != nil {
			return err
		}
		if i, ours := p.at[id]; ours {
			if err := f(i, day, blob); err != nil {
				return damaged(day, id, err)
			}
		}
	}
	return rows.Err()
}

const selectTotals = `SELECT hour, group_id, good, total, good_slots, bad_slots, unknown_slots FROM hours`

// scanHour reads a row of hour, group and totals, and into more what follows.
func scanHour(rows *sql.Rows, id *int64, more ...any) (HourTotals, error) {
	var h HourTotals
	var good, total, goodSlots, badSlots, unknown int64
	err := rows.Scan(append([]any{&h.Start, id, &good, &total, &goodSlots, &badSlots, &unknown}, more...)...)
	h.Totals = Totals{
		Good: uint64(good), Total: uint64(total),
		GoodSlots: uint64(goodSlots), BadSlots: uint64(badSlots), UnknownSlots: uint64(unknown),
	}
	return h, err
}

// slots reads the final slots from since on: packed days first, then hours.
func (p *loading) slots(since int64) error {
	if since < p.until {
		if err := p.daySlots(since); err != nil {
			return err
		}
		since = p.until
	}
	lo, hi := p.bounds()
	rows, err := p.v.query(`SELECT hour, group_id, slots FROM hours WHERE hour >= ? ORDER BY hour, group_id`, since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hour, id int64
		var blob sql.RawBytes
		if err := rows.Scan(&hour, &id, &blob); err != nil {
			return err
		}
		i, ours := p.at[id]
		if id < lo || id > hi || !ours {
			continue
		}
		if err := p.take(i, hourBlock{hour, blob}); err != nil {
			return damaged(hour, id, err)
		}
	}
	return rows.Err()
}

// daySlots reads the slots of packed days from since on.
func (p *loading) daySlots(since int64) error {
	var hours []hourBlock
	return p.eachDay("day_slots", "slots", since, p.until, func(i int, day int64, blob []byte) (err error) {
		if hours, err = decodeDaySlots(hours[:0], day, blob); err != nil {
			return err
		}
		for _, h := range hours {
			if h.hour >= since && err == nil {
				err = p.take(i, h)
			}
		}
		return err
	})
}

// take adds a block's slots to what is loaded of a group.
func (p *loading) take(i int, h hourBlock) (err error) {
	p.slot, err = p.decoder.decode(p.slot[:0], h.hour, h.block)
	for j := range p.slot {
		p.out[i].Slots = append(p.out[i].Slots, p.slot[j].Slot)
	}
	return err
}

func (p *loading) open() error {
	lo, hi := p.bounds()
	rows, err := p.v.query(`SELECT group_id, start, slot FROM open_slots WHERE group_id BETWEEN ? AND ? ORDER BY group_id, start`, lo, hi)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		id, s, err := scanOpen(rows)
		if err != nil {
			return err
		}
		if i, ours := p.at[id]; ours {
			p.out[i].Slots = insertOpen(p.out[i].Slots, s)
		}
	}
	return rows.Err()
}

// scanOpen reads a row of open_slots.
func scanOpen(rows *sql.Rows) (id int64, s Slot, err error) {
	var start int64
	var blob sql.RawBytes
	if err := rows.Scan(&id, &start, &blob); err != nil {
		return 0, s, err
	}
	slots, err := decodeBlock(nil, hourOf(start), blob)
	if err == nil && (len(slots) != 1 || slots[0].Start != start) {
		err = fmt.Errorf("%w: another slot", errBytes)
	}
	if err != nil {
		return 0, s, damaged(start, id, err)
	}
	return id, slots[0].Slot, nil
}

// insertOpen puts an open slot among final ones; a final slot of the same start
// wins.
func insertOpen(slots []Slot, s Slot) []Slot {
	i, found := slices.BinarySearchFunc(slots, s.Start, bySlotStart)
	if found {
		return slots
	}
	return slices.Insert(slots, i, s)
}

// LoadAlerts returns the alerts of a partition that fire, as they were last
// published, by start.
func (l *Ledger) LoadAlerts(ctx context.Context, partition int32) ([]alert.Alert, error) {
	var out []alert.Alert
	err := l.view(ctx, "load alerts from", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(selectAlerts+` WHERE firing = 1 AND partition = ? ORDER BY starts_at, alert_key`, partition)
		if err != nil {
			return err
		}
		out, err = scanAlerts(rows)
		return err
	})
	return out, err
}

const selectAlerts = `SELECT firing, ends_at, body FROM alerts`

// scanAlerts reads the rows of selectAlerts and closes them.
func scanAlerts(rows *sql.Rows) ([]alert.Alert, error) {
	defer rows.Close()
	var out []alert.Alert
	for rows.Next() {
		var firing int
		var ends int64
		var body sql.RawBytes
		if err := rows.Scan(&firing, &ends, &body); err != nil {
			return nil, err
		}
		var a alert.Alert
		if err := json.Unmarshal(body, &a); err != nil {
			return nil, fmt.Errorf("%w: alert: %w", ErrDamaged, err)
		}
		if firing == 0 { // also where the next incident began without a resolved record
			a.Status = alert.Resolved
		}
		a.EndsAt = ends
		out = append(out, a)
	}
	return out, rows.Err()
}
