package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/agent"
	"nines/agent/discovery"
	"nines/agent/telegraf"
	"nines/alerting"
	"nines/collector/ruler"
	"nines/internal/inventory"
	"nines/internal/scenario/script"
	"nines/internal/sim"
	"nines/internal/sla"
	"nines/internal/topology"
	"nines/internal/yamlconf"
	"nines/rules"
)

func newCheck() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "Find mistakes in configuration, objectives, contracts, rules and targets",
		Long: `Reads files as nines would and reports every mistake as file:line:col, all at
once. The kind is told by the content: nines.yaml, agent.yaml, OpenSLO documents,
contracts, inventory (YAML or .csv), topology, simulations, Prometheus rules,
alertmanager.yml, file_sd targets, Telegraf inputs (.toml), scenarios. Folders are
searched for YAML, JSON, TOML and scenarios. A contract that is right is read out
in words; of an inventory, which resource has the groups that several match.

Exit code 2 if there is a mistake.`,
		Example: `  nines check /etc/nines
  nines check objectives/*.yaml contracts/bank.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := filesBelow(args)
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return fmt.Errorf("check: no file to check in %s: want YAML, JSON, TOML or scenarios", strings.Join(args, " "))
			}
			var errs []error
			var promises, places, sims, people []string
			for _, f := range files {
				kind, err := kindOf(f)
				switch {
				case err != nil:
					errs = append(errs, err)
				case kind.promise:
					promises = append(promises, f)
				case kind.place:
					places = append(places, f)
				case kind.simulation:
					sims = append(sims, f)
				default:
					err := kind.check(f)
					errs = append(errs, err)
					if kind.name == processKind.name && err == nil {
						people = append(people, peopleOf(f)...)
					}
					if err == nil && !quiet {
						fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, no mistakes\n", f, kind.name)
						if kind.words != nil {
							errs = append(errs, kind.words(cmd.OutOrStdout(), f))
						}
					}
				}
			}
			errs = append(errs, checkPlaces(cmd, places, sims, quiet), checkPromises(cmd, promises, people, quiet))
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print mistakes only")
	return cmd
}

// checkPlaces reads topologies together, because twins may lie in several files,
// and simulations on them. Those without a topology among the files are read by
// themselves.
func checkPlaces(cmd *cobra.Command, files, sims []string, quiet bool) error {
	var (
		top  *topology.Topology
		errs []error
	)
	say := func(format string, args ...any) {
		if !quiet {
			fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
		}
	}
	if len(files) > 0 {
		var err error
		if top, err = topology.Load(files...); err != nil {
			errs = append(errs, err)
		} else {
			for _, f := range files {
				say("%s: topology, no mistakes", f)
			}
			say("topology: %d regions, %d zones", len(top.Regions), top.Zones())
		}
	}
	for _, f := range sims {
		c, err := sim.Load(f)
		if err == nil && top != nil {
			err = sim.Check(c, top)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		say("%s: simulation, no mistakes", f)
	}
	return errors.Join(errs...)
}

// inventoryKind are files of facts.
var inventoryKind = fileKind{name: "inventory", check: checkInventory, words: describeInventory}

// checkInventory reads facts, and tells whether they can be true together.
func checkInventory(file string) error {
	_, err := planInventory(file)
	return err
}

// describeInventory says whose the groups are that several resources match.
func describeInventory(w io.Writer, file string) error {
	changes, err := planInventory(file)
	if err != nil {
		return err
	}
	records := make([]inventory.Record, len(changes))
	for i, c := range changes {
		records[i] = inventory.Record{ID: int64(i + 1), Fact: c.Fact}
	}
	for _, o := range inventory.At(records, 0).Overlaps() {
		fmt.Fprintf(w, "  %s\n", o)
	}
	return nil
}

func planInventory(file string) ([]inventory.Change, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	entries, err := inventory.Read(file, data)
	if err != nil {
		return nil, err
	}
	return inventory.Plan(nil, entries)
}

// checkPromises compiles objectives and contracts together, as a reload would,
// because contracts refer to objectives. people are those whom configurations
// among the files declare.
func checkPromises(cmd *cobra.Command, files, people []string, quiet bool) error {
	if len(files) == 0 {
		return nil
	}
	if errs := rules.CheckFiles(files); len(errs) > 0 {
		return errs
	}
	if quiet {
		return nil
	}
	for _, f := range files {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: objectives or contracts, no mistakes\n", f)
	}
	set, err := rules.Load(files)
	if err != nil {
		return err
	}
	for _, w := range set.Warnings {
		fmt.Fprintf(cmd.OutOrStdout(), "warning: %v\n", w)
	}
	for _, w := range undeclared(set.Contracts, people) {
		fmt.Fprintf(cmd.OutOrStdout(), "warning: %s\n", w)
	}
	for _, c := range set.Contracts {
		fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", rules.Describe(c))
	}
	return nil
}

// fileKind is what a file is, and how it is checked.
type fileKind struct {
	name    string
	promise bool // objectives and contracts are checked together
	place   bool // topologies too
	// simulations are checked with them
	simulation bool
	check      func(file string) error
	words      func(w io.Writer, file string) error // what a file without mistakes says, nil for nothing
}

// kindOf tells a file's kind by its content.
func kindOf(file string) (fileKind, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return fileKind{}, err
	}
	if filepath.Ext(file) == ".toml" {
		return fileKind{name: "Telegraf inputs", check: func(f string) error {
			_, err := telegraf.Load([]telegraf.File{{Name: f, Line: 1, Text: data}}, time.Second)
			return err
		}}, nil
	}
	if filepath.Ext(file) == ".csv" {
		return inventoryKind, nil
	}
	if filepath.Ext(file) == scenarioExt {
		return fileKind{name: "scenarios (run them with nines test)", check: func(f string) error {
			_, err := script.Parse(f, data)
			return err
		}}, nil
	}
	docs, err := yamlconf.Parse(file, data)
	if err != nil {
		return fileKind{}, err
	}
	has := func(paths ...string) bool {
		for _, d := range docs {
			for _, p := range paths {
				if d.Has(p) {
					return true
				}
			}
		}
		return false
	}
	switch {
	case len(docs) > 0 && docs[0].Text("kind") == topology.Kind:
		return fileKind{place: true}, nil
	case len(docs) > 0 && docs[0].Text("kind") == sim.Kind:
		return fileKind{simulation: true}, nil
	case len(docs) > 0 && docs[0].Text("kind") == "Inventory":
		return inventoryKind, nil
	case has("apiVersion"):
		return fileKind{promise: true}, nil
	case has("rule_files", "evaluation_interval", "tests"):
		return fileKind{name: "rule tests (run them with promtool test rules)", check: func(string) error { return nil }}, nil
	case has("exclusions"):
		return fileKind{name: "exclusions", check: func(f string) error {
			_, err := rules.ReadExclusions(f, data, &sla.Contract{TimeZone: "UTC"})
			return err
		}}, nil
	case has("groups"):
		return fileKind{name: "Prometheus rules", check: func(f string) error { return ruler.CheckRules([]string{f}) }}, nil
	case has("route", "receivers"):
		return fileKind{name: "alert routing", check: alerting.CheckConfig}, nil
	case has("topics", "objectives", "contracts", "evaluate", "ruler", "forward", "alerting", "web", "broker", "data_dir"):
		return processKind, nil
	case has("inputs", "inputs_files", "probes", "labels", "spool", "readers"):
		return fileKind{name: "agent configuration", check: func(f string) error {
			c, err := agent.Load(f)
			if err != nil {
				return err
			}
			return c.CheckFiles()
		}}, nil
	case isTargets(file, data):
		return fileKind{name: "probe targets", check: func(f string) error {
			_, err := discovery.Parse(f, data)
			return err
		}}, nil
	}
	return processKind, nil
}

var processKind = fileKind{name: "process configuration", check: func(f string) error {
	_, err := loadConfig(f)
	return err
}}

// isTargets tells file_sd targets, which are a list, or lie in a folder of that
// name.
func isTargets(file string, data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line[0] == '-' || line[0] == '['
		}
	}
	return filepath.Base(filepath.Dir(file)) == "targets"
}

// filesBelow returns the files, and those of the folders among them.
func filesBelow(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, arg)
			continue
		}
		err = filepath.WalkDir(arg, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(path) {
			case ".yaml", ".yml", ".json", ".toml", scenarioExt:
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
