package ledger

// storedHour is where final slots of one hour lie, for the groups that a commit
// changes.
type storedHour interface {
	// block returns what the group has in the hour, nil for nothing.
	block(id int64) []byte
	// put replaces it.
	put(id int64, block []byte, t Totals) error
	// flush writes what was put. It is called once, at the end.
	flush() error
}

// readStored reads the groups' hour from where it lies.
func (w *writer) readStored(hour, until int64, ids []int64) (storedHour, error) {
	if hour < until {
		return w.readPackedHour(hour, ids)
	}
	blocks, err := w.readBlobs(`SELECT group_id, slots FROM hours WHERE hour = ? AND group_id`, hour, ids)
	return &recentHour{hour: hour, blocks: blocks, ins: w.bulk(
		`INSERT INTO hours (hour, group_id, slots, good, total, good_slots, bad_slots, unknown_slots) VALUES `,
		` ON CONFLICT (hour, group_id) DO UPDATE SET slots = excluded.slots, good = excluded.good, total = excluded.total,
			good_slots = excluded.good_slots, bad_slots = excluded.bad_slots, unknown_slots = excluded.unknown_slots`, 8)}, err
}

// recentHour is an hour with rows of its own.
type recentHour struct {
	hour   int64
	blocks map[int64][]byte
	ins    *bulk
}

func (h *recentHour) block(id int64) []byte { return h.blocks[id] }

func (h *recentHour) put(id int64, block []byte, t Totals) error {
	return h.ins.add(h.hour, id, block,
		int64(t.Good), int64(t.Total), int64(t.GoodSlots), int64(t.BadSlots), int64(t.UnknownSlots))
}

func (h *recentHour) flush() error { return h.ins.flush() }

// packedHour is an hour of a packed day: what comes late rewrites the group's day.
type packedHour struct {
	hour int64
	days map[int64]*groupDay
	out  *dayWriter
}

func (w *writer) readPackedHour(hour int64, ids []int64) (*packedHour, error) {
	day := dayOf(hour)
	slots, err := w.readBlobs(`SELECT group_id, slots FROM day_slots WHERE day = ? AND group_id`, day, ids)
	if err != nil {
		return nil, err
	}
	totals, err := w.readBlobs(`SELECT group_id, totals FROM days WHERE day = ? AND group_id`, day, ids)
	if err != nil {
		return nil, err
	}
	h := &packedHour{hour: hour, days: map[int64]*groupDay{}, out: w.putDays(day)}
	for _, id := range ids {
		d := &groupDay{}
		h.days[id] = d
		if slots[id] == nil {
			continue
		}
		if d.blocks, err = decodeDaySlots(nil, day, slots[id]); err != nil {
			return nil, damaged(day, id, err)
		}
		if d.totals, err = decodeDay(nil, day, totals[id]); err != nil {
			return nil, damaged(day, id, err)
		}
	}
	return h, nil
}

func (h *packedHour) block(id int64) []byte {
	for _, b := range h.days[id].blocks {
		if b.hour == h.hour {
			return b.block
		}
	}
	return nil
}

func (h *packedHour) put(id int64, block []byte, t Totals) error {
	h.days[id].set(h.hour, block, t)
	return h.out.add(id, h.days[id])
}

func (h *packedHour) flush() error { return h.out.flush() }
