package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTools lets Prometheus' and Alertmanager's own command lines, nines' other
// commands and a browser work against a running nines.
func TestTools(t *testing.T) {
	t.Parallel()
	promtool, amtool := need(t, "promtool"), need(t, "amtool")
	s := newSite(t)
	p := s.start(t)
	s.ready(t, p)
	s.inState(t, "up")
	run := func(program string, args ...string) string {
		t.Helper()
		var stdout, stderr strings.Builder
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	holds := func(what, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", what, part, text)
			}
		}
	}

	t.Run("promtool", func(t *testing.T) {
		eventually(t, time.Minute, "series in the ruler", func() error {
			var doc struct{ Data struct{ Result []any } }
			if err := s.get("/api/v1/query?query=probe_success", &doc); err != nil || len(doc.Data.Result) == 0 {
				return fmt.Errorf("no series, %v", err)
			}
			return nil
		})
		holds("an instant query", run(promtool, "query", "instant", s.url, `probe_success{job="shop"}`), `host="host-1"`, `region="r1"`, "=> 1")
		holds("a range query", run(promtool, "query", "range", "--step=1s", s.url, `probe_success{job="shop"}`), "probe_success")
		holds("series", run(promtool, "query", "series", "--match=probe_success", s.url), `target="http://`+s.target.addr+`/"`)
		holds("label values", run(promtool, "query", "labels", s.url, "region"), "r1")
		var rules struct{ Data struct{ Groups []any } }
		if err := s.get("/api/v1/rules", &rules); err != nil || len(rules.Data.Groups) == 0 {
			t.Errorf("the shipped rules are not served: %v", err)
		}
	})

	t.Run("amtool", func(t *testing.T) {
		s.target.stop()
		s.inState(t, "down")
		url := "--alertmanager.url=" + s.url
		eventually(t, time.Minute, "amtool lists the alert", func() error {
			out, err := exec.Command(amtool, url, "alert", "query").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ConfirmedDown") {
				return fmt.Errorf("%v: %s", err, out)
			}
			return nil
		})
		id := strings.TrimSpace(run(amtool, url, "silence", "add", "--author=sre", "--comment=known", "--duration=1h", "alertname=ConfirmedDown"))
		holds("the silences", run(amtool, url, "silence", "query"), id, "known")
		eventually(t, time.Minute, "the alert is silenced", func() error {
			var alerts []struct {
				Labels   map[string]string
				Silenced bool
			}
			if err := s.get("/api/nines/v1/alerts", &alerts); err != nil {
				return err
			}
			for _, a := range alerts {
				if a.Labels["alertname"] == "ConfirmedDown" && a.Silenced {
					return nil
				}
			}
			return fmt.Errorf("%v", alerts)
		})
		run(amtool, url, "silence", "expire", id)
		s.target.start(t)
		s.inState(t, "up")
	})

	t.Run("nines", func(t *testing.T) {
		holds("status", run(binary, "status", "--data-dir", s.dir), "probe-availability-by-target", "up", "open alerts: 0 page")
		holds("cat", run(binary, "cat", "nines.telemetry", "--data-dir", s.dir, "--last", "60"), "frame", "probe_success", "tick")
		for _, line := range strings.Split(strings.TrimSpace(run(binary, "cat", "nines.alerts", "--data-dir", s.dir, "--json")), "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("cat --json prints %q", line)
			}
		}
		month := time.Now().UTC().Format("2006-01")
		holds("the statement", run(binary, "statement", "--data-dir", s.dir, "--contract", "example", "--month", month), "availability")
		var doc map[string]any
		if err := json.Unmarshal([]byte(run(binary, "statement", "--data-dir", s.dir, "--month", month, "--format", "json")), &doc); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"contract", "period", "time_zone", "slots", "attainment_pct", "coverage_pct", "bounds", "credit", "objectives", "steps"} {
			if _, ok := doc[key]; !ok {
				t.Errorf("the statement lacks %q: %v", key, doc)
			}
		}
		holds("check", run(binary, "check", filepath.Join(s.dir, "config")), "no mistakes", "Prometheus rules", "alert routing")
	})

	t.Run("browser", func(t *testing.T) {
		need(t, "chromium")
		if _, err := os.Stat("../browser/node_modules"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("test/browser/node_modules is missing: run test/setup")
			}
			t.Skip("test/browser/node_modules is missing: run test/setup")
		}
		cmd := exec.Command("npm", "test", "--silent")
		cmd.Dir = "../browser"
		shots := os.Getenv("SCREENSHOT_DIR")
		if shots == "" {
			shots = t.TempDir()
		}
		cmd.Env = append(os.Environ(), "NINES_URL="+s.url, "SCREENSHOT_DIR="+shots)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, tail(string(out), 80))
		}
	})
	p.stop(t)
}
