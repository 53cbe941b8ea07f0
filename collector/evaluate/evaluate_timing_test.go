package evaluate

import (
	"fmt"
	"testing"

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
