package evaluate

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/wire"
)

// reads answers from the ledger and counts how often it is asked.
func (b *book) reads(n *int) func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
	return func(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
		*n++
		return b.led.GroupSlots(context.Background(), access.Local(), key, from, to)
	}
}

// recorded has the slots of so many minutes in a ledger, of which only vantage
// point a has reported; b writes into a spool.
func recorded(t *testing.T, minutes int64) (f *fixture, b *book) {
	f, b = newFixture(t, 1, down(1, 2).set()), newBook(t)
	f.s = b.restore(f, "")
	f.seconds(0, minutes*60, 1)
	b.commit(f)
	f.seconds(minutes*60, minutes*60+90, 1)
	b.commit(f)
	return f, b
}

// A spool of half an hour arrives, with several commits to each minute of it: the
// ledger is asked once for a quarter of an hour, not for each slot after each
// commit.
func TestASpoolIsFewReadsOfTheLedger(t *testing.T) {
	const minutes = 30
	f, b := recorded(t, minutes)
	reads := 0
	r := newRecalls(b.reads(&reads))
	f.s.past = r.slot
	now := f.s.LogTime()
	for at := epoch; at < epoch+minutes*minute; {
		var counts []wire.BinCount
		for range 20 {
			counts = append(counts, f.bin("b", at, 1))
			at += 1000
		}
		now += 1000
		f.apply(0, now, append(counts, f.bin("a", now, 1))...)
		batch := f.advance()
		if err := b.led.Commit(context.Background(), b.claim, &batch); err != nil {
			t.Fatal(err)
		}
		r.committed(&batch)
	}
	if reads > minutes*60_000/recallSpan+1 {
		t.Errorf("%d reads", reads)
	}
	slots, err := b.reads(&reads)(f.key(), epoch, epoch+minutes*minute)
	if err != nil || len(slots) != minutes {
		t.Fatalf("%d slots, %v", len(slots), err)
	}
	for _, sl := range slots {
		if sl.Total != 120 || sl.Good != 120 {
			t.Errorf("minute %d: %d of %d", (sl.Start-epoch)/minute, sl.Good, sl.Total)
		}
	}
}

// Whatever comes late in whatever order, what is kept of the ledger is what the
// ledger has, also where little can be kept.
func TestWhatIsKeptIsWhatTheLedgerHas(t *testing.T) {
	const minutes = 50
	for _, full := range []int{1, 20, recallSlots} {
		f, b := recorded(t, minutes)
		reads, asked := 0, 0
		r := newRecalls(b.reads(&reads))
		r.full = full
		f.s.past = func(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
			asked++
			got, found, err := r.slot(key, start)
			if err != nil {
				return got, found, err
			}
			want, err := b.reads(&reads)(key, start, start+1)
			if err != nil {
				return got, found, err
			}
			if found != (len(want) == 1) || found && !reflect.DeepEqual(got, want[0]) {
				t.Errorf("minute %d:\n got %+v %v\nwant %+v", (start-epoch)/minute, got, found, want)
			}
			return got, found, nil
		}
		rnd := rand.New(rand.NewPCG(1, uint64(full)))
		now := f.s.LogTime()
		for range 120 {
			now += 1000
			var counts []wire.BinCount
			for range rnd.IntN(4) {
				counts = append(counts, f.bin([]string{"b", "c"}[rnd.IntN(2)], epoch+rnd.Int64N(minutes*minute), rnd.IntN(3)-1))
			}
			f.apply(0, now, append(counts, f.bin("a", now, 1))...)
			if rnd.IntN(3) == 0 {
				batch := f.advance()
				if err := b.led.Commit(context.Background(), b.claim, &batch); err != nil {
					t.Fatal(err)
				}
				r.committed(&batch)
			}
			if kept := len(r.young) + len(r.old); full == 1 && kept > 2 {
				t.Fatalf("%d stretches are kept", kept)
			}
		}
		if asked < 40 {
			t.Errorf("the past was asked for %d times", asked)
		}
	}
}

// The disk is full, so that a batch waits, and more comes for old slots that are
// in it: nothing of either is forgotten.
func TestLateDataWhileTheLedgerTakesNothing(t *testing.T) {
	const minutes = 12
	f, b := recorded(t, minutes)
	reads := 0
	o := &owner{recalls: newRecalls(b.reads(&reads))}
	f.s.past = o.past
	late := func(second int64) ledger.Batch {
		var counts []wire.BinCount
		for m := range int64(minutes) {
			counts = append(counts, f.bin("b", epoch+m*minute+second*1000, 1))
		}
		f.apply(0, f.s.LogTime()+1000, counts...)
		return f.advance()
	}
	first := late(0)
	o.pending = &first
	second := late(1)
	for _, batch := range []*ledger.Batch{&first, &second} {
		if err := b.led.Commit(context.Background(), b.claim, batch); err != nil {
			t.Fatal(err)
		}
	}
	slots, err := b.reads(&reads)(f.key(), epoch, epoch+minutes*minute)
	if err != nil || len(slots) != minutes {
		t.Fatalf("%d slots, %v", len(slots), err)
	}
	for _, sl := range slots {
		if sl.Total != 62 {
			t.Errorf("minute %d: %d events, want 62", (sl.Start-epoch)/minute, sl.Total)
		}
	}
}
