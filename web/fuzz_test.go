package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Whatever a client asks, the answer is JSON with a status that is no surprise,
// soon.
func FuzzQuery(f *testing.F) {
	s := newScenario(f, scenarioNow, time.Hour)
	h := newServer(f, s, nil).Handler()
	id := groupID(s.api[1].Key)
	f.Add("slots", id, "", "", "", "")
	f.Add("percentiles", id, "1795170000000", "1795178070000", "60000", "")
	f.Add("burndown", id, "-4503599627370496", "4503599627370496", "9223372036854775807", "probe-latency")
	f.Add("gaps", "-", "0", "1", "-1", "")
	f.Add("contracts/acme", "", "2026-11", "", "", "")
	f.Add("statement", "+123456789abcdef-+123456789abcdef", "1e3", "NaN", "0x10", "acme")
	f.Fuzz(func(t *testing.T, path, group, from, to, step, name string) {
		if path == "events" {
			t.Skip("a stream ends when its client leaves")
		}
		q := url.Values{"group": {group}, "from": {from}, "to": {to}, "step": {step}, "objective": {name}, "contract": {name}, "month": {from}}
		w := request(h, "GET", "/api/nines/v1/"+url.PathEscape(path)+"?"+q.Encode(), nil)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound:
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			return // a path that the mux cleans
		default:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON: %s", w.Body)
		}
	})
}

func FuzzGroupID(f *testing.F) {
	f.Add("0123456789abcdef-0123456789abcdef")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseGroupID(s); err == nil && groupID(k) != s {
			t.Errorf("%q reads as %q", s, groupID(k))
		}
	})
}
