package evaluate

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// told is what one vantage point says of one bin, and when it arrives, in
// milliseconds after epoch.
type told struct {
	count   wire.BinCount
	arrives int64
}

// drawStream returns a stream of few bins a slot, so that many are complete.
func drawStream(t *rapid.T) *slo.Stream {
	st := probes(1, 1)
	if rapid.Bool().Draw(t, "requests") {
		st = requests()
		st.Bin = 20_000
		return st
	}
	st.Bin = rapid.SampledFrom([]int64{1_000, 20_000, 30_000, 60_000}).Draw(t, "bin")
	st.Rule.Bad = rapid.SampledFrom([]sla.BadWhen{sla.BadRatio, sla.BadUnreachable, sla.BadAnyFailure}).Draw(t, "bad")
	st.Rule.K, st.Rule.N = rapid.IntRange(1, 2).Draw(t, "k"), rapid.IntRange(0, 3).Draw(t, "n")
	st.Rule.MaxGap = rapid.SampledFrom([]int64{0, 20_000}).Draw(t, "gap")
	return st
}

// drawNews returns what is told of some minutes: mostly successes in time.
func drawNews(t *rapid.T, f *fixture, st *slo.Stream, minutes int64) (out []told) {
	rarely := rapid.Custom(func(t *rapid.T) bool { return rapid.IntRange(0, 15).Draw(t, "chance") == 15 })
	for i := range rapid.IntRange(1, 3).Draw(t, "vantage points") {
		name := string(rune('a' + i))
		if st.Vantage == "" {
			name = ""
		}
		from := rapid.Int64Range(0, minutes/2).Draw(t, "since") * minute
		for bin := from; bin < minutes*minute; bin += st.Bin {
			say := func(c wire.BinCount) {
				c.Group, c.Vantage, c.Bin, c.Newest = f.key(), name, epoch+bin, epoch+bin
				n := told{c, bin + st.Bin}
				if rarely.Draw(t, "late") {
					n.arrives += rapid.Int64Range(1, 9).Draw(t, "minutes late") * minute
				}
				out = append(out, n)
			}
			if rarely.Draw(t, "not heard") {
				continue
			}
			c := wire.BinCount{Good: 1, Total: 1}
			switch rapid.IntRange(0, 9).Draw(t, "result") {
			case 0:
				c.Good = 0
			case 1:
				c = wire.BinCount{Blind: 1}
			case 2:
				say(wire.BinCount{Total: 1}) // beside a success
			}
			if st.Vantage == "" { // what failed is told by itself
				say(wire.BinCount{Good: 10, Total: 10})
				c = wire.BinCount{Good: -uint64(rapid.IntRange(1, 12).Draw(t, "bad"))}
			}
			say(c)
		}
	}
	return out
}

// partials puts the news on a log of two partitions, five seconds a record.
func (f *fixture) partials(news []told, minutes int64) (out []*wire.Partial) {
	news = slices.Clone(news)
	slices.SortStableFunc(news, func(a, b told) int { return cmp.Compare(a.arrives, b.arrives) })
	to := make([]int64, 2)
	for at := int64(0); at < (minutes+12)*minute; at += 5_000 {
		for source := range int32(2) {
			p := &wire.Partial{Source: source, Sources: 2, Incarnation: 1, From: to[source], To: to[source] + 1, LogTime: epoch + at + int64(source)*300, RuleSet: f.set}
			to[source]++
			for len(news) > 0 && news[0].arrives <= at && (source == 1 || news[0].count.Bin%7 > 3) {
				p.Counts = append(p.Counts, news[0].count)
				news = news[1:]
			}
			if len(p.Counts) > 0 {
				p.Groups = []wire.GroupLabels{{Key: f.key(), Labels: target}}
			}
			out = append(out, p)
		}
	}
	return out
}

// TestSlotsAreWhatWasCounted: the slots that the ledger holds in the end are a
// function of what was counted, whenever evaluation began anew from the ledger.
func TestSlotsAreWhatWasCounted(t *testing.T) {
	const minutes = 8
	rapid.Check(t, func(rt *rapid.T) {
		st := drawStream(rt)
		set := rules(st, objective("up", st, nil))
		plain := newFixture(t, 2, set)
		news := drawNews(rt, plain, st, minutes)
		log := plain.partials(news, minutes)
		for i, p := range log {
			if _, err := plain.s.Apply(int64(i), p); err != nil {
				rt.Fatal(err)
			}
		}
		plain.advance()

		f := newFixture(t, 2, set)
		b := newBook(t)
		defer b.led.Close()
		f.s = b.restore(f, "")
		places := rapid.SliceOfN(rapid.IntRange(1, len(log)), 0, 6)
		commits, crashes := places.Draw(rt, "commits"), places.Draw(rt, "crashes")
		known := ""
		for i := 0; i < len(log); {
			if _, err := f.s.Apply(int64(i), log[i]); err != nil {
				rt.Fatal(err)
			}
			i++
			if slices.Contains(commits, i) || i == len(log) {
				b.commit(f)
				known = f.set
			}
			if at := slices.Index(crashes, i); at >= 0 {
				crashes = slices.Delete(crashes, at, at+1)
				f.s = b.restore(f, known)
				i = int(f.s.Offset())
			}
		}
		if len(news) == 0 {
			return
		}
		got, err := b.led.GroupSlots(context.Background(), access.Local(), f.key(), epoch-minute, epoch+day)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(plain.past) {
			rt.Fatalf("%d slots, without a restart %d", len(got), len(plain.past))
		}
		for _, sl := range got {
			if want := plain.past[sl.Start]; !reflect.DeepEqual(sl, want) {
				rt.Fatalf("minute %d:\n got %+v\nwant %+v", (sl.Start-epoch)/minute, sl, want)
			}
		}
	})
}

// TestSlotsDoNotDependOnTheOrder: counts that come in another order, and some of
// them late, give the same slots but for the number of their versions.
func TestSlotsDoNotDependOnTheOrder(t *testing.T) {
	const minutes = 5
	rapid.Check(t, func(rt *rapid.T) {
		st := drawStream(rt)
		set := rules(st, objective("up", st, nil))
		run := func(f *fixture, news []told) map[int64]ledger.Slot {
			for i, p := range f.partials(news, minutes) {
				if _, err := f.s.Apply(int64(i), p); err != nil {
					rt.Fatal(err)
				}
				if i%7 == 0 {
					f.advance()
				}
			}
			f.advance()
			return f.past
		}
		f := newFixture(t, 2, set)
		news := drawNews(rt, f, st, minutes)
		want := run(f, news)
		again := rapid.Permutation(news).Draw(rt, "order")
		for i := range again {
			again[i].arrives = max(again[i].count.Bin-epoch+st.Bin, rapid.Int64Range(0, minutes+9).Draw(rt, "arrives")*minute)
		}
		got := run(newFixture(t, 2, set), again)
		for start, w := range want {
			g := got[start]
			if g.State != w.State || g.Reason != w.Reason || g.Good != w.Good || g.Total != w.Total || g.Owed != w.Owed || g.Blind != w.Blind ||
				!slices.Equal(g.Complete, w.Complete) || len(g.Vantages) != len(w.Vantages) {
				rt.Fatalf("minute %d:\n got %+v\nwant %+v", (start-epoch)/minute, g, w)
			}
		}
		if len(got) != len(want) {
			rt.Fatalf("%d slots, in the first order %d", len(got), len(want))
		}
	})
}
