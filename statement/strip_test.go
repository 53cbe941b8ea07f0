package statement

import (
	"context"
	"testing"

	"nines/internal/access"
	"nines/internal/sla"
)

// tally counts the slots of a strip by state.
func tally(o *sla.Objective, strip []sla.Span) map[sla.State]uint64 {
	out := map[sla.State]uint64{}
	for _, s := range strip {
		out[s.State] += uint64((s.End - s.Start) / o.Slot.Length)
	}
	return out
}

// A strip of one resource adds up to its settlement; of several it shows the
// worst of each slot.
func TestStripsAddUp(t *testing.T) {
	b, p := newBook(t), november(t)
	b.facts("resource,from,match.target,state,contract", "a,2026-01-01T00:00:00Z,a,running,shop", "a,2026-11-29T00:00:00Z,,stopped,",
		"b,2026-11-03T00:00:00Z,b,running,shop")
	b.slots(stream, map[string]string{"target": "a"}, p, 60*minute, down(t, p, 0, 300))
	b.slots(stream, map[string]string{"target": "b"}, p, 60*minute, func(at int64) sla.State {
		if h := (at - p.Start) / (60 * minute); h >= 100 && h < 107 {
			return sla.Unknown
		}
		return sla.Good
	})
	f := func(asOf int64, resource string, want map[sla.State]uint64) *Facts {
		t.Helper()
		facts, err := Gather(context.Background(), b, Request{Principal: access.Local(), Contract: hourly(t, "shop", ""), Month: "2026-11", AsOf: asOf})
		if err != nil {
			t.Fatal(err)
		}
		o := &facts.Contract.Objectives[0]
		if list := facts.Input.Resources[o.Name]; resource != "" {
			for i := range list {
				if list[i].Name == resource {
					facts.Input.Resources[o.Name] = list[i : i+1]
				}
			}
		}
		got := tally(o, facts.Strip(o))
		for _, s := range []sla.State{sla.Good, sla.Bad, sla.Unknown, sla.NotApplicable} {
			if got[s] != want[s] {
				t.Errorf("%s of %s: %d, want %d", s, resource, got[s], want[s])
			}
		}
		if s := facts.Settle().Slots; resource != "" && (got[sla.Good] != s.Good || got[sla.Bad] != s.Bad || got[sla.Unknown] != s.Unknown) {
			t.Errorf("the strip of %s says %v, its settlement %+v", resource, got, s)
		}
		return facts
	}
	f(0, "a", map[sla.State]uint64{sla.Bad: 5, sla.Good: 667, sla.NotApplicable: 48})
	f(0, "b", map[sla.State]uint64{sla.Unknown: 7, sla.Good: 665, sla.NotApplicable: 48})
	f(0, "", map[sla.State]uint64{sla.Bad: 5, sla.Unknown: 7, sla.Good: 708})
	f(p.Start+103*60*minute, "", map[sla.State]uint64{sla.Bad: 5, sla.Unknown: 3, sla.Good: 95})
}
