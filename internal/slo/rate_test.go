package slo

import (
	"math"
	"testing"

	"nines/internal/sla"
)

// TestRateOfWhatIsKnown: what is not decided counts as good, whatever the budget
// counts and however young the group is.
func TestRateOfWhatIsKnown(t *testing.T) {
	f := func(what, budgeting string, good, total uint64, e Extent, burn, lost, room float64) {
		t.Helper()
		o := &Objective{Target: sla.Ratio{Num: 999, Den: 1000}, Budgeting: budgeting}
		got := o.Rate(good, total, e)
		if math.Abs(got.Burn-burn) > 1e-9*(1+burn) || math.Abs(got.Lost-lost) > 1e-9 || got.Room != room || got.Seen != total {
			t.Errorf("%s: %+v, want burn %v, lost %v, room %v", what, got, burn, lost, room)
		}
	}
	anHour := Extent{Length: hour, Age: hour, Slot: minute}
	young := Extent{Length: hour, Age: 10 * minute, Slot: minute}
	whole := Extent{Length: 30 * day, Age: 30 * day, Slot: minute}

	const sixtieth = 1000.0 / 60
	f("one bad minute of an hour", Timeslices, 59, 60, anHour, sixtieth, 1, 60)
	f("of a young group's ten", Timeslices, 9, 10, young, sixtieth, 1, 60)
	f("with forty unknown", Timeslices, 19, 20, anHour, sixtieth, 1, 60)
	f("the only one that is known", Timeslices, 0, 1, anHour, sixtieth, 1, 60)
	f("half of one lost", RatioTimeslices, 59*SliceUnit+SliceUnit/2, 60*SliceUnit, anHour, sixtieth/2, 0.5, 60)
	f("of a young group's ten", RatioTimeslices, 9*SliceUnit+SliceUnit/2, 10*SliceUnit, young, sixtieth/2, 0.5, 60)
	f("one event of sixty", Occurrences, 59, 60, anHour, sixtieth, 1, 0)
	f("of a young group's ten", Occurrences, 9, 10, young, sixtieth, 1, 0)
	f("in thousandths", Occurrences, 59_000, 60_000, Extent{Length: hour, Age: hour, Slot: minute, Unit: 1000}, sixtieth, 1, 0)
	f("43.2 bad minutes are a month's budget", Timeslices, 43_200-432, 43_200, whole, 10, 432, 43_200)
	f("whatever is unknown", Timeslices, 0, 432, whole, 10, 432, 43_200)
	f("a slot longer than its window", Timeslices, 0, 1, Extent{Length: 5 * minute, Age: hour, Slot: hour}, 1000, 1, 1)
	f("nothing", Timeslices, 0, 0, anHour, 0, 0, 60)
	f("nothing", Occurrences, 0, 0, Extent{}, 0, 0, 0)
	f("more good than all", Occurrences, 5, 4, anHour, 0, 0, 0)
}

// TestOneLossIsNoRate: one bad slot, or one failed event, wakes nobody by itself;
// the second in the hour does. Tickets need no more than their budget.
func TestOneLossIsNoRate(t *testing.T) {
	f := func(what string, row BurnRow, long, short Rate, want bool) {
		t.Helper()
		if row.Holds(long, short) != want {
			t.Errorf("%s: fires %v, want %v", what, !want, want)
		}
	}
	rows := BurnRows(30 * day)
	page, ticket := rows[0], rows[2]
	rate := func(lost, room float64) Rate { return Rate{Burn: 1000 * lost / room, Seen: 5, Lost: lost, Room: room} }
	f("one bad minute", page, rate(1, 60), rate(1, 5), false)
	f("the second", page, rate(2, 60), rate(1, 5), true)
	f("a slot and a bit, by ratio", page, rate(1.2, 60), rate(0.2, 5), true)
	f("a slot that fills the short window", page, rate(1, 12), rate(1, 1), true)
	f("long over", page, rate(4, 60), rate(0, 5), false)
	f("one failed request of few", page, Rate{Burn: 100, Seen: 10, Lost: 1}, Rate{Burn: 1000, Seen: 1, Lost: 1}, false)
	f("two", page, Rate{Burn: 200, Seen: 10, Lost: 2}, Rate{Burn: 1000, Seen: 1, Lost: 1}, true)
	f("one minute at 99.99 % is a ticket", ticket, Rate{Burn: 6.9, Seen: 1440, Lost: 1, Room: 1440}, Rate{Burn: 83, Seen: 120, Lost: 1, Room: 120}, true)
	f("a policy's page", BurnRow{Severity: "page", Op: GTE, Factor: 2}, rate(1, 60), rate(1, 60), false)
	f("one that fires while nothing burns", BurnRow{Severity: "page", Op: LT, Factor: 2}, Rate{Seen: 9}, Rate{Seen: 9}, true)
}
