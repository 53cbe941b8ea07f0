package ledger

import (
	"context"
	"database/sql"

	"nines/internal/access"
	"nines/internal/hist"
)

// GroupSum is what a group's slots of a stretch of time come to.
type GroupSum struct {
	Group Group
	// Good and Total count events, those of open slots included.
	Good, Total uint64
	// Hist is of the samples, where it was asked for and the stream keeps one.
	Hist hist.Histogram
}

// Sums returns the events of every group of the stream that the principal sees,
// retired ones included, in the slots that start in [from, to) (Unix
// milliseconds), by labels. It reads all groups together, hour by hour: ten
// thousand groups cost little more than a few, and a long range much more than a
// short one, so that callers bound it.
func (l *Ledger) Sums(ctx context.Context, p access.Principal, stream string, from, to int64) ([]GroupSum, error) {
	return l.sums(ctx, p, stream, "read sums of", func(v *viewer, s *summing) error {
		if err := s.readOpen(v, from, to); err != nil {
			return err
		}
		hours, err := readHours(v)
		if err != nil {
			return err
		}
		for hour := hourOf(from); hour < to; hour += hourMillis {
			blocks, err := hours.blocks(hour)
			if err != nil {
				return err
			}
			if err := s.addHour(hour, blocks, from, to); err != nil {
				return err
			}
		}
		s.addOpen()
		return nil
	})
}

// SketchSums returns the merged histograms of every group of the stream that the
// principal sees, as Sums returns events. Slots of the stream are length
// milliseconds long.
func (l *Ledger) SketchSums(ctx context.Context, p access.Principal, stream string, from, to, length int64) ([]GroupSum, error) {
	return l.sums(ctx, p, stream, "read sketches of", func(v *viewer, s *summing) error {
		first := from + (length-from%length)%length // that starts at or after from
		for slot := first; slot < to; slot += length {
			if err := s.addSketches(v, slot); err != nil {
				return err
			}
		}
		return nil
	})
}

// summing is the sums of a stream's groups while they are read.
type summing struct {
	sums []GroupSum
	at   map[int64]int // by the group's id
	// The least and the greatest id.
	low, high int64
	open      map[slotKey]*Slot
}

func (l *Ledger) sums(ctx context.Context, p access.Principal, stream, verb string, read func(*viewer, *summing) error) ([]GroupSum, error) {
	var s summing
	err := l.view(ctx, verb, func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		groups, err := v.groups(p, []string{stream})
		if err != nil || len(groups) == 0 {
			return err
		}
		s = summing{sums: make([]GroupSum, len(groups)), at: make(map[int64]int, len(groups)), low: groups[0].id, high: groups[0].id}
		for i, g := range groups {
			s.sums[i].Group, s.at[g.id] = g.Group, i
			s.low, s.high = min(s.low, g.id), max(s.high, g.id)
		}
		return read(v, &s)
	})
	return s.sums, err
}

// readOpen reads the open slots: a final slot of the same start takes the place
// of one.
func (s *summing) readOpen(v *viewer, from, to int64) error {
	s.open = map[slotKey]*Slot{}
	rows, err := v.query(`SELECT group_id, start, slot FROM open_slots WHERE group_id BETWEEN ? AND ? AND start >= ? AND start < ?`,
		s.low, s.high, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		id, slot, err := scanOpen(rows)
		if err != nil {
			return err
		}
		if _, ours := s.at[id]; ours {
			s.open[slotKey{id, slot.Start}] = &slot
		}
	}
	return rows.Err()
}

func (s *summing) addOpen() {
	for k, slot := range s.open {
		s.add(k.group, slot)
	}
}

func (s *summing) add(id int64, slot *Slot) {
	sum := &s.sums[s.at[id]]
	sum.Good += slot.Good
	sum.Total += slot.Total
}

// addHour adds the final slots of an hour.
func (s *summing) addHour(hour int64, blocks map[int64][]byte, from, to int64) error {
	var scratch []Versioned
	var decoder blockDecoder
	for id, block := range blocks {
		if _, ours := s.at[id]; !ours {
			continue
		}
		var err error
		if scratch, err = decoder.decode(scratch[:0], hour, block); err != nil {
			return damaged(hour, id, err)
		}
		for i := range scratch {
			if slot := &scratch[i].Slot; slot.Start >= from && slot.Start < to {
				delete(s.open, slotKey{id, slot.Start})
				s.add(id, slot)
			}
		}
	}
	return nil
}

// addSketches merges the groups' histograms of one slot.
func (s *summing) addSketches(v *viewer, slot int64) error {
	rows, err := v.query(`SELECT group_id, hist FROM sketches WHERE slot = ? AND group_id BETWEEN ? AND ?`, slot, s.low, s.high)
	if err != nil {
		return err
	}
	defer rows.Close()
	var h hist.Histogram
	for rows.Next() {
		var id int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		i, ours := s.at[id]
		if !ours {
			continue
		}
		if err := decodeHist(&h, blob); err != nil {
			return damaged(slot, id, err)
		}
		s.sums[i].Hist.Merge(&h)
	}
	return rows.Err()
}
