package evaluate

import (
	"cmp"
	"slices"

	"nines/internal/ledger"
	"nines/internal/wire"
)

// Data that comes late, from a spool or of a partition that catches up, walks
// through slots that have left memory, group by group and one after the other,
// and comes back to each after every commit. The ledger takes as long to read a
// quarter of an hour of a group as one slot, so that is read at once, and kept as
// the ledger has it.

const (
	// recallSpan is how much of a group is read at once, milliseconds.
	recallSpan = 15 * 60_000
	// recallSlots bounds how many slots are kept: some 40 MB.
	recallSlots = 200_000
)

// recalls holds slots as the ledger has them. It is its owner's alone.
type recalls struct {
	read func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error)
	// young are the stretches in use since the last turn, old those of the turn
	// before; full is when to turn, and held how much young has.
	young, old map[stretchKey]*stretch
	held, full int
}

// stretchKey names a group's recallSpan that begins at from.
type stretchKey struct {
	group wire.GroupKey
	from  int64
}

// stretch are the slots that start in it, ascending.
type stretch struct{ slots []ledger.Slot }

func newRecalls(read func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error)) *recalls {
	return &recalls{read: read, young: map[stretchKey]*stretch{}, full: recallSlots / 2}
}

func stretchOf(key wire.GroupKey, start int64) stretchKey {
	return stretchKey{key, start - start%recallSpan}
}

// slot returns the group's slot that starts at start, as the ledger has it.
func (r *recalls) slot(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	k := stretchOf(key, start)
	s := r.young[k]
	if s == nil {
		if s = r.old[k]; s == nil {
			slots, err := r.read(key, k.from, k.from+recallSpan)
			if err != nil {
				return ledger.Slot{}, false, err
			}
			s = &stretch{slots}
		}
		r.use(k, s)
	}
	at, found := s.place(start)
	if !found {
		return ledger.Slot{}, false, nil
	}
	return s.slots[at], true, nil
}

// use takes a stretch among the young ones. When they are many, those that have
// not been in use for as long are forgotten.
func (r *recalls) use(k stretchKey, s *stretch) {
	if r.held >= r.full {
		r.old, r.young, r.held = r.young, map[stretchKey]*stretch{}, 0
	}
	delete(r.old, k)
	r.young[k] = s
	r.held += 1 + len(s.slots)
}

func (s *stretch) place(start int64) (int, bool) {
	return slices.BinarySearchFunc(s.slots, start, func(sl ledger.Slot, start int64) int { return cmp.Compare(sl.Start, start) })
}

// committed takes over what the ledger has taken.
func (r *recalls) committed(b *ledger.Batch) {
	if len(r.young)+len(r.old) == 0 {
		return
	}
	for i := range b.Slots {
		c := &b.Slots[i]
		k := stretchOf(c.Group, c.Slot.Start)
		s := r.young[k]
		if s == nil {
			s = r.old[k]
		}
		if s == nil {
			continue
		}
		if at, found := s.place(c.Slot.Start); found {
			s.slots[at] = c.Slot
		} else {
			s.slots = slices.Insert(s.slots, at, c.Slot)
		}
	}
}

// slotIn returns the slot that a batch is to write.
func slotIn(b *ledger.Batch, key wire.GroupKey, start int64) (ledger.Slot, bool) {
	at, found := slices.BinarySearchFunc(b.Slots, start, func(c ledger.SlotChange, start int64) int {
		return cmp.Or(cmpGroup(c.Group, key), cmp.Compare(c.Slot.Start, start))
	})
	if !found {
		return ledger.Slot{}, false
	}
	return b.Slots[at].Slot, true
}
