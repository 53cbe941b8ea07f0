package evaluate

import (
	"context"
	"fmt"
	"testing"

	"nines/internal/access"
	"nines/internal/ledger"
)

// stop is a resource that speaks each second until it is silent, while the
// inventory tells of it, in seconds after epoch.
type stop struct {
	rows       []string
	told       int64 // when it is told, all of it
	silentFrom int64
	awayFrom   int64 // the collector is away until awayTo, if that is not 0
	awayTo     int64
}

// play runs ten minutes into a ledger, evaluated anew as often as said, and
// returns the slots that it has then, by number and total, and the end of the
// group in seconds.
func (c stop) play(t *testing.T, restartEvery int64) (slots string, retired int64) {
	f := newFixture(t, 1, watched())
	b := newBook(t)
	f.s = b.restore(f, "")
	v := view(t, c.rows...)
	for sec := int64(0); sec < 600; sec++ {
		if sec == c.told {
			f.s.Expect(v, everything)
		}
		switch {
		case sec >= c.awayFrom && sec < c.awayTo:
			continue
		case sec < c.silentFrom:
			f.seconds(sec, sec+1, 1)
		default:
			f.seconds(sec, sec+1)
		}
		if sec%10 == 9 {
			b.commit(f)
		}
		if restartEvery > 0 && sec%restartEvery == restartEvery-1 {
			b.commit(f)
			f.s = b.restore(f, f.set)
			if sec >= c.told {
				f.s.Expect(v, everything)
			}
		}
	}
	b.commit(f)
	if f.s.groups.Get(f.key()) != nil {
		t.Error("the group is live at the end")
	}
	ctx := context.Background()
	groups, err := b.led.Groups(ctx, access.Local(), ledger.GroupFilter{Streams: []string{f.stream}, Labels: target.Map(), IncludeRetired: true})
	if err != nil || len(groups) != 1 {
		t.Fatalf("groups %+v, %v", groups, err)
	}
	all, err := b.led.GroupSlots(ctx, access.Local(), f.key(), epoch, epoch+600_000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		slots += fmt.Sprintf("%d:%d:%v ", (all[i].Start-epoch)/minute, all[i].Total, all[i].State)
	}
	return slots, (groups[0].Retired - epoch) / 1000
}

// TestAStopCountsFromItsOwnTime: what stops has slots to the end of that in which
// it stopped, whenever somebody tells, and none beyond where it stopped on a
// boundary. What was decided or counted before that stays.
func TestAStopCountsFromItsOwnTime(t *testing.T) {
	f := func(what string, c stop, slots string, retired int64) {
		t.Helper()
		for _, every := range []int64{0, 25, 60} {
			got, end := c.play(t, every)
			if got != slots+" " || end != retired {
				t.Errorf("%s, evaluated anew each %d s: slots %sto %d s; want %s to %d s", what, every, got, end, slots, retired)
			}
		}
	}
	stopped := func(at int) []string {
		return []string{"r,@-9000,t,running,,", fmt.Sprintf("r,@%d,,stopped,,", at)}
	}
	f("on a boundary, told ahead", stop{rows: stopped(120), silentFrom: 120}, "0:60:good 1:60:good", 120)
	f("within a slot, told ahead", stop{rows: stopped(150), silentFrom: 150}, "0:60:good 1:60:good 2:30:unknown", 180)
	f("on a boundary, told within the slot", stop{rows: stopped(120), told: 130, silentFrom: 120}, "0:60:good 1:60:good", 120)
	f("within a slot, told in the next", stop{rows: stopped(150), told: 182, silentFrom: 150}, "0:60:good 1:60:good 2:30:unknown", 180)
	f("on a boundary, told when later slots are decided", stop{rows: stopped(120), told: 250, silentFrom: 120},
		"0:60:good 1:60:good 2:0:unknown 3:0:unknown", 240)
	f("its last seconds were counted before somebody told", stop{rows: stopped(120), told: 130, silentFrom: 125},
		"0:60:good 1:60:good 2:5:unknown", 180)
	f("its last seconds come after it stopped", stop{rows: stopped(120), silentFrom: 125}, "0:60:good 1:60:good 2:5:unknown", 180)
	f("the collector was away", stop{rows: stopped(120), silentFrom: 120, awayFrom: 118, awayTo: 400}, "0:60:good 1:58:good", 120)
	f("another one ran there until it moved", stop{silentFrom: 180, told: 185,
		rows: append(stopped(60), "s,@60,t,running,,", "s,@180,u,,,")}, "0:60:good 1:60:good 2:60:good", 180)
	f("it was stopped elsewhere, and then moved there", stop{silentFrom: 180, told: 185,
		rows: []string{"r,@-9000,u,running,,", "r,@0,,stopped,,", "r,@180,t,,,"}}, "0:60:good 1:60:good 2:60:good", 180)
}
