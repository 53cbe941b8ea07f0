package statement

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

// FactsFormat names the document that WriteFacts writes; docs/verify explains
// each of its fields.
const FactsFormat = "nines/facts/v1"

// Facts are all that a period is settled from: whoever has them can compute the
// settlement again.
type Facts struct {
	Contract *sla.Contract
	Period   sla.Period
	// Location is the contract's time zone.
	Location *time.Location
	Input    sla.Input
}

// Settle computes the settlement.
func (f *Facts) Settle() *sla.Settlement {
	s := clauses.Settle(f.Contract, f.Period, f.Location, f.Input)
	return &s
}

// document is Facts as they are written, with the settlement that they gave.
// Times are Unix milliseconds.
type document struct {
	Format   string        `json:"format"`
	Contract *sla.Contract `json:"contract"`
	Period   periodFact    `json:"period"`
	// Until is where a period that is not over is cut off.
	Until int64 `json:"until,omitempty"`
	// Instants says that spans begin and end at any instant and that what no
	// span covers was good; else they are slots, and what none covers is
	// unknown.
	Instants   bool                      `json:"instants"`
	Resources  map[string][]resourceFact `json:"resources"`
	Settlement *sla.Settlement           `json:"settlement"`
}

type periodFact struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
}

type resourceFact struct {
	Name string `json:"name"`
	Fee  *int64 `json:"fee_minor,omitempty"`
	// FeeFrom are the fees that take its place, by the instants from which they
	// hold.
	FeeFrom map[int64]int64 `json:"fee_from,omitempty"`
	// Of is the resource that an instance in a zone is part of, and pays for it.
	Of      string     `json:"of,omitempty"`
	Group   string     `json:"group,omitempty"`
	Zone    string     `json:"zone,omitempty"`
	Stopped [][2]int64 `json:"stopped,omitempty"`
	Spans   []spanFact `json:"spans"`
}

type spanFact struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	State string `json:"state"`
	Good  uint64 `json:"good,omitempty"`
	Total uint64 `json:"total,omitempty"`
}

// WriteFacts writes the facts and the settlement that they give as JSON, for
// whoever wants to compute it again.
func WriteFacts(w io.Writer, f *Facts) error {
	doc := document{Format: FactsFormat, Contract: f.Contract, Period: periodFact{f.Period.Name, f.Period.Start, f.Period.End},
		Until: f.Input.Until, Instants: f.Input.Exact, Resources: map[string][]resourceFact{}, Settlement: f.Settle()}
	for name, list := range f.Input.Resources {
		facts := []resourceFact{}
		for i := range list {
			facts = append(facts, factsOf(&list[i]))
		}
		doc.Resources[name] = facts
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write facts of %s: %w", f.Contract.Name, err)
	}
	return nil
}

func factsOf(r *sla.Resource) resourceFact {
	out := resourceFact{Name: r.Name, Fee: r.Fee, FeeFrom: r.FeeFrom, Of: r.Of, Group: r.Group, Zone: r.Zone, Spans: []spanFact{}}
	for _, i := range r.Stopped {
		out.Stopped = append(out.Stopped, [2]int64{i.Start, i.End})
	}
	for _, s := range r.Spans {
		out.Spans = append(out.Spans, spanFact{s.Start, s.End, s.State.String(), s.Good, s.Total})
	}
	return out
}
