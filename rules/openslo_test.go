package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// TestOpenSLOCorpus loads every OpenSLO document of the shared recordings twice,
// file by file: as it is, and with its data sources replaced by ours. The golden
// file says which are accepted, and which are refused where and why.
func TestOpenSLOCorpus(t *testing.T) {
	const root = "../../shared/data/slo-openslo"
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	var out strings.Builder
	documents := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || (filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+"/"))
		docs, err := yamlconf.Parse(name, data)
		if err != nil {
			return err
		}
		for _, d := range docs {
			documents += len(d.Items())
		}
		out.WriteString("== " + name + "\n")
		verdict(&out, "as it is", name, data)
		if ours := withOurSource(data); filepath.Ext(path) == ".yaml" && string(ours) != string(data) {
			verdict(&out, "with our data source", name, ours)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents < 60 {
		t.Errorf("only %d documents", documents)
	}
	golden(t, "testdata/openslo-corpus.txt", out.String())
}

func verdict(out *strings.Builder, how, name string, data []byte) {
	_, err := Compile([]Source{{name, data}})
	if err == nil {
		out.WriteString(how + ": accepted\n")
		return
	}
	out.WriteString(how + ": refused\n")
	for _, e := range (yamlconf.Errors(nil)).Append(name, err).Sorted() {
		out.WriteString("  " + strings.TrimPrefix(e.Error(), name+":") + "\n")
	}
}

var (
	keyLine    = regexp.MustCompile(`^( *)(?:- )?([A-Za-z]+):`)
	sourceLine = regexp.MustCompile(`^( *)metricSource:`)
)

// withOurSource replaces what is under each metricSource.
func withOurSource(data []byte) []byte {
	var out []string
	parent, skip := "", -1
	for _, line := range strings.Split(string(data), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if skip >= 0 && (strings.TrimSpace(line) == "" || indent > skip) {
			continue
		}
		skip = -1
		if m := sourceLine.FindStringSubmatch(line); m != nil {
			skip = len(m[1])
			out = append(out, line, m[1]+"  type: nines", m[1]+"  spec: {metric: "+strings.ToLower(parent)+"_metric}")
			continue
		}
		if m := keyLine.FindStringSubmatch(line); m != nil {
			parent = m[2]
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, "\n"))
}

// TestOpenSLOFixtures compiles our own documents of every shape that OpenSLO v1
// has, and what they became is in the golden file beside them.
func TestOpenSLOFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/openslo/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		set, err := Load([]string{f})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		golden(t, strings.TrimSuffix(f, ".yaml")+".txt", dump(set, f))
	}
}

// TestOldRuleSetsKeepTheirIdentity: fields that came later are left out of the
// JSON of what does not use them.
func TestOldRuleSetsKeepTheirIdentity(t *testing.T) {
	st := &slo.Stream{Sample: &slo.Selector{Metric: "probe_success"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{}, Bin: 1000,
		Rule: sla.SlotRule{Length: 60_000, Bad: sla.BadUnreachable, K: 1}}
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{st.ID(): st}, Objectives: []*slo.Objective{{Name: "a", Service: "s", StreamID: st.ID(),
		Target: sla.Ratio{Num: 1, Den: 2}, Budgeting: slo.Occurrences, Window: 86_400_000, Burn: slo.BurnRows(86_400_000),
		Calendar: &slo.Calendar{TimeZone: "UTC", Unit: "day"}}}}
	if got, want := st.ID(), "78a1767592efc9d2"; got != want {
		t.Errorf("stream %s, want %s", got, want)
	}
	if got, want := set.ID(), "1e2f3f7a8f87a8dd"; got != want {
		t.Errorf("rule set %s, want %s", got, want)
	}
}
