package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// Sum sums up slots.
type Sum struct {
	ledger.Totals
	// Open counts slots that were not over at the end.
	Open uint64
	// shares of the decided slots, in parts of slo.SliceUnit.
	shares uint64
}

func (s *Sum) add(sl *ledger.Slot) {
	s.Good, s.Total = s.Good+sl.Good, s.Total+sl.Total
	switch sl.State {
	case sla.Good:
		s.GoodSlots++
	case sla.Bad:
		s.BadSlots++
	case sla.Unknown:
		s.UnknownSlots++
		return
	default:
		s.Open++
		return
	}
	s.shares += slo.SliceShare(sl.Good, sl.Total)
}

// Attainment returns the attainment over the sum as an objective counts it: by
// events, by slots, or as the mean of the slots' ratios. Den is 0 without data.
func (s *Sum) Attainment(o *slo.Objective) sla.Ratio {
	decided := s.GoodSlots + s.BadSlots
	switch o.Budgeting {
	case slo.Timeslices:
		return sla.Ratio{Num: s.GoodSlots, Den: decided}
	case slo.RatioTimeslices:
		return sla.Ratio{Num: s.shares, Den: decided * slo.SliceUnit}
	}
	return sla.Ratio{Num: s.Good, Den: s.Total}
}

// Day is a calendar day of a zone.
type Day struct {
	Start time.Time
	Sum
}

// Standing is how one group of an objective stood over a time.
type Standing struct {
	Objective *slo.Objective
	Stream    *slo.Stream
	Labels    telemetry.Labels
	Sum       Sum
	Days      []Day
}

// Lowest returns the n days of lowest attainment, the lowest first, of those on
// which something failed.
func (s *Standing) Lowest(n int) []Day {
	days := slices.DeleteFunc(slices.Clone(s.Days), func(d Day) bool { a := d.Attainment(s.Objective); return a.Num == a.Den })
	slices.SortStableFunc(days, func(a, b Day) int { return a.Attainment(s.Objective).Cmp(b.Attainment(s.Objective)) })
	return days[:min(n, len(days))]
}

// Summarize sums up the slots that start in [from, to), Unix milliseconds, for
// every group of every objective, by days of the zone. Composite objectives,
// whose parts have slots of their own, are left out.
func Summarize(ctx context.Context, led *ledger.Ledger, set *slo.RuleSet, from, to int64, zone *time.Location) ([]Standing, error) {
	var out []Standing
	for _, o := range set.Objectives {
		if len(o.Components) > 0 {
			continue
		}
		var groups []Standing
		err := led.Slots(ctx, access.Local(), o.StreamID, from, to, func(g ledger.Group, slots []ledger.Slot) error {
			groups = append(groups, Standing{Objective: o, Stream: set.Streams[o.StreamID], Labels: g.Labels})
			groups[len(groups)-1].addAll(slots, zone)
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(groups, func(a, b Standing) int { return strings.Compare(a.Labels.String(), b.Labels.String()) })
		out = append(out, groups...)
	}
	return out, nil
}

// addAll adds the slots, each to the day in which it starts.
func (s *Standing) addAll(slots []ledger.Slot, zone *time.Location) {
	var day *Day
	end := int64(0)
	for i := range slots {
		sl := &slots[i]
		for day == nil || sl.Start >= end {
			start := midnight(time.UnixMilli(sl.Start).In(zone))
			if day != nil {
				start = tomorrow(day.Start)
			}
			s.Days = append(s.Days, Day{Start: start})
			day, end = &s.Days[len(s.Days)-1], tomorrow(start).UnixMilli()
		}
		day.add(sl)
		s.Sum.add(sl)
	}
}

// midnight returns the beginning of the day.
func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// tomorrow returns the beginning of the next day; a zone may skip one.
func tomorrow(t time.Time) time.Time {
	if next := midnight(t.AddDate(0, 0, 1)); next.After(t) {
		return next
	}
	return t.AddDate(0, 0, 1).Add(24 * time.Hour)
}

// shortestSlot returns the length of the shortest slots, in milliseconds.
func shortestSlot(set *slo.RuleSet) int64 {
	length := int64(0)
	for _, st := range set.Streams {
		if length == 0 || st.Rule.Length < length {
			length = st.Rule.Length
		}
	}
	return max(length, 1)
}
