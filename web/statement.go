package web

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/statement"
)

// getStatement settles a contract's month.
func (s *Server) getStatement(r *http.Request) (any, error) {
	f, err := s.gather(r, r.URL.Query().Get("contract"))
	if err != nil {
		return nil, err
	}
	return f.Settle(), nil
}

// gather reads what the ?month= of a contract is settled from; without one, the
// month of the log time in the contract's time zone.
func (s *Server) gather(r *http.Request, name string) (*statement.Facts, error) {
	q := r.URL.Query()
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	record, err := s.contract(rs, name)
	if err != nil {
		return nil, err
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
	return statement.Gather(r.Context(), s.o.Ledger, statement.Request{Principal: s.who, Contract: record.Contract, Month: month, AsOf: logTime,
		Stream: func(id string) *slo.Stream { return rs.Streams[id] }})
}

// contract finds a contract that whoever asks may see. Of others it says what it
// says of those that there are not.
func (s *Server) contract(rs *slo.RuleSet, name string) (*slo.ContractRecord, error) {
	var mine []string
	for _, known := range slices.Sorted(maps.Keys(rs.Contracts)) {
		record, err := rs.Contract(known)
		if err != nil {
			return nil, err
		}
		switch {
		case !s.seesContract(record.Contract):
		case known == name:
			return record, nil
		default:
			mine = append(mine, known)
		}
	}
	return nil, notFound("there is no contract %s; loaded: %s", quoteShort(name), cmp.Or(strings.Join(mine, ", "), "none"))
}

// seesContract tells whether whoever asks sees some customer whose contract it is
// at some time.
func (s *Server) seesContract(c *sla.Contract) bool {
	always := sla.Period{Start: math.MinInt64, End: math.MaxInt64}
	return slices.ContainsFunc(statement.Parties(c, always), s.who.Sees)
}
