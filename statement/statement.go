// Package statement settles a contract's month from the ledger and renders the
// settlement. It promises that the figures are clauses.Settle's and nothing else:
// it reads slots, hands them over, and prints what comes back. cmd (nines
// statement) and web call it.
package statement

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
)

// Reader is the part of the ledger that a statement reads.
type Reader interface {
	// Slots calls each for every group of the stream with its slots that start
	// in [from, to), Unix milliseconds, ascending.
	Slots(ctx context.Context, p access.Principal, stream string, from, to int64, each func(group ledger.Group, slots []ledger.Slot) error) error
}

// Request says what is to be settled.
type Request struct {
	// Principal is who asks; it must be allowed to see the contract's customer.
	Principal access.Principal
	Contract  *sla.Contract
	// Month is the calendar month in the contract's time zone, as 2026-11.
	Month string
	// AsOf is the present in Unix milliseconds: of a month that is not over, the
	// slots up to the last decided one are settled. 0 settles the whole month.
	AsOf int64
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
	if !q.Principal.Sees(c.Customer) {
		return nil, fmt.Errorf("settle contract %s: %q may not see customer %s", c.Name, q.Principal.Name, c.Customer)
	}
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("settle contract %s: load its time zone: %w", c.Name, err)
	}
	period, err := Period(c, q.Month, loc)
	if err != nil {
		return nil, fmt.Errorf("settle contract %s: %w", c.Name, err)
	}
	if q.AsOf != 0 && q.AsOf <= period.Start {
		return nil, fmt.Errorf("settle contract %s: month %s has not begun", c.Name, q.Month)
	}
	in := sla.Input{Resources: map[string][]sla.Resource{}}
	b := bounds{decided: period.Start}
	for i := range c.Objectives {
		o := &c.Objectives[i]
		resources, err := load(ctx, r, q.Principal, o, period, &b)
		if err != nil {
			return nil, fmt.Errorf("settle objective %s of contract %s: %w", o.Name, c.Name, err)
		}
		in.Resources[o.Name] = resources
	}
	if q.AsOf != 0 && q.AsOf < period.End {
		in.Until = min(q.AsOf, b.until())
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

// load reads the slots of one objective, run-length, resources by name.
func load(ctx context.Context, r Reader, p access.Principal, o *sla.Objective, period sla.Period, b *bounds) ([]sla.Resource, error) {
	byName := map[string]*sla.Resource{}
	// A run that began before the period, or goes on after it, is as long as it
	// is.
	from, to := period.Start, period.End
	if o.Runs != nil {
		margin := (o.Runs.MinRun/o.Slot.Length + 1) * o.Slot.Length
		from, to = from-margin, to+margin
	}
	err := r.Slots(ctx, p, o.Stream, from, to, func(g ledger.Group, slots []ledger.Slot) error {
		name := resourceName(g)
		if byName[name] == nil {
			byName[name] = place(o, name, g)
		}
		for i := range slots {
			s := &slots[i]
			next := sla.Span{Start: s.Start, End: s.Start + o.Slot.Length, State: s.State}
			if o.CountsEvents() {
				next.Good, next.Total = s.Good, s.Total
			}
			byName[name].Spans = appendSpan(byName[name].Spans, next)
			if s.Start >= period.End {
				continue
			}
			if s.State == sla.Open {
				b.open = append(b.open, s.Start)
			} else {
				b.decided = max(b.decided, s.Start+o.Slot.Length)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []sla.Resource
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out, nil
}

// place makes the resource of a group, and says where it stands among zones.
func place(o *sla.Objective, name string, g ledger.Group) *sla.Resource {
	r := &sla.Resource{Name: name}
	if o.Zones == nil {
		return r
	}
	r.Zone = g.Labels.Get(o.Zones.Label)
	var within []string
	for _, label := range o.Zones.Within {
		within = append(within, label+"="+g.Labels.Get(label))
	}
	r.Group = strings.Join(within, ",")
	return r
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
