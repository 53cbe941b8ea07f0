package evaluate

import (
	"iter"
	"slices"

	"nines/internal/wire"
)

// order lists the live groups by their keys, as partials do: the group of a
// count is mostly a few places behind that of the count before, which costs less
// to find there than in a map.
type order struct {
	list  []seat
	at    int // the seat found last
	fresh []*group
	gone  bool // some seats are empty
}

// seat is a group's place, with the half of its key that mostly tells it from its
// neighbours beside it; the group is nil once it was let go.
type seat struct {
	labels uint64
	group  *group
}

// ahead is how many seats next looks at.
const ahead = 16

// next returns the key's group if it is the one found last or stands shortly
// behind it, else nil.
func (o *order) next(key wire.GroupKey) *group {
	for at := o.at; at < min(o.at+ahead, len(o.list)); at++ {
		if s := &o.list[at]; s.labels == key.Labels && s.group != nil && s.group.Key.Stream == key.Stream {
			o.at = at
			return s.group
		}
	}
	return nil
}

// found has next go on from the group.
func (o *order) found(g *group) { o.at = int(max(g.seat, 0)) }

// add lists a new group from the next settling on.
func (o *order) add(g *group) {
	g.seat = -1
	o.fresh = append(o.fresh, g)
}

// drop leaves a group out.
func (o *order) drop(g *group) {
	if g.seat < 0 {
		o.fresh = slices.DeleteFunc(o.fresh, func(f *group) bool { return f == g })
		return
	}
	o.list[g.seat].group, o.gone = nil, true
}

// settle takes in the groups that came and closes the ranks of those that went.
func (o *order) settle() {
	if len(o.fresh) == 0 && !o.gone {
		return
	}
	o.list = slices.DeleteFunc(o.list, func(s seat) bool { return s.group == nil })
	// Many groups come once: append would make room for as many again.
	list := make([]seat, len(o.list), len(o.list)+len(o.fresh))
	copy(list, o.list)
	for _, g := range o.fresh {
		list = append(list, seat{g.Key.Labels, g})
	}
	o.list = list
	slices.SortFunc(o.list, func(a, b seat) int { return cmpGroup(a.group.Key, b.group.Key) })
	for i := range o.list {
		o.list[i].group.seat = int32(i)
	}
	o.at, o.fresh, o.gone = 0, nil, false
}

// all returns the groups in order, but for those that came since the settling.
func (o *order) all() iter.Seq[*group] {
	return func(yield func(*group) bool) {
		for i := range o.list {
			if g := o.list[i].group; g != nil && !yield(g) {
				return
			}
		}
	}
}
