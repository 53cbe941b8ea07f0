package collector

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/bench/program"
	"nines/internal/telemetry"
	"nines/rules"
)

func testFleet(t *testing.T) *fleet {
	t.Helper()
	f, err := newFleet("../..", 200, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Both forms carry the same hundred series and the same values: what is compared
// is the same work.
func TestLinesAndFramesAreTheSameSamples(t *testing.T) {
	f := testFleet(t)
	if f.series != 100 {
		t.Errorf("a host has %d series, want 100", f.series)
	}
	h := &f.hosts[17]
	values := f.second(nil, h, 42)
	var fr telemetry.Frame
	frame(&fr, h, f.schemas(), values, 1_700_000_000_250, 43)
	ours := map[string]float64{}
	for _, b := range fr.Blocks {
		for i, s := range b.Schema.Series {
			ours[s.Name+s.Labels.With(fr.Host).String()] = b.Values[i]
		}
	}
	n := 0
	for _, line := range f.lines(h, values, 1_700_000_000_250) {
		parts := strings.Fields(string(line))
		if len(parts) != 3 || parts[2] != "1700000000250000000" {
			t.Fatalf("line %q", line)
		}
		name, tags, _ := strings.Cut(parts[0], ",")
		labels := map[string]string{}
		for tag := range strings.SplitSeq(tags, ",") {
			k, v, _ := strings.Cut(tag, "=")
			labels[k] = v
		}
		for pair := range strings.SplitSeq(parts[1], ",") {
			k, v, _ := strings.Cut(pair, "=")
			want, ok := ours[name+"_"+k+telemetry.NewLabels(labels).String()]
			if got, _ := program.Metric("x "+strings.TrimSuffix(v, "i"), "x"); !ok || got != want {
				t.Errorf("%s of %q is %v in the line, %v in the frame", k, parts[0], got, want)
			}
			n++
		}
	}
	if n != f.series || len(ours) != f.series {
		t.Errorf("%d values in lines, %d in the frame, want %d", n, len(ours), f.series)
	}
}

func TestCountersNeverFall(t *testing.T) {
	f := testFleet(t)
	h := &f.hosts[3]
	last := f.second(nil, h, 0)
	for age := 1; age < 200; age++ {
		now := f.second(nil, h, age)
		i := 0
		for _, in := range f.inputs {
			for _, fd := range in.fields {
				if fd.counter() && now[i] < last[i] {
					t.Fatalf("%s_%s falls from %v to %v", in.measurement, fd.name, last[i], now[i])
				}
				i++
			}
		}
		last = now
	}
}

// What nines is given compiles, and Prometheus' own tool takes the rules.
func TestObjectivesAndRulesAreValid(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all := objectives()
	set, err := rules.Load([]string{write("objectives.yaml", openSLO(all))})
	if err != nil || len(set.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, set.Warnings)
	}
	if got := len(set.RuleSet.Objectives); got != len(all) {
		t.Errorf("nines reads %d objectives of %d", got, len(all))
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: the rules stay unchecked")
	}
	out, err := exec.Command(promtool, "check", "rules", write("recordings.yaml", recordings(all)), write("alerts.yaml", alerts(all))).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"SUCCESS: 147 rules found", "SUCCESS: 84 rules found"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("promtool says %s, want %s", out, want)
		}
	}
}

// What fails refuses connections at once, and a webhook counts from its first
// firing alert of a target on, by whichever label names it.
func TestFaultsAndWebhooks(t *testing.T) {
	tg, err := newTarget()
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHooks()
	if err != nil {
		t.Fatal(err)
	}
	defer h.srv.Close()
	if _, err := program.Get(t.Context(), "http://"+tg.addr+"/metrics"); err != nil {
		t.Fatalf("a target that is well: %v", err)
	}
	tg.fail()
	if _, err := program.Get(t.Context(), "http://"+tg.addr+"/metrics"); err == nil {
		t.Error("a target that has failed answers")
	}
	post := func(text string) {
		t.Helper()
		resp, err := http.Post(h.url+"me", "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	f := func(addr string, want bool) {
		t.Helper()
		if at, ok := h.told("me", addr); ok != want || ok && at.Before(tg.failed) {
			t.Errorf("%s is told: %v at %v", addr, ok, at)
		}
	}
	post(`{"alerts":[{"status":"resolved","labels":{"instance":"a:1"}},{"status":"firing","labels":{"target":"http://b:2/"}}]}`)
	f("a:1", false)
	f("b:2", true)
	post(`{"alerts":[{"status":"firing","labels":{"instance":"a:1"}}]}`)
	f("a:1", true)
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	v := []float64{1, 2, 3, 4}
	for p, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		if got := Percentile(v, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
}

func TestTheReportHasEveryRun(t *testing.T) {
	s := New(Options{Root: "../.."})
	s.fleet = testFleet(t)
	s.tools.prometheus, s.tools.alertmanager = "true", "true"
	c := Contestant{Name: "ours", What: "reads"}
	s.order = []Contestant{c}
	for _, ms := range []int{100, 300, 200} {
		s.measured["ours"] = append(s.measured["ours"], Measurement{Contestant: "ours", Samples: 1_000_000, Shown: []string{"ours --fast\n"},
			Processes: []program.Usage{{Name: "a", CPU: time.Duration(ms) * time.Millisecond, RSS: 10e6}, {Name: "b", CPU: 100 * time.Millisecond, RSS: 5e6}}})
	}
	s.detected = []Detection{{Contestant: "watcher", What: "looks", Seconds: [][]float64{{1, 2}, {3, 4}}, Shown: []string{"watcher --look\n"}}}
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	r := program.Report{Figures: []program.Figure{{Name: "vs", Unit: "times", Min: 1, Median: 2, Max: 3, Runs: 3, Target: "≥ 1 kept"}}, Rest: s.Report}
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| vs, times | 2 | 1 | 3 | 3 | ≥ 1 kept |", "| ours | reads | 1 | 0.3000 | 0.2000 | 0.4000 | 15 |",
		"| ours | a | 0.2000 | 10 |", "| ours | 2 | 0.40 | 1 | 0.4000 | 15 | 0.0 |", "ours --fast",
		"| watcher | looks | 2.00 | 4.00 | 4.00 | 4 |", "2: 3.00 4.00", "watcher --look"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q:\n%s", want, b)
		}
	}
}
