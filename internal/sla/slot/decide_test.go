package slot

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/sla/exact"
)

// seen returns the bins of a vantage point from text: o success, x failure,
// . missing, ? missing with evidence of blindness.
func seen(name, text string) Bins {
	b := Bins{Vantage: name, OK: make([]uint64, 1+len(text)/64), Fail: make([]uint64, 1+len(text)/64), Missing: make([]uint64, 1+len(text)/64)}
	for i, r := range text {
		bit := uint64(1) << (i & 63)
		switch r {
		case 'o':
			b.OK[i>>6] |= bit
		case 'x':
			b.Fail[i>>6] |= bit
		case '?':
			b.Missing[i>>6] |= bit
		}
	}
	return b
}

func TestASlotFromProbes(t *testing.T) {
	f := func(rule Rule, want State, reason string, texts ...string) {
		t.Helper()
		var bins []Bins
		for i, text := range texts {
			bins = append(bins, seen(string(rune('a'+i)), text))
			rule.Length = int64(len(text)) * 1000
		}
		if s, r := rule.Decide(0, 1000, Counts{}, bins); s != want || r != reason {
			t.Errorf("%s %v k=%d n=%d: %s %q, want %s %q", rule.Bad, texts, rule.K, rule.N, s, r, want, reason)
		}
	}
	down := Rule{Bad: BadUnreachable, MaxGap: 2000}
	f(down, Bad, ReasonUnreachable, "xxxxxx")
	f(down, Good, "", "xxxxox")
	f(down, Good, "", "o.....")
	f(down, Bad, ReasonUnreachable, "xx..xx") // the gap is bridged
	f(down, Bad, ReasonUnreachable, "xx??xx")
	f(down, Unknown, ReasonIncomplete, "xx...x") // too long a gap
	f(down, Unknown, ReasonIncomplete, "xxxxx.") // at the edge there is nothing to bridge to
	f(down, Unknown, ReasonBlind, "xx????")
	f(down, Unknown, ReasonNoData, "......")
	f(down, Unknown, ReasonBlind, "??????")
	touched := Rule{Bad: BadAnyFailure, MaxGap: 2000}
	f(touched, Bad, ReasonFailure, "ooxooo")
	f(touched, Good, "", "oo..oo")
	f(touched, Unknown, ReasonIncomplete, "oo...o")
	f(touched, Bad, ReasonFailure, "x.....")
	three := Rule{Bad: BadUnreachable, K: 3, N: 5} // CONTRACTS case 7
	f(three, Bad, ReasonUnreachable, "xxx", "xxx", "xxx", "xxx", "xxx")
	f(three, Good, "", "ooo", "ooo", "ooo", "ooo", "ooo")
	f(three, Unknown, ReasonNoData, "...", "...", "...", "...", "...")
	f(three, Unknown, ReasonIncomplete, "xxx", "xxx", "...", "...", "ooo")
	f(three, Good, "", "xxx", "xxx", "ooo", "ooo", "ooo")
	f(three, Unknown, ReasonNoQuorum, "xxx", "xxx")
	f(Rule{Bad: BadUnreachable, K: 2}, Unknown, ReasonNoQuorum, "xxx")
	f(Rule{Bad: BadUnreachable, K: 2}, Good, "", "ooo")
	f(Rule{Bad: BadUnreachable, K: 2, N: 1}, Bad, ReasonUnreachable, "xxx", "xxx", "ooo")
	if s, r := down.Decide(0, 0, Counts{}, nil); s != Unknown || r != ReasonNoData {
		t.Errorf("no vantage point at all: %s %q", s, r)
	}
}

func TestASlotFromCounts(t *testing.T) {
	f := func(rule Rule, good, total uint64, want State, reason string, bins ...Bins) {
		t.Helper()
		rule.Length = 6000
		if s, r := rule.Decide(0, 1000, Counts{good, total}, bins); s != want || r != reason {
			t.Errorf("%+v %d/%d: %s %q, want %s %q", rule, good, total, s, r, want, reason)
		}
	}
	p99 := Rule{Bad: BadRatio, MaxRatio: exact.Ratio{Num: 1, Den: 100}} // CONTRACTS case 6: p99 ≤ y over 1,000 requests
	f(p99, 990, 1000, Good, "")
	f(p99, 989, 1000, Bad, ReasonErrorRatio)
	f(p99, 0, 0, Unknown, ReasonNoData)
	f(Rule{Bad: BadRatio}, 9, 10, Bad, ReasonErrorRatio)
	f(Rule{Bad: BadRatio}, 10, 10, Good, "")
	f(Rule{Bad: BadRatio, MinCount: 20}, 0, 10, Unknown, ReasonTooFew)
	f(Rule{Bad: BadRatio, MinCount: 20, EmptyGood: true}, 0, 10, Good, "")
	f(Rule{Bad: BadRatio, EmptyGood: true}, 0, 0, Good, "")
	all := Rule{Bad: BadAllFailed}
	f(all, 1, 10, Good, "")
	f(all, 0, 10, Bad, ReasonAllFailed)
	f(all, 0, 0, Unknown, ReasonNoData)
	// A named vantage point is a scheduled probe: what it missed could be either.
	half := Rule{Bad: BadRatio, MaxRatio: exact.Ratio{Num: 1, Den: 2}}
	f(half, 3, 3, Good, "", seen("a", "ooo..."))
	f(half, 2, 3, Unknown, ReasonIncomplete, seen("a", "oox..."))
	f(half, 2, 3, Unknown, ReasonBlind, seen("a", "oox???"))
	f(half, 2, 3, Good, "", seen("", "oox..."))
	f(half, 0, 4, Bad, ReasonErrorRatio, seen("a", "xxxx??"))
	f(all, 0, 3, Unknown, ReasonIncomplete, seen("a", "xxx..."))
	f(Rule{Bad: BadAllFailed, MaxGap: 5000}, 0, 3, Bad, ReasonAllFailed, seen("a", "xx...x"))
	f(half, 0, 0, Unknown, ReasonBlind, seen("a", "??????"))
	f(Rule{Bad: BadRatio, MinCount: 5, EmptyGood: true}, 3, 3, Unknown, ReasonIncomplete, seen("a", "ooo..."))
}

// verdict is the definition: complete results in, good or bad out.
func verdict(r Rule, n, k int, grid [][]bool) State {
	failed, failures, events := 0, 0, 0
	for b := range n {
		fails := 0
		for _, row := range grid {
			events++
			if !row[b] {
				fails++
				failures++
			}
		}
		if fails >= k {
			failed++
		}
	}
	bad := false
	switch r.Bad {
	case BadUnreachable:
		bad = failed == n
	case BadAnyFailure:
		bad = failed > 0
	case BadAllFailed:
		bad = failures == events
	case BadRatio:
		bad = exact.Ratio{Num: uint64(failures), Den: uint64(events)}.Cmp(r.MaxRatio) > 0
	}
	if bad {
		return Bad
	}
	return Good
}

func TestDecideEqualsEnumerationOfCompletions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "bins")
		points := rapid.IntRange(1, 3).Draw(t, "vantage points")
		expected := points + rapid.IntRange(0, 1).Draw(t, "absent")
		r := Rule{Length: int64(n) * 1000, Bad: rapid.SampledFrom([]BadWhen{BadUnreachable, BadAnyFailure, BadAllFailed, BadRatio}).Draw(t, "formula"),
			K: rapid.IntRange(0, expected).Draw(t, "k"), N: expected, MaxRatio: exact.Ratio{Num: uint64(rapid.IntRange(0, 4).Draw(t, "limit")), Den: 4}}
		if r.Bad == BadAllFailed || r.Bad == BadRatio {
			expected = points // counts know only the vantage points that were seen
		}
		k := max(r.K, 1)
		var bins []Bins
		grid := make([][]bool, expected)
		type cell struct{ v, b int }
		var missing []cell
		var counts Counts
		for v := range expected {
			grid[v] = make([]bool, n)
			text := make([]byte, n)
			for b := range n {
				text[b] = '.'
				if v < points {
					text[b] = rapid.SampledFrom([]byte("ox.?")).Draw(t, "result")
				}
				switch text[b] {
				case 'o':
					grid[v][b] = true
					counts.Good++
					counts.Total++
				case 'x':
					counts.Total++
				default:
					missing = append(missing, cell{v, b})
				}
			}
			if v < points {
				bins = append(bins, seen(string(rune('a'+v)), string(text)))
			}
		}
		verdicts := map[State]bool{}
		for completion := range 1 << len(missing) {
			for i, c := range missing {
				grid[c.v][c.b] = completion>>i&1 == 1
			}
			verdicts[verdict(r, n, k, grid)] = true
		}
		want := Unknown
		if len(verdicts) == 1 {
			for s := range verdicts {
				want = s
			}
		}
		if counts.Total == 0 && (r.Bad == BadAllFailed || r.Bad == BadRatio) {
			want = Unknown // nothing was counted at all
		}
		got, reason := r.Decide(0, 1000, counts, bins)
		if got != want || (got == Good) != (reason == "") {
			t.Fatalf("%+v %v: %s %q, want %s", r, bins, got, reason, want)
		}
	})
}

func TestStatesHaveNames(t *testing.T) {
	var got []string
	for s := range NotApplicable + 2 {
		got = append(got, s.String())
	}
	if want := []string{"open", "good", "bad", "unknown", "not applicable", "invalid"}; !slices.Equal(got, want) {
		t.Errorf("states are called %v", got)
	}
}
