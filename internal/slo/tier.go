package slo

import (
	"math/big"
	"math/bits"
	"slices"

	"nines/internal/sla"
)

// TierSpan is the recent past, in milliseconds, whose rate of bad slots a
// projection goes on with: a week, so that it holds each day and hour once.
const TierSpan = 7 * day

// tierSlack is by which share a projection must fall below what a tier allows
// before its alert resolves, so that it does not come and go.
var tierSlack = sla.Ratio{Num: 9, Den: 10}

// Outlook is where an objective of a contract stands within a period, in slots
// of all resources that are settled together.
type Outlook struct {
	// Applicable are the slots of the whole period, Remaining those of them that
	// have not ended.
	Applicable, Remaining uint64
	// Bad and Unknown are those so far.
	Bad, Unknown uint64
	// Recent are the bad ones of the last TierSpan, Span all slots of it.
	Recent, Span uint64
}

// Allowed returns with how many bad slots of the period the attainment still
// meets the bound: one more falls below it.
func (o Outlook) Allowed(bound sla.Ratio) uint64 {
	if bound.Den == 0 || bound.Num >= bound.Den {
		return 0
	}
	hi, lo := bits.Mul64(o.Applicable, bound.Den-bound.Num)
	n, _ := bits.Div64(hi, lo, bound.Den)
	return n
}

// Missed tells whether the attainment ends below the bound even if every slot
// that is unknown or to come is good.
func (o Outlook) Missed(bound sla.Ratio) bool { return o.Bad > o.Allowed(bound) }

// Projected returns how many bad slots the period ends with if slots go on to be
// bad at the rate of the recent past: Bad + Remaining × Recent / Span. Unknown
// slots count for none.
func (o Outlook) Projected() *big.Rat {
	n := new(big.Rat).SetInt(new(big.Int).SetUint64(o.Bad))
	if o.Span == 0 {
		return n
	}
	rate := sla.Ratio{Num: min(o.Recent, o.Span), Den: o.Span}.Rat()
	rest := rate.Mul(rate, sla.Ratio{Num: o.Remaining, Den: 1}.Rat())
	return n.Add(n, rest)
}

// Falls tells whether the projection ends below the bound, and Recovers whether
// it is so far above that an alert on it resolves.
func (o Outlook) Falls(bound sla.Ratio) bool { return o.Projected().Cmp(o.limit(bound)) > 0 }

// Recovers tells whether the projection keeps clear of the bound.
func (o Outlook) Recovers(bound sla.Ratio) bool {
	limit := o.limit(bound)
	return o.Projected().Cmp(limit.Mul(limit, tierSlack.Rat())) <= 0
}

// limit is Allowed before it is cut to whole slots.
func (o Outlook) limit(bound sla.Ratio) *big.Rat {
	if bound.Den == 0 || bound.Num >= bound.Den {
		return new(big.Rat)
	}
	share := sla.Ratio{Num: bound.Den - bound.Num, Den: bound.Den}.Rat()
	return share.Mul(share, sla.Ratio{Num: o.Applicable, Den: 1}.Rat())
}

// Left returns after how many more slots, at the rate of the recent past, the
// first bad one comes that is not allowed; not ok where it does not come.
func (o Outlook) Left(bound sla.Ratio) (slots uint64, ok bool) {
	allowed := o.Allowed(bound)
	if o.Missed(bound) {
		return 0, true
	}
	if o.Recent == 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(allowed+1-o.Bad, o.Span)
	if hi >= o.Recent {
		return 0, false
	}
	n, rest := bits.Div64(hi, lo, o.Recent)
	if rest > 0 {
		n++
	}
	return n, n <= o.Remaining
}

// TiersDown returns the tiers with the highest bound first: in the order in
// which an attainment falls below them.
func TiersDown(tiers []sla.Tier) []sla.Tier {
	return slices.SortedFunc(slices.Values(tiers), func(a, b sla.Tier) int { return b.Below.Cmp(a.Below) })
}

// Recent counts bad slots by the hour over the last TierSpan.
type Recent struct {
	hours [TierSpan / hour]uint32
	sums  uint64
	last  int64 // number of the newest hour
}

// Add adds n bad slots (fewer, where it is negative) that start at the time
// start. Now is log time; both are Unix milliseconds.
func (r *Recent) Add(start, now int64, n int) {
	r.Advance(now)
	at := start / hour
	if at > r.last || at <= r.last-int64(len(r.hours)) {
		return
	}
	cell := &r.hours[at%int64(len(r.hours))]
	was := *cell
	*cell = uint32(min(max(int64(was)+int64(n), 0), 1<<32-1))
	r.sums += uint64(*cell) - uint64(was)
}

// Advance forgets the hours that now, log time in Unix milliseconds, leaves
// behind, and returns how many bad slots are left.
func (r *Recent) Advance(now int64) uint64 {
	to := now / hour
	for n := 0; r.last < to && n < len(r.hours); n++ {
		r.last++
		cell := &r.hours[r.last%int64(len(r.hours))]
		r.sums -= uint64(*cell)
		*cell = 0
	}
	r.last = max(r.last, to)
	return r.sums
}
