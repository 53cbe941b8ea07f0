package ruler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
)

// site is a broker with the topics the ruler needs.
type site struct {
	t      *testing.T
	client *bus.Client
	seq    uint64
	boot   uint64
	enc    wire.Encoder
}

func newSite(t *testing.T) *site {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	b := kafka.Serve(t)
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{b.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, topic := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: 2}, {Name: wire.TopicAlerts, Compact: true}} {
		if _, err := c.EnsureTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	return &site{t: t, client: c, boot: 42}
}

// background runs f until the test ends, or stop is called.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("did not stop within 10 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

// send writes a frame and a tick to both partitions; the frame goes to the first.
func (s *site) send(sc *telemetry.Schema, at int64, values ...float64) {
	s.t.Helper()
	s.seq++
	f := frame("web-1", s.seq, sc, []int64{at}, values...)
	f.Boot = s.boot
	b := s.enc.AppendFrame(nil, f, func(uint64) bool { return s.seq%5 == 1 })
	s.produce(0, bus.Record{Value: b, Time: at})
	s.tick(at)
}

func (s *site) tick(at int64) {
	s.t.Helper()
	for p := range int32(2) {
		s.produce(p, bus.Record{Value: wire.AppendTick(nil, &wire.Tick{Clock: at, Incarnation: 1}), Time: at})
	}
}

func (s *site) produce(part int32, r bus.Record) {
	s.t.Helper()
	if _, err := s.client.Producer(wire.TopicTelemetry, part).Produce(s.t.Context(), []bus.Record{r}); err != nil {
		s.t.Fatal(err)
	}
}

// published collects what the ruler publishes and stores it on nines.alerts.
type published struct {
	site *site
	mu   sync.Mutex
	recs []alert.Alert
}

func (p *published) publish(ctx context.Context, a alert.Alert) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := p.site.client.Producer(wire.TopicAlerts, 0).Produce(ctx, []bus.Record{{Key: []byte(a.Key()), Value: b}}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recs = append(p.recs, a)
	return nil
}

// last returns the last record of an alert.
func (p *published) last(name string) (alert.Alert, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.recs) - 1; i >= 0; i-- {
		if p.recs[i].Labels["alertname"] == name || name == "heartbeat" && p.recs[i].Status == alert.Heartbeat {
			return p.recs[i], true
		}
	}
	return alert.Alert{}, false
}

func (s *site) ruler(dir string, rules ...string) (*Ruler, *published) {
	s.t.Helper()
	p := &published{site: s}
	r, err := New(Options{Config: Config{Dir: dir, ID: "r1", Rules: rules, EvaluationInterval: 200_000_000}, Client: s.client, Publish: p.publish})
	if err != nil {
		s.t.Fatal(err)
	}
	return r, p
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

func valueOf(r *Ruler, expr string, at int64) func() (float64, bool) {
	return func() (float64, bool) {
		out, err := r.Query(context.Background(), expr, at)
		if err != nil || len(out) == 0 {
			return 0, false
		}
		return out[0].Value, true
	}
}

func isValue(r *Ruler, expr string, at int64, want float64) func() bool {
	return func() bool {
		v, ok := valueOf(r, expr, at)()
		return ok && v == want
	}
}

const tempRules = `groups:
  - name: g
    rules:
      - alert: Hot
        expr: temp > 80
        labels: {severity: page}
        annotations: {summary: "hot: {{ $value }}"}
      - record: temp:max
        expr: max(temp)
`

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// One run through a ruler's life on a real broker: it follows the log, answers
// Prometheus' tools, fires and resolves, keeps its rules when a reload is
// broken, and goes on after a restart, also with an alert whose rule has gone.
func TestRulerLife(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yml")
	writeFile(t, rules, tempRules)
	sc := telemetry.NewSchema([]telemetry.Series{gauge("temp", map[string]string{"sensor": "cpu"})})

	r, pub := s.ruler(dir, rules)
	stop := background(t, r.Run)
	now := func() int64 { return time.Now().UnixMilli() }
	first := now() - 3000
	for i := range int64(3) {
		s.send(sc, first+i*1000, 50)
	}
	eventually(t, "three samples queried", func() bool {
		return isValue(r, "count_over_time(temp[1m])", now(), 3)()
	})
	web := httptest.NewServer(r.Handler())
	testPrometheusAPI(t, web.URL, first)

	s.send(sc, now(), 90)
	eventually(t, "Hot fires", func() bool { a, ok := pub.last("Hot"); return ok && a.Status == alert.Firing })
	a, _ := pub.last("Hot")
	if a.Labels["severity"] != "page" || a.Labels["host"] != "web-1" || a.Source != "ruler/r1" || a.Annotations["summary"] != "hot: 90" {
		t.Errorf("fired %+v", a)
	}
	eventually(t, "a heartbeat with a log time", func() bool {
		h, ok := pub.last("heartbeat")
		return ok && h.Source == "ruler/r1" && h.LogTime > 0
	})
	s.send(sc, now(), 60)
	eventually(t, "Hot resolves", func() bool { a, _ := pub.last("Hot"); return a.Status == alert.Resolved && a.EndsAt > 0 })

	writeFile(t, rules, "groups: [{name: g, rules: [{alert: X, expr: 'sum('}]}]")
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), rules+":1:") {
		t.Errorf("reload of a broken file: %v, want an error with its place", err)
	}
	s.send(sc, now(), 95)
	eventually(t, "Hot fires under the old rules", func() bool { a, _ := pub.last("Hot"); return a.Status == alert.Firing })
	eventually(t, "the recording rule writes", isValue(r, "temp:max", now()+1000, 95))
	web.Close()
	stop()

	// While it is off, frames arrive, and the rule is removed.
	writeFile(t, rules, "groups: []")
	at := now()
	s.send(sc, at, 42)
	r2, pub2 := s.ruler(dir, rules)
	stop = background(t, r2.Run)
	eventually(t, "the sample sent meanwhile", isValue(r2, "temp", at+500, 42))
	eventually(t, "the orphan is resolved", func() bool { a, ok := pub2.last("Hot"); return ok && a.Status == alert.Resolved })
	if got, _ := valueOf(r2, "count_over_time(temp[5m])", now())(); got != 7 {
		t.Errorf("%v samples after the restart, want all 7 once", got)
	}
	if _, err := openStore(dir, time.Hour, r2.log, nil); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("second opener got %v, want to be told about the first", err)
	}
	stop()
	if err := r2.Ready(); err == nil {
		t.Error("a stopped ruler says it is ready")
	}
}

func testPrometheusAPI(t *testing.T, url string, first int64) {
	t.Helper()
	get := func(path string) string {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, url+path, http.NoBody)
		req.Header.Set("Origin", "http://elsewhere.example")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if resp.StatusCode != 200 {
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, out)
		}
		if h := resp.Header.Get("Access-Control-Allow-Origin"); h != "" {
			t.Errorf("%s lets %s read it", path, h)
		}
		return string(out)
	}
	end := first/1000 + 10
	for path, want := range map[string]string{
		"/api/v1/query?query=temp":             `"sensor":"cpu"`,
		"/api/v1/labels":                       `"zone"`,
		"/api/v1/label/host/values":            `["web-1"]`,
		"/api/v1/series?match[]=temp":          `"region":"eu"`,
		"/api/v1/rules":                        `"Hot"`,
		"/api/v1/alerts":                       `"alerts"`,
		"/api/v1/metadata":                     `"temp":[{"type":"gauge"`,
		"/api/v1/metadata?metric=nope":         `"data":{}`,
		"/api/v1/status/buildinfo":             `"version"`,
		"/api/v1/status/tsdb":                  `"headStats"`,
		"/api/v1/status/runtimeinfo":           `"storageRetention"`,
		"/api/v1/status/config":                `"yaml"`,
		"/api/v1/status/flags":                 `"storage.tsdb.retention.time"`,
		"/api/v1/query_exemplars?query=temp":   `"success"`,
		"/api/v1/targets":                      `"success"`,
		"/api/v1/alertmanagers":                `"success"`,
		"/api/v1/format_query?query=sum(temp)": `"success"`,
		fmt.Sprintf("/api/v1/query_range?query=temp&start=%d&end=%d&step=1", first/1000, end): `"matrix"`,
	} {
		if got := get(path); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s in it", path, got, want)
		}
	}
	promtool := tool(t, "promtool")
	for _, args := range [][]string{
		{"query", "instant", url, "temp"},
		{"query", "range", "--start", fmt.Sprint(first / 1000), "--end", fmt.Sprint(end), "--step", "1s", url, "temp"},
		{"query", "labels", url, "sensor"},
		{"query", "series", "--match", "temp", url},
	} {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "cpu") {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// The time a condition has lasted survives a restart: an earlier life left that
// it was pending for ten minutes until five seconds ago, and so it goes on.
func TestPendingTimeSurvivesRestart(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yml")
	writeFile(t, rules, "groups: [{name: g, rules: [{alert: Slow, expr: temp > 0, for: 1h}]}]")
	began := time.Now().Add(-10 * time.Minute)
	db, err := openStore(dir, 24*time.Hour, discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	app := db.Appender(t.Context())
	state := labels.FromStrings("__name__", "ALERTS_FOR_STATE", "alertname", "Slow", "host", "web-1", "zone", "a", "region", "eu")
	if _, err := app.Append(0, state, time.Now().Add(-5*time.Second).UnixMilli(), float64(began.Unix())); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(app.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	r, _ := s.ruler(dir, rules)
	background(t, r.Run)
	s.send(telemetry.NewSchema([]telemetry.Series{gauge("temp", nil)}), time.Now().UnixMilli(), 1)
	eventually(t, "Slow is pending since about ten minutes ago", func() bool {
		run := r.live.Load()
		if run == nil {
			return false
		}
		for _, rule := range run.rules.manager.AlertingRules() {
			for _, a := range rule.ActiveAlerts() {
				return a.ActiveAt.Sub(began) < time.Minute
			}
		}
		return false
	})
}

func TestBrokenRuleFileStopsTheStart(t *testing.T) {
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{"127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pub := func(context.Context, alert.Alert) error { return nil }
	f := func(cfg Config, want string) {
		t.Helper()
		cfg.Dir = t.TempDir()
		if _, err := New(Options{Config: cfg, Client: c, Publish: pub}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
	f(Config{Rules: []string{"testdata/broken.yml"}}, "testdata/broken.yml:7:15:")
	f(Config{Rules: []string{"testdata/absent.yml"}}, "no such file")
	if _, err := New(Options{Config: Config{Dir: t.TempDir(), Rules: []string{"testdata/none*.yml"}}, Client: c, Publish: pub}); err != nil {
		t.Errorf("a pattern that matches nothing: %v", err)
	}
}

func TestUnusableDirectorySaysWhy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "x")
	if _, err := openStore(file, time.Hour, nil, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
}

// An alert that cannot be published is not lost, and only its newest word goes
// out when Kafka is back.
func TestOutboxKeepsTheLastWord(t *testing.T) {
	fail, sent := true, make(chan alert.Alert, 10)
	var mu sync.Mutex
	o := newOutbox(func(_ context.Context, a alert.Alert) error {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return errors.New("no broker")
		}
		sent <- a
		return nil
	}, discard, newTestCounters())
	a := alert.Alert{Status: alert.Firing, Labels: map[string]string{"alertname": "A"}, LogTime: 1}
	o.put(a)
	background(t, func(ctx context.Context) error { o.run(ctx); return nil })
	a.Status, a.LogTime = alert.Resolved, 2
	o.put(a)
	mu.Lock()
	fail = false
	mu.Unlock()
	if got := <-sent; got.Status != alert.Resolved {
		t.Errorf("sent %s, want resolved", got.Status)
	}
	if n := len(o.stillFiring()); n != 0 {
		t.Errorf("%d alerts still firing, want none", n)
	}
}
