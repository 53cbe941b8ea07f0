package inventory

import "nines/internal/sla"

// Refusal says in words why a change is refused.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Visible returns the records that somebody may see who sees some customers: a
// fact that held at some time while its resource was one of theirs. Where a
// resource went to another customer, they learn that it is no longer theirs, not
// whose it is.
func Visible(records []Record, sees func(customer string) bool) []Record {
	v := At(records, 0)
	current := map[int64]sla.Interval{}
	for _, r := range v.Resources() {
		for a, list := range r.facts {
			for _, f := range list {
				current[f.ID] = sla.Interval{Start: f.From, End: r.endOf(a, f.From)}
			}
		}
	}
	var out []Record
	for _, r := range records {
		res := v.Resource(r.Resource)
		if res == nil {
			continue // all that was known of it is withdrawn
		}
		during, ok := current[r.ID]
		if !ok { // corrected since: it was about this instant
			during = sla.Interval{Start: r.From, End: r.From + 1}
		}
		owned := func(in sla.Interval) bool {
			return len(res.During(Customer, in, func(c string) bool { return c != "" && sees(c) })) > 0
		}
		switch {
		case owned(during) && (r.Attribute != Customer || r.Value == "" || sees(r.Value)):
			out = append(out, r)
		case r.Attribute == Customer && ok && owned(sla.Interval{Start: r.From - 1, End: r.From}):
			r.Value, r.Author, r.Reason = "", "", ""
			out = append(out, r)
		}
	}
	return out
}
