package web

import "net/http"

func (s *Server) getStatement(r *http.Request) (any, error) { return nil, nil }
