package statement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/sla"
)

// TestAWideAndANarrowResource: a load balancer and one of its two nodes are
// resources of one contract. A slot of the node counts once, for whichever it
// was when the slot began.
func TestAWideAndANarrowResource(t *testing.T) {
	b, p := newBook(t), november(t)
	bad := func(hours ...int64) func(int64) sla.State {
		return func(at int64) sla.State {
			h := (at - p.Start) / (60 * minute)
			for i := 0; i < len(hours); i += 2 {
				if hours[i] <= h && h < hours[i+1] {
					return sla.Bad
				}
			}
			return sla.Good
		}
	}
	b.slots(stream, map[string]string{"service": "lb", "node": "1"}, p, 60*minute, bad(100, 101))
	// Before, in the hour in which the node becomes a resource, while it is one, and after.
	b.slots(stream, map[string]string{"service": "lb", "node": "2"}, p, 60*minute, bad(10, 20, 216, 217, 300, 310, 600, 605))
	b.facts("resource,from,match.service,match.node,state,contract",
		"lb,2026-01-01T00:00:00Z,lb,,running,shop",
		"node,2026-11-10T00:30:00Z,lb,2,running,shop",
		"node,2026-11-20T00:00:00Z,lb,3,,") // it is another machine, which says nothing
	f := func(aggregation sla.Aggregation, denominator sla.Denominator, want ...sla.Slots) {
		t.Helper()
		c := hourly(t, "shop", "bank")
		c.Objectives[0].Aggregation, c.Objectives[0].Denominator = aggregation, denominator
		s := b.settle(c)
		got := []sla.Slots{s.Slots}
		if aggregation == sla.PerResource {
			got = nil
			for _, r := range s.Objectives[0].Resources {
				got = append(got, r.Slots)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, %s: %+v\nwant %+v", aggregation, denominator, got, want)
		}
	}
	lb := sla.Slots{Applicable: 720, Good: 720 - 17, Bad: 1 + 10 + 1 + 5}
	f(sla.PerResource, sla.Calendar, lb, sla.Slots{Applicable: 719, Good: 216 + 229, Bad: 10, Unknown: 264, NotApplicable: 1})
	f(sla.PerResource, sla.Lifecycle, lb, sla.Slots{Applicable: 503, Good: 229, Bad: 10, Unknown: 264, NotApplicable: 217})
	f(sla.Pooled, sla.Calendar, sla.Slots{Applicable: 1439, Good: 703 + 445, Bad: 27, Unknown: 264, NotApplicable: 1})
	f(sla.Pooled, sla.Lifecycle, sla.Slots{Applicable: 1223, Good: 703 + 229, Bad: 27, Unknown: 264, NotApplicable: 217})

	// With both nodes resources nothing is left of the load balancer to be judged
	// by: it is not silent, and adds no slots.
	b.facts("resource,from,match.service,match.node,state,contract",
		"first,2026-01-01T00:00:00Z,lb,1,running,shop", "second,2026-11-20T00:00:00Z,lb,2,running,shop",
		"node,2026-11-20T00:00:00Z,,,stopped,")
	f(sla.PerResource, sla.Lifecycle,
		sla.Slots{Applicable: 720, Good: 719, Bad: 1},                      // first
		sla.Slots{Applicable: 217, Good: 206, Bad: 11, NotApplicable: 503}, // lb, until the 10th
		sla.Slots{Applicable: 239, Good: 229, Bad: 10, NotApplicable: 481}, // node
		sla.Slots{Applicable: 264, Good: 259, Bad: 5, NotApplicable: 456})  // second
}

// TestASharedGroupSpeaksForAll: a region's group that nobody owns by its labels.
func TestASharedGroupSpeaksForAll(t *testing.T) {
	b, p := newBook(t), november(t)
	b.slots(stream, map[string]string{"region": "r"}, p, 60*minute, down(t, p, 0, 600))
	b.facts("resource,from,match.service,match.node,region,state,contract",
		"lb,2026-01-01T00:00:00Z,lb,,r,running,shop", "node,2026-01-01T00:00:00Z,lb,2,r,running,shop")
	s := b.settle(hourly(t, "shop", "bank"))
	for _, r := range s.Objectives[0].Resources {
		if r.Slots != (sla.Slots{Applicable: 720, Good: 710, Bad: 10}) {
			t.Errorf("%s: %+v", r.Name, r.Slots)
		}
	}
}

// TestASlotOfAGroupCountsOnce: however resources whose matches hold one another
// come, go, stop and change hands, each slot of the group that they have in
// common is one's at the most, and the one's whose it was when it began.
func TestASlotOfAGroupCountsOnce(t *testing.T) {
	p, n := november(t), 0
	var b *book
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n%10 == 1 {
			b = newBook(t)
		}
		id, service := fmt.Sprintf("%016x", n), fmt.Sprintf("s%d", n)
		name := "shop-" + service
		var rows []string
		for i, match := range []string{",,", ",2,", ",2,x"} {
			at := p.Start + rapid.Int64Range(-10, 20*1440).Draw(rt, "from")*minute
			rows = append(rows, fmt.Sprintf("%s-%d,%s,%s%s,running,bank,%s", service, i, rfc(at), service, match, name))
			for range rapid.IntRange(0, 3).Draw(rt, "changes") {
				at += rapid.Int64Range(1, 9*1440).Draw(rt, "after") * minute
				rows = append(rows, fmt.Sprintf("%s-%d,%s,,,,%s", service, i, rfc(at),
					rapid.SampledFrom([]string{"running,,", "stopped,,", ",bank," + name, ",bank,none", ",clinic,none", ",," + "ward"}).Draw(rt, "what")))
			}
		}
		b.slots(id, map[string]string{"service": service, "node": "2", "disk": "x"}, p, 60*minute, good)
		b.facts("resource,from,match.service,match.node,match.disk,state,customer,contract", rows...)
		c := hourly(t, name, "bank")
		c.Objectives[0].Stream = id
		f, _ := b.factsFor(portal("bank"), c)
		view := b.view()
		for at := p.Start; at < p.End; at += 60 * minute {
			var of []string
			for _, r := range f.Input.Resources["availability"] {
				if slices.ContainsFunc(r.Spans, func(s sla.Span) bool { return s.Start <= at && at < s.End && s.State == sla.Good }) {
					of = append(of, r.Name)
				}
			}
			owner := ownerOf(view, service, at)
			switch {
			case len(of) > 1:
				rt.Fatalf("at %s the slot is %v's:\n%s", rfc(at), of, strings.Join(rows, "\n"))
			case owner != "" && ownerOf(view, service, at+60*minute-1) == owner && len(view.Resource(owner).Belongs(c, sla.Interval{Start: at, End: at + 60*minute})) == 1 &&
				view.Resource(owner).Belongs(c, sla.Interval{Start: at, End: at + 60*minute})[0].Start == at && !slices.Equal(of, []string{owner}):
				rt.Fatalf("at %s the slot is %v's, want %s:\n%s", rfc(at), of, owner, strings.Join(rows, "\n"))
			}
		}
	})
}

// ownerOf says by hand whose the group is: of those that are known the one that
// names the most labels.
func ownerOf(v *inventory.View, service string, at int64) (owner string) {
	for i := range 3 {
		if r := v.Resource(fmt.Sprintf("%s-%d", service, i)); r != nil && r.Labels(at) != nil {
			owner = r.Name
		}
	}
	return owner
}

func rfc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func (b *book) view() *inventory.View {
	b.t.Helper()
	records, err := b.Inventory(b.t.Context(), access.Local(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return inventory.At(records, 0)
}
