package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/test/ports"
)

// TestGulf starts the worked example as its reader would, with the script's first
// fault brought forward and the bank's minutes cut to seconds, so that the test
// need not wait: all customers are there and well, the Marina goes dark for just
// as long as the script says, one page says so, and everything stops.
func TestGulf(t *testing.T) {
	t.Parallel()
	s := &site{dir: t.TempDir(), listen: ports.Free(t)}
	s.url = "http://" + s.listen
	s.example(t, "gulf")
	conf := filepath.Join(s.dir, "config")
	const dark = 8
	edit(t, filepath.Join(conf, "simulation.yaml"), "at: 75s, lasts: 130s, every: 6h", fmt.Sprintf("at: 12s, lasts: %ds", dark))
	edit(t, filepath.Join(conf, "simulation.yaml"), "lasts: 3h, faultsEvery: 100m", "lasts: 10m")
	edit(t, filepath.Join(conf, "objectives", "bank.yaml"), "length: 1m, badWhen: unreachable", "length: 1s, maxGap: 0s, badWhen: unreachable")

	p := s.start(t, "--example", "gulf")
	s.ready(t, p)
	want := []string{"corniche-bank", "mirage-studio", "oryx-games", "sidra-claims"}
	var bank groupStatus
	eventually(t, time.Minute, "every customer's objectives are up", func() error {
		up := map[string]bool{}
		for _, g := range s.groups(t) {
			if g.Labels["service"] == "mirage-events" { // ordered, never connected
				if g.State != "silent" {
					return fmt.Errorf("%v is %s, and nobody speaks for it", g.Labels, g.State)
				}
				continue
			}
			if g.State != "up" && g.Labels["zone"] == "" {
				return fmt.Errorf("%v is %s", g.Labels, g.State)
			}
			if up[g.Labels["customer"]] = true; g.Labels["zone"] == "gulf-1a" {
				bank = g
			}
		}
		for _, c := range want {
			if !up[c] {
				return fmt.Errorf("%s has no objective yet", c)
			}
		}
		return nil
	})
	if !strings.Contains(p.log.String(), "SIMULATED 40 hosts") {
		t.Errorf("nobody is told that the hosts are simulated:\n%s", p.log)
	}

	// The script's fault, second by second.
	var bad []int64
	eventually(t, 60*time.Second, "the Marina went dark and came back", func() error {
		var doc struct{ Slots []slot }
		now := time.Now().UnixMilli()
		if err := s.get(fmt.Sprintf("/api/nines/v1/slots?group=%s&from=%d&to=%d", bank.ID, now-45_000, now), &doc); err != nil {
			return err
		}
		bad = nil
		after := 0
		for _, sl := range doc.Slots {
			switch {
			case sl.S == "bad":
				bad, after = append(bad, sl.T), 0
			case sl.S == "good":
				after++
			}
		}
		if len(bad) == 0 || after < 3 {
			return fmt.Errorf("%d bad slots, %d good ones after them", len(bad), after)
		}
		return nil
	})
	if len(bad) != dark || bad[dark-1]-bad[0] != (dark-1)*1000 {
		t.Errorf("bad are %v; the script makes it dark for %d s", bad, dark)
	}
	for _, g := range s.groups(t) {
		if g.Labels["zone"] == "gulf-1b" && g.Good != g.Total && float64(g.Good) < 0.999*float64(g.Total) {
			t.Errorf("the Dunes were never dark, but have %d good of %d", g.Good, g.Total)
		}
	}
	if log := p.log.String(); !strings.Contains(log, "PAGE firing ConfirmedDown customer=corniche-bank") {
		t.Errorf("nobody was paged:\n%s", tail(log, 20))
	}
	eventually(t, time.Minute, "the page resolves", func() error {
		if !strings.Contains(p.log.String(), "PAGE resolved ConfirmedDown customer=corniche-bank") {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	out, err := exec.Command(binary, "statement", "--data-dir", s.dir, "--contract", "corniche-bank").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "two-zones") {
		t.Errorf("the statement of the running month: %v\n%s", err, out)
	}
	p.stop(t)
}

// example copies the configuration of an example to the site, to be edited before
// the start; nines writes only what is absent.
func (s *site) example(t *testing.T, name string) {
	t.Helper()
	src := filepath.Join("..", "..", "configs", "examples", name)
	if err := os.CopyFS(filepath.Join(s.dir, "config"), os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
}

// groups returns the status of all groups of all objectives.
func (s *site) groups(t *testing.T) []groupStatus {
	t.Helper()
	var o overview
	if err := s.get("/api/nines/v1/overview", &o); err != nil {
		t.Fatal(err)
	}
	var out []groupStatus
	for _, obj := range o.Objectives {
		out = append(out, obj.Groups...)
	}
	return out
}

// edit replaces text in a file, which must hold it.
func edit(t *testing.T, file, old, with string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not say %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), old, with, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownExampleSaysWhichThereAre(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "up", "--example", "atlantis", "--data-dir", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `no example is called "atlantis"; there are: gulf`) {
		t.Errorf("%v: %s", err, out)
	}
}
