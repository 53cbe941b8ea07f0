package slo

// Extent is a window, or a calendar period, as a group lives through it. Times
// are milliseconds.
type Extent struct {
	// Length is how long it lasts, all of it.
	Length int64
	// Age is for how long of it the group has been counted.
	Age int64
	// Slot is the length of a slot.
	Slot int64
	// Unit is how many counts make an event: that of the stream, 0 is one.
	Unit uint64
}

// slots returns how many slots the extent has room for, undecided ones too.
func (e Extent) slots() float64 {
	return max(1, float64(e.Length)/float64(max(e.Slot, 1)))
}

// Rate is how fast an error budget burned over an extent.
type Rate struct {
	// Burn is how many times faster than the target allows: 1 spends the budget
	// exactly within the objective's window. Over that window itself it is the
	// share of the budget that is consumed.
	Burn float64
	// Seen is how many events, or decided slots, it rests on; of RatioTimeslices
	// in parts of SliceUnit.
	Seen uint64
	// Lost is what was lost, in slots or events; of RatioTimeslices in parts of
	// slots.
	Lost float64
	// Room is how many slots the extent has room for; 0 where events are counted.
	Room float64
}

// Rate returns how fast the budget burned where good of total events, decided
// slots, or parts of slices were counted over the extent:
//
//	Occurrences      (bad ÷ total events) ÷ (1 − target) × Age ÷ Length
//	Timeslices       bad slots ÷ slots that the extent has room for ÷ (1 − target)
//	RatioTimeslices  the slots' lost shares ÷ the same ÷ (1 − target)
//
// What is not decided counts as good: slots that are open, unknown, to come, or
// before the group's first; and events before the first, as many as later. So
// Burn × Length ÷ window is the share of the window's budget that was spent for
// certain, however much of the extent is known.
//
// Source: The Site Reliability Workbook, chapter 5 (budget consumed = burn rate ×
// length ÷ period); OpenSLO v1 on Timeslices and RatioTimeslices, whose ratio is
// over all slices of the budgeting period.
func (o *Objective) Rate(good, total uint64, e Extent) Rate {
	bad := float64(total - min(good, total))
	switch o.Budgeting {
	case Timeslices:
		return Rate{Burn: burn(bad/e.slots(), o.Target), Seen: total, Lost: bad, Room: e.slots()}
	case RatioTimeslices:
		bad /= SliceUnit
		return Rate{Burn: burn(bad/e.slots(), o.Target), Seen: total, Lost: bad, Room: e.slots()}
	}
	lived := 0.0
	if e.Length > 0 {
		lived = min(1, float64(e.Age)/float64(e.Length))
	}
	return Rate{Burn: Burn(good, total, o.Target) * lived, Seen: total, Lost: bad / float64(max(e.Unit, 1))}
}

// CompositeRate returns the rate of a composite objective from those of its
// parts: burns are weighted as Composite does, and what speaks for them is added
// up as it is.
func CompositeRate(rates []Rate, weights []float64) (out Rate) {
	for i, r := range rates {
		out.Burn += Composite([]Part{{Weight: weights[i], Value: r.Burn}})
		out.Seen += r.Seen
		out.Lost += r.Lost
		out.Room = max(out.Room, r.Room)
	}
	return out
}
