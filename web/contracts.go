package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// contractHead reads what a list of contracts shows, from the compiled form
// (names at the top) or from the document (metadata and spec).
type contractHead struct {
	contractFields
	Metadata contractFields `json:"metadata"`
	Spec     contractFields `json:"spec"`
}

type contractFields struct {
	Name       string          `json:"name"`
	Customer   string          `json:"customer"`
	Product    string          `json:"product"`
	Objectives json.RawMessage `json:"objectives"`
	Fee        json.RawMessage `json:"fee"`
}

func (s *Server) getContracts(r *http.Request) (any, error) {
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	list := []contractView{}
	for _, name := range slices.Sorted(maps.Keys(rs.Contracts)) {
		v, err := contractOf(name, rs.Contracts[name])
		if err != nil {
			return nil, err
		}
		if s.who.Sees(v.Customer) {
			list = append(list, v)
		}
	}
	return list, nil
}

func contractOf(name string, raw json.RawMessage) (contractView, error) {
	var h contractHead
	if err := json.Unmarshal(raw, &h); err != nil {
		return contractView{}, fmt.Errorf("read contract %s: %w", name, err)
	}
	null := json.RawMessage("null")
	v := contractView{
		Name:     cmp.Or(h.Name, h.Metadata.Name, name),
		Customer: cmp.Or(h.Customer, h.Spec.Customer, h.Metadata.Customer),
		Product:  cmp.Or(h.Product, h.Spec.Product, h.Metadata.Product),
		Raw:      raw, Objectives: null, Fee: null,
	}
	for _, f := range []contractFields{h.contractFields, h.Spec} {
		if len(f.Objectives) > 0 {
			v.Objectives = f.Objectives
		}
		if len(f.Fee) > 0 {
			v.Fee = f.Fee
		}
	}
	return v, nil
}
