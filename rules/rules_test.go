package rules

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/internal/sla"
	"nines/internal/slo"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (write it anew with -update):\n%s", file, got)
	}
}

func TestShippedConfigurationLoads(t *testing.T) {
	set, err := Load([]string{"../configs/objectives", "../configs/contracts/*.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings) != 0 {
		t.Errorf("warnings:\n%v", set.Warnings)
	}
	if len(set.RuleSet.Objectives) != 8 || len(set.Contracts) != 1 || len(set.RuleSet.Streams) != 9 {
		t.Fatalf("%d objectives, %d contracts, %d streams", len(set.RuleSet.Objectives), len(set.Contracts), len(set.RuleSet.Streams))
	}
	byName := map[string]*slo.Objective{}
	for _, o := range set.RuleSet.Objectives {
		byName[o.Name] = o
		if set.RuleSet.Streams[o.StreamID] == nil || set.RuleSet.Streams[o.StreamID].ID() != o.StreamID {
			t.Errorf("%s: its stream is missing", o.Name)
		}
		if o.Service == "mesh" { // thousands of groups, which wake nobody unless they are promised
			if len(o.Burn) != 0 || o.Down != nil {
				t.Errorf("%s alerts", o.Name)
			}
			continue
		}
		if len(o.Burn) != 4 || o.Burn[0].Factor != 14.4 {
			t.Errorf("%s: burn rows %+v", o.Name, o.Burn)
		}
	}
	target := byName["probe-availability-by-target"]
	if target.Target != (sla.Ratio{Num: 999, Den: 1000}) || *target.Down != (slo.Down{Failures: 3}) || target.Window != 30*86_400_000 {
		t.Errorf("%+v", target)
	}
	if byName["probe-latency-by-region"].Down != nil || !set.RuleSet.Streams[byName["probe-latency-by-region"].StreamID].Histogram {
		t.Error("latency has a down rule, or no histogram")
	}
	c := set.Contracts[0]
	if own := set.RuleSet.Streams[c.Objectives[0].Stream]; own == nil || own.Sample.Metric != "probe_success" || own.Rule.Bad != sla.BadUnreachable {
		t.Errorf("the example does not settle the objective's attempts by its own slot: %+v", own)
	}
	rec, err := set.RuleSet.Contract("example")
	if err != nil || rec.Contract.Fee.String() != "10000.00" || !strings.Contains(rec.Text, "apiVersion: nines/v1") {
		t.Errorf("the rule set's contract: %+v, %v", rec, err)
	}
	if _, err := set.RuleSet.Contract("nobody"); err == nil {
		t.Error("a contract that does not exist is found")
	}
	again, err := Load([]string{"../configs/contracts", "../configs/objectives"})
	if err != nil || len(again.RuleSet.ID()) != 16 {
		t.Fatal(err)
	}
	golden(t, "testdata/example.txt", Describe(c))
}

// TestMistakes loads every file of testdata/bad: one mistake each, its report
// beside it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		errs := CheckFiles([]string{f})
		if len(errs) == 0 {
			t.Errorf("%s is accepted", f)
			continue
		}
		golden(t, strings.TrimSuffix(f, ".yaml")+".txt", strings.ReplaceAll(errs.Error(), "testdata/bad/", "")+"\n")
	}
}

func TestRefusalsOfPaths(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		_, err := Load([]string{path})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	f("testdata/none.yaml", "no such file")
	f("testdata/none-*.yaml", "no file matches")
	f("testdata/[", "syntax error in pattern")
	if errs := CheckFiles([]string{"testdata/none.yaml"}); len(errs) != 1 {
		t.Errorf("%v", errs)
	}
	if set, err := Load(nil); err != nil || set.RuleSet.ID() == "" {
		t.Errorf("nothing to load: %v", err)
	}
}

func TestLoadFS(t *testing.T) {
	set, err := LoadFS(os.DirFS("../configs"), "objectives/*.yaml", "contracts/*.yaml")
	if err != nil || len(set.Contracts) != 1 {
		t.Fatal(err)
	}
	disk, err := Load([]string{"../configs/objectives", "../configs/contracts"})
	if err != nil || disk.RuleSet.ID() != set.RuleSet.ID() {
		t.Errorf("the same files have identities %s and %s", disk.RuleSet.ID(), set.RuleSet.ID())
	}
	if _, err := LoadFS(os.DirFS("../configs"), "["); err == nil {
		t.Error("a broken pattern is accepted")
	}
}

func TestEveryFeature(t *testing.T) {
	set, err := Load([]string{"testdata/good"})
	if err != nil {
		t.Fatal(err)
	}
	o := map[string]*slo.Objective{}
	for _, x := range set.RuleSet.Objectives {
		o[x.Name] = x
	}
	stream := func(name string) *slo.Stream { return set.RuleSet.Streams[o[name].StreamID] }
	web := stream("web-requests")
	if web.Bad == nil || web.Good != nil || web.Total.Metric != "http_requests_total" || web.Vantage != "" || web.Rule.MaxRatio != (sla.Ratio{Num: 1, Den: 1000}) {
		t.Errorf("%+v", web)
	}
	want := []slo.Matcher{{Label: "code", Match: slo.Regexp, Value: "5.."}, {Label: "job", Match: slo.Equal, Value: "web"}}
	if len(web.Bad.Matchers) != 2 || web.Bad.Matchers[0] != want[0] || web.Bad.Matchers[1] != want[1] {
		t.Errorf("matchers %+v", web.Bad.Matchers)
	}
	if o["web-requests"].Burn != nil {
		t.Error("burnRate: false leaves rows")
	}
	slices := stream("web-slices/1")
	if slices.Rule.Length != 300_000 || slices.Rule.MaxRatio != (sla.Ratio{Num: 5, Den: 100}) && slices.Rule.MaxRatio != (sla.Ratio{Num: 1, Den: 20}) {
		t.Errorf("%+v", slices.Rule)
	}
	if cal := o["web-slices/2"].Calendar; cal == nil || cal.Unit != "month" || cal.TimeZone != "Europe/London" || o["web-slices/2"].Target != (sla.Ratio{Num: 199, Den: 200}) {
		t.Errorf("%+v", o["web-slices/2"])
	}
	quorum := o["edge"]
	if *quorum.Down != (slo.Down{Failures: 2, K: 3, N: 5}) || stream("edge").Rule.K != 3 || stream("edge").Bin != 5000 || stream("edge").Rule.MaxGap != 0 {
		t.Errorf("%+v %+v", quorum.Down, stream("edge"))
	}
	if o["quiet"].Down != nil {
		t.Error("down: false leaves the rule")
	}
	if len(set.PrometheusFiles) != 1 || !strings.HasSuffix(set.PrometheusFiles[0], "prometheus.yaml") {
		t.Errorf("Prometheus files %v", set.PrometheusFiles)
	}
	var b strings.Builder
	for _, c := range set.Contracts {
		b.WriteString(Describe(c))
	}
	golden(t, "testdata/good.txt", b.String())
	golden(t, "testdata/warnings.txt", strings.ReplaceAll(set.Warnings.Error(), "testdata/good/", "")+"\n")
}

// Whoever names the buckets of a classic histogram is told its name.
func TestBucketsAreNotNamed(t *testing.T) {
	f := func(metric, want string) {
		t.Helper()
		set, err := Compile([]Source{{Name: "o.yaml", Data: []byte(`{apiVersion: openslo/v1, kind: SLO, metadata: {name: web}, spec: {service: web, budgetingMethod: Occurrences, timeWindow: [{duration: 30d, isRolling: true}],
  indicator: {metadata: {name: web}, spec: {thresholdMetric: {metricSource: {type: nines, spec: {metric: ` + metric + `}}}}},
  objectives: [{op: lte, value: 0.3, target: 0.99}]}}`)}})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Warnings.Error(); (want == "") != (len(set.Warnings) == 0) || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", metric, got, want)
		}
	}
	f("http_seconds", "")
	f("http_seconds_bucket", "if this is a classic histogram, name it http_seconds:")
}

func FuzzCompile(f *testing.F) {
	for _, glob := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "testdata/openslo/*.yaml", "../configs/*/*.yaml"} {
		files, _ := filepath.Glob(glob)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Compile([]Source{{"f.yaml", data}})
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		_ = set.RuleSet.ID()
		for _, c := range set.Contracts {
			_ = Describe(c)
			if _, err := set.RuleSet.Contract(c.Name); err != nil {
				t.Fatal(err)
			}
		}
	})
}
