package mesh

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Pair is a host that asks another.
type Pair struct{ From, To Host }

// Row is what the hosts of one zone ask: Pairs are those planned, Wanted how many
// there should be, as far as the zones have hosts for them. Where there are fewer
// pairs than wanted, the bound on a host's peers forbids the rest.
type Row struct {
	Pairs  []Pair
	Wanted int
}

// Defaults of a plan.
const (
	defaultK        = 3
	defaultMaxPeers = 64
	// leastPeers is how many peers a host has on average at least where there are
	// pairs enough: in a fleet of few zones most hosts would have none, and nobody
	// would see that the network of one has failed.
	leastPeers = 4
)

// Plan says who asks whom: of each ordered pair of zones, own ones included, k
// distinct pairs of hosts. It is a function of the hosts alone, so that agents
// that know the same of each other agree without speaking. The work is spread
// evenly over the hosts that ask and over those that are asked, and one host
// more or less changes little of it (rendezvous hashing with a bound on what one
// host takes).
type Plan struct {
	k, most int
	zones   []*zone // by name
	// asked are the hosts of zone t that zone s asks, in turn: asked[t][s].
	asked [][][]int
}

type zone struct {
	name  string
	id    uint64
	hosts []Host // by name
	ids   []uint64
}

// NewPlan returns the plan of the hosts; their order is without meaning, and of
// those with one name in one zone the first counts. k and maxPeers are at least
// 1.
func NewPlan(hosts []Host, k, maxPeers int) *Plan {
	p := &Plan{k: k, most: maxPeers, zones: zonesOf(hosts)}
	p.asked = make([][][]int, len(p.zones))
	for t := range p.zones {
		p.asked[t] = p.share(t)
	}
	return p
}

func zonesOf(hosts []Host) []*zone {
	sorted := slices.Clone(hosts)
	slices.SortStableFunc(sorted, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name)) })
	sorted = slices.CompactFunc(sorted, func(a, b Host) bool { return a.Zone == b.Zone && a.Name == b.Name })
	var out []*zone
	for _, h := range sorted {
		if len(out) == 0 || out[len(out)-1].name != h.Zone {
			out = append(out, &zone{name: h.Zone, id: xxhash.Sum64String(h.Zone)})
		}
		z := out[len(out)-1]
		z.hosts, z.ids = append(z.hosts, h), append(z.ids, xxhash.Sum64String(h.Name))
	}
	return out
}

// weigh is the rank of b for a: each a sees the b in another order, which stays
// when others come and go.
func weigh(a, b uint64) uint64 {
	x := a ^ (b*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// want is how many pairs of hosts of zones s and t are to be planned.
func (p *Plan) want(s, t int) int {
	n, m := len(p.zones[s].hosts), len(p.zones[t].hosts)
	if s == t {
		m = n - 1
	}
	return min(max(p.k, ceil(leastPeers*n, len(p.zones))), n*m)
}

func ceil(a, b int) int { return (a + b - 1) / b }

// bound is what one of n hosts takes of the work before others that rank lower
// are asked: its even share. A looser bound moves little less when a host leaves,
// and leaves some with a third of the others' work.
func bound(work, n int) int { return ceil(work, n) }

// share gives each zone its hosts to ask in zone t. Turns go round the zones, so
// that each has its first before any has its second.
func (p *Plan) share(t int) [][]int {
	to := p.zones[t]
	out := make([][]int, len(p.zones))
	work, turns := 0, 0
	for s := range p.zones {
		if s != t {
			work += p.want(s, t)
			turns = max(turns, p.want(s, t))
		}
	}
	load, most := make([]int, len(to.hosts)), bound(work, len(to.hosts))
	for i := range turns {
		for s := range p.zones {
			if s == t || i >= p.want(s, t) {
				continue
			}
			had := out[s][i-i%len(to.hosts) : i]
			b := best(p.zones[s].id, to.ids, func(b int) (bool, bool) {
				return !slices.Contains(had, b), load[b] < most
			})
			load[b]++
			out[s] = append(out[s], b)
		}
	}
	return out
}

// best returns the index of the highest rank among those that may be chosen;
// those that should not be are chosen only where there is no other. It is -1
// where none may.
func best(chooser uint64, ids []uint64, choice func(i int) (may, should bool)) int {
	at, atShould, top := -1, false, uint64(0)
	for i, id := range ids {
		may, should := choice(i)
		if !may || atShould && !should {
			continue
		}
		if w := weigh(chooser, id); at < 0 || should && !atShould || w > top {
			at, atShould, top = i, should, w
		}
	}
	return at
}

// Zone returns what the hosts of a zone ask, each at most maxPeers others. Every
// zone gets its first pair before any gets its second.
func (p *Plan) Zone(name string) Row {
	s, ok := slices.BinarySearchFunc(p.zones, name, func(z *zone, name string) int { return cmp.Compare(z.name, name) })
	if !ok {
		return Row{}
	}
	from, row, turns := p.zones[s], Row{}, 0
	order := make([]int, len(p.zones))
	for t := range p.zones {
		order[t] = t
		row.Wanted += p.want(s, t)
		turns = max(turns, p.want(s, t))
	}
	slices.SortFunc(order, func(t, u int) int {
		return cmp.Compare(weigh(from.id, p.zones[t].id), weigh(from.id, p.zones[u].id))
	})
	w := &work{p: p, s: s, load: make([]int, len(from.hosts)), should: bound(row.Wanted, len(from.hosts)), had: make([][][2]int, len(p.zones))}
	for i := range turns {
		for _, t := range order {
			if i >= p.want(s, t) {
				continue
			}
			if a, b := w.pair(t, i); a >= 0 {
				row.Pairs = append(row.Pairs, Pair{from.hosts[a], p.zones[t].hosts[b]})
			}
		}
	}
	return row
}

// work is a row in the making.
type work struct {
	p      *Plan
	s      int
	load   []int // peers of each host
	should int
	had    [][][2]int // pairs with each zone
}

// pair chooses the i-th pair with zone t, a below 0 where every host is full.
func (w *work) pair(t, i int) (a, b int) {
	from, to := w.p.zones[w.s], w.p.zones[t]
	turn := w.had[t][min(len(w.had[t]), i-i%len(from.hosts)):]
	asks := func(a int) bool { return slices.ContainsFunc(turn, func(h [2]int) bool { return h[0] == a }) }
	a = best(to.id, from.ids, func(a int) (bool, bool) {
		return w.load[a] < w.p.most && w.free(t, a), w.load[a] < w.should && !asks(a)
	})
	if a < 0 {
		return -1, -1
	}
	b = w.target(t, i, a)
	w.load[a]++
	w.had[t] = append(w.had[t], [2]int{a, b})
	return a, b
}

// free tells whether host a has somebody left to ask in zone t.
func (w *work) free(t, a int) bool {
	n := 0
	for _, h := range w.had[t] {
		if h[0] == a {
			n++
		}
	}
	if t == w.s {
		n++ // nobody asks itself
	}
	return n < len(w.p.zones[t].hosts)
}

// target is whom host a asks in zone t: whose turn it is, or the best that it
// does not ask yet. In its own zone each host has its own order, so that the
// hosts do not all ask the same.
func (w *work) target(t, i, a int) int {
	from, to := w.p.zones[w.s], w.p.zones[t]
	taken := func(b int) bool { return slices.Contains(w.had[t], [2]int{a, b}) || t == w.s && b == a }
	if t != w.s {
		if b := w.p.asked[t][w.s][i]; !taken(b) {
			return b
		}
	}
	return best(from.ids[a], to.ids, func(b int) (bool, bool) { return !taken(b), true })
}

// Peers returns whom a host asks, in an order of its own.
func (r Row) Peers(name string) []Host {
	var out []Host
	for _, p := range r.Pairs {
		if p.From.Name == name {
			out = append(out, p.To)
		}
	}
	self := xxhash.Sum64String(name)
	slices.SortFunc(out, func(a, b Host) int {
		return cmp.Compare(weigh(self, xxhash.Sum64String(a.Name)), weigh(self, xxhash.Sum64String(b.Name)))
	})
	return out
}
