// Package nines_test holds the rules of the layout: who may import whom, and
// why, and what no package may do. ARCHITECTURE.md tells it, this enforces it.
package nines_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// row is one package of ours: the floor it stands on, all that it may import of
// ours, and why that and not more.
type row struct {
	path  string
	floor int
	uses  string
	why   string
}

// table is the import table. Imports run to lower floors; those on the same
// floor are in beside. A new package or import needs a row, and a reason that
// convinces whoever reviews it.
var table = []row{
	{"internal/access", 0, "", "who may see what is asked everywhere and asks nobody"},
	{"internal/alert", 0, "", "the alert that crosses Kafka: every role speaks it"},
	{"internal/hist", 0, "", "arithmetic on buckets"},
	{"internal/sla/exact", 0, "", "numbers know no contract"},
	{"internal/sla/slot", 0, "internal/sla/exact", "when a slot is bad, in exact ratios"},
	{"internal/yamlconf", 0, "", "reads any package's Config, knows none"},
	{"internal/hush", 0, "", "comes before all that imports more, and so imports nothing of ours"},
	{"internal/service", 0, "", "runs any program's parts, knows none"},
	{"internal/bus", 0, "", "bytes to and from Kafka; what they mean is wire's"},
	{"internal/broker", 0, "", "a Kafka broker knows nothing of nines"},
	{"agent/spool", 0, "", "holds bytes in order, whatever they are"},
	{"agent/apart", 0, "", "calls that may hang, whatever they do"},

	{"internal/scenario/script", 2, "internal/telemetry internal/yamlconf", "the scenario language is read without running anything"},
	{"internal/telemetry", 1, "internal/hist", "a sample may be a histogram"},
	{"internal/sla", 1, "internal/sla/exact internal/sla/slot", "an auditor reads it alone"},
	{"agent/discovery", 1, "internal/yamlconf", "errors in target files have positions"},

	{"internal/topology", 1, "internal/yamlconf", "regions and zones; who plays or draws them is not its business"},

	{"internal/sla/clauses", 2, "internal/sla internal/sla/exact", "runs, zones, calendars and changes, before and around a settlement"},
	{"internal/inventory", 2, "internal/access internal/sla internal/sla/exact internal/yamlconf", "facts in time and how they are written; who stores them is above"},
	{"internal/slo", 2, "internal/sla", "an objective judges by the contract's slot rule and exact ratios"},
	{"internal/wire", 2, "internal/alert internal/hist internal/telemetry", "the bytes of what those define"},
	{"internal/ledger", 2, "internal/access internal/alert internal/hist internal/inventory internal/sla internal/slo internal/telemetry internal/wire",
		"stores slots, alerts, sketches, rule sets, positions, facts and exclusions; every read takes a principal"},
	{"internal/deadletter", 2, "internal/bus internal/wire", "records that could not be used, on their topic"},
	{"internal/rows", 2, "internal/telemetry internal/yamlconf", "tables of measurements to points; what judges them is none of its business"},
	{"internal/rulelog", 2, "internal/bus internal/slo internal/wire", "rule sets on their topic"},
	{"collector/decode", 2, "internal/bus internal/telemetry internal/wire", "other fleets' records to series and values; what they count for is aggregation's"},
	{"collector/promseries", 2, "collector/decode internal/hist internal/telemetry", "series as Prometheus has them: the ruler stores what forward sends"},
	{"agent/host", 2, "agent/apart internal/telemetry", "a source of rounds; what may hang is read apart"},
	{"agent/gpu", 2, "internal/telemetry", "a source of rounds, alone"},
	{"agent/timesync", 2, "agent/apart internal/telemetry", "a source of rounds; servers of time are asked apart"},
	{"agent/mesh", 2, "internal/telemetry", "a source of rounds, alone: how agents find each other is its caller's"},
	{"agent/telegraf", 2, "internal/telemetry", "a source of rounds, alone"},
	{"agent/probe", 2, "agent/discovery internal/hist internal/telemetry internal/yamlconf", "a source of rounds; discovery names its targets"},

	{"agent/framing", 2, "agent/spool internal/hist internal/telemetry internal/wire", "rounds to numbered frames: what agents and the simulator send alike"},

	{"agent", 3, "agent/framing agent/gpu agent/host agent/mesh agent/probe agent/spool agent/telegraf agent/timesync internal/bus internal/telemetry internal/wire internal/yamlconf",
		"puts its sources together and sends frames; no collector in it"},
	{"collector/aggregate", 3, "collector/decode internal/bus internal/deadletter internal/hist internal/rulelog internal/slo internal/telemetry internal/wire",
		"telemetry to partials; it never sees the ledger"},
	{"collector/evaluate", 3, "internal/access internal/alert internal/bus internal/deadletter internal/hist internal/inventory internal/ledger internal/rulelog internal/sla internal/sla/clauses internal/slo internal/telemetry internal/wire",
		"partials to slots, alerts and the ledger"},
	{"collector/notary", 3, "internal/alert internal/ledger", "signs the ledger's log; what reaches people is its caller's choice"},
	{"collector/forward", 3, "collector/decode collector/promseries internal/bus internal/telemetry internal/wire internal/yamlconf",
		"telemetry to other stores; what it means there is their business"},
	{"collector/ruler", 3, "collector/decode collector/promseries internal/alert internal/bus internal/telemetry internal/wire internal/yamlconf",
		"telemetry to series and alerts; objectives are none of its business"},
	{"alerting", 3, "internal/alert internal/bus internal/wire internal/yamlconf", "alerts to people; where it keeps its state is its caller's choice"},
	{"rules", 3, "internal/access internal/alert internal/sla internal/sla/exact internal/slo internal/yamlconf", "text to what slo and sla run"},
	{"statement", 3, "internal/access internal/inventory internal/ledger internal/sla internal/sla/clauses internal/slo", "slots of the ledger through sla to a page"},

	{"internal/sim", 3, "agent/framing agent/mesh agent/spool internal/bus internal/hist internal/telemetry internal/topology internal/wire internal/yamlconf",
		"plays a fleet with the agents' own framer, spool and plan of the mesh; it never sees a collector"},

	{"internal/truth", 3, "internal/access internal/ledger internal/sla internal/slo internal/telemetry internal/wire",
		"what a simulation measured against the ledger; an oracle, so it knows no collector"},

	{"web", 4, "internal/access internal/alert internal/hist internal/inventory internal/ledger internal/sla internal/slo internal/telemetry internal/wire internal/yamlconf rules statement",
		"shows the ledger; ruler and notify are handlers that cmd gives it"},
	{"configs", 4, "", "data only"},
	{"internal/scenario", 4, "internal/access internal/alert internal/inventory internal/ledger internal/replay internal/scenario/script internal/sla internal/sla/clauses internal/slo internal/telemetry internal/yamlconf rules statement",
		"scenarios run what collectors and statements run, and nothing else"},
	{"internal/replay", 4, "collector/aggregate collector/evaluate internal/access internal/alert internal/inventory internal/ledger internal/rows internal/sla internal/slo internal/telemetry internal/wire",
		"the two pure states over a ledger, without Kafka; whoever simulates, replays or tests drives it"},

	{"cmd/nines", 5, "*", "wires everything"},
	{"cmd/gpuworker", 4, "agent/gpu", "the command that both programs have, since both run an agent"},
	{"cmd/nines-agent", 5, "agent agent/telegraf cmd/gpuworker internal/hush", "the agent alone stays lean"},
	{"bench", 5, "*", "measures anything"},
	{"bench/program", 0, "", "starts and measures programs, whatever they do"},
	{"bench/agent", 4, "bench/program collector/decode internal/bus internal/telemetry internal/wire test/kafka test/module",
		"starts agents and reads what both wrote; nothing of an agent runs in it"},
	{"bench/collector", 4, "agent/framing bench/program internal/bus internal/rulelog internal/telemetry internal/topology internal/wire rules test/kafka test/module",
		"writes what agents write and starts programs; nothing of a collector runs in it"},

	{"test/module", 0, "", "builds other projects' programs for tests, whatever they are fed"},
	{"test/postgres", 0, "", "starts Debian's PostgreSQL for tests, whatever they store there"},
	{"test/llm", 0, "", "a language model's API by script, whoever asks it"},
	{"test/ports", 0, "", "finds ports for servers of tests"},
	{"test/kafka", 1, "internal/broker test/ports", "starts Apache Kafka for tests, or the embedded broker in its place"},
}

// beside are the imports on one floor, with the reason that outweighs the rule.
var beside = map[string]string{
	"internal/sla/slot → internal/sla/exact": "arithmetic below arithmetic",

	"internal/ledger → internal/inventory":    "facts are stored as inventory defines them",
	"internal/ledger → internal/slo":          "windows and rule sets are stored as slo defines them",
	"internal/ledger → internal/wire":         "a group's key is the one that partials carry",
	"internal/rulelog → internal/slo":         "a rule set is slo's",
	"internal/rulelog → internal/wire":        "topic and record type are wire's",
	"agent/framing → internal/wire":           "frames are wire's bytes",
	"collector/promseries → collector/decode": "other fleets' points become Prometheus' series in one place",
	"collector/decode → internal/wire":        "what is foreign is what is not one of wire's types",
	"internal/deadletter → internal/wire":     "topic and headers are wire's",

	"internal/scenario → internal/replay": "a scenario is a replay whose results are expected",
}

// only says who may import what is not ours; the first row that fits decides.
var only = []struct{ path, users, why string }{
	{"github.com/segmentio/kafka-go", "internal/bus test/kafka", "one door to Kafka holds the rules of the log: explicit partitions, one request in flight, fenced generations; who starts brokers for tests empties them"},
	{"github.com/twmb/franz-go", "internal/broker", "kfake is the embedded broker and nothing else: no client grows beside the bus"},
	{"github.com/influxdata/telegraf/agent", "", "its buffers and goroutines are what the agent does without"},
	{"github.com/influxdata/telegraf/plugins/inputs/all", "", "links every plugin there is"},
	{"github.com/influxdata/telegraf", "agent agent/telegraf", "inputs are used as a library in one place"},
	{"github.com/prometheus/prometheus", "collector/ruler collector/forward collector/promseries test/remotewrite bench", "series, PromQL and remote write have one library; a benchmark writes requests as Prometheus does"},
	{"github.com/prometheus/otlptranslator", "collector/decode", "OpenTelemetry's names become labels in one place"},
	{"github.com/prometheus/alertmanager", "alerting", "routing and silences are notify's"},
	{"modernc.org/sqlite", "internal/ledger", "one reader and writer of the ledger"},
	{"github.com/jackc/pgx", "internal/ledger test/postgres", "one reader and writer of the ledger, and who starts a server for its tests"},
	{"golang.org/x/mod/sumdb/note", "collector/notary", "one place that signs, and knows what a checkpoint says"},
	{"golang.org/x/mod/sumdb/tlog", "internal/ledger collector/notary cmd/nines", "the log's trees, and who signs and compares them"},
	{"github.com/goccy/go-yaml", "internal/yamlconf", "one strict reader of YAML, with positions"},
	{"github.com/spf13/cobra", "cmd/nines cmd/nines-agent cmd/gpuworker", "packages have options, not flags"},
	{"flag", "bench", "packages have options, not flags"},
	{"log/slog", "*", "given in Options"},
	{"log", "agent/telegraf internal/hush", "log/slog, given in Options; Telegraf's own logger is tamed in one place, and what speaks before main in another"},
	{"github.com/ebitengine/purego", "agent/gpu", "the one shared library that is called without cgo is NVML"},
	{"unsafe", "agent/host", "the NVMe log is asked for by an ioctl with an address in it; nothing else needs it"},
}

// unlinked are packages that a binary must not contain, however indirectly.
var unlinked = []struct{ program, prefix, why string }{
	{"cmd/nines-agent", "github.com/prometheus/prometheus", "no PromQL engine and no TSDB on a host"},
	{"cmd/nines-agent", "github.com/prometheus/alertmanager", "an agent notifies nobody"},
	{"cmd/nines-agent", "modernc.org/sqlite", "an agent keeps no ledger"},
	{"cmd/nines-agent", "github.com/jackc/pgx", "an agent keeps no ledger"},
	{"cmd/nines-agent", "github.com/twmb/franz-go", "an agent is no broker"},
	{"cmd/nines-agent", "nines/web", "an agent shows no page"},
	{"cmd/nines-agent", "nines/internal/ledger", "an agent keeps no ledger"},
	{"cmd/nines", "github.com/influxdata/telegraf/agent", "its buffers and goroutines are what the agent does without"},
	{"cmd/nines", "github.com/influxdata/telegraf/plugins/inputs/all", "links every plugin there is"},
	{"cmd/nines", "github.com/influxdata/telegraf/plugins/inputs/prometheus", "links Kubernetes' client"},
	{"cmd/nines", "github.com/prometheus/alertmanager/app", "a second program with globals of its own"},
	{"cmd/nines", "github.com/prometheus/alertmanager/ui", "a second page"},
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Name, Doc string
	GoFiles, Imports           []string
	TestGoFiles                []string
	XTestGoFiles               []string
}

func goList(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list %v: %s", args, exit.Stderr)
		}
		t.Fatalf("go list %v: %v", args, err)
	}
	return out
}

// packages returns our packages; path is without the module's name.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	out := map[string]listed{}
	dec := json.NewDecoder(bytes.NewReader(goList(t, "-json=ImportPath,Name,Dir,Doc,GoFiles,Imports,TestGoFiles,XTestGoFiles", "./...")))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		path, ours := strings.CutPrefix(p.ImportPath, "nines/")
		if !ours {
			path = "."
		}
		out[path] = p
	}
}

func TestImportsFollowTheTable(t *testing.T) {
	rows := map[string]row{}
	for _, r := range table {
		rows[r.path] = r
	}
	pkgs := packages(t)
	for path, p := range pkgs {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		r, ok := rows[path]
		if !ok {
			t.Errorf("%s has no row in the table: say on which floor it stands, what it may import, and why", path)
			continue
		}
		var used []string
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, "nines/")
			if !ours {
				continue
			}
			used = append(used, to)
			if r.uses != "*" && !slices.Contains(strings.Fields(r.uses), to) {
				t.Errorf("%s imports %s, which its row does not allow (%s)", path, to, r.why)
			}
			if rows[to].floor > r.floor || rows[to].floor == r.floor && beside[path+" → "+to] == "" {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports run to lower floors", path, r.floor, to, rows[to].floor)
			}
		}
		for _, allowed := range strings.Fields(r.uses) {
			if allowed != "*" && !slices.Contains(used, allowed) {
				t.Errorf("%s no longer imports %s: take it out of its row", path, allowed)
			}
		}
	}
	for path := range rows {
		if _, ok := pkgs[path]; !ok {
			t.Errorf("the table has a row for %s, which is no package", path)
		}
	}
}

func TestForeignPackagesHaveOneDoor(t *testing.T) {
	for path, p := range packages(t) {
		for _, imp := range p.Imports {
			for _, o := range only {
				if below(imp, o.path) {
					if o.users != "*" && !slices.Contains(strings.Fields(o.users), path) {
						t.Errorf("%s imports %s: %s", path, imp, o.why)
					}
					break
				}
			}
		}
	}
}

func TestBinariesStayLean(t *testing.T) {
	deps := map[string][]string{}
	for _, u := range unlinked {
		if deps[u.program] == nil {
			deps[u.program] = strings.Fields(string(goList(t, "-deps", "./"+u.program)))
		}
		if i := slices.IndexFunc(deps[u.program], func(d string) bool { return below(d, u.prefix) }); i >= 0 {
			t.Errorf("%s links %s: %s", u.program, deps[u.program][i], u.why)
		}
	}
}

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	for path, p := range packages(t) {
		name := "Package "
		if p.Name == "main" {
			name = "Command "
		}
		if len(p.GoFiles) > 0 && !strings.HasPrefix(p.Doc, name) {
			t.Errorf("%s has no doc comment that begins %q", path, name)
		}
	}
}

// below tells whether an import path is the given one or lies below it.
func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}
