package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"nines/internal/access"
)

func TestThePipelineIsForOperators(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	var known func(context.Context) (Pipeline, error)
	srv := newServer(t, s, func(o *Options) {
		o.Pipeline = func(ctx context.Context) (Pipeline, error) { return known(ctx) }
	})
	known = func(context.Context) (Pipeline, error) {
		return Pipeline{Loops: []Loop{{Role: "aggregate", Topic: "nines.telemetry", LagRecords: 12, Saturation: 0.25}}, Reasons: map[string]int{"influx": 3}}, nil
	}
	f := func(who access.Principal, code int, want string) {
		t.Helper()
		srv.who = who
		w := request(srv.Handler(), "GET", "/api/nines/v1/pipeline", nil)
		if w.Code != code || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%+v: %d %s, want %d and %s", who, w.Code, w.Body, code, want)
		}
	}
	f(access.Local(), 200, `"role":"aggregate","topic":"nines.telemetry","partition":0,"lag_records":12`)
	f(access.Local(), 200, `"reasons":{"influx":3}`)
	f(access.Principal{Name: "portal", Customers: []string{"acme"}}, 403, "operators only")
	f(access.Principal{}, 403, "operators only")
	srv.o.Pipeline = nil
	f(access.Local(), 503, "this process reads no partitions")
}
