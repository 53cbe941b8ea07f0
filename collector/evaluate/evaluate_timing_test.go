package evaluate

import (
	"context"
	"fmt"
	"testing"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// crowd is a state with n groups that every partial touches, of which every
// tenth is down.
func crowd(tb testing.TB, n int) (step func()) {
	st := probes(1, 1)
	set := rules(st, objective("up", st, &slo.Down{Failures: 3, K: 1, N: 1}))
	s := New(Config{}, &ledger.Claim{}, func(string) (*slo.RuleSet, bool) { return set, true }, nil)
	var counts []wire.BinCount
	var groups []wire.GroupLabels
	for i := range n {
		labels := telemetry.Labels{{Name: "target", Value: fmt.Sprint(i)}}
		key := wire.GroupKey{Stream: st.ID(), Labels: labels.Hash()}
		groups = append(groups, wire.GroupLabels{Key: key, Labels: labels})
		c := wire.BinCount{Group: key, Vantage: "a", Good: 1, Total: 1}
		if i%10 == 0 {
			c.Good = 0
		}
		counts = append(counts, c)
	}
	p := &wire.Partial{Sources: 1, Incarnation: 1, RuleSet: set.ID(), Counts: counts, Groups: groups}
	at := epoch
	return func() {
		p.To, p.LogTime = p.From+1, at+900
		for i := range counts {
			counts[i].Bin, counts[i].Newest = at, at
		}
		if _, err := s.Apply(s.Offset(), p); err != nil {
			tb.Fatal(err)
		}
		s.Take()
		p.From++
		if at += 1000; at%60_000 == 0 {
			if _, _, err := s.Advance(); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// BenchmarkApply adds and judges a second of 10,000 groups.
func BenchmarkApply(b *testing.B) {
	step := crowd(b, 10_000)
	for range 5 {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/10_000, "ns/group")
}

// TestJudgingAllocatesNothing guards the path of groups that go on as they are,
// down or up.
func TestJudgingAllocatesNothing(t *testing.T) {
	const n = 1000
	step := crowd(t, n)
	for range 25 {
		step()
	}
	if a := testing.AllocsPerRun(10, step); a > n/10 {
		t.Errorf("a second of %d groups costs %v allocations", n, a)
	}
}

// BenchmarkSpool is an hour of 100 groups that one of two vantage points brings
// late, at ten times the speed of measuring and with a commit every second, into
// a ledger on SQLite: what is read slot by slot, and by the quarter of an hour.
func BenchmarkSpool(b *testing.B) {
	b.Run("slots", func(b *testing.B) { spool(b, func(l *lateCrowd, _ *recalls) Past { return l.slot }) })
	b.Run("stretches", func(b *testing.B) { spool(b, func(_ *lateCrowd, r *recalls) Past { return r.slot }) })
}

// lateCrowd are groups with an hour in a ledger.
type lateCrowd struct {
	led   *ledger.Ledger
	reads int
}

func (l *lateCrowd) read(key wire.GroupKey, from, to int64) ([]ledger.Slot, error) {
	l.reads++
	return l.led.GroupSlots(context.Background(), access.Local(), key, from, to)
}

func (l *lateCrowd) slot(key wire.GroupKey, start int64) (ledger.Slot, bool, error) {
	slots, err := l.read(key, start, start+1)
	if err != nil || len(slots) == 0 {
		return ledger.Slot{}, false, err
	}
	return slots[0], true, nil
}

func spool(b *testing.B, past func(*lateCrowd, *recalls) Past) {
	const n, hour = 100, int64(3_600)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		ctx := context.Background()
		led, err := ledger.Open(ctx, ledger.Options{Path: b.TempDir()})
		must(err)
		claim, err := led.Claim(ctx, 0, "bench")
		must(err)
		st := probes(1, 2)
		set := rules(st, objective("up", st, nil))
		l := &lateCrowd{led: led}
		r := newRecalls(l.read)
		s := New(Config{}, claim, func(string) (*slo.RuleSet, bool) { return set, true }, past(l, r))
		must(s.Restore("", nil, nil, nil))
		var groups []wire.GroupLabels
		for i := range n {
			labels := telemetry.Labels{{Name: "target", Value: fmt.Sprint(i)}}
			groups = append(groups, wire.GroupLabels{Key: wire.GroupKey{Stream: st.ID(), Labels: labels.Hash()}, Labels: labels})
		}
		p := &wire.Partial{Sources: 1, Incarnation: 1, RuleSet: set.ID(), Groups: groups}
		second := func(at int64, commit bool, counts ...wire.BinCount) {
			p.To, p.LogTime, p.Counts = p.From+1, at, counts
			_, err := s.Apply(s.Offset(), p)
			must(err)
			s.Take()
			if p.From++; !commit {
				return
			}
			batch, _, err := s.Advance()
			must(err)
			must(led.Commit(ctx, claim, &batch))
			r.committed(&batch)
		}
		bins := func(counts []wire.BinCount, vantage string, at int64) []wire.BinCount {
			for i := range groups {
				counts = append(counts, wire.BinCount{Group: groups[i].Key, Vantage: vantage, Bin: at, Newest: at, Good: 1, Total: 1})
			}
			return counts
		}
		for t := range hour + 120 {
			second(epoch+t*1000, t%60 == 59, bins(nil, "a", epoch+t*1000)...)
		}
		b.StartTimer()
		for t := int64(0); t < hour; t += 10 {
			var counts []wire.BinCount
			for i := range int64(10) {
				counts = bins(counts, "b", epoch+(t+i)*1000)
			}
			second(epoch+(hour+120+t/10)*1000, true, counts...)
		}
		b.ReportMetric(float64(l.reads), "reads")
		b.StopTimer()
		must(led.Close())
		b.StartTimer()
	}
}
