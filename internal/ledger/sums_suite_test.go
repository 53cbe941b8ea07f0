package ledger

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"nines/internal/access"
	"nines/internal/hist"
)

// Sums of all groups are the sums of what each group's readers say, wherever the
// range begins and ends, and whether its days are packed.
func suiteSums(t *testing.T, open func() *Ledger) {
	l := open()
	c, groups := logFleet(t, l, 49)
	end := t0 + 49*hourMillis
	var b Batch
	for i, g := range groups {
		b.Slots = append(b.Slots, SlotChange{g.Key, openSlot(end, uint64(i), 20)}, SlotChange{g.Key, openSlot(end+minute, 1, 2)})
		for m := range int64(60) {
			b.Sketches = append(b.Sketches, Sketch{g.Key, end - m*minute, histOf(0.001*float64(m+1), float64(i))})
		}
	}
	commit(t, l, c, &b)
	restate(t, l, c, groups[0], t0+30*minute, end, 2)
	f := func(p access.Principal, from, to int64) {
		t.Helper()
		want := map[string]GroupSum{}
		for _, g := range must(l.Groups(bg, p, GroupFilter{Streams: []string{streamA}}))(t) {
			sum := GroupSum{Group: g}
			for _, s := range must(l.GroupSlots(bg, p, g.Key, from, to))(t) {
				sum.Good, sum.Total = sum.Good+s.Good, sum.Total+s.Total
			}
			for _, k := range must(l.Sketches(bg, p, g.Key, from, to))(t) {
				sum.Hist.Merge(&k.Hist)
			}
			want[g.Labels.String()] = sum
		}
		sums, sketches := must(l.Sums(bg, p, streamA, from, to))(t), must(l.SketchSums(bg, p, streamA, from, to, minute))(t)
		if len(sums) != len(want) || len(sketches) != len(want) {
			t.Fatalf("%d sums and %d sketches of %d groups", len(sums), len(sketches), len(want))
		}
		for i := range sums {
			w := want[sums[i].Group.Labels.String()]
			if sums[i].Good != w.Good || sums[i].Total != w.Total || !reflect.DeepEqual(sums[i].Group, w.Group) {
				t.Fatalf("in [%d, %d): got %+v, want %+v", from-t0, to-t0, sums[i], w)
			}
			if !alike(&sketches[i].Hist, &w.Hist) {
				t.Fatalf("in [%d, %d): got %+v, want %+v", from-t0, to-t0, sketches[i].Hist, w.Hist)
			}
		}
	}
	all := func() {
		t.Helper()
		for _, p := range []access.Principal{operator(), customer("bank"), customer("nobody")} {
			f(p, t0, end+hourMillis)
			f(p, end-5*minute, end+minute)
			f(p, end-17*minute-1, end+minute+1)
			f(p, t0+90*minute+1, t0+25*hourMillis+1)
			f(p, end, end)
		}
	}
	all()
	if err := errors.Join(l.pack(bg, t0+3*dayMillis), l.Verify(bg)); err != nil {
		t.Fatal(err)
	}
	all()
}

// alike tells whether two histograms have the same counts, and sums but for the
// order in which they were added up.
func alike(a, b *hist.Histogram) bool {
	return a.Count == b.Count && a.Zero == b.Zero && a.Inf == b.Inf && math.Abs(a.Sum-b.Sum) < 1e-9*(1+math.Abs(b.Sum)) &&
		(len(a.Buckets)+len(b.Buckets) == 0 || reflect.DeepEqual(a.Buckets, b.Buckets))
}
