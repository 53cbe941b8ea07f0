package alerting

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"nines/internal/alert"
	"nines/internal/yamlconf"
)

const routing1 = `
route:
  receiver: root
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  routes:
    - receiver: audit
      matchers: [team="a"]
      continue: true
      group_wait: 1m
    - receiver: team-a
      matchers: [team="a"]
      group_by: [region]
      routes:
        - receiver: team-a-gpu
          matchers: [kind="gpu"]
          mute_time_intervals: [night]
    - receiver: pages
      matchers: [severity="page"]
      group_wait: 10m
time_intervals:
  - name: night
receivers: [{name: root}, {name: audit}, {name: team-a}, {name: team-a-gpu}, {name: pages}]
`

// Pages go where they would have gone, grouped and muted as they would have
// been, and wait for nothing; all others are routed as before.
func TestPagesTakeTheSameRoutesWithoutWaiting(t *testing.T) {
	conf, err := amconfig.Load(routing1)
	if err != nil {
		t.Fatal(err)
	}
	plain := dispatch.NewRoute(conf.Route, nil)
	paged := dispatch.NewRoute(withPages(conf.Route, 500*time.Millisecond), nil)
	rapid.Check(t, func(t *rapid.T) {
		ls := model.LabelSet{"alertname": "X"}
		for name, values := range map[model.LabelName][]model.LabelValue{
			"severity": {"page", "ticket", ""}, "team": {"a", "b", ""}, "kind": {"gpu", ""},
		} {
			if v := rapid.SampledFrom(values).Draw(t, string(name)); v != "" {
				ls[name] = v
			}
		}
		want, got := plain.Match(ls), paged.Match(ls)
		if len(want) != len(got) {
			t.Fatalf("%v reaches %d routes, want %d", ls, len(got), len(want))
		}
		for i := range got {
			g, w := got[i].RouteOpts, want[i].RouteOpts
			if g.Receiver != w.Receiver || len(g.GroupBy) != len(w.GroupBy) || g.RepeatInterval != w.RepeatInterval || len(g.MuteTimeIntervals) != len(w.MuteTimeIntervals) {
				t.Fatalf("%v: route %+v, want as %+v", ls, g, w)
			}
			if ls["severity"] == "page" {
				w.GroupWait, w.GroupInterval = 0, 500*time.Millisecond
			}
			if g.GroupWait != w.GroupWait || g.GroupInterval != w.GroupInterval {
				t.Fatalf("%v waits %v and %v, want %v and %v", ls, g.GroupWait, g.GroupInterval, w.GroupWait, w.GroupInterval)
			}
		}
	})
}

func TestWatchdog(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	c := Config{}.withDefaults()
	f := func(name string, after time.Duration, sources map[string]sourceState, firing string, want ...string) {
		t.Helper()
		var got []string
		now := start.Add(after)
		for _, v := range watch(sources, now, start, c, func(s, r string) bool { return s+" "+r == firing }) {
			if v.blind {
				got = append(got, v.source+" "+v.reason)
			}
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s: blind %q, want %q", name, got, want)
		}
	}
	at := func(heard, lag, now time.Duration) sourceState {
		return sourceState{heard: start.Add(heard), logTime: start.Add(now - lag).UnixMilli()}
	}
	m := time.Minute
	s := time.Second
	f("during the grace nothing is judged", 59*s, nil, "")
	f("nobody evaluates", 61*s, nil, "", "evaluate evaluation_stalled")
	f("all well", 5*m, map[string]sourceState{"evaluate/0": at(5*m-5*s, 2*s, 5*m)}, "")
	f("not heard for 31 s", 5*m, map[string]sourceState{"evaluate/0": at(5*m-31*s, 33*s, 5*m)}, "", "evaluate/0 evaluation_stalled")
	f("heard, but 61 s behind", 5*m, map[string]sourceState{"evaluate/0": at(5*m-1*s, 61*s, 5*m)}, "", "evaluate/0 lag")
	f("catching up is not over at 40 s", 5*m, map[string]sourceState{"evaluate/0": at(5*m-1*s, 40*s, 5*m)}, "evaluate/0 lag", "evaluate/0 lag")
	f("but at 29 s", 5*m, map[string]sourceState{"evaluate/0": at(5*m-1*s, 29*s, 5*m)}, "evaluate/0 lag")
}

func rec(status alert.Status, name string, start, end int64) alert.Alert {
	return alert.Alert{Status: status, Labels: map[string]string{"alertname": name, "severity": "page"},
		StartsAt: start, EndsAt: end, LogTime: start, SampleAt: start, Source: "evaluate/0"}
}

func TestOnlyAnExplicitRecordResolves(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := newBook()
	a := b.apply(rec(alert.Firing, "Down", now.UnixMilli()-1000, 0), now, false)
	if a.ResolvedAt(now.Add(365 * 24 * time.Hour)) {
		t.Error("a firing alert ends by itself")
	}
	// The source falls silent: stale, still firing.
	stale := b.markStale(now.Add(31*time.Second), 30*time.Second, now)
	if len(stale) != 1 || stale[0].Annotations[staleAnnotation] == "" || stale[0].ResolvedAt(now.Add(time.Hour)) {
		t.Errorf("got %v, want one stale alert that fires", stale)
	}
	if again := b.markStale(now.Add(32*time.Second), 30*time.Second, now); len(again) != 0 {
		t.Errorf("marked stale twice: %v", again)
	}
	// Heard again, by a heartbeat.
	b.apply(alert.Alert{Status: alert.Heartbeat, Source: "evaluate/0"}, now.Add(40*time.Second), false)
	if back := b.markStale(now.Add(41*time.Second), 30*time.Second, now); len(back) != 1 || back[0].Annotations[staleAnnotation] != "" {
		t.Errorf("got %v, want the alert without the mark", back)
	}
	// Resolved by a source whose clock runs a minute ahead.
	a = b.apply(rec(alert.Resolved, "Down", now.UnixMilli(), now.Add(time.Minute).UnixMilli()), now, false)
	if !a.ResolvedAt(now) {
		t.Errorf("ends at %v, want by %v", a.EndsAt, now)
	}
}

// An evaluator that dies after publishing and before its commit publishes the
// same records again: nobody is woken for what is over.
func TestRecordsRepeatedAfterACrashAreNoNews(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(status alert.Status, offset, logTime int64) alert.Alert {
		r := rec(status, "Down", now.UnixMilli()-60_000, 0)
		r.Offset, r.LogTime = offset, logTime
		if status == alert.Resolved {
			r.EndsAt = logTime
		}
		return r
	}
	b := newBook()
	f := func(what string, r alert.Alert, news bool, want alert.Status) {
		t.Helper()
		if got := b.apply(r, now, false) != nil; got != news {
			t.Errorf("%s: news is %v, want %v", what, got, news)
		}
		if last, _ := b.get(r.Key()); last.Status != want {
			t.Errorf("%s: the alert is %s, want %s", what, last.Status, want)
		}
	}
	ms := now.UnixMilli()
	f("it fires", at(alert.Firing, 10, ms-9000), true, alert.Firing)
	f("it resolves", at(alert.Resolved, 20, ms-5000), true, alert.Resolved)
	f("the firing again", at(alert.Firing, 10, ms-9000), false, alert.Resolved)
	f("the resolving again", at(alert.Resolved, 20, ms-5000), false, alert.Resolved)
	f("it fires anew", at(alert.Firing, 30, ms-1000), true, alert.Firing)
	f("within one record it resolves", at(alert.Resolved, 30, ms-1000), true, alert.Resolved)
	f("the partials topic was recreated", at(alert.Firing, 2, ms), true, alert.Firing)
}

func TestConsoleLines(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	c.now = func() time.Time { return time.Date(2026, 1, 2, 12, 4, 31, 0, time.UTC) }
	a := &amalert.Alert{}
	a.Labels = model.LabelSet{"alertname": "ConfirmedDown", "severity": "page", "kind": "down", "target": "api\x1b[2J", "region": "eu-1"}
	a.Annotations = model.LabelSet{"summary": "api is down"}
	a.StartsAt = time.Now()
	for range 2 { // a second receiver prints nothing new
		if _, err := c.Notify(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	b := *a
	b.EndsAt = time.Now().Add(-time.Second)
	for range 2 {
		if _, err := c.Notify(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	want := "12:04:31 PAGE firing ConfirmedDown region=eu-1 target=api [2J: api is down\n" +
		"12:04:31 PAGE resolved ConfirmedDown region=eu-1 target=api [2J: api is down\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	err := Config{ExternalURL: "nines", DeadMan: DeadMan{URL: "secret-token", Method: "PUT", Interval: 1},
		PageGroupInterval: yamlconf.Duration(time.Minute), Grace: -1}.Validate()
	if err == nil {
		t.Fatal("impossible values passed")
	}
	for _, want := range []string{"alerting.external_url:", "alerting.dead_man.url:", "alerting.dead_man.method:", "alerting.dead_man.interval:", "alerting.page_group_interval:", "alerting.grace:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("misses %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret-token") {
		t.Error("the error shows the dead man's URL, which may be a secret")
	}
}

func TestBrokenRoutingNamesItsPlace(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "am.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckConfig(file)
		if err == nil || !strings.Contains(err.Error(), file+":"+want) {
			t.Errorf("got %v, want %s:%s", err, file, want)
		}
	}
	f("route:\n  receiver: x\n  grup_wait: 5s\nreceivers:\n- name: x\n", "3:1: field grup_wait not found")
	f("route:\n  receiver: y\nreceivers:\n- name: x\n", `2:13: route.receiver: undefined receiver "y"`)
	f("route:\n  receiver: x\nreceivers:\n- name: x\ntemplates: [bad.tmpl]\n\t", "")
	if err := CheckConfig("absent.yml"); err == nil || !strings.Contains(err.Error(), "absent.yml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestShippedRoutingIsValid(t *testing.T) {
	if err := CheckConfig("../configs/alerting/alertmanager.yml"); err != nil {
		t.Error(err)
	}
}

func TestMistakesInTheRoutingHaveAPlace(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "alertmanager.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckConfig(file)
		if err == nil || !strings.HasPrefix(err.Error(), file+":"+want) {
			t.Errorf("got %v, want a mistake at %s", err, want)
		}
	}
	const two = "receivers:\n  - name: a\n  - name: "
	f("route:\n  receiver: x\n"+two+"b\n", "2:13: route.receiver")
	f("route:\n  receiver: a\n  routes:\n    - receiver: b\n    - routes: [{receiver: x}]\n"+two+"b\n", "5:27: route.routes[1].routes[0].receiver")
	f("route:\n  receiver: a\n  routes:\n    - receiver: b\n      mute_time_intervals: [x]\n"+two+"b\n", "5:29: route.routes[0].mute_time_intervals[0]")
	f("route:\n  receiver: a\n"+two+"a\n", "5:11: receivers[1].name")
	f("route:\n  group_by: [a]\n"+two+"b\n", "2:3: route: ")
	f("route:\n  receiver: a\n"+two+"b\n    webhook_configs: [{url: http://h}]\n    nope: 1\n", "7:1: ")
	f("receivers: [", "1:")
}
