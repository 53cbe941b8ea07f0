// Package inventory knows what runs, for whom and since when: facts about
// resources that hold from an instant on. It promises that a fact is never
// changed: a correction is another record that takes the place of one before and
// is kept beside it, so that the view as of any recorded instant stays the same
// forever. It has no clock, file or database: readers take bytes, package ledger
// stores the records, package statement settles by them, and evaluate learns
// which groups are expected.
package inventory

import (
	"cmp"
	"maps"
	"slices"

	"nines/internal/sla"
)

// Attribute is what a fact tells of its resource.
type Attribute string

// The attributes of a resource. None but Match and State is required.
const (
	// Match are the labels of the groups that are the resource's.
	Match Attribute = "match"
	// State is running, stopped or suspended.
	State    Attribute = "state"
	Customer Attribute = "customer"
	Reseller Attribute = "reseller"
	Product  Attribute = "product"
	Region   Attribute = "region"
	Zone     Attribute = "zone"
	// Contract names the contract that settles the resource.
	Contract Attribute = "contract"
	// Fee is what it costs for a period of its contract, such as 100.00 USD.
	Fee Attribute = "fee"
)

// Attributes returns all attributes in the order in which they are shown.
func Attributes() []Attribute {
	return []Attribute{Match, State, Customer, Reseller, Product, Region, Zone, Contract, Fee}
}

// The states of a resource.
const (
	Running   = "running"
	Stopped   = "stopped"
	Suspended = "suspended"
)

// Fact says what holds of a resource from an instant on, until the next fact
// about the same attribute.
type Fact struct {
	Resource  string    `json:"resource"`
	Attribute Attribute `json:"attribute"`
	// From is the instant from which it holds, Unix milliseconds.
	From int64 `json:"from"`
	// Value as ParseValue returns it; empty where it no longer has one.
	Value string `json:"value"`
	// Withdrawn says that it never held: a record that should not have been.
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// Record is a fact as it was written down.
type Record struct {
	// ID rises in the order in which records were written.
	ID int64 `json:"id"`
	Fact
	// Recorded is when, Unix milliseconds: later than that of all changes before.
	// The records of one change share it.
	Recorded int64 `json:"recorded"`
	// Author wrote it, for the Reason.
	Author string `json:"author"`
	Reason string `json:"reason"`
	// Supersedes is the record that this one corrects, 0 for none.
	Supersedes int64 `json:"supersedes,omitempty"`
}

// key is what a correction has in common with what it corrects.
type key struct {
	resource  string
	attribute Attribute
	from      int64
}

func (f *Fact) key() key { return key{f.Resource, f.Attribute, f.From} }

// View is what is known as of a recorded instant.
type View struct{ resources map[string]*Resource }

// Resource is the history of one resource in a view.
type Resource struct {
	Name  string
	facts map[Attribute][]Record // ascending by From, none withdrawn
}

// At returns the view of the records that were written by an instant, Unix
// milliseconds; 0 for all. Records may be in any order.
func At(records []Record, recorded int64) *View {
	latest := map[key]Record{}
	for _, r := range records {
		if recorded != 0 && r.Recorded > recorded {
			continue
		}
		if was, ok := latest[r.key()]; !ok || was.ID < r.ID {
			latest[r.key()] = r
		}
	}
	v := &View{resources: map[string]*Resource{}}
	for _, r := range latest {
		if r.Withdrawn {
			continue
		}
		res := v.resources[r.Resource]
		if res == nil {
			res = &Resource{Name: r.Resource, facts: map[Attribute][]Record{}}
			v.resources[r.Resource] = res
		}
		res.facts[r.Attribute] = append(res.facts[r.Attribute], r)
	}
	for _, res := range v.resources {
		for _, list := range res.facts {
			slices.SortFunc(list, func(a, b Record) int { return cmp.Compare(a.From, b.From) })
		}
	}
	return v
}

// Resources returns all resources by name.
func (v *View) Resources() []*Resource {
	var out []*Resource
	for _, name := range slices.Sorted(maps.Keys(v.resources)) {
		out = append(out, v.resources[name])
	}
	return out
}

// Resource returns the resource of the name, nil where nothing is known of it.
func (v *View) Resource(name string) *Resource { return v.resources[name] }

// Records returns what the view rests on of an attribute, by their instants.
func (r *Resource) Records(a Attribute) []Record { return r.facts[a] }

// Value returns what an attribute is at an instant; empty where nothing is told.
func (r *Resource) Value(a Attribute, at int64) string {
	value := ""
	for _, f := range r.facts[a] {
		if f.From > at {
			break
		}
		value = f.Value
	}
	return value
}

// Held is a value in the time in which it held.
type Held struct {
	sla.Interval
	Value string
}

// Over returns the values of an attribute over an interval, without gaps: what
// is not told is empty.
func (r *Resource) Over(a Attribute, in sla.Interval) []Held {
	if in.End <= in.Start {
		return nil
	}
	out := []Held{{in, r.Value(a, in.Start)}}
	for _, f := range r.facts[a] {
		last := &out[len(out)-1]
		if f.From <= in.Start || f.From >= in.End || f.Value == last.Value {
			continue
		}
		last.End = f.From
		out = append(out, Held{sla.Interval{Start: f.From, End: in.End}, f.Value})
	}
	return out
}

// During returns when in an interval the attribute had a value that holds.
func (r *Resource) During(a Attribute, in sla.Interval, holds func(value string) bool) []sla.Interval {
	var out []sla.Interval
	for _, h := range r.Over(a, in) {
		if holds(h.Value) {
			out = append(out, h.Interval)
		}
	}
	return sla.Union(out)
}

// Running returns when in an interval the resource ran.
func (r *Resource) Running(in sla.Interval) []sla.Interval {
	return r.During(State, in, func(v string) bool { return v == Running })
}

// NotRunning returns when in an interval it was not started yet, stopped or
// suspended.
func (r *Resource) NotRunning(in sla.Interval) []sla.Interval {
	return r.During(State, in, func(v string) bool { return v != Running })
}

// Labels returns by which labels the resource is known at an instant: those of
// its match, and its region and zone where the match does not name them. None
// where it has no match yet.
func (r *Resource) Labels(at int64) map[string]string {
	labels, err := ParseMatch(r.Value(Match, at))
	if err != nil || len(labels) == 0 {
		return nil
	}
	for _, a := range []Attribute{Region, Zone} {
		if value := r.Value(a, at); value != "" {
			labels[string(a)] = value
		}
	}
	return labels
}

// Stretch is a time in which a resource is known by the same labels.
type Stretch struct {
	sla.Interval
	Labels map[string]string
	// Own are those that its match names.
	Own []string
}

// Owns tells whether a group that agrees with the labels is this resource's and
// nobody else's: it names all that the match does, or its stream fixes it.
func (s *Stretch) Owns(group, fixed map[string]string) bool {
	for _, name := range s.Own {
		_, named := group[name]
		if _, ok := fixed[name]; !ok && !named {
			return false
		}
	}
	return true
}

// Counts tells whether a group that agrees with the labels says something of the
// resource: it is its own, or one that it shares with others, such as its
// region's, because all that the group names is known of it.
func (s *Stretch) Counts(group, fixed map[string]string) bool {
	if s.Owns(group, fixed) {
		return true
	}
	for name := range group {
		if _, known := s.Labels[name]; !known {
			return false
		}
	}
	return true
}

// Known returns by what the resource is known at an instant; not ok where it has
// no match yet.
func (r *Resource) Known(at int64) (s Stretch, ok bool) {
	s.Labels = r.Labels(at)
	if s.Labels == nil {
		return s, false
	}
	own, _ := ParseMatch(r.Value(Match, at)) // Labels has parsed it
	s.Own = slices.Sorted(maps.Keys(own))
	return s, true
}

// Stretches returns by which labels the resource is known over an interval; the
// time in which it has none is left out.
func (r *Resource) Stretches(in sla.Interval) []Stretch {
	var out []Stretch
	for at := in.Start; at < in.End; {
		end := in.End
		if next, ok := r.next(at, Match, Region, Zone); ok {
			end = min(end, next)
		}
		if s, ok := r.Known(at); ok {
			s.Interval = sla.Interval{Start: at, End: end}
			if n := len(out); n > 0 && out[n-1].End == at && maps.Equal(out[n-1].Labels, s.Labels) && slices.Equal(out[n-1].Own, s.Own) {
				out[n-1].End = end
			} else {
				out = append(out, s)
			}
		}
		at = end
	}
	return out
}

// Next returns the first instant after another at which some fact begins to
// hold; not ok where there is none.
func (r *Resource) Next(after int64) (int64, bool) { return r.next(after, Attributes()...) }

func (r *Resource) next(after int64, attributes ...Attribute) (first int64, ok bool) {
	for _, a := range attributes {
		for _, f := range r.facts[a] {
			if f.From > after && (!ok || f.From < first) {
				first, ok = f.From, true
			}
		}
	}
	return first, ok
}

// Intersect returns the times that both have; both are ascending and disjoint.
func Intersect(a, b []sla.Interval) []sla.Interval {
	var out []sla.Interval
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if start, end := max(a[i].Start, b[j].Start), min(a[i].End, b[j].End); start < end {
			out = append(out, sla.Interval{Start: start, End: end})
		}
		if a[i].End < b[j].End {
			i++
		} else {
			j++
		}
	}
	return out
}

// Without returns what an interval has beside others, which are ascending and
// disjoint.
func Without(in sla.Interval, others []sla.Interval) []sla.Interval {
	var out []sla.Interval
	at := in.Start
	for _, o := range others {
		if start := min(o.Start, in.End); start > at {
			out = append(out, sla.Interval{Start: at, End: start})
		}
		at = max(at, o.End)
	}
	if at < in.End {
		out = append(out, sla.Interval{Start: at, End: in.End})
	}
	return out
}

// SlotsOf returns the times of the slots that begin in some times, with meet also
// of those that these cut. Slots are of length milliseconds, and the period's
// start is that of one.
func SlotsOf(in []sla.Interval, p sla.Period, length int64, meet bool) []sla.Interval {
	var out []sla.Interval
	for _, i := range in {
		first := p.Index(i.Start, length)
		if meet {
			first = p.Index(i.Start+1, length) - 1
		}
		out = append(out, sla.Interval{Start: p.Start + first*length, End: p.Start + p.Index(i.End, length)*length})
	}
	return sla.Union(out)
}
