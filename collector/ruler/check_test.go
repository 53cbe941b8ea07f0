package ruler

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckRulesNamesEveryMistake(t *testing.T) {
	err := CheckRules([]string{"testdata/broken.yml", "testdata/unknown.yml", "testdata/absent.yml"})
	if err == nil {
		t.Fatal("broken files passed")
	}
	for _, want := range []string{
		`testdata/broken.yml:4:9: group "host", rule 1, "NoExpr": field 'expr' must be set`,
		`testdata/broken.yml:7:15: group "host", rule 2, "BadExpr": could not parse expression`,
		`testdata/broken.yml:8:9: group "host", rule 3, "BadTemplate": annotation "summary"`,
		`testdata/broken.yml:12:11: groupname: "host" is repeated`,
		"testdata/unknown.yml:3:1: field rulez not found",
		"testdata/unknown.yml:7:1: field sevrity not found",
		"testdata/absent.yml: no such file",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("misses %q in:\n%v", want, err)
		}
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	err := Config{Retention: 5, EvaluationInterval: 1, Select: []string{"{"}}.Validate()
	if err == nil {
		t.Fatal("impossible values passed")
	}
	for _, want := range []string{"ruler.dir:", "ruler.retention:", "ruler.evaluation_interval:", "ruler.select[0]:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("misses %q in:\n%v", want, err)
		}
	}
}

// rulesDir is where the shipped rules lie, seen from this package.
const rulesDir = "../../configs/rules"

func TestShippedRulesAreValid(t *testing.T) {
	files, err := expandRules([]string{rulesDir + "/*.yml"})
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, error %v", files, err)
	}
	if err := CheckRules(files); err != nil {
		t.Error(err)
	}
}

// Every shipped rule has a scenario in which it fires and one in which it does
// not; Prometheus' own tool runs them.
func TestShippedRulesFireAndKeepQuiet(t *testing.T) {
	promtool := tool(t, "promtool")
	tests, err := filepath.Glob(rulesDir + "/tests/*.yml")
	if err != nil || len(tests) == 0 {
		t.Fatalf("tests %v, error %v", tests, err)
	}
	out, err := exec.Command(promtool, append([]string{"test", "rules"}, tests...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var scenarios strings.Builder
	for _, f := range tests {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		scenarios.Write(b)
	}
	rules, err := filepath.Glob(rulesDir + "/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rules {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok && !strings.Contains(scenarios.String(), "alertname: "+name+"\n") {
				t.Errorf("%s: alert %s has no scenario", f, name)
			}
		}
	}
}

// tool finds a program of Debian's packages; without it the test is skipped, on
// the build machine it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is needed here: apt-get install prometheus", name)
	default:
		t.Skipf("%s is not installed (apt-get install prometheus)", name)
	}
	return path
}
