// Package statement settles a contract's month from the ledger and renders the
// settlement. It promises that the figures are clauses.Settle's and nothing else:
// it reads slots, hands them over, and prints what comes back. cmd (nines
// statement) and web call it.
package statement

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
	"nines/internal/slo"
)

// Reader is the part of the ledger that a statement reads.
type Reader interface {
	// SlotsOf calls each for every group of the stream that is wanted with its
	// slots that start in [from, to), Unix milliseconds, ascending.
	SlotsOf(ctx context.Context, p access.Principal, stream string, from, to int64, want func(*ledger.Group) bool,
		each func(group ledger.Group, slots []ledger.Slot) error) error
	// Inventory returns the facts, and Exclusions those of a contract, as of a
	// recorded instant in Unix milliseconds; 0 for now.
	Inventory(ctx context.Context, p access.Principal, recorded int64) ([]inventory.Record, error)
	Exclusions(ctx context.Context, p access.Principal, contract string, recorded int64) ([]inventory.Exclusion, error)
}

// Request says what is to be settled.
type Request struct {
	// Principal is who asks; it must see all customers whose contract it is in the
	// period, and changes nothing else of the statement.
	Principal access.Principal
	Contract  *sla.Contract
	// Month is the calendar month in the contract's time zone, as 2026-11.
	Month string
	// AsOf is the present in Unix milliseconds: of a month that is not over, the
	// slots up to the last decided one are settled. 0 settles the whole month.
	AsOf int64
	// Recorded is the instant, Unix milliseconds, as of which inventory and
	// exclusions are taken; 0 for now.
	Recorded int64
	// Stream returns the definition of a stream, nil where it is not known: then
	// it is taken to count whatever its groups are. May be nil.
	Stream func(id string) *slo.Stream
}

// scope returns what an objective's stream counts.
func (q *Request) scope(o *sla.Objective) *slo.Scope {
	if q.Stream != nil {
		if def := q.Stream(o.Stream); def != nil {
			return slo.ScopeOf(def)
		}
	}
	return slo.ScopeOf(&slo.Stream{})
}

// Build settles the month of the contract from the ledger's slots.
func Build(ctx context.Context, r Reader, q Request) (*sla.Settlement, error) {
	f, err := Gather(ctx, r, q)
	if err != nil {
		return nil, err
	}
	return f.Settle(), nil
}

// Gather reads from the ledger all that the month of the contract is settled
// from.
func Gather(ctx context.Context, r Reader, q Request) (*Facts, error) {
	c := q.Contract
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("settle contract %s: load its time zone: %w", c.Name, err)
	}
	period, err := Period(c, q.Month, loc)
	if err != nil {
		return nil, fmt.Errorf("settle contract %s: %w", c.Name, err)
	}
	if err := maySee(q.Principal, c, period); err != nil {
		return nil, fmt.Errorf("settle contract %s: %w", c.Name, err)
	}
	if q.AsOf != 0 && q.AsOf <= period.Start {
		return nil, fmt.Errorf("settle contract %s: month %s has not begun", c.Name, q.Month)
	}
	c, list, others, err := told(ctx, r, &q, period)
	if err != nil {
		return nil, fmt.Errorf("settle contract %s: %w", c.Name, err)
	}
	in := sla.Input{Resources: map[string][]sla.Resource{}}
	b := bounds{decided: period.Start}
	for i := range c.Objectives {
		o := &c.Objectives[i]
		if len(list) == 0 {
			in.Resources[o.Name], err = load(ctx, r, &q, o, period, others, &b)
		} else {
			in.Resources[o.Name], err = loadMembers(ctx, r, &q, o, period, list, others, &b)
		}
		if err != nil {
			return nil, fmt.Errorf("settle objective %s of contract %s: %w", o.Name, c.Name, err)
		}
	}
	if q.AsOf != 0 && q.AsOf < period.End {
		in.Until = min(q.AsOf, b.until())
		if len(list) > 0 && b.decided == period.Start && len(b.open) == 0 {
			in.Until = q.AsOf // nothing was heard at all: that is not known, not yet to come
		}
	}
	return &Facts{Contract: c, Period: period, Location: loc, Input: in}, nil
}

// bounds is how far the slots that were read are judged.
type bounds struct {
	decided int64   // the end of the last decided slot
	open    []int64 // starts of open slots
}

// straggler is for how long an open slot holds the others back, in
// milliseconds. One that is open for longer is not being judged but stuck, and
// counts as unknown.
const straggler = int64(3_600_000)

// until returns the instant up to which the slots can be settled while the
// month runs: what lies later is still being judged.
func (b *bounds) until() int64 {
	end := b.decided
	for _, start := range b.open {
		if start >= b.decided-straggler {
			end = min(end, start)
		}
	}
	return end
}

// load reads the slots of one objective, run-length, resources by name: the
// groups seen, while the inventory does not say that they are somebody else's.
func load(ctx context.Context, r Reader, q *Request, o *sla.Objective, period sla.Period, x *inventory.Claimed, b *bounds) ([]sla.Resource, error) {
	var out []sla.Resource
	whole := sla.Interval{Start: period.Start, End: period.End}
	from, to := reach(o, period)
	scope, left := q.scope(o), map[uint64][]sla.Interval{} // by hash of the labels
	want := func(g *ledger.Group) bool {
		taken := inventory.Taken(q.Contract, x.Of(g.Labels.Map(), scope))
		left[g.Key.Labels] = inventory.Without(sla.Interval{Start: from, End: to}, taken)
		return len(inventory.Intersect(left[g.Key.Labels], []sla.Interval{whole})) > 0
	}
	err := r.SlotsOf(ctx, reader(q), o.Stream, from, to, want, func(g ledger.Group, slots []ledger.Slot) error {
		res := place(o, resourceName(g), g)
		res.Stopped = inventory.Without(whole, left[g.Key.Labels])
		for _, s := range spansOf(o, period, slots, left[g.Key.Labels], b) {
			res.Spans = clauses.AppendSpan(res.Spans, s)
		}
		res.Spans = idle(o, period, res.Spans, res.Stopped)
		out = append(out, *res)
		return nil
	})
	slices.SortStableFunc(out, func(a, b sla.Resource) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// spansOf returns the slots that meet some times, ascending, as they are settled,
// and notes how far they are judged.
func spansOf(o *sla.Objective, p sla.Period, slots []ledger.Slot, during []sla.Interval, b *bounds) []sla.Span {
	var spans []sla.Span
	for i, at := 0, 0; i < len(slots); i++ {
		s := &slots[i]
		for at < len(during) && during[at].End <= s.Start {
			at++
		}
		if at < len(during) && during[at].Start < s.Start+o.Slot.Length {
			spans = append(spans, spanOf(o, s))
			b.note(o, p, s)
		}
	}
	return spans
}

// reach returns the slots to read of an objective: a run that began before the
// period, or goes on after it, is as long as it is.
func reach(o *sla.Objective, period sla.Period) (from, to int64) {
	from, to = period.Start, period.End
	if o.Runs != nil {
		margin := (o.Runs.MinRun/o.Slot.Length + 1) * o.Slot.Length
		from, to = from-margin, to+margin
	}
	return from, to
}

// spanOf returns a slot as it is settled.
func spanOf(o *sla.Objective, s *ledger.Slot) sla.Span {
	out := sla.Span{Start: s.Start, End: s.Start + o.Slot.Length, State: s.State}
	if o.CountsEvents() {
		out.Good, out.Total = s.Good, s.Total
	}
	return out
}

// note takes account of how far a slot is judged.
func (b *bounds) note(o *sla.Objective, period sla.Period, s *ledger.Slot) {
	switch {
	case s.Start >= period.End:
	case s.State == sla.Open:
		b.open = append(b.open, s.Start)
	default:
		b.decided = max(b.decided, s.Start+o.Slot.Length)
	}
}

// place makes the resource of a group, and says where it stands among zones.
func place(o *sla.Objective, name string, g ledger.Group) *sla.Resource {
	r := &sla.Resource{Name: name}
	if o.Zones == nil {
		return r
	}
	at := zoneOf(o, g.Labels.Map())
	r.Zone, r.Group = at.zone, at.within
	return r
}

// zone is where an instance stands, for objectives over zones.
type zone struct{ within, zone string }

func zoneOf(o *sla.Objective, labels map[string]string) zone {
	var within []string
	for _, label := range o.Zones.Within {
		within = append(within, label+"="+labels[label])
	}
	return zone{strings.Join(within, ","), labels[o.Zones.Label]}
}

// resourceName names a group by its label values, name=value, in label order.
func resourceName(g ledger.Group) string {
	if len(g.Labels) == 0 {
		return "all"
	}
	parts := make([]string, len(g.Labels))
	for i, l := range g.Labels {
		parts[i] = l.Name + "=" + l.Value
	}
	return strings.Join(parts, ",")
}
