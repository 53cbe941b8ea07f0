package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"nines/internal/alert"
	"nines/internal/bus"
	"nines/internal/ledger"
	"nines/internal/wire"
	"nines/internal/yamlconf"
	"nines/test/kafka"
)

// ledgerStore is the ledger's state as a Store.
type ledgerStore struct{ l *ledger.Ledger }

func (s ledgerStore) List(ctx context.Context, kind string) (map[string][]byte, error) {
	list, err := s.l.StateList(ctx, kind)
	out := map[string][]byte{}
	for _, e := range list {
		out[e.Key] = e.Blob
	}
	return out, err
}
func (s ledgerStore) Put(ctx context.Context, kind, key string, blob []byte) error {
	return s.l.StatePut(ctx, kind, key, blob)
}
func (s ledgerStore) Delete(ctx context.Context, kind, key string) error {
	return s.l.StateDelete(ctx, kind, key)
}

// crashing is a store that stops taking writes, as a killed process does: what
// was written is all there is.
type crashing struct {
	Store
	mu   sync.Mutex
	dead bool
}

func (c *crashing) Put(ctx context.Context, kind, key string, blob []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errors.New("killed")
	}
	return c.Store.Put(ctx, kind, key, blob)
}

func (c *crashing) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
}

// site is a broker with nines.alerts, a ledger and a webhook receiver.
type site struct {
	t      *testing.T
	broker *kafka.Server
	client *bus.Client
	store  Store
	hook   *hook
	conf   string
}

func newSite(t *testing.T) *site {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
	})
	b := kafka.Serve(t)
	c, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{b.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.EnsureTopic(t.Context(), bus.Topic{Name: wire.TopicAlerts, Compact: true}); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), ledger.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &site{t: t, broker: b, client: c, store: ledgerStore{l}, hook: newHook(t), conf: filepath.Join(t.TempDir(), "am.yml")}
	s.routing(s.hook.url)
	return s
}

func (s *site) routing(url string) {
	s.t.Helper()
	text := fmt.Sprintf(`route:
  receiver: hook
  group_by: [alertname, region]
  group_wait: 1h
  group_interval: 1h
receivers:
  - name: hook
    webhook_configs: [{url: %q}]
`, url)
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
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

// publish appends a record to nines.alerts.
func (s *site) publish(a alert.Alert) {
	s.t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.Producer(wire.TopicAlerts, 0).Produce(s.t.Context(), []bus.Record{{Key: []byte(a.Key()), Value: b}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) beat(source string, lag time.Duration) {
	s.publish(alert.Alert{Status: alert.Heartbeat, Source: source, LogTime: time.Now().Add(-lag).UnixMilli()})
}

func (s *site) notify(store Store, edit func(*Options)) (*Notify, func()) {
	s.t.Helper()
	o := Options{Config: Config{AlertmanagerFile: s.conf}, Client: s.client, Store: store}
	if edit != nil {
		edit(&o)
	}
	n, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	n.orphanAfter = time.Second
	stop := background(s.t, n.Run)
	eventually(s.t, "becoming active", n.Active)
	return n, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// hook is a webhook receiver.
type hook struct {
	url string
	got chan message
	t   *testing.T
}

type message struct {
	Status string `json:"status"`
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
	at time.Time
}

func (m message) names(status string) string {
	set := map[string]bool{}
	for _, a := range m.Alerts {
		if a.Status == status {
			set[a.Labels["alertname"]+"/"+a.Labels["target"]] = true
		}
	}
	var out []string
	for n := range maps.Keys(set) {
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func newHook(t *testing.T) *hook {
	h := &hook{got: make(chan message, 100), t: t}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m := message{at: time.Now()}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("webhook body: %v", err)
		}
		h.got <- m
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// next waits for a message.
func (h *hook) next(what string) message {
	h.t.Helper()
	select {
	case m := <-h.got:
		return m
	case <-time.After(time.Minute):
		h.t.Fatalf("not within a minute: %s", what)
		return message{}
	}
}

// quiet fails if a message comes within d.
func (h *hook) quiet(what string, d time.Duration) {
	h.t.Helper()
	select {
	case m := <-h.got:
		h.t.Errorf("%s: got %+v, want silence", what, m)
	case <-time.After(d):
	}
}

func down(target string, status alert.Status) alert.Alert {
	now := time.Now().UnixMilli()
	a := alert.Alert{Status: status, Source: "evaluate/0", StartsAt: now, SampleAt: now - 500, LogTime: now,
		Labels:      map[string]string{"alertname": "ConfirmedDown", "severity": "page", "kind": "down", "region": "eu", "target": target},
		Annotations: map[string]string{"summary": target + " is down"}}
	if status == alert.Resolved {
		a.EndsAt = now
	}
	return a
}

// A page leaves at once although its route waits an hour, also the second page
// of its group; a ticket waits; the resolved notice comes; restarts and a crash
// say nothing twice and lose nothing.
func TestPagesLeaveAtOnceAndOnlyOnce(t *testing.T) {
	s := newSite(t)
	store := &crashing{Store: s.store}
	n, stop := s.notify(store, nil)

	ticket := down("db", alert.Firing)
	ticket.Labels["severity"] = "ticket"
	s.publish(ticket)
	sent := time.Now()
	s.publish(down("api", alert.Firing))
	m := s.hook.next("the first page")
	if d := m.at.Sub(sent); d > 300*time.Millisecond {
		t.Errorf("the first page took %v, want at most 300ms", d)
	}
	if got := m.names("firing"); got != "ConfirmedDown/api" {
		t.Errorf("paged %q, want api alone: the ticket waits an hour", got)
	}
	sent = time.Now()
	s.publish(down("web", alert.Firing))
	m = s.hook.next("the second page of the group")
	if d := m.at.Sub(sent); d > 1500*time.Millisecond {
		t.Errorf("the second page took %v, want at most its group's half second", d)
	}
	s.publish(down("web", alert.Firing)) // sent again, as evaluators do
	s.hook.quiet("a repeated record", 1200*time.Millisecond)
	views := n.Alerts()
	if len(views) != 3 || views[0].Status != alert.Firing {
		t.Errorf("alerts %+v, want three firing", views)
	}

	store.kill() // nothing of a clean stop reaches the store
	stop()
	_, stop = s.notify(s.store, nil)
	s.hook.quiet("after a crash", 1500*time.Millisecond)
	s.publish(down("web", alert.Resolved))
	if got := s.hook.next("web is up").names("resolved"); got != "ConfirmedDown/web" {
		t.Errorf("resolved %q, want web", got)
	}
	stop()

	s.publish(down("api", alert.Resolved)) // while nobody notifies
	_, stop = s.notify(s.store, nil)
	if got := s.hook.next("api is up").names("resolved"); !strings.Contains(got, "ConfirmedDown/api") {
		t.Errorf("resolved %q, want api", got)
	}
	stop()
	_, _ = s.notify(s.store, nil)
	s.hook.quiet("a further start", 1200*time.Millisecond)
}

func amtool(t *testing.T, url string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("amtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("amtool is needed here: apt-get install prometheus-alertmanager")
		}
		t.Skip("amtool is not installed (apt-get install prometheus-alertmanager)")
	}
	var said bytes.Buffer
	cmd := exec.Command(path, append([]string{"--alertmanager.url=" + url}, args...)...)
	cmd.Stderr = &said // it warns of another version
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("amtool %v: %v\n%s", args, err, &said)
	}
	return string(out)
}

// amtool lists alerts and adds a silence; the silence survives a crash; when the
// store takes no writes, amtool is told that the silence is not safe.
func TestSilencesByAmtoolSurviveACrash(t *testing.T) {
	s := newSite(t)
	store := &crashing{Store: s.store}
	n, stop := s.notify(store, nil)
	web := httptest.NewServer(n.Handler())
	s.publish(down("api", alert.Firing))
	s.hook.next("the page")
	if out := amtool(t, web.URL, "alert", "query", "-o", "extended"); !strings.Contains(out, `target="api"`) {
		t.Errorf("amtool alert query printed:\n%s", out)
	}
	id := strings.TrimSpace(amtool(t, web.URL, "silence", "add", "-a", "me", "-c", "maintenance", "region=eu"))
	store.kill()
	stop()
	web.Close()

	n, _ = s.notify(s.store, nil)
	web = httptest.NewServer(n.Handler())
	defer web.Close()
	if out := amtool(t, web.URL, "silence", "query"); !strings.Contains(out, id[:8]) {
		t.Errorf("silence %s is gone:\n%s", id, out)
	}
	s.publish(down("web", alert.Firing))
	eventually(t, "both alerts silenced", func() bool {
		v := n.Alerts()
		return len(v) == 2 && v[0].Silenced && v[1].Silenced
	})
	s.hook.quiet("while silenced", time.Second)
	amtool(t, web.URL, "silence", "expire", id)
	if got := s.hook.next("after the silence").names("firing"); !strings.Contains(got, "ConfirmedDown/web") {
		t.Errorf("notified %q, want web", got)
	}
}

func TestUnsavedSilenceIsAnError(t *testing.T) {
	s := newSite(t)
	store := &crashing{Store: s.store}
	n, _ := s.notify(store, nil)
	store.kill()
	body := fmt.Sprintf(`{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":%q,"endsAt":%q,"createdBy":"me","comment":"c"}`,
		time.Now().Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339))
	req := httptest.NewRequest(http.MethodPost, "/api/v2/silences", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "could not be saved") {
		t.Errorf("got %d %s, want to be told", w.Code, w.Body)
	}
	n.deactivate()
	w = httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v2/alerts", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a member on standby answered %d, want 503", w.Code)
	}
}

// A broken reload keeps the last good routes; a good one takes effect and does
// not repeat what was said.
func TestReload(t *testing.T) {
	s := newSite(t)
	n, _ := s.notify(s.store, nil)
	s.publish(down("api", alert.Firing))
	s.hook.next("the page")
	if err := os.WriteFile(s.conf, []byte("route:\n  receiver: nobody\nreceivers: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), s.conf) {
		t.Errorf("reload gave %v, want an error that names %s", err, s.conf)
	}
	s.publish(down("web", alert.Firing))
	s.hook.next("a page by the old routes")
	other := newHook(t)
	s.routing(other.url)
	if err := n.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.quiet("what was said before the reload", time.Second)
	s.publish(down("db", alert.Firing))
	if got := other.next("a page by the new routes").names("firing"); !strings.Contains(got, "ConfirmedDown/db") {
		t.Errorf("paged %q, want db", got)
	}
}

// The watchdog pages when an evaluator falls silent or lags, and says so when it
// is over; the dead man's switch is fed only while all is well; the alerts of a
// silent source are stale, not resolved.
func TestBlindness(t *testing.T) {
	s := newSite(t)
	beats := make(chan struct{}, 1000)
	switchboard := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats <- struct{}{} }))
	t.Cleanup(switchboard.Close)
	var console bytes.Buffer
	var mu sync.Mutex
	n, _ := s.notify(s.store, func(o *Options) {
		ms := func(n int) yamlconf.Duration { return yamlconf.Duration(time.Duration(n) * time.Millisecond) }
		o.Config.StallAfter, o.Config.Grace = ms(1500), ms(500)
		o.Config.DeadMan = DeadMan{URL: switchboard.URL, Interval: ms(100)}
		o.Console = &locked{w: &console, mu: &mu}
	})
	beating, stopBeating := context.WithCancel(t.Context())
	lag := make(chan time.Duration, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick, by := time.NewTicker(200*time.Millisecond), time.Duration(0)
		defer tick.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case by = <-lag:
			case <-tick.C:
				s.beat("evaluate/0", by)
			}
		}
	}()
	select {
	case <-beats:
	case <-time.After(time.Minute):
		t.Fatal("the dead man's switch was not fed")
	}
	s.publish(down("api", alert.Firing))
	s.hook.next("the page")

	lag <- 2 * time.Minute
	m := s.hook.next("lag")
	if m.Alerts[0].Labels["alertname"] != "NinesBlind" || m.Alerts[0].Labels["reason"] != "lag" || m.Alerts[0].Labels["severity"] != "page" {
		t.Errorf("got %+v, want NinesBlind by lag", m)
	}
	lag <- 0
	if m := s.hook.next("the lag is over"); m.names("resolved") == "" {
		t.Errorf("got %+v, want resolved", m)
	}

	stopBeating()
	<-done
	m = s.hook.next("stalled")
	if m.Alerts[0].Labels["reason"] != "evaluation_stalled" || m.Alerts[0].Labels["source"] != "evaluate/0" {
		t.Errorf("got %+v, want NinesBlind by a stall of evaluate/0", m)
	}
	eventually(t, "the alert of the silent source is stale and fires", func() bool {
		for _, v := range n.Alerts() {
			if v.Labels["alertname"] == "ConfirmedDown" {
				return v.Stale != "" && v.Status == alert.Firing
			}
		}
		return false
	})
	for len(beats) > 0 {
		<-beats
	}
	select {
	case <-beats:
		t.Error("the dead man's switch is fed while nines is blind")
	case <-time.After(500 * time.Millisecond):
	}
	s.beat("evaluate/0", 0)
	if m := s.hook.next("heard again"); m.names("resolved") == "" {
		t.Errorf("got %+v, want resolved", m)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(console.String(), "PAGE firing NinesBlind") || !strings.Contains(console.String(), "PAGE firing ConfirmedDown") {
		t.Errorf("console printed:\n%s", console.String())
	}
}

type locked struct {
	w  *bytes.Buffer
	mu *sync.Mutex
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// Of two members one is active; when it leaves, the other takes over and repeats
// nothing.
func TestTakeOver(t *testing.T) {
	s := newSite(t)
	first, stop := s.notify(s.store, nil)
	second, err := New(Options{Config: Config{AlertmanagerFile: s.conf}, Client: s.client, Store: s.store})
	if err != nil {
		t.Fatal(err)
	}
	background(t, second.Run)
	s.publish(down("api", alert.Firing))
	s.hook.next("the page")
	if first.Active() && second.Active() {
		t.Error("both members are active")
	}
	stop()
	eventually(t, "the second takes over", second.Active)
	s.hook.quiet("after the take-over", time.Second)
	s.publish(down("api", alert.Resolved))
	if got := s.hook.next("resolved by the second").names("resolved"); got != "ConfirmedDown/api" {
		t.Errorf("resolved %q, want api", got)
	}
}

// While Kafka is away nobody is judged, and that is said: the member that was
// active goes on alone.
func TestKafkaAwayPages(t *testing.T) {
	s := newSite(t)
	n, _ := s.notify(s.store, func(o *Options) {
		o.Config.StallAfter, o.Config.Grace = yamlconf.Duration(2*time.Second), yamlconf.Duration(time.Second)
	})
	s.beat("evaluate/0", 0)
	eventually(t, "the evaluator is heard", func() bool {
		a := n.current()
		return a != nil && len(a.book.evaluators()) == 1
	})
	s.broker.Stop()
	m := s.hook.next("the page about the stall")
	if m.Alerts[0].Labels["alertname"] != "NinesBlind" || m.Alerts[0].Labels["reason"] != "evaluation_stalled" {
		t.Errorf("got %+v, want NinesBlind by a stall", m)
	}
}

func TestDetectionIsMeasuredOnce(t *testing.T) {
	s := newSite(t)
	set := metrics.NewSet()
	_, _ = s.notify(s.store, func(o *Options) { o.Metrics = set })
	s.publish(down("api", alert.Firing))
	s.hook.next("the page")
	s.publish(down("web", alert.Firing))
	s.hook.next("the second page")
	for _, want := range []string{"nines_notify_detection_seconds_count 2\n", `nines_notify_notifications_total{integration="webhook",outcome="ok"} 2`, "nines_notify_active 1\n"} {
		eventually(t, "the metric "+want, func() bool {
			var out bytes.Buffer
			set.WritePrometheus(&out)
			return strings.Contains(out.String(), want)
		})
	}
}
