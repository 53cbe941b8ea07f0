package ledger

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nines/internal/hist"
	"nines/internal/sla"
	"nines/internal/wire"
)

// slotKey names a slot within the ledger.
type slotKey struct{ group, start int64 }

// rangeRead is how many rows of one hour are wanted before reading the hour's
// range is cheaper than looking each of them up.
const rangeRead = 16

// putSlots writes the batch's slots: open ones to a small table that is
// rewritten every second, final ones into the packed row of their hour, once
// they close and when they are restated. It returns how many were restated.
func (w *writer) putSlots(known *knownGroups, b *Batch) (restated int, err error) {
	open := map[slotKey]*Slot{}
	final := map[int64]map[int64][]*Slot{} // by hour, by group, in the batch's order
	for i := range b.Slots {
		s := &b.Slots[i].Slot
		id, err := known.id(b.Slots[i].Group)
		if err != nil {
			return 0, fmt.Errorf("slot %d: %w", s.Start, err)
		}
		if s.State == sla.Open {
			open[slotKey{id, s.Start}] = s
			continue
		}
		if s.Version == 0 {
			return 0, fmt.Errorf("slot %d of group %d: a final slot has version 1 or more", s.Start, id)
		}
		byGroup := final[hourOf(s.Start)]
		if byGroup == nil {
			byGroup = map[int64][]*Slot{}
			final[hourOf(s.Start)] = byGroup
		}
		byGroup[id] = append(byGroup[id], s)
	}
	for _, hour := range slices.Sorted(maps.Keys(final)) {
		n, err := w.putHour(hour, final[hour], b.LogTime)
		if err != nil {
			return 0, err
		}
		restated += n
		for id, slots := range final[hour] {
			for _, s := range slots {
				delete(open, slotKey{id, s.Start}) // closed in the same batch
			}
		}
	}
	return restated, w.putOpen(open)
}

func (w *writer) putOpen(open map[slotKey]*Slot) error {
	ins := w.bulk(`INSERT INTO open_slots (group_id, start, slot) VALUES `,
		` ON CONFLICT (group_id, start) DO UPDATE SET slot = excluded.slot`, 3)
	keys := slices.SortedFunc(maps.Keys(open), func(a, b slotKey) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.start, b.start))
	})
	for _, k := range keys {
		one := [1]Versioned{{Slot: *open[k], WrittenAt: k.start}}
		if err := ins.add(k.group, k.start, appendBlock(nil, hourOf(k.start), one[:])); err != nil {
			return err
		}
	}
	return ins.flush()
}

// putHour adds final slots to the rows of one hour.
func (w *writer) putHour(hour int64, byGroup map[int64][]*Slot, now int64) (restated int, err error) {
	ids := slices.Sorted(maps.Keys(byGroup))
	until, err := packedUntil(w, w.l.dialect.share) // no day is packed before the transaction ends
	if err != nil {
		return 0, err
	}
	stored, err := w.readStored(hour, until, ids)
	if err != nil {
		return 0, err
	}
	log, err := scanLogState(w, w.l.dialect.share)
	if err != nil {
		return 0, err
	}
	var slots []Versioned
	var decoder blockDecoder
	var added []groupVersion // to an hour in the log
	for _, id := range ids {
		slots = slots[:0]
		if blob := stored.block(id); blob != nil {
			if slots, err = decoder.decode(slots, hour, blob); err != nil {
				return 0, damaged(hour, id, err)
			}
		}
		for _, s := range byGroup[id] {
			old, fresh, err := place(&slots, s, now, hour < log.until)
			if err != nil {
				return 0, fmt.Errorf("slot %d of group %d: %w", s.Start, id, err)
			}
			if fresh && hour < log.until && hour >= log.pruned {
				added = append(added, groupVersion{id, slotVersion{s.Start, s.Version}})
			}
			if old != nil {
				restated++
				if err := w.archive(hour, id, old); err != nil {
					return 0, err
				}
			}
		}
		if err := stored.put(id, appendBlock(nil, hour, slots), totalsOf(slots)); err != nil {
			return 0, err
		}
	}
	return restated, errors.Join(stored.flush(), w.awaitLog(hour, added), w.closeOpen(byGroup))
}

// closeOpen deletes the open slots that are final now: those of many groups
// that close at one time by time, those of a group that is replayed by group.
func (w *writer) closeOpen(byGroup map[int64][]*Slot) error {
	byStart := map[int64][]int64{}
	for id, slots := range byGroup {
		for _, s := range slots {
			byStart[s.Start] = append(byStart[s.Start], id)
		}
	}
	if len(byStart) <= len(byGroup) {
		for _, start := range slices.Sorted(maps.Keys(byStart)) {
			if err := w.deleteEach(`DELETE FROM open_slots WHERE start = ? AND group_id IN (`, start, byStart[start]); err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(byGroup)) {
		starts := make([]int64, len(byGroup[id]))
		for i, s := range byGroup[id] {
			starts[i] = s.Start
		}
		if err := w.deleteEach(`DELETE FROM open_slots WHERE group_id = ? AND start IN (`, id, starts); err != nil {
			return err
		}
	}
	return nil
}

// deleteEach runs the statement on the one number and lists of the others.
func (w *writer) deleteEach(statement string, one int64, others []int64) error {
	slices.Sort(others)
	for part := range slices.Chunk(others, idsPerDelete) {
		args := []any{one}
		for _, v := range part {
			args = append(args, v)
		}
		if err := w.exec(statement+strings.Repeat("?,", len(part)-1)+"?)", args...); err != nil {
			return err
		}
	}
	return nil
}

// idsPerDelete is how many rows one statement deletes.
const idsPerDelete = 250

func damaged(at, id int64, err error) error {
	return fmt.Errorf("%w: slots of %d of group %d: %w", ErrDamaged, at, id, err)
}

// place puts a final slot where it belongs. It returns the version that it
// supersedes, if any, and whether it is a version that was not there. What is in
// the log stays as it is under its version, evidence included.
func place(slots *[]Versioned, s *Slot, now int64, logged bool) (old *Versioned, fresh bool, err error) {
	i, found := slices.BinarySearchFunc(*slots, s.Start, func(v Versioned, start int64) int {
		return cmp.Compare(v.Start, start)
	})
	next := Versioned{Slot: *s, WrittenAt: now}
	if !found {
		*slots = slices.Insert(*slots, i, next)
		return nil, true, nil
	}
	have := (*slots)[i]
	switch {
	case s.Version > have.Version:
		old = &have
	case s.Version < have.Version, s.State != have.State, s.Good != have.Good, s.Total != have.Total, s.Owed != have.Owed:
		return nil, false, fmt.Errorf("%w: version %d (%s, %d of %d) after version %d (%s, %d of %d)", ErrReused,
			s.Version, s.State, s.Good, s.Total, have.Version, have.State, have.Good, have.Total)
	case logged:
		return nil, false, nil
	default:
		next.WrittenAt = have.WrittenAt
	}
	(*slots)[i] = next
	return old, old != nil, nil
}

func (w *writer) archive(hour, id int64, old *Versioned) error {
	return w.exec(`INSERT INTO slot_versions (group_id, start, version, slot) VALUES (?, ?, ?, ?)`,
		id, old.Start, int64(old.Version), appendBlock(nil, hour, []Versioned{*old}))
}

// readBlobs reads a column of the given groups' rows at one time; the query
// ends where the condition on the group is to follow.
func (w *writer) readBlobs(query string, at int64, ids []int64) (map[int64][]byte, error) {
	out := make(map[int64][]byte, len(ids))
	if len(ids) >= rangeRead {
		rows, err := w.query(query+` BETWEEN ? AND ?`, at, ids[0], ids[len(ids)-1])
		if err != nil {
			return nil, err
		}
		return out, scanBlobs(rows, out)
	}
	for _, id := range ids {
		var blob []byte
		switch err := w.row(query+` = ?`, at, id).Scan(&id, &blob); {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return nil, err
		default:
			out[id] = blob
		}
	}
	return out, nil
}

func scanBlobs(rows *sql.Rows, out map[int64][]byte) error {
	defer rows.Close()
	for rows.Next() {
		var id int64
		var blob []byte
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		out[id] = blob
	}
	return rows.Err()
}

// putSketches merges histograms into what is there. It returns how many it left
// out because their group is not known: they are for display, and no reason to
// hold up what is counted.
func (w *writer) putSketches(known *knownGroups, sketches []Sketch) (unknown int, err error) {
	bySlot := map[int64]map[int64][]*hist.Histogram{} // by slot, by group
	for i := range sketches {
		s := &sketches[i]
		g := known.groups[s.Group]
		if g == nil {
			unknown++
			continue
		}
		if bySlot[s.Slot] == nil {
			bySlot[s.Slot] = map[int64][]*hist.Histogram{}
		}
		bySlot[s.Slot][g.id] = append(bySlot[s.Slot][g.id], &s.Hist)
	}
	ins := w.bulk(`INSERT INTO sketches (slot, group_id, hist) VALUES `,
		` ON CONFLICT (slot, group_id) DO UPDATE SET hist = excluded.hist`, 3)
	for _, slot := range slices.Sorted(maps.Keys(bySlot)) {
		if err := w.putSketchesOf(ins, slot, bySlot[slot]); err != nil {
			return unknown, err
		}
	}
	return unknown, ins.flush()
}

func (w *writer) putSketchesOf(ins *bulk, slot int64, byGroup map[int64][]*hist.Histogram) error {
	ids := slices.Sorted(maps.Keys(byGroup))
	blobs, err := w.readBlobs(`SELECT group_id, hist FROM sketches WHERE slot = ? AND group_id`, slot, ids)
	if err != nil {
		return err
	}
	var sum hist.Histogram // never the batch's own: a failed commit is tried again with it
	for _, id := range ids {
		sum.Reset()
		if blob := blobs[id]; blob != nil {
			if err := decodeHist(&sum, blob); err != nil {
				return fmt.Errorf("%w: sketch %d of group %d: %w", ErrDamaged, slot, id, err)
			}
		}
		for _, h := range byGroup[id] {
			sum.Merge(h)
		}
		if err := ins.add(slot, id, sum.AppendBinary(nil)); err != nil {
			return err
		}
	}
	return nil
}

// decodeHist reads a stored histogram, which fills its blob.
func decodeHist(h *hist.Histogram, blob []byte) error {
	rest, err := h.Decode(blob)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: bytes after the histogram", errBytes)
	}
	return err
}

// groupKeys returns the keys of the groups that the batch changes, each once.
func (b *Batch) groupKeys() map[wire.GroupKey]bool {
	keys := map[wire.GroupKey]bool{}
	for i := range b.Groups {
		keys[b.Groups[i].Key] = true
	}
	for i := range b.Slots {
		keys[b.Slots[i].Group] = true
	}
	for i := range b.Sketches {
		keys[b.Sketches[i].Group] = true
	}
	for i := range b.Statuses {
		keys[b.Statuses[i].Group] = true
	}
	return keys
}
