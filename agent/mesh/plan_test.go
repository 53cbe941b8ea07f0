package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// fleet makes hosts: sizes[i] in zone i.
func fleet(sizes ...int) (hosts []Host) {
	for z, n := range sizes {
		for h := range n {
			hosts = append(hosts, Host{
				Name: fmt.Sprintf("host-%d-%d", z, h), Zone: fmt.Sprintf("zone-%d", z), Region: fmt.Sprintf("region-%d", z/3),
				Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(z), byte(h >> 8), byte(h)}), DefaultPort),
			})
		}
	}
	return hosts
}

// same92 is the fleet that nines is sized by.
func same92(hosts int) []int { return slices.Repeat([]int{hosts}, 92) }

type ends struct{ from, to string }

// figuresOf are what a plan costs and covers.
type figuresOf struct {
	covered       map[ends]int // ordered pair of zones → pairs of hosts
	asks, askedBy map[string]int
	pairs         map[Pair]bool
	wanted        int
}

func figuresOfPlan(t interface{ Fatalf(string, ...any) }, hosts []Host, k, maxPeers int) figuresOf {
	f := figuresOf{covered: map[ends]int{}, asks: map[string]int{}, askedBy: map[string]int{}, pairs: map[Pair]bool{}}
	p := NewPlan(hosts, k, maxPeers)
	for _, z := range p.zones {
		row := p.Zone(z.name)
		f.wanted += row.Wanted
		for _, pair := range row.Pairs {
			if pair.From == pair.To || pair.From.Zone != z.name || f.pairs[pair] {
				t.Fatalf("zone %s: pair %+v", z.name, pair)
			}
			f.pairs[pair] = true
			f.covered[ends{pair.From.Zone, pair.To.Zone}]++
			f.asks[pair.From.Name]++
			f.askedBy[pair.To.Name]++
		}
	}
	return f
}

// possible is how many pairs of hosts two zones have.
func possible(from, to, n, m int) int {
	if from == to {
		m--
	}
	return n * m
}

// 92 zones of 20 hosts: every ordered pair of zones is asked by three pairs of
// hosts, nobody asks or is asked much more than others, and a host that leaves
// changes little.
func TestPlanOf92Zones(t *testing.T) {
	hosts := fleet(same92(20)...)
	f := figuresOfPlan(t, hosts, defaultK, defaultMaxPeers)
	if len(f.covered) != 92*92 {
		t.Errorf("%d of %d pairs of zones are covered", len(f.covered), 92*92)
	}
	for e, n := range f.covered {
		if n != defaultK {
			t.Errorf("%s to %s: %d pairs of hosts", e.from, e.to, n)
		}
	}
	asks, askedBy := extremes(hosts, f.asks), extremes(hosts, f.askedBy)
	t.Logf("peers of a host %v, askers of a host %v", asks, askedBy)
	if asks[0] < 10 || asks[1] > 14 || askedBy[0] < 8 || askedBy[1] > 17 { // 13.8 on average
		t.Errorf("peers of a host %v, askers of a host %v", asks, askedBy)
	}
	worst, sum := 0, 0
	for i := range 5 {
		gone := hosts[i*367]
		rest := slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return h == gone })
		changed := 0
		for pair := range figuresOfPlan(t, rest, defaultK, defaultMaxPeers).pairs {
			if !f.pairs[pair] {
				changed++
			}
		}
		worst, sum = max(worst, changed), sum+changed
	}
	t.Logf("of %d pairs, %d change on average when a host leaves, %d at worst", len(f.pairs), sum/5, worst)
	if worst > 4*2*14 { // it asked 14 and was asked by 14
		t.Errorf("%d of %d pairs changed when a host left", worst, len(f.pairs))
	}
}

func extremes(hosts []Host, counts map[string]int) [2]int {
	lo, hi := 1<<30, 0
	for _, h := range hosts {
		lo, hi = min(lo, counts[h.Name]), max(hi, counts[h.Name])
	}
	return [2]int{lo, hi}
}

// Zones of one host among zones of many, as the roster bounds them: what the
// sizes allow is covered, the bound on peers holds, and first pairs come first.
func TestPlanOfUnequalZones(t *testing.T) {
	sizes := same92(20)
	for z := range 20 {
		sizes[z] = 1
	}
	sizes[20], sizes[21] = 2000, 32
	hosts := fleet(sizes...)
	f := figuresOfPlan(t, hosts, defaultK, defaultMaxPeers)
	for s, n := range sizes {
		for u, m := range sizes {
			got := f.covered[ends{fmt.Sprintf("zone-%d", s), fmt.Sprintf("zone-%d", u)}]
			switch could := possible(s, u, n, m); {
			case n > 4 && got < min(defaultK, could):
				t.Errorf("zone of %d to zone of %d: %d pairs", n, m, got)
			case got > could:
				t.Errorf("zone of %d to zone of %d: %d pairs of %d", n, m, got, could)
			}
		}
	}
	for name, n := range f.asks {
		if n > defaultMaxPeers {
			t.Errorf("%s has %d peers", name, n)
		}
	}
	alone := NewPlan(hosts, defaultK, defaultMaxPeers).Zone("zone-0")
	if len(alone.Pairs) != defaultMaxPeers || alone.Wanted != 19+72*defaultK {
		t.Errorf("a host alone asks %d, wanted %d", len(alone.Pairs), alone.Wanted)
	}
	seen := map[string]bool{}
	for _, p := range alone.Pairs {
		seen[p.To.Zone] = true
	}
	if len(seen) != defaultMaxPeers {
		t.Errorf("a host alone asks %d zones; it could ask %d", len(seen), defaultMaxPeers)
	}
}

// In a fleet of few zones nobody stands idle.
func TestPlanOfFewZones(t *testing.T) {
	f := func(least int, sizes ...int) {
		t.Helper()
		hosts := fleet(sizes...)
		fig := figuresOfPlan(t, hosts, defaultK, defaultMaxPeers)
		if got := extremes(hosts, fig.asks); got[0] < least {
			t.Errorf("%v: a host has %d peers", sizes, got[0])
		}
		if got := extremes(hosts, fig.askedBy); got[0] < 1 {
			t.Errorf("%v: a host is asked by nobody", sizes)
		}
	}
	f(1, 2)
	f(2, 3)
	f(2, 20)
	f(2, 32, 32)
	f(2, 2, 1)
	f(3, 20, 20, 20)
	if row := NewPlan(fleet(1), 3, 64).Zone("zone-0"); len(row.Pairs) != 0 || row.Wanted != 0 {
		t.Errorf("a host alone in the world: %+v", row)
	}
	if row := NewPlan(nil, 3, 64).Zone("zone-0"); len(row.Pairs) != 0 {
		t.Errorf("nobody at all: %+v", row)
	}
}

func TestLawsOfPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 12), 1, 12).Draw(t, "sizes")
		k, most := rapid.IntRange(1, 6).Draw(t, "k"), rapid.IntRange(1, 80).Draw(t, "max peers")
		hosts := fleet(sizes...)
		f := figuresOfPlan(t, hosts, k, most)
		capacity := most * len(hosts)
		for s, n := range sizes {
			wanted, got := 0, 0
			for u, m := range sizes {
				c := f.covered[ends{fmt.Sprintf("zone-%d", s), fmt.Sprintf("zone-%d", u)}]
				could := possible(s, u, n, m)
				wanted += min(max(k, ceil(leastPeers*n, len(sizes))), could)
				got += c
			}
			if full := most*n <= wanted; !full && got != wanted || got > wanted || full && got < min(wanted, n) {
				t.Fatalf("zone %d of %v: %d pairs of %d wanted, %d possible", s, sizes, got, wanted, most*n)
			}
		}
		for name, n := range f.asks {
			if n > most {
				t.Fatalf("%s has %d peers of %d", name, n, most)
			}
		}
		if len(f.pairs) > capacity {
			t.Fatalf("%d pairs, %d possible", len(f.pairs), capacity)
		}
		shuffled := slices.Clone(hosts)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		a, b := NewPlan(hosts, k, most).Zone("zone-0"), NewPlan(shuffled, k, most).Zone("zone-0")
		if !slices.Equal(a.Pairs, b.Pairs) {
			t.Fatal("the order of hosts matters")
		}
		if n := f.asks["host-0-0"]; n != len(a.Peers("host-0-0")) {
			t.Fatalf("%d peers, %d pairs", len(a.Peers("host-0-0")), n)
		}
	})
}

func BenchmarkPlanOfAHost(b *testing.B) {
	hosts := fleet(same92(20)...)
	b.ReportAllocs()
	for b.Loop() {
		NewPlan(hosts, defaultK, defaultMaxPeers).Zone("zone-7").Peers("host-7-7")
	}
}
