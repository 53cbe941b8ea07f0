package replay

import (
	"slices"

	"nines/internal/ledger"
	"nines/internal/wire"
)

// pending gathers batches until they are worth a transaction. Of what a later
// batch replaces only the last is kept; every version of a final slot is.
type pending struct {
	batch    ledger.Batch
	slots    map[slotKey]int // in batch.Slots
	groups   map[wire.GroupKey]int
	statuses map[statusKey]int
	sketches map[slotKey]int
	agents   map[agentKey]int
}

type slotKey struct {
	group wire.GroupKey
	start int64
}

type statusKey struct {
	objective string
	group     wire.GroupKey
}

type agentKey struct {
	agent string
	boot  uint64
}

// size is how much there is to write.
func (p *pending) size() int {
	return len(p.batch.Slots) + len(p.batch.Sketches) + len(p.batch.Unplaced) + len(p.batch.Gaps)
}

// reset empties it; its memory is used again.
func (p *pending) reset() {
	b := &p.batch
	clear(b.Slots)
	clear(b.Statuses)
	*b = ledger.Batch{Slots: b.Slots[:0], Statuses: b.Statuses[:0]}
	clear(p.slots)
	clear(p.statuses)
	clear(p.groups)
	clear(p.sketches)
	clear(p.agents)
}

// slot returns the newest word on a slot, for its owner to change.
func (p *pending) slot(key wire.GroupKey, start int64) (ledger.Slot, bool) {
	i, ok := p.slots[slotKey{key, start}]
	if !ok {
		return ledger.Slot{}, false
	}
	sl := p.batch.Slots[i].Slot
	sl.Vantages = slices.Clone(sl.Vantages)
	for i := range sl.Vantages {
		v := &sl.Vantages[i]
		v.OK, v.Fail, v.Missing = slices.Clone(v.OK), slices.Clone(v.Fail), slices.Clone(v.Missing)
	}
	return sl, true
}

// put stores v under its key, in place of what was there before.
func put[K comparable, V any](at *map[K]int, list *[]V, key K, v V) {
	if *at == nil {
		*at = map[K]int{}
	}
	if i, ok := (*at)[key]; ok {
		(*list)[i] = v
		return
	}
	(*at)[key] = len(*list)
	*list = append(*list, v)
}

// add takes the batch over.
func (p *pending) add(b *ledger.Batch) {
	p.batch.LogTime, p.batch.Sources = b.LogTime, b.Sources
	if b.RuleSet != nil {
		p.batch.RuleSetID, p.batch.RuleSet = b.RuleSetID, b.RuleSet
	}
	for i := range b.Groups {
		put(&p.groups, &p.batch.Groups, b.Groups[i].Key, b.Groups[i])
	}
	for i := range b.Slots {
		p.addSlot(&b.Slots[i])
	}
	for i := range b.Sketches {
		p.addSketch(&b.Sketches[i])
	}
	for i := range b.Statuses {
		st := &b.Statuses[i]
		put(&p.statuses, &p.batch.Statuses, statusKey{st.Objective, st.Group}, *st)
	}
	for i := range b.Agents {
		p.addAgent(&b.Agents[i])
	}
	p.batch.Alerts = append(p.batch.Alerts, b.Alerts...)
	p.batch.Gaps = append(p.batch.Gaps, b.Gaps...)
	p.batch.Unplaced = append(p.batch.Unplaced, b.Unplaced...)
}

// addSlot replaces the slot's last version, unless this is another one.
func (p *pending) addSlot(c *ledger.SlotChange) {
	key := slotKey{c.Group, c.Slot.Start}
	if i, ok := p.slots[key]; ok && p.batch.Slots[i].Slot.Version != c.Slot.Version && p.batch.Slots[i].Slot.Version != 0 {
		delete(p.slots, key) // the ledger keeps both
	}
	put(&p.slots, &p.batch.Slots, key, *c)
}

func (p *pending) addSketch(k *ledger.Sketch) {
	key := slotKey{k.Group, k.Slot}
	if i, ok := p.sketches[key]; ok {
		p.batch.Sketches[i].Hist.Merge(&k.Hist)
		return
	}
	put(&p.sketches, &p.batch.Sketches, key, *k)
}

// addAgent adds to what an agent has sent; its labels and skew are the newest.
func (p *pending) addAgent(a *wire.AgentSeen) {
	key := agentKey{a.Agent, a.Boot}
	sum := *a
	if i, ok := p.agents[key]; ok {
		was := &p.batch.Agents[i]
		sum.Frames, sum.Samples, sum.Repeats = sum.Frames+was.Frames, sum.Samples+was.Samples, sum.Repeats+was.Repeats
		sum.LastSeq, sum.Newest = max(sum.LastSeq, was.LastSeq), max(sum.Newest, was.Newest)
	}
	put(&p.agents, &p.batch.Agents, key, sum)
}
