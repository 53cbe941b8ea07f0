package evaluate

import (
	"reflect"
	"testing"

	"nines/internal/ledger"
	"nines/internal/wire"
)

// An agent's second boot speaks through another partition, whose owner never
// heard of it: the gap between the boots is reported all the same, once.
func TestAnAgentMovesToAnotherPartition(t *testing.T) {
	f := newFixture(t, 2, down(1, 1).set())
	seen := func(source int32, boot uint64, newest int64, gaps ...wire.Gap) {
		t.Helper()
		f.to[source]++
		f.send(&wire.Partial{Source: source, Sources: 2, Incarnation: 1, From: f.to[source] - 1, To: f.to[source], LogTime: newest + 500, RuleSet: f.set,
			Agents: []wire.AgentSeen{{Agent: "h1", Boot: boot, Frames: 1, LastSeq: 1, Newest: newest}}, Gaps: gaps})
	}
	want := func(what string, gaps ...wire.Gap) {
		t.Helper()
		if got := f.advance().Gaps; !reflect.DeepEqual(got, gaps) {
			t.Errorf("%s: gaps %+v, want %+v", what, got, gaps)
		}
	}
	seen(0, 1, epoch)
	seen(0, 1, epoch+15_000)
	want("the first boot")
	seen(1, 2, epoch+40_000)
	seen(1, 2, epoch+55_000)
	want("the second, elsewhere", wire.Gap{Agent: "h1", Boot: 2, From: epoch + 15_000, To: epoch + 40_000, Reason: wire.ReasonRestart})
	told := wire.Gap{Agent: "h1", Boot: 3, From: epoch + 55_000, To: epoch + 61_000, Reason: wire.ReasonRestart}
	seen(1, 3, epoch+70_000, told)
	want("the third, where the second was", told)
	// After a restart the ledger tells what was known.
	f.s.boots = newBoots()
	for _, boot := range []uint64{1, 2, 3} {
		f.s.boots.restore(&ledger.Agent{AgentSeen: wire.AgentSeen{Agent: "h1", Boot: boot, Newest: epoch + int64(boot)*20_000}})
	}
	seen(1, 3, epoch+85_000)
	want("known from before")
	seen(0, 4, epoch+90_000)
	want("a fourth boot", wire.Gap{Agent: "h1", Boot: 4, From: epoch + 85_000, To: epoch + 90_000, Reason: wire.ReasonRestart})
	// Two boots in one list, the later one first, are told apart by their times.
	gaps := f.s.boots.hearAll([]wire.AgentSeen{{Agent: "h1", Boot: 5, Newest: epoch + 99_000}, {Agent: "h1", Boot: 6, Newest: epoch + 95_000}})
	if len(gaps) != 2 || gaps[0].Boot != 6 || gaps[0].From != epoch+90_000 || gaps[1].From != epoch+95_000 {
		t.Errorf("two boots in one list: %+v", gaps)
	}
}
