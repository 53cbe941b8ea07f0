package web

import (
	"net/http"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/yamlconf"
)

// inventoryView is what holds of the resources at an instant.
type inventoryView struct {
	At int64 `json:"at"`
	// Version is the newest record; it rises with every change.
	Version   int64                `json:"version"`
	Resources []inventory.Standing `json:"resources"`
}

// getInventory shows what held at ?at=, as it was known at ?known_at=.
func (s *Server) getInventory(r *http.Request) (any, error) {
	records, err := s.records(r)
	if err != nil {
		return nil, err
	}
	at, err := millis(r.URL.Query(), "at", s.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	out := inventoryView{At: at, Resources: inventory.At(records, 0).Snapshot(at)}
	if n := len(records); n > 0 {
		out.Version = records[n-1].ID
	}
	return out, nil
}

// getHistory shows every record of a resource.
func (s *Server) getHistory(r *http.Request) (any, error) {
	records, err := s.records(r)
	if err != nil {
		return nil, err
	}
	name, out := r.PathValue("name"), []inventory.Record{}
	for _, record := range records {
		if record.Resource == name {
			out = append(out, record)
		}
	}
	if len(out) == 0 {
		return nil, notFound("the inventory has no resource %s; GET /api/nines/v1/inventory lists them", quoteShort(name))
	}
	return out, nil
}

func (s *Server) records(r *http.Request) ([]inventory.Record, error) {
	known, err := millis(r.URL.Query(), "known_at", 0)
	if err != nil {
		return nil, err
	}
	return s.o.Ledger.Inventory(r.Context(), s.who, known)
}

// factsRequest is a change of the inventory.
type factsRequest struct {
	Author    string       `yaml:"author"`
	Reason    string       `yaml:"reason"`
	DryRun    bool         `yaml:"dry_run"`
	Resources yamlconf.Raw `yaml:"resources"`
}

// changeView is one fact that is new, or that corrects another.
type changeView struct {
	inventory.Fact
	Corrects *inventory.Record `json:"corrects"`
}

type changesView struct {
	DryRun  bool         `json:"dry_run"`
	Changes []changeView `json:"changes"`
}

// postInventory records facts, or says what recording them would change.
func (s *Server) postInventory(r *http.Request, d *yamlconf.Doc) (any, error) {
	var q factsRequest
	if err := d.Decode(&q); err != nil {
		return nil, err
	}
	if q.Resources.IsZero() {
		return nil, badRequest("resources: is required: a list of resources with their facts, as in docs/inventory.md")
	}
	entries, err := inventory.ReadResources(d, "resources", q.Resources)
	if err != nil {
		return nil, err
	}
	known, err := s.o.Ledger.Inventory(r.Context(), s.who, 0)
	if err != nil {
		return nil, err
	}
	plan, err := inventory.Plan(known, entries)
	if err != nil {
		return nil, err
	}
	out := changesView{DryRun: q.DryRun, Changes: []changeView{}}
	if !q.DryRun {
		note := ledger.Note{Author: q.Author, Reason: q.Reason, At: s.now().UnixMilli()}
		made, err := s.o.Ledger.RecordFacts(r.Context(), s.who, note, entries)
		if err != nil {
			return nil, err
		}
		// What was recorded counts, should somebody else have changed it meanwhile.
		plan = inventory.Changes(made, known)
	}
	for _, c := range plan {
		out.Changes = append(out.Changes, changeView(c))
	}
	return out, nil
}
