package evaluate

import (
	"slices"
	"strings"

	"nines/internal/inventory"
	"nines/internal/sla"
	"nines/internal/wire"
)

// recent is how many bins a vantage point remembers for strikes, a power of two.
const recent = 16

// ties are who sees a group, and whose it is.
type ties struct {
	vantages []*vantage            // sorted by name
	names    []string              // of the vantage points of the newest complete slot
	turn     int                   // of vantages, the one last counted
	owners   []*inventory.Resource // of the inventory
	reckoned []*reckoning          // by the promises to the stream; none counts all
}

// tied returns the group's ties, to be added to.
func (g *group) tied() *ties {
	if g.ties == nil {
		g.ties = &ties{}
	}
	return g.ties
}

// vantages returns the group's vantage points, by name.
func (g *group) vantages() []*vantage {
	if g.ties == nil {
		return nil
	}
	return g.ties.vantages
}

// owners returns the resources of the inventory whose group it is.
func (g *group) owners() []*inventory.Resource {
	if g.ties == nil {
		return nil
	}
	return g.ties.owners
}

// reckoned returns what counts under the promises to the group's stream.
func (g *group) reckoned() []*reckoning {
	if g.ties == nil {
		return nil
	}
	return g.ties.reckoned
}

// own says whose group it is.
func (g *group) own(owners []*inventory.Resource) {
	if len(owners) > 0 || g.ties != nil {
		g.tied().owners = owners
	}
}

// vantage is what one vantage point saw lately of a group.
type vantage struct {
	name string
	// bins are in the order of their times, a ring once there are as many as are
	// remembered: the oldest is at head.
	bins []probed
	head int
}

type probed struct {
	bin      int64
	newest   int64
	ok, fail bool
}

// at returns the bin at a place in the order of their times.
func (v *vantage) at(place int) *probed { return &v.bins[(v.head+place)&(recent-1)] }

// last returns the newest bin; there is one.
func (v *vantage) last() *probed { return v.at(len(v.bins) - 1) }

// vantageOf returns the place of the vantage point among the group's, which are
// sorted by name; a new one gets one. Counts come sorted, so that it is mostly
// that of the last count or one shortly behind it.
func (g *group) vantageOf(name string) int {
	t := g.tied()
	for range min(8, len(t.vantages)) {
		if t.turn >= len(t.vantages) {
			t.turn = 0
		}
		if t.vantages[t.turn].name == name {
			return t.turn
		}
		t.turn++
	}
	at, known := slices.BinarySearchFunc(t.vantages, name, func(v *vantage, name string) int { return strings.Compare(v.name, name) })
	if !known {
		t.vantages = slices.Insert(t.vantages, at, &vantage{name: name})
	}
	t.turn = at
	return at
}

// see adds a bin to the vantage point's recent ones.
func (g *group) see(v *vantage, c *wire.BinCount) {
	if c.Total == c.Good && c.Total == 0 {
		return
	}
	p := v.place(c.Bin)
	if p == nil {
		return // older than all that is remembered
	}
	good, fail := results(c)
	p.ok, p.fail = p.ok || good, p.fail || fail
	p.newest = max(p.newest, c.Newest)
	if n := len(v.bins); n > 1 {
		g.interval = v.at(n-1).bin - v.at(n-2).bin
	}
}

// place returns the bin among the recent ones, making room for it; nil where it
// is older than all that is remembered. Nearly always it is the newest or follows
// it.
func (v *vantage) place(bin int64) *probed {
	n := len(v.bins)
	at := n // behind all that are older
	for at > 0 && v.at(at-1).bin > bin {
		at--
	}
	switch {
	case at > 0 && v.at(at-1).bin == bin:
		return v.at(at - 1)
	case n < recent:
		v.bins = slices.Insert(v.bins, at, probed{bin: bin})
		return &v.bins[at]
	case at == 0:
		return nil
	}
	// The oldest gives way to those behind the new one.
	v.head = (v.head + 1) & (recent - 1)
	for at--; n > at+1; n-- {
		*v.at(n - 1) = *v.at(n - 2)
	}
	p := v.at(at)
	*p = probed{bin: bin}
	return p
}

// streak returns how many of the newest bins were all failures, or all
// successes, and the newest bin. Bins before since are not looked at.
func (v *vantage) streak(since int64) (failures, successes int, last probed) {
	n := len(v.bins)
	if n == 0 {
		return 0, 0, probed{}
	}
	last = *v.last()
	for i := n - 1; i >= 0 && v.at(i).bin >= since && !v.at(i).ok; i-- {
		failures++
	}
	for i := n - 1; i >= 0 && v.at(i).bin >= since && v.at(i).ok; i-- {
		successes++
	}
	return failures, successes, last
}

// setBin marks what the vantage point saw in bin i of the slot. Likely is its
// place among the group's, and mostly among the slot's.
func (g *group) setBin(sl *slot, c *wire.BinCount, i, likely int) {
	v := g.binsOf(sl, c.Vantage, likely)
	bit := uint64(1) << (i & 63)
	ok, fail := results(c)
	if ok {
		v.OK[i>>6] |= bit
	}
	if fail {
		v.Fail[i>>6] |= bit
	}
	if c.Blind > 0 {
		if v.Missing == nil {
			v.Missing = make([]uint64, len(v.OK))
		}
		v.Missing[i>>6] |= bit
	}
}

// binsOf returns the slot's bins of the vantage point, which it adds where there
// are none. They are sorted by name.
func (g *group) binsOf(sl *slot, name string, likely int) *sla.Bins {
	r := sl.more()
	if likely < len(r.Vantages) && r.Vantages[likely].Vantage == name {
		return &r.Vantages[likely]
	}
	at, known := slices.BinarySearchFunc(r.Vantages, name, func(b sla.Bins, name string) int { return strings.Compare(b.Vantage, name) })
	if !known {
		words := (g.bins() + 63) / 64
		room := make([]uint64, 2*words)
		r.Vantages = slices.Insert(r.Vantages, at, sla.Bins{Vantage: name, OK: room[:words:words], Fail: room[words:]})
	}
	return &r.Vantages[at]
}
