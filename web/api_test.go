package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// newServer serves a ledger; now is its clock.
func newServer(t testing.TB, s *scenario, more func(*Options)) *Server {
	t.Helper()
	o := Options{Ledger: s.l, Version: "1.2.3", DataDir: "/var/lib/nines", Now: func() time.Time { return time.UnixMilli(s.now + 400) }}
	if more != nil {
		more(&o)
	}
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// request asks as a browser on this host would, unless edited.
func request(h http.Handler, method, target string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:9999"
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get[T any](t testing.TB, h http.Handler, target string) T {
	t.Helper()
	w := request(h, "GET", target, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", target, w.Code, w.Body)
	}
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	return v
}

func TestAnswersAreAsDocumented(t *testing.T) {
	s := newScenario(t, scenarioNow, 8*time.Hour)
	h := newServer(t, s, nil).Handler()
	api, slow := groupID(s.api[0].Key), groupID(s.api[1].Key)
	f := func(name, target string) {
		t.Helper()
		w := request(h, "GET", "/api/nines/v1/"+target, nil)
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d: %s", target, w.Code, w.Body)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, w.Body.Bytes(), "", " "); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		golden(t, name, pretty.Bytes())
	}
	f("overview", "overview")
	f("objective", "objectives/monthly/1")
	f("slots", fmt.Sprintf("slots?group=%s&from=%d&to=%d", api, s.now-122*minuteMs, s.now-116*minuteMs))
	f("slots_open", fmt.Sprintf("slots?group=%s&from=%d&to=%d", api, s.now-2*minuteMs, s.now))
	f("percentiles", fmt.Sprintf("percentiles?group=%s&from=%d&to=%d&step=600000", slow, s.now-140*minuteMs, s.now-90*minuteMs))
	f("burndown", fmt.Sprintf("burndown?objective=probe-availability&group=%s&from=%d&to=%d", api, s.now-125*minuteMs, s.now-115*minuteMs))
	f("hosts", "hosts")
	f("agents", "agents")
	f("regions", "regions")
	f("contracts", "contracts")
	f("contract", "contracts/acme")
	f("alerts", "alerts")
	f("gaps", "gaps")
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run the test with -update and look at the difference\n%s", path, got)
	}
}

func TestAnEmptyLedgerHasAnswersToo(t *testing.T) {
	s := &scenario{t: t, l: openLedger(t), now: scenarioNow}
	h := newServer(t, s, nil).Handler()
	for _, target := range []string{"overview", "objectives", "hosts", "agents", "regions", "contracts", "alerts", "gaps"} {
		w := request(h, "GET", "/api/nines/v1/"+target, nil)
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "null") && target != "contracts" {
			t.Errorf("%s: status %d, body %s: lists must be [] for the page", target, w.Code, w.Body)
		}
	}
	o := get[overviewView](t, h, "/api/nines/v1/overview")
	if o.LogTime != 0 || o.Version != "1.2.3" {
		t.Errorf("overview of an empty ledger: %+v", o)
	}
}

// The slots that the API shows are the ledger's, and their sums are what the
// statuses say: the page never contradicts itself.
func TestSlotsAddUpToTheStatus(t *testing.T) {
	s := newScenario(t, scenarioNow, 8*time.Hour)
	h := newServer(t, s, nil).Handler()
	for _, o := range get[[]objectiveView](t, h, "/api/nines/v1/objectives") {
		if o.Calendar != nil {
			continue
		}
		for _, g := range o.Groups {
			slots := get[slotsView](t, h, fmt.Sprintf("/api/nines/v1/slots?group=%s&from=%d&to=%d", g.ID, s.now-o.WindowMs, s.now))
			var sum groupView
			for _, sl := range slots.Slots {
				sum.Good += sl.Good
				sum.Total += sl.Total
				switch sl.S {
				case "good":
					sum.GoodSlots++
				case "bad":
					sum.BadSlots++
				case "unknown":
					sum.UnknownSlots++
				}
			}
			if sum.Good != g.Good || sum.Total != g.Total || sum.GoodSlots != g.GoodSlots || sum.BadSlots != g.BadSlots || sum.UnknownSlots != g.UnknownSlots {
				t.Errorf("%s %v: slots give %+v, status says %+v", o.Name, g.Labels, sum, g)
			}
		}
	}
}

// The burn-down equals a plain recomputation from the slots at every point,
// whatever the range, and ends at the status' budget.
func TestBurndownEqualsRecomputation(t *testing.T) {
	s := newScenario(t, scenarioNow, 50*time.Hour)
	srv := newServer(t, s, nil)
	short := *s.rules.Objectives[1]
	short.Name, short.Window = "short", 7*minuteMs+30_000
	calendar := *s.rules.Objectives[2]
	day := *s.rules.Objectives[2]
	day.Name, day.Calendar = "day", &slo.Calendar{TimeZone: "Asia/Kolkata", Unit: "day"}
	f := func(o *slo.Objective, key wire.GroupKey, from, to int64) {
		t.Helper()
		a := asked{key: key, group: s.api[0], slotMs: minuteMs, from: from, to: to}
		got, err := srv.burndown(t.Context(), o, a, s.now)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Points) == 0 || len(got.Points) > 2*wantedPoints {
			t.Fatalf("%s: %d points", o.Name, len(got.Points))
		}
		for _, p := range got.Points {
			w, err := windowAt(o, p.T)
			if err != nil {
				t.Fatal(err)
			}
			sum := s.sum(key, w.from, p.T)
			age := float64(p.T - max(s.start, w.from))
			want := 1 - slo.Burn(sum.Good, sum.Total, o.Target)*min(1, age/float64(w.length))
			if o.Budgeting == budgetingSlots { // of all minutes of the window
				want = 1 - float64(sum.BadSlots)*float64(minuteMs)/float64(w.length)/(1-slo.Float(o.Target))
			}
			if math.Abs(want-p.BudgetLeft) > 1e-9 {
				t.Errorf("%s at %d: budget left %v, recomputed %v", o.Name, p.T, p.BudgetLeft, want)
			}
		}
	}
	for _, span := range []int64{10 * minuteMs, 6 * hourMs, 50 * hourMs, 300 * hourMs} {
		f(s.rules.Objectives[0], s.api[0].Key, s.now-span, s.now)
		f(s.rules.Objectives[1], s.api[1].Key, s.now-span, s.now)
		f(&short, s.api[1].Key, s.now-span, s.now)
		f(&calendar, s.api[0].Key, s.now-span, s.now)
		f(&day, s.api[0].Key, s.now-span-hourMs, s.now-hourMs)
	}
	for _, o := range s.rules.Objectives {
		key := s.api[0].Key
		if o.StreamID == s.slow.ID() {
			key = s.api[1].Key
		}
		got, err := srv.burndown(t.Context(), o, asked{key: key, group: s.api[0], slotMs: minuteMs, from: s.now - hourMs, to: s.now + hourMs}, s.now)
		if err != nil {
			t.Fatal(err)
		}
		want := s.status(o, s.api[map[bool]int{true: 1}[o.StreamID == s.slow.ID()]]).BudgetLeft
		if last := got.Points[len(got.Points)-1]; last.T != s.now || math.Abs(last.BudgetLeft-want) > 1e-9 {
			t.Errorf("%s: the burn-down ends at %+v, the status says %v at %d", o.Name, last, want, s.now)
		}
	}
}

func TestPercentilesAreMergesOfSlots(t *testing.T) {
	s := newScenario(t, scenarioNow, 8*time.Hour)
	h := newServer(t, s, nil).Handler()
	id := groupID(s.api[1].Key)
	at := floorTo(s.now-110*minuteMs, 10*minuteMs)
	v := get[percentilesView](t, h, fmt.Sprintf("/api/nines/v1/percentiles?group=%s&from=%d&to=%d&step=600000", id, at, at+10*minuteMs))
	if len(v.Points) != 1 || v.Points[0].Count != 600 || v.Points[0].Inf != 600 {
		t.Fatalf("ten minutes of outage: %+v", v.Points)
	}
	for i, q := range v.Points[0].V {
		if q != nil {
			t.Errorf("quantile %d of time-outs is %v, want none", i, *q)
		}
	}
	calm := get[percentilesView](t, h, fmt.Sprintf("/api/nines/v1/percentiles?group=%s&from=%d&to=%d", id, s.now-hourMs, s.now))
	for _, p := range calm.Points {
		if p.V[0] == nil || *p.V[0] < 0.012 || *p.V[0] > 0.033 || *p.V[0] > *p.V[1] || *p.V[1] > *p.V[2] {
			t.Errorf("quantiles of about 20 ms: %v", p)
		}
	}
}

// The statement's slots are the ledger's over the month so far, and its answer
// has the settlement's keys.
func TestTheStatementCountsTheLedgersSlots(t *testing.T) {
	s := newScenario(t, scenarioNow, 8*time.Hour)
	h := newServer(t, s, nil).Handler()
	v := get[sla.Settlement](t, h, "/api/nines/v1/statement?contract=acme")
	var bad uint64
	for _, g := range []wire.GroupKey{s.api[0].Key, s.db[0].Key} {
		bad += s.sum(g, 0, s.now).BadSlots
	}
	if v.Contract != "acme" || v.Period != "2026-11" || uint64(v.Slots.Bad) != bad || v.AttainmentPct == "" || v.Credit.Currency != "EUR" {
		t.Errorf("%+v, want %d bad slots", v.Figures, bad)
	}
}

func TestWhatTheNotifierKnowsIsMerged(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	stored := s.news().Alerts
	cpu := map[string]string{"alertname": "HostCPUHigh", "severity": "warning", "host": "probe-1"}
	h := newServer(t, s, func(o *Options) {
		o.Alerts = func() []Alert {
			return []Alert{
				{Labels: stored[0].Labels, Annotations: stored[0].Annotations, Firing: true, StartsAt: stored[0].StartsAt + 20, Silenced: true},
				{Labels: cpu, Firing: true, StartsAt: s.now - 5000},
			}
		}
	}).Handler()
	got := get[[]alertView](t, h, "/api/nines/v1/alerts")
	var lines []string
	for _, a := range got {
		lines = append(lines, fmt.Sprintf("%s %s %v", a.Labels["alertname"], a.Status, a.Silenced))
	}
	want := "HostCPUHigh firing false|ErrorBudgetBurn firing true|ConfirmedDown resolved false"
	if strings.Join(lines, "|") != want {
		t.Errorf("alerts are %q, want %q", lines, want)
	}
	if c := get[overviewView](t, h, "/api/nines/v1/overview").Alerts; c != (alertCounts{Ticket: 1}) {
		t.Errorf("counts are %+v: a silenced alert is not open", c)
	}
}

func TestAResolvedRecordEndsAFiringOne(t *testing.T) {
	var b alertBook
	l := map[string]string{"alertname": "X"}
	b.add(alertView{Labels: l, Status: statusFiring, StartsAt: 1000})
	b.add(alertView{Labels: l, Status: statusResolved, StartsAt: 1000, EndsAt: 9000})
	b.add(alertView{Labels: l, Status: statusFiring, StartsAt: 60_000})
	b.add(alertView{Labels: l, Status: statusFiring, StartsAt: 90_000})
	got := b.list()
	if len(got) != 2 || got[0].StartsAt != 60_000 || got[1].EndsAt != 9000 {
		t.Errorf("got %+v", got)
	}
}

func TestARegionUnheardIsSilent(t *testing.T) {
	h := []hostView{{Host: "a", Region: "eu", Zone: "z1", Agent: "a", LastSeen: 1_000_000}, {Host: "b", Region: "us", Agent: "b", LastSeen: 1_000_000 - blindAfter - 1}}
	r := regionsOf(h, 1_000_000, nil)
	if r[0].Silent || !r[1].Silent {
		t.Errorf("silent: %v, %v; want us alone", r[0].Silent, r[1].Silent)
	}
	if r = regionsOf(h, 1_000_000, map[string]bool{"eu": true}); !r[0].Silent {
		t.Error("the evaluator's word was not taken")
	}
	if r = regionsOf(h, 1_000_000+forgetAfter+1, nil); r[0].Hosts != 0 || !r[0].Silent {
		t.Errorf("a region not heard for a week: %+v", r[0])
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	h := newServer(t, s, nil).Handler()
	id := groupID(s.api[0].Key)
	f := func(target string, status int, words string) {
		t.Helper()
		w := request(h, "GET", target, nil)
		var e struct{ Error string }
		_ = json.Unmarshal(w.Body.Bytes(), &e)
		if w.Code != status || !strings.Contains(e.Error, words) {
			t.Errorf("GET %s: status %d, body %s; want %d and %q", target, w.Code, w.Body, status, words)
		}
	}
	f("/api/nines/v1/slots", 400, "?group=ID")
	f("/api/nines/v1/slots?group=zz", 400, "objectives gives")
	f("/api/nines/v1/slots?group=0123456789abcdef-0123456789abcdef", 404, "there is no group")
	f("/api/nines/v1/slots?group="+id+"&from=x", 400, "Unix milliseconds")
	f("/api/nines/v1/slots?group="+id+"&from=5&to=5", 400, "is not before")
	f("/api/nines/v1/slots?group="+id+"&from=0", 400, "at most 400")
	f(fmt.Sprintf("/api/nines/v1/slots?group=%s&from=%d", id, s.now-399*dayMs), 400, "at most 100000 at once")
	f("/api/nines/v1/percentiles?group="+id+"&step=0", 400, "milliseconds")
	f("/api/nines/v1/burndown?group="+id+"&objective=nope", 404, "no objective")
	f("/api/nines/v1/objectives/nope", 404, "lists them")
	f("/api/nines/v1/statement", 404, "loaded: acme")
	f("/api/nines/v1/statement?contract=acme&month=2026-13", 400, "write it as 2026-11")
	f("/api/nines/v1/statement?contract=acme&month=2026-12", 400, "has not begun")
	f("/api/nines/v1/nope", 404, "the API has no")
	f("/nope.html", 404, "the page is at /")
	f("/api/v1/query", 503, "ruler does not run")
	f("/api/v2/status", 503, "notifier does not run")
	f("/-/reload", 405, "POST")
}

func TestHealthAndReload(t *testing.T) {
	s := newScenario(t, scenarioNow, time.Hour)
	var broken error
	h := newServer(t, s, func(o *Options) {
		o.Health = func() map[string]error { return map[string]error{"evaluate": broken, "ruler": nil} }
		o.Reload = func(context.Context) error { return broken }
	}).Handler()
	f := func(method, target string, status int, words string) {
		t.Helper()
		if w := request(h, method, target, nil); w.Code != status || !strings.Contains(w.Body.String(), words) {
			t.Errorf("%s %s: status %d, body %s; want %d and %q", method, target, w.Code, w.Body, status, words)
		}
	}
	f("GET", "/-/ready", 200, `"evaluate":"ok"`)
	f("POST", "/-/reload", 200, "reloaded")
	broken = errors.New("rules/a.yaml:3:1: spec: missing")
	f("GET", "/-/ready", 503, "rules/a.yaml:3:1")
	f("GET", "/-/healthy", 200, `"ledger":"ok"`)
	f("POST", "/-/reload", 422, "the old configuration stays: rules/a.yaml:3:1")
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	f("GET", "/-/healthy", 503, "ledger")
	f("GET", "/api/nines/v1/overview", 500, "ledger")
}

func TestLongAnswersAreCompressed(t *testing.T) {
	s := newScenario(t, scenarioNow, 8*time.Hour)
	h := newServer(t, s, nil).Handler()
	target := "/api/nines/v1/slots?group=" + groupID(s.api[0].Key)
	plain := request(h, "GET", target, nil).Body.Bytes()
	for _, accept := range []string{"gzip", "br, gzip;q=0.5", "GZIP"} {
		w := request(h, "GET", target, func(r *http.Request) { r.Header.Set("Accept-Encoding", accept) })
		if w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("Accept-Encoding %q: not compressed", accept)
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("the compressed answer differs: %v", err)
		}
	}
	for _, accept := range []string{"", "gzip;q=0", "identity"} {
		if w := request(h, "GET", target, func(r *http.Request) { r.Header.Set("Accept-Encoding", accept) }); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: compressed", accept)
		}
	}
}

func TestStepsAreNice(t *testing.T) {
	f := func(span, slot, want int64) {
		t.Helper()
		if got := stepFor(span, slot); got != want {
			t.Errorf("step for %d ms of slots of %d ms is %d, want %d", span, slot, got, want)
		}
	}
	f(6*hourMs, minuteMs, 2*minuteMs)
	f(hourMs, minuteMs, minuteMs)
	f(30*dayMs, minuteMs, 3*hourMs)
	f(hourMs, hourMs, hourMs)
	f(400*dayMs, 7*minuteMs, 7*dayMs)
	f(400*dayMs, 11*minuteMs, 2409*minuteMs)
}
