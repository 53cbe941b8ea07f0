package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"nines/internal/sla"
	"nines/internal/slo"
)

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
		if s.seesContract(v.Raw) {
			list = append(list, v)
		}
	}
	return list, nil
}

// contractOf shows a contract as it was compiled: what the statement settles
// by.
func contractOf(name string, record json.RawMessage) (contractView, error) {
	var c slo.ContractRecord
	if err := json.Unmarshal(record, &c); err != nil || c.Contract == nil {
		return contractView{}, fmt.Errorf("read contract %s: its record does not decode (%v); load the rules again", name, err)
	}
	v := contractView{Name: c.Contract.Name, Customer: c.Contract.Customer, Product: c.Contract.Product,
		Objectives: c.Contract.Objectives, Fee: c.Contract.Fee, File: c.File, Raw: c.Contract}
	if v.Objectives == nil {
		v.Objectives = []sla.Objective{}
	}
	return v, nil
}
