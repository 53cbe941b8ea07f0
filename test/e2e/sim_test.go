package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const fleetExample = "../../configs/examples/fleet/"

// TestSimulatedFleet plays hosts in all 92 zones, in two processes side by side
// and with a fault of every kind, to the embedded broker and the roles of a
// collector, and holds the ledger against what was measured: every slot has the
// counts of the truth. A truth that was tampered with is found out.
func TestSimulatedFleet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	copyFile(t, fleetExample+"objectives.yaml", filepath.Join(s.dir, "config", "objectives", "fleet.yaml"))
	s.ready(t, s.start(t))

	script := fleetExample + "faults.yaml"
	a, b := filepath.Join(s.dir, "a.jsonl"), filepath.Join(s.dir, "b.jsonl")
	begin := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	play := func(shard, truth string) *daemon {
		return launch(t, binary, "sim", "--data-dir", s.dir, "--script", script, "--hosts", "184", "--frame-samples", "40",
			"--seed", "5", "--speed", "20x", "--duration", "5m", "--shard", shard, "--begin", begin, "--truth", truth)
	}
	for _, d := range []*daemon{play("1/2", a), play("2/2", b)} {
		select {
		case <-d.done:
		case <-time.After(90 * time.Second):
			t.Fatal("nines sim does not end")
		}
		if code := d.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(d.out.String(), "played 5m of 92 hosts") {
			t.Fatalf("nines sim: code %d\n%s", code, d.out.String())
		}
	}
	var out string
	eventually(t, 60*time.Second, "the ledger has what was measured", func() error {
		code, text, errs := oneShot(t, binary, "sim", "verify", "--truth", a, "--truth", b, "--data-dir", s.dir)
		if out = text; code != 0 {
			return errorOf(text + errs)
		}
		return nil
	})
	t.Log(out)
	if !strings.Contains(out, "6 faults") || !strings.Contains(out, "the ledger is true") || strings.Contains(out, "end early") {
		t.Errorf("verify says:\n%s", out)
	}
	replaceIn(t, a, `,"v":1}`, `,"v":0}`)
	code, text, errs := oneShot(t, binary, "sim", "verify", "--truth", a, "--truth", b, "--data-dir", s.dir)
	if code != 1 || !strings.Contains(errs, "the ledger is not true") {
		t.Errorf("a truth that was tampered with: code %d\n%s%s", code, text, errs)
	}
}

type errorOf string

func (e errorOf) Error() string { return string(e) }

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSimStops ends a simulation early, as Ctrl-C does.
func TestSimStops(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ready(t, s.start(t))
	truth := filepath.Join(s.dir, "truth.jsonl")
	d := launch(t, binary, "sim", "--data-dir", s.dir, "--hosts", "92", "--duration", "0", "--truth", truth)
	eventually(t, time.Minute, "something is played", func() error {
		if data, err := os.ReadFile(truth); err != nil || len(data) == 0 {
			return errorOf("no truth yet")
		}
		return nil
	})
	d.interrupt(t)
	data, err := os.ReadFile(truth)
	if err != nil || !strings.Contains(string(data), `"complete":false`) || !strings.Contains(d.out.String(), "stopped before its end") {
		t.Errorf("%v\n%s", err, d.out.String())
	}
}

// TestSimulatedRegions plays to a topic for each region, and the ledger has what
// was measured.
func TestSimulatedRegions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	conf := filepath.Join(s.dir, "config")
	copyFile(t, fleetExample+"objectives.yaml", filepath.Join(conf, "objectives", "fleet.yaml"))
	replaceIn(t, filepath.Join(conf, "nines.yaml"), "topics:\n", "topics:\n  formats: {nines.telemetry.me-east-1: nines, nines.telemetry.ap-southeast-1: nines}\n")
	s.ready(t, s.start(t))
	script, file := filepath.Join(s.dir, "script.yaml"), filepath.Join(s.dir, "truth.jsonl")
	if err := os.WriteFile(script, []byte("apiVersion: nines/v1\nkind: Simulation\nspec:\n  hosts:\n    - {zones: [me-east-1a, me-east-1b, ap-southeast-1a], count: 2, series: 40, probers: 1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := oneShot(t, binary, "sim", "--data-dir", s.dir, "--script", script, "--region-topics", "--speed", "60x", "--duration", "3m", "--truth", file)
	if code != 0 || !strings.Contains(out, "played 3m of 6 hosts") || strings.Contains(errs, "no collector") {
		t.Fatalf("nines sim: code %d\n%s%s", code, out, errs)
	}
	eventually(t, 60*time.Second, "the ledger has what was measured", func() error {
		if code, text, errs := oneShot(t, binary, "sim", "verify", "--truth", file, "--data-dir", s.dir); code != 0 {
			return errorOf(text + errs)
		}
		return nil
	})
	if _, text, _ := oneShot(t, binary, "cat", "nines.telemetry.ap-southeast-1", "--data-dir", s.dir, "--count", "200"); !strings.Contains(text, "host-ap-southeast-1a-0001") {
		t.Errorf("nothing of the region on its topic:\n%.500s", text)
	}
}
