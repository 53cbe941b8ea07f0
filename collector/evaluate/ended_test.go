package evaluate

import (
	"testing"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// endedFixture ends a stream after 30 good seconds and lets its group go.
func endedFixture(t *testing.T) (f *fixture, old *slo.RuleSet) {
	old = down(1, 1).set()
	f = newFixture(t, 2, old)
	f.s.SetStreams(func(id string) *slo.Stream { return old.Streams[id] })
	f.apply(1, epoch)
	f.seconds(0, 30, 1)
	key := f.stream
	f.use(rules(requests(), objective("orders", requests(), nil)))
	f.stream = key
	for sec := int64(30); sec < 130; sec++ {
		f.apply(0, epoch+sec*1000+900)
	}
	f.wantSlot("the end of the old stream", 0, sla.Unknown, 30, 30, 1)
	if n := f.s.Groups(); n != 0 {
		t.Fatalf("%d groups are live, want none", n)
	}
	return f, old
}

// Spooled frames count for the streams of their time, however late they come.
func TestLateCountsOfAnEndedStream(t *testing.T) {
	f, _ := endedFixture(t)
	late := f.bin("a", epoch+40_300, 1)
	f.apply(0, epoch+131_000, late)
	f.wantSlot("restated", 0, sla.Unknown, 31, 31, 2)
	late.Bin += 1000
	f.apply(0, epoch+131_500, late)
	f.wantSlot("restated once more", 0, sla.Unknown, 32, 32, 3)
	f.wantLastGroup(epoch, epoch+minute)
}

// A partition that lags names the set before: it is counted by that set, and
// does not bring it back into force.
func TestALaggingPartitionKeepsItsRules(t *testing.T) {
	f, old := endedFixture(t)
	now := f.set
	f.set = old.ID()
	f.apply(1, epoch+20_000, f.bin("b", epoch+20_300, 1))
	if f.s.ruleID != now {
		t.Error("the set before is in force again")
	}
	f.wantSlot("restated", 0, sla.Unknown, 31, 31, 2)
	// It goes on beyond the end that was seen from here.
	f.apply(1, epoch+70_000, f.bin("b", epoch+70_300, 1))
	f.set = now
	f.apply(0, epoch+190_000)
	f.seconds(190, 252) // the hard bound counts from the jump
	f.wantSlot("as long as it is counted", 1, sla.Unknown, 1, 1, 1)
	f.wantLastGroup(epoch, epoch+2*minute)
}

// A stream that is in force again goes on where it was, without what lies
// between: it was not expected then.
func TestAStreamComesBack(t *testing.T) {
	f, old := endedFixture(t)
	f.set = old.ID()
	f.apply(0, epoch+600_500, f.bin("a", epoch+600_300, 1))
	for sec := int64(601); sec < 780; sec++ {
		f.apply(0, epoch+sec*1000+900)
	}
	f.wantSlot("the first", 0, sla.Unknown, 30, 30, 1)
	f.wantSlot("the next", 10, sla.Unknown, 1, 1, 1)
	if sl, ok := f.past[epoch+5*minute]; ok {
		t.Errorf("a slot between: %+v", sl)
	}
	f.wantLastGroup(epoch, 0)
}

// Counts that no slot can take are reported, not dropped.
func TestCountsOfAnUnknownStream(t *testing.T) {
	f, _ := endedFixture(t)
	c := f.bin("a", epoch+131_000, 1)
	c.Group.Stream = "nobody's"
	f.apply(0, epoch+131_500, c)
	if b := f.advance(); len(b.Unplaced) != 1 || b.Unplaced[0] != (wire.Unplaced{Group: c.Group, From: c.Bin, To: c.Newest, Good: 1, Total: 1}) {
		t.Errorf("unplaced: %+v", b.Unplaced)
	}
}

// wantLastGroup checks what the ledger was told last of a group's expectation.
func (f *fixture) wantLastGroup(first, retired int64) {
	f.t.Helper()
	for i := len(f.batches) - 1; i >= 0; i-- {
		if gs := f.batches[i].Groups; len(gs) > 0 {
			if g := gs[len(gs)-1]; g.FirstSlot != first || g.Retired != retired {
				f.t.Errorf("the group is expected from %d to %d, want %d to %d", g.FirstSlot-epoch, g.Retired-epoch, first-epoch, retired-epoch)
			}
			return
		}
	}
	f.t.Error("the ledger knows no group")
}
