package truth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// Difference is one slot of which the ledger says something else.
type Difference struct {
	Objective, Group string
	// Start of the slot, Unix milliseconds; 0 for what belongs to no slot.
	Start int64
	// What differs: the ledger's figures and the truth's, in words.
	What string
	// Possible where records that left the log unread, or that nobody could
	// decode, may have held what the ledger has less: it does not know whose they
	// were.
	Possible bool
}

// String writes it on a line.
func (d Difference) String() string {
	at := "in no slot"
	if d.Start != 0 {
		at = "at " + time.UnixMilli(d.Start).UTC().Format("2006-01-02 15:04:05")
	}
	return fmt.Sprintf("%s {%s} %s: %s", d.Objective, d.Group, at, d.What)
}

// Report is the outcome of a comparison.
type Report struct {
	// Slots were compared, of which Same agree; Bad and Open are as the ledger
	// has them.
	Slots, Same, Bad, Open int
	// Events that these slots should have.
	Events int64
	// Differences in order of time.
	Differences []Difference
}

// Wrong returns how many differences nothing that the ledger reports accounts
// for.
func (r *Report) Wrong() (n int) {
	for i := range r.Differences {
		if !r.Differences[i].Possible {
			n++
		}
	}
	return n
}

// Compare holds the slots of a ledger against the counts: each has the figures of
// what arrived, no more and no less. Groups that the truth does not know are
// somebody else's and are left alone.
func (c *Counts) Compare(ctx context.Context, led *ledger.Ledger, set *slo.RuleSet) (*Report, error) {
	if err := c.whole(); err != nil {
		return nil, err
	}
	unplaced, err := led.Unplaced(ctx, access.Local(), c.From-1, c.Until)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, o := range set.Objectives {
		names[o.StreamID] = cmp.Or(names[o.StreamID], o.Name)
	}
	r := &Report{}
	for id, st := range c.streams {
		if len(st.groups) == 0 {
			continue
		}
		x := comparison{Counts: c, counter: st, name: cmp.Or(names[id], id), unplaced: unplaced, report: r}
		if err := x.run(ctx, led, id); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Objective, b.Objective), cmp.Compare(a.Group, b.Group))
	})
	return r, nil
}

// whole tells whether there is a file of every part of each fleet: groups have
// samples of all.
func (c *Counts) whole() error {
	have := map[[2]int64][]string{}
	for _, h := range c.Parts {
		id := [2]int64{h.Start, int64(h.Seed)}
		if slices.Contains(have[id], h.Shard) {
			return fmt.Errorf("two files are of shard %s of one fleet", h.Shard)
		}
		have[id] = append(have[id], h.Shard)
	}
	for id, parts := range have {
		_, n, _ := strings.Cut(parts[0], "/")
		if all, _ := strconv.Atoi(n); len(parts) < all {
			return fmt.Errorf("only the shards %s of the fleet that began to measure at %s are here: name the files of all",
				strings.Join(parts, ", "), time.UnixMilli(id[0]).UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// comparison is of one stream.
type comparison struct {
	*Counts
	counter  *counter
	name     string
	unplaced []ledger.UnplacedRow
	report   *Report
}

func (x *comparison) run(ctx context.Context, led *ledger.Ledger, id string) error {
	type slotID struct {
		group string
		start int64
	}
	seen := map[slotID]bool{}
	known := map[string]bool{}
	length := x.counter.def.Rule.Length
	err := led.Slots(ctx, access.Local(), id, x.From-x.From%length-length, x.Until+length, func(g ledger.Group, slots []ledger.Slot) error {
		want := x.counter.groups[x.counter.groupName(g.Labels)]
		if want == nil {
			return nil
		}
		known[want.name] = true
		for i := range slots {
			s := &slots[i]
			seen[slotID{want.name, s.Start}] = true
			x.slot(want, s)
		}
		x.outside(want, g.Key)
		return nil
	})
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	for _, g := range x.counter.groups {
		for start, t := range g.slots {
			if *t != (tally{}) && !seen[slotID{g.name, start}] {
				x.slot(g, &ledger.Slot{Start: start, State: sla.Unknown})
			}
		}
		if !known[g.name] && g.unplaced != (tally{}) {
			x.outside(g, wire.GroupKey{})
		}
	}
	return nil
}

// outside compares the sums of what belongs to no slot.
func (x *comparison) outside(g *group, key wire.GroupKey) {
	var got tally
	for _, u := range x.unplaced {
		if u.Group == key {
			got.good, got.total = got.good+int64(u.Good), got.total+int64(u.Total)
		}
	}
	want := tally{good: g.unplaced.good, total: g.unplaced.total}
	if x.counter.countsBad() {
		want.good = want.total - g.unplaced.bad
	}
	if got != want {
		x.differ(g, 0, false, "the ledger has %d good of %d, the truth is %d of %d", got.good, got.total, want.good, want.total)
	}
}

func (x *comparison) differ(g *group, start int64, possible bool, format string, args ...any) {
	x.report.Differences = append(x.report.Differences, Difference{Objective: x.name, Group: g.name, Start: start, What: fmt.Sprintf(format, args...), Possible: possible})
}

// slot compares one slot.
func (x *comparison) slot(g *group, s *ledger.Slot) {
	r, t := x.report, g.slots[s.Start]
	if t == nil {
		t = &tally{}
	}
	r.Slots++
	r.Events += t.total
	switch s.State {
	case sla.Open:
		r.Open++
	case sla.Bad:
		r.Bad++
	}
	want := x.counter.figures(t)
	got := figures{int64(s.Good), int64(s.Total), int64(s.Owed), int64(s.Blind)}
	switch {
	case got != want:
		less := got.good <= want.good && got.total-got.good <= want.total-want.good && got.owed <= want.owed && got.blind <= want.blind
		possible := less && x.gaps.may(x.Parts, s.Start, s.Start+x.counter.def.Rule.Length)
		x.differ(g, s.Start, possible, "the ledger has %s, the truth is %s", got, want)
	case s.State == sla.Good && want.total > 0 && want.good == 0 && x.counter.def.Rule.MinCount == 0:
		x.differ(g, s.Start, false, "the ledger calls it good, and every one of its %d events failed", want.total)
	case s.State == sla.Bad && want.total > 0 && want.good == want.total && want.owed == 0:
		x.differ(g, s.Start, false, "the ledger calls it bad, and all of its %d events were good", want.total)
	default:
		r.Same++
	}
}

// figures are a slot as a ledger writes it.
type figures struct{ good, total, owed, blind int64 }

// String writes them in words.
func (f figures) String() string {
	text := fmt.Sprintf("%d good of %d", f.good, f.total)
	if f.owed > 0 {
		text += fmt.Sprintf(", %d more bad than all", f.owed)
	}
	if f.blind > 0 {
		text += fmt.Sprintf(", %d blind", f.blind)
	}
	return text
}

// countsBad tells whether bad events are counted, and not good ones.
func (c *counter) countsBad() bool { return c.def.Sample == nil && c.def.Good == nil }

// figures returns the good events by whichever of good and bad ones is counted.
func (c *counter) figures(t *tally) figures {
	f := figures{t.good, t.total, 0, t.blind}
	if c.countsBad() {
		f.good, f.owed = max(0, t.total-t.bad), max(0, t.bad-t.total)
	}
	return f
}
