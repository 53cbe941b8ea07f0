package web

import (
	"net/http"

	"nines/internal/sla"
)

// standingView is how a contract stands in a period, so far.
type standingView struct {
	Name     string     `json:"name"`
	Customer string     `json:"customer"`
	Product  string     `json:"product"`
	Period   periodView `json:"period"`
	// Fee is that of all resources for the period, in the credit's currency.
	Fee        string          `json:"fee"`
	Settlement *sla.Settlement `json:"settlement"`
	// Strips hold the slots of each objective, as far as they are settled.
	Strips []stripView `json:"strips"`
}

type periodView struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	// Until is up to where it is settled: its end once it is over.
	Until    int64  `json:"until"`
	TimeZone string `json:"time_zone"`
}

// stripView are slots as runs of one state, ascending, without those that nothing
// was due in; a slot shows its worst resource.
type stripView struct {
	Objective string    `json:"objective"`
	Reading   string    `json:"reading"`
	SlotMs    int64     `json:"slot_ms"`
	Runs      []runView `json:"runs"`
}

type runView struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// S is good, bad, unknown or open.
	S string `json:"s"`
}

// getContract settles a contract's month as a statement does, and adds the slots
// that it came from.
func (s *Server) getContract(r *http.Request) (any, error) {
	f, err := s.gather(r, r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	c, settled := f.Contract, f.Settle()
	v := standingView{Name: c.Name, Customer: c.Customer, Product: c.Product, Fee: settled.Fee.String(), Settlement: settled, Strips: []stripView{},
		Period: periodView{Name: f.Period.Name, Start: f.Period.Start, End: f.Period.End, Until: f.Period.End, TimeZone: c.TimeZone}}
	if f.Input.Until != 0 {
		v.Period.Until = f.Input.Until
	}
	for i := range c.Objectives {
		o := &c.Objectives[i]
		strip := stripView{Objective: o.Name, Reading: o.Reading, SlotMs: o.Slot.Length, Runs: []runView{}}
		for _, run := range f.Strip(o) {
			if run.State != sla.NotApplicable {
				strip.Runs = append(strip.Runs, runView{run.Start, run.End, run.State.String()})
			}
		}
		v.Strips = append(v.Strips, strip)
	}
	return v, nil
}
