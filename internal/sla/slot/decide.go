package slot

import "nines/internal/sla/exact"

// Reasons why a slot is bad or unknown, one word each; a good slot has none.
const (
	ReasonUnreachable = "unreachable" // bad: no bin of the slot was reachable
	ReasonFailure     = "failure"     // bad: some bin failed
	ReasonErrorRatio  = "error_ratio" // bad: too many events failed
	ReasonAllFailed   = "all_failed"  // bad: every event failed
	ReasonNoData      = "no_data"     // unknown: nothing at all was seen
	ReasonTooFew      = "too_few"     // unknown: fewer events than min_count
	ReasonBlind       = "blind"       // unknown: vantage points were offline
	ReasonIncomplete  = "incomplete"  // unknown: the missing bins could turn it
	ReasonNoQuorum    = "no_quorum"   // unknown: too few vantage points to say
)

// Decide returns the verdict on the slot that starts at the first argument (Unix
// milliseconds) from what was seen in it, and the reason where it is not good.
//
// binLen is the length of a bin in milliseconds; counts are the exact events of
// the slot; bins is what each vantage point saw, one element a vantage point.
//
// A slot is good or bad only if every completion of its missing bins gives that
// verdict, else it is unknown. A completion replaces every missing bin of every
// expected vantage point by a success or a failure. All formulas are monotone
// (one more failure never improves a slot), so the two extreme completions, all
// successes and all failures, decide. The start is not used by today's formulas:
// it is there for rules that depend on the time of day.
func (r Rule) Decide(_, binLen int64, counts Counts, bins []Bins) (State, string) {
	switch r.Bad {
	case BadRatio, BadAllFailed:
		return r.fromCounts(binLen, counts, bins)
	}
	return r.fromBins(binLen, bins)
}

// fromBins decides by quorum: a bin failed if at least K of N vantage points
// failed in it.
func (r Rule) fromBins(binLen int64, bins []Bins) (State, string) {
	n := r.binCount(binLen)
	k := max(r.K, 1)
	points := max(r.N, len(bins), k)
	failing, passing := make([]int, n), make([]int, n)
	blind := false
	for i := range bins {
		v := r.bridge(&bins[i], binLen, n)
		for b := range n {
			switch {
			case v[b] == Good:
				passing[b]++
			case v[b] == Bad:
				failing[b]++
			case hasBit(bins[i].Missing, b):
				blind = true
			}
		}
	}
	// worst counts bins that fail if every missing bin failed, best those that
	// fail even if every missing bin succeeded.
	worst, best, seen := 0, 0, 0
	for b := range n {
		if failing[b] >= k {
			best++
		}
		if points-passing[b] >= k {
			worst++
		}
		seen += failing[b] + passing[b]
	}
	isBad := func(failed int) bool { return failed == n }
	reason := ReasonUnreachable
	if r.Bad == BadAnyFailure {
		isBad = func(failed int) bool { return failed > 0 }
		reason = ReasonFailure
	}
	switch {
	case isBad(best):
		return Bad, reason
	case !isBad(worst):
		return Good, ""
	case blind:
		return Unknown, ReasonBlind
	case seen == 0:
		return Unknown, ReasonNoData
	case len(bins) < points && seen == n*len(bins):
		return Unknown, ReasonNoQuorum
	}
	return Unknown, ReasonIncomplete
}

// fromCounts decides by exact counts. Each missing bin of a scheduled probe
// stands for one event that may have been either.
func (r Rule) fromCounts(binLen int64, c Counts, bins []Bins) (State, string) {
	good, total := min(c.Good, c.Total), c.Total
	missing, blind := r.missingEvents(binLen, bins)
	if total < max(r.MinCount, 1) {
		switch {
		case missing > 0 && blind:
			return Unknown, ReasonBlind
		case missing > 0 && total > 0:
			return Unknown, ReasonIncomplete
		case r.EmptyGood && missing == 0:
			return Good, ""
		case total == 0:
			return Unknown, ReasonNoData
		}
		return Unknown, ReasonTooFew
	}
	failed := total - good
	isBad, reason := r.exceeds, ReasonErrorRatio
	if r.Bad == BadAllFailed {
		isBad, reason = func(failed, total uint64) bool { return failed == total }, ReasonAllFailed
	}
	switch all := total + missing; {
	case isBad(failed, all):
		return Bad, reason
	case !isBad(failed+missing, all):
		return Good, ""
	case blind:
		return Unknown, ReasonBlind
	}
	return Unknown, ReasonIncomplete
}

// exceeds tells whether failed of total events are more than the rule allows.
func (r Rule) exceeds(failed, total uint64) bool {
	limit := exact.Ratio{Num: r.MaxRatio.Num, Den: max(r.MaxRatio.Den, 1)} // none declared: zero
	return exact.Ratio{Num: failed, Den: total}.Cmp(limit) > 0
}

// missingEvents counts the bins in which an event was due and none was seen. A
// named vantage point is a scheduled probe: each of its bins is due. Without
// names only bins with positive evidence of blindness count, because silence of
// unscheduled traffic is no traffic.
func (r Rule) missingEvents(binLen int64, bins []Bins) (missing uint64, blind bool) {
	n := r.binCount(binLen)
	for i := range bins {
		v := r.bridge(&bins[i], binLen, n)
		for b := range n {
			marked := hasBit(bins[i].Missing, b)
			if v[b] == Open && (marked || bins[i].Vantage != "") {
				missing++
				blind = blind || marked
			}
		}
	}
	return missing, blind
}

// bridge returns the result of each of the n bins of one vantage point: Good,
// Bad, or Open where it is missing. Missing bins between two equal results are
// given that result where together they last at most MaxGap. A gap at the
// slot's edge is never bridged: the result beyond it is not this slot's.
func (r Rule) bridge(b *Bins, binLen int64, n int) []State {
	v := make([]State, n)
	last := -1 // the bin of the last result
	for i := range n {
		switch {
		case hasBit(b.OK, i):
			v[i] = Good
		case hasBit(b.Fail, i):
			v[i] = Bad
		default:
			continue
		}
		if gap := i - last - 1; last >= 0 && gap > 0 && v[last] == v[i] && int64(gap)*binLen <= r.MaxGap {
			for j := last + 1; j < i; j++ {
				v[j] = v[i]
			}
		}
		last = i
	}
	return v
}

// binCount returns how many bins a slot has.
func (r Rule) binCount(binLen int64) int {
	if binLen <= 0 || binLen >= r.Length {
		return 1
	}
	return int((r.Length + binLen - 1) / binLen)
}

func hasBit(words []uint64, i int) bool {
	return i>>6 < len(words) && words[i>>6]&(1<<(i&63)) != 0
}
