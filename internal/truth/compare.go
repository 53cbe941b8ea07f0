package truth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// Difference is one slot of which the ledger says something else.
type Difference struct {
	Objective, Group string
	// Start of the slot, Unix milliseconds.
	Start int64
	// What differs, in words.
	What string
	// Explained by a gap: frames were lost, and the ledger says so.
	Explained bool
}

// String writes it on a line.
func (d Difference) String() string {
	at := time.UnixMilli(d.Start).UTC().Format("2006-01-02 15:04:05")
	return fmt.Sprintf("%s {%s} at %s: %s", d.Objective, d.Group, at, d.What)
}

// Report is the outcome of a comparison.
type Report struct {
	// Slots were compared, of which Same agree; Bad and Open are as the ledger
	// has them.
	Slots, Same, Bad, Open int
	// Events of these slots, by the truth.
	Events int64
	// Differences in order of time.
	Differences []Difference
	// Gaps that the ledger reports in the time of the simulation.
	Gaps int
}

// Unexplained returns how many differences no gap accounts for.
func (r *Report) Unexplained() (n int) {
	for i := range r.Differences {
		if !r.Differences[i].Explained {
			n++
		}
	}
	return n
}

// Compare holds the slots of a ledger against the counts. Groups that the truth
// does not know are somebody else's and are left alone.
func (c *Counts) Compare(ctx context.Context, led *ledger.Ledger, set *slo.RuleSet) (*Report, error) {
	gaps, err := led.Gaps(ctx, access.Local(), c.From, c.Until)
	if err != nil {
		return nil, err
	}
	r := &Report{Gaps: len(gaps)}
	names := map[string]string{}
	for _, o := range set.Objectives {
		names[o.StreamID] = cmp.Or(names[o.StreamID], o.Name)
	}
	for id, st := range c.streams {
		if len(st.groups) == 0 {
			continue
		}
		if err := st.compare(ctx, led, id, cmp.Or(names[id], id), c.From, c.Until, r); err != nil {
			return nil, err
		}
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		d.Explained = slices.ContainsFunc(gaps, func(g ledger.GapRow) bool { return g.From <= d.Start+longest(set) && g.To >= d.Start })
	}
	slices.SortFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Objective, b.Objective), cmp.Compare(a.Group, b.Group))
	})
	return r, nil
}

// longest is the length of the longest slots, in milliseconds.
func longest(set *slo.RuleSet) (n int64) {
	for _, st := range set.Streams {
		n = max(n, st.Rule.Length)
	}
	return n
}

func (c *counter) compare(ctx context.Context, led *ledger.Ledger, id, name string, from, until int64, r *Report) error {
	type slotID struct {
		group string
		start int64
	}
	seen := map[slotID]bool{}
	from -= from % c.def.Rule.Length
	err := led.Slots(ctx, access.Local(), id, from, until, func(g ledger.Group, slots []ledger.Slot) error {
		want := c.groups[c.groupName(g.Labels)]
		if want == nil {
			return nil
		}
		for i := range slots {
			s := &slots[i]
			seen[slotID{want.name, s.Start}] = true
			t := want.slots[s.Start]
			if t == nil {
				t = &tally{}
			}
			r.slot(name, want.name, c.def, t, s)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	for _, g := range c.groups {
		for start, t := range g.slots {
			if t.total > 0 && !seen[slotID{g.name, start}] {
				r.Slots++
				r.Events += t.total
				r.Differences = append(r.Differences, Difference{Objective: name, Group: g.name, Start: start,
					What: fmt.Sprintf("the ledger has no slot, the truth is %d of %d good", t.goods(c.def), t.total)})
			}
		}
	}
	return nil
}

// goods returns the good events, by whichever of good and bad ones is counted.
func (t *tally) goods(def *slo.Stream) int64 {
	if def.Sample == nil && def.Good == nil {
		return max(0, t.total-t.bad)
	}
	return t.good
}

// slot compares one slot.
func (r *Report) slot(objective, group string, def *slo.Stream, t *tally, s *ledger.Slot) {
	r.Slots++
	r.Events += t.total
	switch s.State {
	case sla.Open:
		r.Open++
	case sla.Bad:
		r.Bad++
	}
	differ := func(format string, args ...any) {
		r.Differences = append(r.Differences, Difference{Objective: objective, Group: group, Start: s.Start, What: fmt.Sprintf(format, args...)})
	}
	good := t.goods(def)
	switch {
	case int64(s.Good) != good || int64(s.Total) != t.total:
		differ("the ledger has %d of %d good, the truth is %d of %d", s.Good, s.Total, good, t.total)
	case int64(s.Blind) != t.blind:
		differ("the ledger has %d blind attempts, the truth is %d", s.Blind, t.blind)
	case s.State == sla.Good && t.total > 0 && good == 0 && def.Rule.MinCount == 0:
		differ("the ledger calls it good, and every one of its %d events failed", t.total)
	case s.State == sla.Bad && t.total > 0 && good == t.total:
		differ("the ledger calls it bad, and all of its %d events were good", t.total)
	default:
		r.Same++
	}
}
