package evaluate

import (
	"slices"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/wire"
)

// Of a good slot in which every bin of every vantage point has a success, the
// names are all the evidence, in memory as in the ledger. So what late data makes
// of a slot depends on what was counted alone, not on whether evaluation began
// anew meanwhile.

// abridge puts the names of a complete good slot in place of its bins.
func (g *group) abridge(sl *slot) {
	if sl.State != sla.Good || sl.rest == nil || !g.complete(sl.rest.Vantages) {
		return
	}
	t, vantages := g.tied(), sl.rest.Vantages
	if !slices.EqualFunc(t.names, vantages, func(name string, b sla.Bins) bool { return name == b.Vantage }) {
		t.names = make([]string, len(vantages)) // slots that have the old ones keep them
		for i := range vantages {
			t.names[i] = vantages[i].Vantage
		}
	}
	sl.rest.Complete, sl.rest.Vantages = t.names, nil
}

// complete tells whether every bin has a success.
func (g *group) complete(vantages []sla.Bins) bool {
	n := g.bins()
	for i := range vantages {
		for b := range n {
			if vantages[i].OK[b>>6]&(1<<(b&63)) == 0 {
				return false
			}
		}
	}
	return len(vantages) > 0
}

// unfold puts bins in place of the names of a complete slot, so that others can
// be added.
func (g *group) unfold(sl *slot) {
	if sl.rest == nil || sl.rest.Complete == nil {
		return
	}
	for _, name := range sl.rest.Complete {
		v := g.binsOf(sl, name, len(sl.rest.Vantages))
		for b := range g.bins() {
			v.OK[b>>6] |= 1 << (b & 63)
		}
	}
	sl.rest.Complete = nil
}

// stored returns the slot as the ledger is to hold it.
func (sl *slot) stored() ledger.Slot {
	out := ledger.Slot{Start: sl.Start, State: sl.State, Version: sl.Version, Good: sl.Good, Total: sl.Total}
	if r := sl.rest; r != nil {
		out.Blind, out.Reason, out.Vantages, out.Complete = r.Blind, r.Reason, cloneBins(r.Vantages), r.Complete
	}
	if int64(out.Good) < 0 {
		out.Good, out.Owed = 0, -out.Good
	}
	return out
}

// recalled returns the slot as it was when the ledger got it. sliced says that
// ratios of slots are summed.
func recalled(old *ledger.Slot, sliced bool) *slot {
	sl := &slot{Start: old.Start, State: old.State, Version: old.Version, Good: old.Good - old.Owed, Total: old.Total}
	r := rest{Blind: old.Blind, Reason: old.Reason, Vantages: cloneBins(old.Vantages), Complete: old.Complete}
	r.part, r.whole = share(old)
	if r.Blind != 0 || r.Reason != "" || r.Vantages != nil || r.Complete != nil || sliced && r.whole != 0 {
		sl.rest = &r
	}
	return sl
}

// replay gives the vantage points that the slot knows of their recent bins back.
func (g *group) replay(sl *slot) {
	if sl.rest == nil {
		return
	}
	for i := range sl.rest.Vantages {
		g.replayBins(sl.Start, &sl.rest.Vantages[i])
	}
	n := g.bins()
	for _, name := range sl.rest.Complete {
		for b := max(0, n-recent); b < n; b++ {
			g.replayBin(sl.Start, name, b, true, false)
		}
	}
}

func (g *group) replayBins(start int64, v *sla.Bins) {
	for b := range g.bins() {
		w, bit := b>>6, uint64(1)<<(b&63)
		if w >= len(v.OK) || w >= len(v.Fail) {
			return
		}
		g.replayBin(start, v.Vantage, b, v.OK[w]&bit != 0, v.Fail[w]&bit != 0)
	}
}

func (g *group) replayBin(start int64, vantage string, bin int, ok, fail bool) {
	if !ok && !fail {
		return
	}
	at := start + int64(bin)*g.stream.Bin
	c := wire.BinCount{Bin: at, Newest: at, Good: uint64(one(ok)), Total: uint64(one(ok) + one(fail))}
	g.see(g.ties.vantages[g.vantageOf(vantage)], &c)
	g.lastSample = max(g.lastSample, at)
}

func cloneBins(in []sla.Bins) []sla.Bins {
	if len(in) == 0 {
		return nil
	}
	out := make([]sla.Bins, len(in))
	for i, v := range in {
		out[i] = sla.Bins{Vantage: v.Vantage, OK: slices.Clone(v.OK), Fail: slices.Clone(v.Fail), Missing: slices.Clone(v.Missing)}
	}
	return out
}
