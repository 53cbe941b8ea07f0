package evaluate

import (
	"cmp"
	"slices"

	"nines/internal/ledger"
	"nines/internal/wire"
)

// An agent keeps its partition for a boot. Where its next boot chose another
// one, because partitions were added or its labels changed, that partition's
// owner has never heard of the agent, and cannot say that something may be
// missing between the boots. Partition 0 of nines.partials is told of all
// agents; it says so.

// bootKey is one run of an agent.
type bootKey struct {
	agent string
	boot  uint64
}

// boots is what is known of the agents' runs.
type boots struct {
	known  map[bootKey]bool
	newest map[string]int64 // an agent's newest sample time
	// told are the runs whose beginning aggregate has reported.
	told map[bootKey]bool
}

func newBoots() *boots {
	return &boots{known: map[bootKey]bool{}, newest: map[string]int64{}, told: map[bootKey]bool{}}
}

// restore notes what the ledger knows of an agent's run.
func (b *boots) restore(a *ledger.Agent) {
	b.known[bootKey{a.Agent, a.Boot}] = true
	b.newest[a.Agent] = max(b.newest[a.Agent], a.Newest)
}

// report notes that the gap before a run is in the ledger.
func (b *boots) report(g *wire.Gap) {
	if g.Reason == wire.ReasonRestart {
		b.told[bootKey{g.Agent, g.Boot}] = true
	}
}

// hearAll hears a list of agents' runs, in the order in which they measured: one
// list may hold two runs of an agent.
func (b *boots) hearAll(list []wire.AgentSeen) (gaps []wire.Gap) {
	order := make([]*wire.AgentSeen, len(list))
	for i := range list {
		order[i] = &list[i]
	}
	slices.SortStableFunc(order, func(x, y *wire.AgentSeen) int { return cmp.Compare(x.Newest, y.Newest) })
	for _, a := range order {
		if g, unreported := b.hear(a); unreported {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// hear notes an agent's run. It returns the gap before one that nobody has
// reported: from the newest sample known to be there to the newest of this run,
// since where it began is not told.
func (b *boots) hear(a *wire.AgentSeen) (gap wire.Gap, unreported bool) {
	key := bootKey{a.Agent, a.Boot}
	before, heard := b.newest[a.Agent]
	b.newest[a.Agent] = max(before, a.Newest)
	if b.known[key] {
		return gap, false
	}
	b.known[key] = true
	if !heard || b.told[key] {
		delete(b.told, key)
		return gap, false
	}
	return wire.Gap{Agent: a.Agent, Boot: a.Boot, From: min(before, a.Newest), To: max(before, a.Newest), Reason: wire.ReasonRestart}, true
}
