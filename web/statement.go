package web

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"nines/internal/slo"
	"nines/statement"
)

// getStatement settles a contract's month; without one, the month of the log
// time in the contract's time zone.
func (s *Server) getStatement(r *http.Request) (any, error) {
	q := r.URL.Query()
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	name := q.Get("contract")
	if _, ok := rs.Contracts[name]; !ok {
		known := strings.Join(slices.Sorted(maps.Keys(rs.Contracts)), ", ")
		return nil, notFound("there is no contract %s; loaded: %s", quoteShort(name), cmp.Or(known, "none"))
	}
	record, err := rs.Contract(name)
	if err != nil {
		return nil, err
	}
	if !s.who.Sees(record.Contract.Customer) {
		return nil, notFound("there is no contract %s", quoteShort(name))
	}
	logTime, err := s.o.Ledger.LogTime(r.Context())
	if err != nil {
		return nil, err
	}
	if logTime == 0 {
		logTime = s.now().UnixMilli()
	}
	loc, err := time.LoadLocation(record.Contract.TimeZone)
	if err != nil {
		return nil, err
	}
	month := cmp.Or(q.Get("month"), statement.MonthAt(record.Contract, logTime, loc))
	period, err := statement.Period(record.Contract, month, loc)
	if err != nil {
		return nil, badRequest("month=%s is no month: write it as 2026-11", quoteShort(month))
	}
	if period.Start >= logTime {
		return nil, badRequest("month %s has not begun: the ledger's log time is %s", month, time.UnixMilli(logTime).In(loc).Format(time.RFC3339))
	}
	return statement.Build(r.Context(), s.o.Ledger, statement.Request{Principal: s.who, Contract: record.Contract, Month: month, AsOf: logTime,
		Stream: func(id string) *slo.Stream { return rs.Streams[id] }})
}
