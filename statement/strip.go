package statement

import (
	"nines/internal/sla"
)

// Strip returns the slots of an objective up to where the period is settled, as
// runs of one state: each slot shows its worst resource. It is before exclusions,
// runs and zones: what was measured, not what it costs. Time in which nothing was
// due is not applicable.
func (f *Facts) Strip(o *sla.Objective) []sla.Span {
	end := f.Period.End
	if f.Input.Until != 0 {
		end = min(end, f.Input.Until)
	}
	length := o.Slot.Length
	slots := make([]sla.State, max(f.Period.Index(end, length), 0))
	for i := range slots {
		slots[i] = sla.NotApplicable
	}
	for i := range f.Input.Resources[o.Name] {
		for k, state := range f.measured(o, &f.Input.Resources[o.Name][i], len(slots)) {
			slots[k] = worse(slots[k], state)
		}
	}
	var out []sla.Span
	for k, state := range slots {
		start := f.Period.Start + int64(k)*length
		if n := len(out); n > 0 && out[n-1].State == state {
			out[n-1].End = start + length
			continue
		}
		out = append(out, sla.Span{Start: start, End: start + length, State: state})
	}
	return out
}

// measured returns the first n slots of a resource: unknown where there is none,
// and not applicable where it did not run.
func (f *Facts) measured(o *sla.Objective, r *sla.Resource, n int) []sla.State {
	p, length := f.Period, o.Slot.Length
	out := make([]sla.State, n)
	mark := func(from, to int64, state sla.State) {
		for k := max(from, 0); k < min(to, int64(n)); k++ {
			if state != sla.NotApplicable || out[k] != sla.Bad {
				out[k] = state
			}
		}
	}
	mark(0, int64(n), sla.Unknown)
	for _, s := range r.Spans {
		mark(p.Index(s.Start, length), p.Index(s.End, length), s.State)
	}
	for _, i := range r.Stopped {
		mark(p.Index(i.Start, length), p.Index(i.End+1, length)-1, sla.NotApplicable)
	}
	return out
}
