package clauses

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"nines/internal/sla"
)

// exclusions returns the contract's exclusions with what each takes out of the
// period.
func exclusions(c *sla.Contract, p sla.Period, loc *time.Location) []sla.Exclusion {
	out := slices.Clone(c.Exclusions)
	for i := range out {
		e := &out[i]
		e.Times = []sla.Interval{}
		if e.ApprovedBy != "" {
			term := termOf(c, e.Category)
			all := occurrences(e, p, loc)
			for _, t := range all {
				if term.Notice == 0 || e.Announced != 0 && t.Start-e.Announced >= term.Notice {
					e.Times = append(e.Times, sla.Interval{Start: max(t.Start, p.Start), End: min(t.End, p.End)})
				}
			}
			e.Note = fmt.Sprintf("applied: %s", e.Effect)
			switch late := len(all) - len(e.Times); {
			case len(all) == 0:
				e.Note = "not applied: not in this period"
			case late == len(all):
				e.Note = fmt.Sprintf("listed, not applied: announced less than %s ahead", hours(term.Notice))
			case late > 0:
				e.Note += fmt.Sprintf(", without %d times that were announced less than %s ahead", late, hours(term.Notice))
			}
			if e.Recurs != nil && len(e.Times) > 0 {
				e.Note += fmt.Sprintf(", %d times", len(e.Times))
			}
		}
	}
	for _, term := range c.Terms {
		if term.Allowance > 0 {
			allow(out, term)
		}
	}
	return out
}

func termOf(c *sla.Contract, category string) sla.ExclusionTerm {
	for _, t := range c.Terms {
		if t.Category == category {
			return t
		}
	}
	return sla.ExclusionTerm{}
}

// allow cuts the exclusions of a category, in the order of their times, where
// together they exceed the allowance. Time that two cover is spent once.
func allow(list []sla.Exclusion, term sla.ExclusionTerm) {
	type one struct{ at, time int }
	var order []one
	for i := range list {
		if list[i].Category == term.Category {
			for j := range list[i].Times {
				order = append(order, one{i, j})
			}
		}
	}
	slices.SortStableFunc(order, func(a, b one) int {
		return cmp.Compare(list[a.at].Times[a.time].Start, list[b.at].Times[b.time].Start)
	})
	left, spent, cut := term.Allowance, int64(0), map[int]bool{}
	for n, o := range order {
		t := &list[o.at].Times[o.time]
		if n == 0 {
			spent = t.Start
		}
		from := max(t.Start, spent) // what lies before is paid for
		if over := t.End - from - left; over > 0 {
			t.End -= over
			cut[o.at] = true
		}
		left -= max(t.End-from, 0)
		spent = max(spent, t.End)
	}
	for i := range list {
		if cut[i] {
			list[i].Note += fmt.Sprintf(", cut where %s exceeds its %s a period", term.Category, hours(term.Allowance))
		}
	}
}

func hours(ms int64) string {
	switch {
	case ms%3_600_000 == 0:
		return fmt.Sprintf("%dh", ms/3_600_000)
	case ms%60_000 == 0:
		return fmt.Sprintf("%dm", ms/60_000)
	}
	return fmt.Sprintf("%ds", ms/1000)
}

// occurrences returns the times of an exclusion that meet the period.
func occurrences(e *sla.Exclusion, p sla.Period, loc *time.Location) (out []sla.Interval) {
	keep := func(start, end int64) {
		if start < p.End && end > p.Start && end > start {
			out = append(out, sla.Interval{Start: start, End: end})
		}
	}
	if e.Recurs == nil {
		keep(e.Start, e.End)
		return out
	}
	const day = int64(86_400_000)
	first := time.UnixMilli(p.Start).In(loc)
	// Days are counted as if all had 24 hours; wall finds the instants.
	midnight := time.Date(first.Year(), first.Month(), first.Day(), 0, 0, 0, 0, time.UTC).UnixMilli() - 2*day
	for ; midnight < p.End+2*day; midnight += day {
		weekday := int(time.UnixMilli(midnight).UTC().Weekday())
		if len(e.Recurs.Days) > 0 && !slices.Contains(e.Recurs.Days, weekday) {
			continue
		}
		to := e.Recurs.To
		if to <= e.Recurs.From {
			to += day
		}
		for _, t := range wall(midnight+e.Recurs.From, midnight+to, loc) {
			end := t.End
			if e.End != 0 {
				end = min(end, e.End)
			}
			keep(max(t.Start, e.Start), end)
		}
	}
	return out
}

// wall returns the instants at which a clock in loc shows a time in [from, to),
// both given as the instants at which a clock in UTC would: none that the clock
// leaves out, both where it shows them twice.
func wall(from, to int64, loc *time.Location) (out []sla.Interval) {
	const widest = int64(26 * 3_600_000) // beyond every offset
	for at := from - widest; at < to+widest; {
		t := time.UnixMilli(at).In(loc)
		_, seconds := t.Zone()
		_, next := t.ZoneBounds()
		end := to + widest
		if !next.IsZero() {
			end = min(end, next.UnixMilli())
		}
		offset := int64(seconds) * 1000
		if start, stop := max(from-offset, at), min(to-offset, end); start < stop {
			out = append(out, sla.Interval{Start: start, End: stop})
		}
		at = end
	}
	return sla.Union(out)
}
