package web

import (
	"errors"
	"net/http"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/yamlconf"
	"nines/rules"
)

// getExclusions lists the exclusions of ?contract=, or of all, as they stood at
// ?known_at=.
func (s *Server) getExclusions(r *http.Request) (any, error) {
	known, err := millis(r.URL.Query(), "known_at", 0)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Ledger.Exclusions(r.Context(), s.who, r.URL.Query().Get("contract"), known)
	if list == nil {
		list = []inventory.Exclusion{}
	}
	return list, err
}

// stepRequest is one step about an exclusion.
type stepRequest struct {
	Step inventory.Step `yaml:"step"`
	// ID is the exclusion's; a proposal names its Contract and what it is.
	ID        int64        `yaml:"id"`
	Contract  string       `yaml:"contract"`
	Author    string       `yaml:"author"`
	Reason    string       `yaml:"reason"`
	Exclusion yamlconf.Raw `yaml:"exclusion"`
}

// postExclusion proposes an exclusion, or approves, rejects or withdraws one.
func (s *Server) postExclusion(r *http.Request, d *yamlconf.Doc) (any, error) {
	var q stepRequest
	if err := d.Decode(&q); err != nil {
		return nil, err
	}
	note := ledger.Note{Author: q.Author, Reason: q.Reason, At: s.now().UnixMilli()}
	if q.Step != inventory.Propose {
		if q.ID <= 0 || q.Contract != "" || !q.Exclusion.IsZero() {
			return nil, badRequest("want step and the id of an exclusion; contract and exclusion belong to the step propose")
		}
		return s.o.Ledger.StepExclusion(r.Context(), s.who, note, q.ID, q.Step)
	}
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	record, err := s.contract(rs, q.Contract)
	if unknown := (*apiError)(nil); errors.As(err, &unknown) {
		return nil, badRequest("contract: %v", err)
	}
	if err != nil {
		return nil, err
	}
	if q.Exclusion.IsZero() {
		return nil, badRequest("exclusion: is required: what is proposed, as in docs/contracts.md")
	}
	x, err := rules.ReadExclusion(d, "exclusion", q.Exclusion, record.Contract)
	if err != nil {
		return nil, err
	}
	if q.Author != "" && !access.SamePerson(q.Author, x.Author) {
		return nil, badRequest("author: %s proposes an exclusion of author %s: whoever proposes it is its author, and somebody else approves it", quoteShort(q.Author), quoteShort(x.Author))
	}
	note.Author = x.Author
	return s.o.Ledger.ProposeExclusion(r.Context(), s.who, note, q.Contract, record.Contract.Customer, *x)
}
