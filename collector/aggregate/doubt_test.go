package aggregate

import (
	"fmt"
	"testing"

	"nines/collector/decode"
	"nines/internal/wire"
)

// The topic is recreated after its owner died: that one had published more than
// its last checkpoint knows, so that what the counters gained since then cannot
// be told from what was counted, and is part of the gap.
func TestARecreatedTopicCountsNothingTwice(t *testing.T) {
	f := newFixture(t, requestStream())
	f.tick(epoch)
	f.frame("h", 7, 1, counted, epoch+1000, 1, 10)
	f.tick(epoch + 16_000) // the checkpoint
	f.frame("h", 7, 2, counted, epoch+17_000, 3, 30)
	f.tick(epoch + 18_000)
	f.wantSum("before", 27, 30)

	var err error
	if f.state, _, err = Restore(f.saved[len(f.saved)-1], 4, f.rules.get); err != nil {
		t.Fatal(err)
	}
	f.state.Reincarnate(0)
	f.tick(epoch + 19_000)
	f.frame("h", 7, 4, counted, epoch+20_000, 6, 60)
	f.tick(epoch + 21_000)
	f.wantSum("the first reading of the new log is the base", 27, 30)
	f.frame("h", 7, 5, counted, epoch+22_000, 7, 70)
	f.frame("h", 8, 1, counted, epoch+22_500, 0, 5) // it began since: in full
	f.frame("i", 9, 3, counted, epoch+22_500, 2, 20)
	f.tick(epoch + 23_000)
	f.wantSum("from there on", 27+9+5, 30+10+5)
	if g, n, _ := f.unplaced(); n != 0 {
		t.Errorf("unplaced %d of %d", g, n)
	}
	want := wire.Gap{Agent: "h", Boot: 7, FirstSeq: 2, LastSeq: 3, From: epoch + 1000, To: epoch + 20_000, Reason: wire.ReasonSequence}
	if got := f.gaps(wire.ReasonSequence); len(got) == 0 || got[0] != want {
		t.Errorf("gaps %+v, want %+v first", got, want)
	}
}

// Counters of other fleets likewise.
func TestARecreatedTopicCountsNothingOfOtherFleetsTwice(t *testing.T) {
	f := newFixture(t, requestStream())
	f.tick(epoch)
	put := func(at int64, errors, requests int) {
		f.foreign(decode.Influx, "h", fmt.Appendf(nil, "errors_total,host=h,region=r1 value=%d %d\nrequests_total,host=h,region=r1 value=%d %d\n",
			errors, (epoch+at)*1_000_000, requests, (epoch+at)*1_000_000))
	}
	put(1000, 1, 10)
	f.tick(epoch + 16_000)
	put(17_000, 3, 30)
	f.tick(epoch + 18_000)
	good, total, _ := sum(f.out...)
	if total != 20 {
		t.Fatalf("%d of %d before", good, total)
	}
	var err error
	if f.state, _, err = Restore(f.saved[len(f.saved)-1], 4, f.rules.get); err != nil {
		t.Fatal(err)
	}
	f.state.Reincarnate(0)
	f.tick(epoch + 19_000)
	put(20_000, 6, 60)
	f.tick(epoch + 21_000)
	f.wantSum("the first reading of the new log is the base", good, total)
	put(22_000, 7, 70)
	f.tick(epoch + 23_000)
	f.wantSum("from there on", good+9, total+10)
}
