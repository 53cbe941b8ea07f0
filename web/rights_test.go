package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/sla"
	"nines/internal/slo"
)

// another adds a contract of another customer, on the same stream.
func (s *scenario) another(name, customer string, changes *sla.Changes) {
	s.t.Helper()
	var rec slo.ContractRecord
	if err := json.Unmarshal(s.rules.Contracts["acme"], &rec); err != nil {
		s.t.Fatal(err)
	}
	rec.Contract.Name, rec.Contract.Customer, rec.Contract.Changes = name, customer, changes
	raw, err := json.Marshal(rec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.rules.Contracts[name] = raw
}

// Each customer gets its own contracts, statements and alerts, and does not learn
// that there are others; what a statement says does not depend on who asks.
func TestACustomerSeesItsOwnOnly(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	s.another("zeta", "zeta", nil)
	s.another("sold", "zeta", &sla.Changes{At: []sla.Change{{From: time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC).UnixMilli(), Reason: "sold", Customer: "acme"}}})
	notified := []Alert{{Labels: map[string]string{"alertname": "A", "customer": "zeta"}, Firing: true}, {Labels: map[string]string{"alertname": "B"}, Firing: true}}
	srv := newServer(t, s, func(o *Options) {
		o.Rules = func() *slo.RuleSet { return s.rules }
		o.Alerts = func() []Alert { return notified }
	})
	h := srv.Handler()
	// The target of the database is zeta's, and there is no contract of its own.
	if code, answer := post(h, "inventory", `{"author":"ann","reason":"order","resources":[{"name":"db","match":{"target":"10.20.0.7:5432"},
		"facts":[{"from":"2026-10-01T00:00:00Z","state":"running","customer":"zeta"}]}]}`); code != 200 {
		t.Fatal(answer)
	}
	statement := func(contract string) (int, string) {
		w := request(h, "GET", "/api/nines/v1/statement?month=2026-11&contract="+url.QueryEscape(contract), nil)
		return w.Code, w.Body.String()
	}
	_, acme := statement("acme")
	_, zeta := statement("zeta")
	if !strings.Contains(acme, `"resources":"1"`) || !strings.Contains(zeta, `"resources":"2"`) || acme == zeta {
		t.Errorf("the operator reads of acme\n%s\nof zeta\n%s", acme, zeta)
	}
	f := func(customer, contracts string, alerts int, refused ...string) {
		t.Helper()
		srv.who = access.Principal{Name: "portal", Customers: []string{customer}}
		var names []string
		for _, c := range get[[]contractView](t, h, "/api/nines/v1/contracts") {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != contracts {
			t.Errorf("%s sees the contracts %s", customer, got)
		}
		seen := 0
		for _, a := range get[[]alertView](t, h, "/api/nines/v1/alerts") {
			if a.Labels["customer"] != customer {
				t.Errorf("%s sees %+v", customer, a)
			}
			seen++
		}
		if seen != alerts {
			t.Errorf("%s sees %d alerts", customer, seen)
		}
		for _, name := range refused {
			code, answer := statement(name)
			if w := request(h, "GET", "/api/nines/v1/contracts/"+name, nil); w.Code != code || w.Body.String() != answer {
				t.Errorf("%s asks for %s: %d %s", customer, name, w.Code, w.Body)
			}
			if code != http.StatusNotFound {
				t.Errorf("%s asks for %s: %d %s", customer, name, code, answer)
			}
			for _, other := range []string{"acme", "zeta"} {
				if other != customer && other != name && strings.Contains(answer, other) {
					t.Errorf("%s learns of %s: %s", customer, other, answer)
				}
			}
		}
	}
	f("acme", "acme sold", 0, "zeta", "sold", "none")
	if code, same := statement("acme"); code != 200 || same != acme {
		t.Errorf("acme reads another statement than the operator: %s", same)
	}
	f("zeta", "sold zeta", 1, "acme", "sold", "none")
	if code, same := statement("zeta"); code != 200 || same != zeta {
		t.Errorf("zeta reads another statement than the operator: %s", same)
	}
	f("nobody", "", 0, "acme", "zeta", "sold")
}
