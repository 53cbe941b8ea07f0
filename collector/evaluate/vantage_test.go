package evaluate

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/ledger"
	"nines/internal/wire"
)

// TestAVantagePointRemembersItsNewestBins: whatever order they come in, those
// that are remembered are the newest, each once, in the order of their times.
func TestAVantagePointRemembersItsNewestBins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v vantage
		var want []probed
		now := int64(0)
		for range rapid.IntRange(1, 80).Draw(t, "bins") {
			now += rapid.Int64Range(-3, 4).Draw(t, "step")
			bin := now * 1000
			at, known := slices.BinarySearchFunc(want, bin, func(p probed, bin int64) int { return int(p.bin - bin) })
			p := v.place(bin)
			if !known {
				if len(want) == recent && at == 0 {
					if p != nil {
						t.Fatalf("bin %d is older than all that are remembered, got %+v", bin, *p)
					}
					continue
				}
				want = slices.Insert(want, at, probed{bin: bin})
				want = want[max(0, len(want)-recent):]
				at, _ = slices.BinarySearchFunc(want, bin, func(p probed, bin int64) int { return int(p.bin - bin) })
			}
			ok := rapid.Bool().Draw(t, "ok")
			want[at].ok, p.ok = ok, ok
			var got []probed
			for i := range v.bins {
				got = append(got, *v.at(i))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("after bin %d:\ngot  %v\nwant %v", bin, got, want)
			}
		}
	})
}

// TestGroupsAreFoundInAnyOrder: groups come and go; the order never gives a
// group that was let go or another one, and lists all that live once settled.
func TestGroupsAreFoundInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order
		live := map[wire.GroupKey]*group{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			key := wire.GroupKey{Stream: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "stream")), Labels: rapid.Uint64Range(0, 40).Draw(t, "labels")}
			g := o.next(key)
			if g != nil && g != live[key] {
				t.Fatalf("%v: got %v, want %v", key, g.Key, live[key])
			}
			switch g = live[key]; rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				if g == nil {
					g = &group{Group: ledger.Group{Key: key}}
					live[key] = g
					o.add(g)
				}
			case 1:
				if g != nil {
					delete(live, key)
					o.drop(g)
				}
			case 2:
				o.settle()
				var got, want []*group
				for g := range o.all() {
					got = append(got, g)
				}
				for _, g := range live {
					want = append(want, g)
				}
				slices.SortFunc(want, func(a, b *group) int { return cmpGroup(a.Key, b.Key) })
				if !slices.Equal(got, want) {
					t.Fatalf("%d groups are listed, %d live", len(got), len(want))
				}
			case 3:
				if g != nil {
					if o.found(g); g.seat >= 0 && o.next(key) != g {
						t.Fatalf("%v is not where it was found", key)
					}
				}
			}
		}
	})
}
