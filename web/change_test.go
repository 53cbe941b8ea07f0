package web

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/inventory"
)

// post sends JSON and returns status and answer.
func post(h http.Handler, path, body string) (int, string) {
	w := request(h, "POST", "/api/nines/v1/"+path, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		r.Body = io.NopCloser(strings.NewReader(body))
	})
	return w.Code, w.Body.String()
}

const order = `{"author":"ann","reason":"order","resources":[{"name":"api","match":{"target":"https://api.example.net/health"},
 "facts":[{"from":"2026-11-01T00:00:00Z","state":"running","customer":"acme","contract":"acme","fee":"100 EUR"}]},
 {"name":"ghost","match":{"target":"ghost"},"facts":[{"from":"2026-11-01T00:00:00Z","state":"running","customer":"acme","contract":"acme"}]}]}`

func TestTheInventoryIsChangedAndRead(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	srv := newServer(t, s, nil)
	h := srv.Handler()
	f := func(body string, status int, want string) {
		t.Helper()
		if code, answer := post(h, "inventory", body); code != status || !strings.Contains(answer, want) {
			t.Errorf("status %d, want %d and %q: %s", code, status, want, answer)
		}
	}
	f(strings.Replace(order, `"author"`, `"dry_run":true,"author"`, 1), 200, `"dry_run":true,"changes":[{"resource":"api"`)
	if got := get[inventoryView](t, h, "/api/nines/v1/inventory"); len(got.Resources) != 0 || got.Version != 0 {
		t.Errorf("a dry run has written %+v", got)
	}
	f(order, 200, `"value":"100.00 EUR"`)
	f(order, 200, `"changes":[]`)
	f(`{"author":"ben","reason":"price","resources":[{"name":"api","facts":[{"from":"2026-11-01T00:00:00Z","fee":"120 EUR"}]}]}`, 200, `"corrects":{"id":`)
	f(`{"author":"ben","resources":[{"name":"api","facts":[{"from":"2026-11-01T00:00:00Z","fee":"130 EUR"}]}]}`, 400, "a reason is required")
	f(`{"author":"ben","reason":"x","resources":[{"name":"api","facts":[{"from":"2026-11-01","state":"gone"}]}]}`, 400, "request:1:74: resources[0].facts[0].from: want a time with its offset")
	f(`{"author":"ben","reason":"x","resources":[{"name":"new","facts":[{"from":"2026-11-01T00:00:00Z","state":"running"}]}]}`, 400, "new: match: is required")
	f(`{"author":"ben","reason":"x","resource":[]}`, 400, "unknown field")
	f(`{"author":"ben","reason":"x"}`, 400, "resources: is required")
	f("author: ben", 400, "no JSON")
	f("", 400, "no JSON")
	f(`{"author":"`+strings.Repeat("x", maxChange)+`"}`, 413, "longer than 4 MiB")
	if w := request(h, "POST", "/api/nines/v1/inventory", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(order)) }); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("without a type: %d", w.Code)
	}
	if w := request(h, "POST", "/api/nines/v1/inventory", func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Body = io.NopCloser(strings.NewReader(order))
	}); w.Code != http.StatusForbidden {
		t.Errorf("from another site: %d", w.Code)
	}

	now := get[inventoryView](t, h, "/api/nines/v1/inventory")
	if len(now.Resources) != 2 || now.Resources[0].Facts[inventory.Fee] != "120.00 EUR" || now.Version != 10 {
		t.Errorf("%+v", now)
	}
	history := get[[]inventory.Record](t, h, "/api/nines/v1/inventory/api")
	if len(history) != 6 || history[5].Supersedes == 0 || history[5].Author != "ben" {
		t.Errorf("%+v", history)
	}
	if w := request(h, "GET", "/api/nines/v1/inventory/none", nil); w.Code != http.StatusNotFound {
		t.Errorf("unknown: %d", w.Code)
	}
	fee := func(amount string) {
		f(`{"author":"ben","reason":"price","resources":[{"name":"ghost","facts":[{"from":"2026-11-01T00:00:00Z","fee":"`+amount+`"}]}]}`, 200, amount)
	}
	fee("30.000 JOD")
	if w := request(h, "GET", "/api/nines/v1/statement?contract=acme&month=2026-11", nil); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "ghost: is in JOD") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	fee("30.00 EUR")
	// The silent resource is in the statement, and unknown.
	if w := request(h, "GET", "/api/nines/v1/statement?contract=acme&month=2026-11", nil); !strings.Contains(w.Body.String(), `"resources":"2"`) {
		t.Errorf("%s", w.Body)
	}

	srv.who = access.Principal{Name: "portal", Customers: []string{"other"}}
	if got := get[inventoryView](t, h, "/api/nines/v1/inventory"); len(got.Resources) != 0 {
		t.Errorf("another customer sees %+v", got)
	}
	f(order, 400, "only operators may")
}

func TestExclusionsTakeTwo(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	h := newServer(t, s, nil).Handler()
	f := func(body string, status int, want string) {
		t.Helper()
		if code, answer := post(h, "exclusions", body); code != status || !strings.Contains(answer, want) {
			t.Errorf("status %d, want %d and %q: %s", code, status, want, answer)
		}
	}
	const works = `{"start":"2026-11-12T22:00:00Z","end":"2026-11-12T23:00:00Z","effect":"removed","category":"works","reason":"switches","author":"ann"}`
	f(`{"step":"propose","contract":"acme","exclusion":`+works+`}`, 200, `"id":1,"contract":"acme","customer":"acme","state":"proposed"`)
	f(`{"step":"propose","contract":"acme","exclusion":`+strings.Replace(works, "removed", "gone", 1)+`}`, 400, "exclusion.effect: want removed or available")
	f(`{"step":"propose","contract":"acme","exclusion":`+strings.Replace(works, `"author"`, `"approvedBy":"ben","author"`, 1)+`}`, 400, "leave approvedBy out")
	f(`{"step":"propose","contract":"none","exclusion":`+works+`}`, 400, "loaded: acme")
	f(`{"step":"propose","contract":"acme"}`, 400, "exclusion: is required")
	f(`{"step":"approve","id":1,"author":"ann"}`, 400, "somebody else has to approve it")
	f(`{"step":"propose","contract":"acme","author":"ben","exclusion":`+works+`}`, 400, "is its author")
	f(`{"step":"approve","id":7,"author":"ben"}`, 404, "exclusion 7")
	f(`{"step":"approve","author":"ben"}`, 400, "the id of an exclusion")
	f(`{"step":"approve","id":1,"author":"ben"}`, 200, `"state":"approved"`)
	f(`{"step":"withdraw","id":1,"author":"ben"}`, 400, "a reason is required")
	list := get[[]inventory.Exclusion](t, h, "/api/nines/v1/exclusions?contract=acme")
	if len(list) != 1 || list[0].ApprovedBy != "ben" || len(list[0].History) != 2 {
		t.Errorf("%+v", list)
	}
	if w := request(h, "GET", "/api/nines/v1/exclusions?contract=other", nil); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("%s", w.Body)
	}
}

// Whatever a client sends, the answer is JSON with a status that is no surprise.
func FuzzChange(f *testing.F) {
	s := newScenario(f, scenarioNow, time.Hour)
	h := newServer(f, s, nil).Handler()
	f.Add(true, order)
	f.Add(false, `{"step":"propose","contract":"acme","exclusion":{"recurs":{"days":["mon"],"from":"08:00","to":"09:00"},"effect":"available","category":"c","reason":"r","author":"a"}}`)
	f.Fuzz(func(t *testing.T, facts bool, body string) {
		path := "exclusions"
		if facts {
			path = "inventory"
		}
		code, answer := post(h, path, body)
		if code != 200 && code != 400 && code != 404 && code != 413 || !json.Valid([]byte(answer)) {
			t.Errorf("status %d: %s", code, answer)
		}
	})
}
