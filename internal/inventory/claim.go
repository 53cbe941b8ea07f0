package inventory

import (
	"nines/internal/sla"
)

// Claim is a time in which a resource is known by the same labels, is in the same
// state and belongs to the same.
type Claim struct {
	Stretch
	Resource           *Resource
	Running            bool
	Customer, Contract string
}

// ClaimAt returns what the resource claims at an instant, without an interval;
// not ok where it has no match yet.
func (r *Resource) ClaimAt(at int64) (Claim, bool) {
	by, ok := r.Known(at)
	if !ok {
		return Claim{}, false
	}
	return Claim{by, r, r.Value(State, at) == Running, r.Value(Customer, at), r.Value(Contract, at)}, true
}

// Claims returns what the resource claims over an interval, ascending; the time
// in which it has no match is left out.
func (r *Resource) Claims(in sla.Interval) []Claim {
	var out []Claim
	for at := in.Start; at < in.End; {
		end := in.End
		if next, ok := r.next(at, Match, Region, Zone, State, Customer, Contract); ok {
			end = min(end, next)
		}
		if c, ok := r.ClaimAt(at); ok {
			c.Interval = sla.Interval{Start: at, End: end}
			out = append(out, c)
		}
		at = end
	}
	return out
}

// Owners returns those whose a group is, among the claims of one instant whose
// resources own it: the ones whose match names the most labels, and of these
// those that run. So labels that were given away with a stopped resource are the
// next one's, and a suspended resource keeps its own from a wider match. The
// claims are reordered.
func Owners(claims []*Claim) []*Claim {
	most := 0
	for _, c := range claims {
		most = max(most, len(c.Own))
	}
	exact := claims[:0]
	running := 0
	for _, c := range claims {
		if len(c.Own) < most {
			continue
		}
		exact = append(exact, c)
		if last := len(exact) - 1; c.Running {
			exact[running], exact[last] = exact[last], exact[running]
			running++
		}
	}
	if running > 0 {
		return exact[:running]
	}
	return exact
}
