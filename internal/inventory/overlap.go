package inventory

import (
	"fmt"
	"slices"
	"strings"

	"nines/internal/sla"
)

// Overlap is a time in which the match of one resource holds that of another: the
// groups of the narrower one would be the wider one's, too.
type Overlap struct {
	sla.Interval
	// Match are the labels of the groups, as ParseMatch reads them.
	Match string
	// Owners are the resources whose they are, and Others the wider ones that do
	// without; where there are none, several owners have them equally.
	Owners, Others []string
}

// everything is the scope of a stream that counts whatever there is.
type everything struct{}

func (everything) Admits(map[string]string) bool { return true }
func (everything) Fixed() map[string]string      { return nil }

// Overlaps returns the overlaps of a view, by match and time. That a resource
// takes over the labels of one that was stopped is none.
func (v *View) Overlaps() (out []Overlap) {
	always := sla.Interval{Start: -forever, End: forever}
	claimed, seen := v.Claimed(always), map[string]bool{}
	for i := range claimed.all {
		labels := map[string]string{}
		for _, name := range claimed.all[i].Own {
			labels[name] = claimed.all[i].Labels[name]
		}
		match := FormatMatch(labels)
		if seen[match] {
			continue
		}
		seen[match] = true
		for _, o := range claimed.Of(labels, everything{}) {
			out = appendOverlap(out, match, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Overlap) int { return strings.Compare(a.Match, b.Match) })
	return out
}

// appendOverlap adds what overlaps in an owned time, if anything does, to the one
// before where it goes on.
func appendOverlap(list []Overlap, match string, o Owned) []Overlap {
	next := Overlap{Interval: o.Interval, Match: match, Owners: resourcesOf(o.Owners)}
	for _, c := range o.Others {
		if len(c.Own) < len(o.Owners[0].Own) {
			next.Others = append(next.Others, c.Resource.Name)
		}
	}
	slices.Sort(next.Others)
	if len(next.Others) == 0 && (len(next.Owners) < 2 || !o.Owners[0].Running) {
		return list
	}
	if n := len(list); n > 0 {
		last := &list[n-1]
		if last.Match == match && last.End == next.Start && slices.Equal(last.Owners, next.Owners) && slices.Equal(last.Others, next.Others) {
			last.End = next.End
			return list
		}
	}
	return append(list, next)
}

func resourcesOf(claims []*Claim) (out []string) {
	for _, c := range claims {
		out = append(out, c.Resource.Name)
	}
	slices.Sort(out)
	return out
}

// String says in words who is judged by the groups, and who is not.
func (o Overlap) String() string {
	when := ""
	if o.Start > -forever {
		when += " from " + stamp(o.Start)
	}
	if o.End < forever {
		when += " to " + stamp(o.End)
	}
	owners := strings.Join(o.Owners, " and ")
	if len(o.Others) == 0 {
		return fmt.Sprintf("groups of %s%s count for %s alike: name more labels in the match of one to tell them apart", o.Match, when, owners)
	}
	others := strings.Join(o.Others, " and ")
	return fmt.Sprintf("groups of %s%s are %s's, whose match names more labels; %s is judged by its other groups only, and by none while it has no other", o.Match, when, owners, others)
}
