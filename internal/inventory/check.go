package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"nines/internal/sla"
)

// Problem is what is wrong with the facts of a resource taken together.
type Problem struct {
	Resource  string
	Attribute Attribute
	// From is the instant of the fact that is at fault, 0 where there is none.
	From   int64
	Reason string
	// Other is the resource that it contradicts, empty where there is none.
	Other string
}

func (p Problem) Error() string {
	at := p.Resource + ": " + string(p.Attribute)
	if p.From != 0 {
		at += " from " + stamp(p.From)
	}
	return at + ": " + p.Reason
}

func (r *Resource) problem(a Attribute, from int64, reason string) Problem {
	return Problem{Resource: r.Name, Attribute: a, From: from, Reason: reason}
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// Check returns what cannot be true of a view: resources without a start or a
// match, states in an impossible order, contradictions between a match and the
// facts, two resources that are known by the same labels at once.
func (v *View) Check() []Problem {
	var out []Problem
	for _, r := range v.Resources() {
		out = append(out, r.checkState()...)
		out = append(out, r.checkMatch()...)
	}
	return append(out, v.overlaps()...)
}

func (r *Resource) checkState() (out []Problem) {
	states := r.facts[State]
	if len(states) == 0 {
		return []Problem{{Resource: r.Name, Attribute: State, Reason: "is required: say from when it is running"}}
	}
	before := ""
	for _, f := range states {
		switch {
		case before == "" && f.Value != Running:
			out = append(out, r.problem(State, f.From, "it is "+f.Value+" before it was ever running"))
		case before == Stopped && f.Value == Suspended:
			out = append(out, r.problem(State, f.From, "it is suspended while it is stopped: only what runs can be suspended"))
		}
		before = f.Value
	}
	return out
}

func (r *Resource) checkMatch() (out []Problem) {
	matches := r.facts[Match]
	if len(matches) == 0 {
		return []Problem{{Resource: r.Name, Attribute: Match, Reason: "is required: name the labels by which its groups are known"}}
	}
	if states := r.facts[State]; len(states) > 0 && states[0].From < matches[0].From {
		out = append(out, r.problem(Match, matches[0].From, "it is running from "+stamp(states[0].From)+" on, and has no match until then"))
	}
	for _, f := range matches {
		labels, _ := ParseMatch(f.Value) // it was parsed when it was read
		for _, a := range []Attribute{Region, Zone} {
			value, named := labels[string(a)]
			if !named {
				continue
			}
			for _, told := range r.Over(a, sla.Interval{Start: f.From, End: r.endOf(Match, f.From)}) {
				if told.Value != "" && told.Value != value {
					out = append(out, r.problem(Match, f.From, fmt.Sprintf("names the %s %s, but the %s is %s from %s on", a, value, a, told.Value, stamp(told.Start))))
				}
			}
		}
	}
	return out
}

// forever is later than every instant that can be written.
const forever = int64(1) << 60

// endOf returns when the fact that begins to hold at an instant stops to.
func (r *Resource) endOf(a Attribute, from int64) int64 {
	if end, ok := r.next(from, a); ok {
		return end
	}
	return forever
}

// overlaps finds resources that are known by the same labels while both run.
func (v *View) overlaps() (out []Problem) {
	type claim struct {
		sla.Interval
		r *Resource
	}
	byLabels := map[string][]claim{}
	for _, r := range v.Resources() {
		always := sla.Interval{Start: -forever, End: forever}
		running := r.Running(always)
		for _, s := range r.Stretches(always) {
			for _, i := range Intersect(running, []sla.Interval{s.Interval}) {
				labels := FormatMatch(s.Labels)
				byLabels[labels] = append(byLabels[labels], claim{i, r})
			}
		}
	}
	for labels, claims := range byLabels {
		slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.Start, b.Start) })
		for i := 1; i < len(claims); i++ {
			if a, b := claims[i-1], claims[i]; b.Start < a.End {
				at := b.Start
				for _, f := range b.r.facts[Match] {
					if f.From <= b.Start {
						at = f.From
					}
				}
				out = append(out, Problem{Resource: b.r.Name, Attribute: Match, From: at, Other: a.r.Name,
					Reason: fmt.Sprintf("%s is the match of %s, too, from %s on: a group belongs to one resource", labels, a.r.Name, stamp(b.Start))})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return cmp.Compare(a.Resource, b.Resource) })
	return out
}
