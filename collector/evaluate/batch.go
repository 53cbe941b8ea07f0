package evaluate

import (
	"slices"

	"nines/internal/hist"
	"nines/internal/ledger"
	"nines/internal/wire"
)

func sortBatch(b *ledger.Batch) {
	slices.SortFunc(b.Slots, func(x, y ledger.SlotChange) int {
		if x.Group != y.Group {
			return cmpGroup(x.Group, y.Group)
		}
		return int(x.Slot.Start/1000 - y.Slot.Start/1000)
	})
	slices.SortFunc(b.Groups, func(x, y ledger.Group) int { return cmpGroup(x.Key, y.Key) })
	b.Sketches = mergeSketches(b.Sketches)
}

// mergeSketches leaves one sketch per group and slot.
func mergeSketches(in []ledger.Sketch) []ledger.Sketch {
	slices.SortStableFunc(in, func(x, y ledger.Sketch) int {
		if x.Group != y.Group {
			return cmpGroup(x.Group, y.Group)
		}
		return int(x.Slot/1000 - y.Slot/1000)
	})
	out := in[:0]
	for _, k := range in {
		if n := len(out); n > 0 && out[n-1].Group == k.Group && out[n-1].Slot == k.Slot {
			var h hist.Histogram
			h.Merge(&out[n-1].Hist)
			h.Merge(&k.Hist)
			out[n-1].Hist = h
			continue
		}
		out = append(out, k)
	}
	return out
}

func cmpGroup(a, b wire.GroupKey) int {
	switch {
	case a.Stream < b.Stream, a.Stream == b.Stream && a.Labels < b.Labels:
		return -1
	case a == b:
		return 0
	}
	return 1
}
