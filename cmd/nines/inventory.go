package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/yamlconf"
)

func newInventory(log *logs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Say what runs, for whom and since when; show it and its history",
		Long: `Reads and adds to the inventory in the ledger: facts about resources, each true from
an instant on. Nothing is overwritten: a correction is kept beside what it corrects.
It may run beside a running nines, which takes changes up within seconds.
docs/inventory.md describes the files.`,
		Example: `  nines inventory import gulf.yaml --dry-run
  nines inventory import gulf.yaml --reason "the order of 1 November"
  nines inventory set chat-a --from 2026-11-20T00:00:00Z state=stopped --reason "cancelled"
  nines inventory show
  nines inventory history chat-a`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newInventoryImport(log), newInventorySet(log), newInventoryShow(log), newInventoryHistory(log))
	return cmd
}

// changeFlags say who changes something, and why.
type changeFlags struct {
	ledgerFlags
	author, reason string
	dryRun         bool
}

func (f *changeFlags) add(cmd *cobra.Command) {
	f.ledgerFlags.add(cmd)
	cmd.Flags().StringVar(&f.author, "author", userName(), "who changes it")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why")
}

func (f *changeFlags) note() ledger.Note {
	return ledger.Note{Author: f.author, Reason: f.reason, At: time.Now().UnixMilli()}
}

// userName is the default author: who runs the command, empty where that is not
// known.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func newInventoryImport(log *logs) *cobra.Command {
	var q changeFlags
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Add the facts of YAML or CSV files; what is known already adds nothing",
		Long: `Adds what the files tell beyond what is known: new facts, and corrections of facts
recorded for the same instant. All files are one change, applied whole or not at all.
With --dry-run it shows the difference and writes nothing.`,
		Example: `  nines inventory import gulf.yaml --dry-run
  nines inventory import customers.csv zones.yaml --reason "inventory of October"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			entries, err := readInventories(args)
			if err != nil {
				return err
			}
			return q.record(cmd, log, entries)
		},
	}
	q.add(cmd)
	cmd.Flags().BoolVar(&q.dryRun, "dry-run", false, "show the difference, write nothing")
	return cmd
}

// readInventories reads files of facts; mistakes of all are reported together.
func readInventories(files []string) (entries []inventory.Entry, err error) {
	var errs yamlconf.Errors
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read inventory: %w", err)
		}
		more, err := inventory.Read(name, data)
		entries, errs = append(entries, more...), errs.Append(name, err)
	}
	return entries, errs.Err()
}

func newInventorySet(log *logs) *cobra.Command {
	var q changeFlags
	var from string
	cmd := &cobra.Command{
		Use:   "set RESOURCE ATTRIBUTE=VALUE...",
		Short: "Add or correct facts of one resource",
		Long: `Adds facts that hold from an instant on, or corrects those recorded for that very
instant. Attributes are state (running, stopped, suspended), customer, reseller,
product, region, zone, contract, fee and match.LABEL. The value none ends an
attribute, withdrawn says that the fact of this instant never held.`,
		Example: `  nines inventory set chat-a --from 2026-11-01T00:00:00Z match.target=https://a.example/chat state=running contract=bank-chat --reason order
  nines inventory set chat-a --from 2026-11-20T00:00:00Z state=suspended --reason "customer's wish"
  nines inventory set chat-a --from 2026-11-20T00:00:00Z state=withdrawn --reason "it went on after all"
  nines inventory set chat-a --from 2026-12-01T00:00:00Z fee="120.00 USD" --reason "new price" --dry-run`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			entries, err := factsOfArgs(args[0], from, args[1:])
			if err != nil {
				return err
			}
			return q.record(cmd, log, entries)
		},
	}
	q.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "instant from which it holds, with its offset, such as 2026-11-20T00:00:00Z")
	cmd.Flags().BoolVar(&q.dryRun, "dry-run", false, "show the difference, write nothing")
	_ = cmd.MarkFlagRequired("from") // the flag exists
	return cmd
}

// factsOfArgs reads attribute=value as the columns of a CSV file are read.
func factsOfArgs(resource, from string, args []string) ([]inventory.Entry, error) {
	header, row := []string{"resource", "from"}, []string{resource, from}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("set: want ATTRIBUTE=VALUE, got %q", arg)
		}
		header, row = append(header, name), append(row, value)
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	if err := w.WriteAll([][]string{header, row}); err != nil {
		return nil, fmt.Errorf("set: %w", err)
	}
	entries, err := inventory.Read("set.csv", text.Bytes())
	var errs yamlconf.Errors
	if errors.As(err, &errs) {
		for i := range errs { // there is no file, and no line
			errs[i].File, errs[i].Line, errs[i].Col = "set", 0, 0
		}
		return nil, errs
	}
	for i := range entries {
		entries[i].At = yamlconf.Error{File: "set", Path: string(entries[i].Attribute)}
	}
	return entries, err
}

// record adds entries, or shows what adding them would change.
func (f *changeFlags) record(cmd *cobra.Command, log *logs, entries []inventory.Entry) error {
	if f.reason == "" && !f.dryRun {
		return errors.New("--reason: a reason is required: say why this changes")
	}
	led, err := openLedger(cmd.Context(), f.file, f.dataDir, false, log.logger())
	if err != nil {
		return err
	}
	defer led.Close()
	known, err := led.Inventory(cmd.Context(), access.Local(), 0)
	if err != nil {
		return failed(err)
	}
	changes, err := inventory.Plan(known, entries)
	if err != nil {
		return err
	}
	if !f.dryRun {
		made, err := led.RecordFacts(cmd.Context(), access.Local(), f.note(), entries)
		if err != nil {
			return failed(err)
		}
		// What was recorded counts, should somebody else have changed it meanwhile.
		changes = inventory.Changes(made, known)
	}
	if err := writeChanges(cmd.OutOrStdout(), changes, len(entries), f.dryRun); err != nil {
		return failed(err)
	}
	return failed(warnOfContracts(cmd, led, changes))
}

// warnOfContracts names the contracts of changes that are not in force: they may
// come later, or be a typing error.
func warnOfContracts(cmd *cobra.Command, led *ledger.Ledger, changes []inventory.Change) error {
	set, _, err := led.CurrentRuleSet(cmd.Context())
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		if _, ok := set.Contracts[c.Value]; c.Attribute == inventory.Contract && !ok && c.Value != "" {
			missing[c.Value] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: no contract %s is in force; there are: %s\n", name, strings.Join(slices.Sorted(maps.Keys(set.Contracts)), ", "))
	}
	return nil
}

func writeChanges(w io.Writer, changes []inventory.Change, told int, dryRun bool) error {
	var b strings.Builder
	corrections := 0
	for i := range changes {
		c := &changes[i]
		if c.Corrects == nil {
			fmt.Fprintf(&b, "+ %s from %s: %s %s\n", c.Resource, instant(c.From), c.Attribute, c.Text())
			continue
		}
		corrections++
		fmt.Fprintf(&b, "~ %s from %s: %s %s, corrects %s (%s, %s)\n", c.Resource, instant(c.From), c.Attribute, c.Text(),
			c.Corrects.Text(), c.Corrects.Author, c.Corrects.Reason)
	}
	verb := "recorded"
	if dryRun {
		verb = "would be recorded"
	}
	fmt.Fprintf(&b, "%d of %d facts %s: %d new, %d corrections; the others are known already\n", len(changes), told, verb, len(changes)-corrections, corrections)
	_, err := io.WriteString(w, b.String())
	return err
}

// viewFlags say as of when the inventory is shown.
type viewFlags struct {
	ledgerFlags
	knownAt, format string
}

func (f *viewFlags) add(cmd *cobra.Command) {
	f.ledgerFlags.add(cmd)
	cmd.Flags().StringVar(&f.knownAt, "known-at", "", "show what was known at this time (default now)")
	cmd.Flags().StringVar(&f.format, "format", "table", "table or json")
}

func (f *viewFlags) records(ctx context.Context, log *logs) (records []inventory.Record, err error) {
	if f.format != "table" && f.format != "json" {
		return nil, fmt.Errorf("--format: must be table or json, got %q", f.format)
	}
	known, err := flagInstant("known-at", f.knownAt)
	if err != nil {
		return nil, err
	}
	led, err := openLedger(ctx, f.file, f.dataDir, false, log.logger())
	if err != nil {
		return nil, err
	}
	defer led.Close()
	records, err = led.Inventory(ctx, access.Local(), known)
	return records, failed(err)
}

func newInventoryShow(log *logs) *cobra.Command {
	var f viewFlags
	var at string
	cmd := &cobra.Command{
		Use:   "show [RESOURCE...]",
		Short: "Show what holds of the resources",
		Example: `  nines inventory show
  nines inventory show chat-a --at 2026-11-10T00:00:00Z
  nines inventory show --known-at 2026-11-01T00:00:00Z --format json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := flagInstant("at", at)
			if err != nil {
				return err
			}
			if when == 0 {
				when = time.Now().UnixMilli()
			}
			records, err := f.records(cmd.Context(), log)
			if err != nil {
				return err
			}
			list := inventory.At(records, 0).Snapshot(when)
			list = slices.DeleteFunc(list, func(s inventory.Standing) bool { return len(args) > 0 && !slices.Contains(args, s.Name) })
			if err := unknownResource(args, records); err != nil {
				return failed(err)
			}
			if f.format == "json" {
				return failed(writeIndented(cmd.OutOrStdout(), list))
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no resource is known to hold anything then")
				return failed(err)
			}
			return failed(writeStandings(cmd.OutOrStdout(), list))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&at, "at", "", "instant at which it holds (default now)")
	return cmd
}

func writeStandings(w io.Writer, list []inventory.Standing) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "resource\tstate\tsince\tcustomer\treseller\tcontract\tproduct\tregion\tzone\tfee\tmatch")
	for i := range list {
		s := &list[i]
		since := "-"
		if at, ok := s.Since[inventory.State]; ok {
			since = instant(at)
		}
		row := []string{s.Name, s.Facts[inventory.State], since}
		for _, a := range []inventory.Attribute{inventory.Customer, inventory.Reseller, inventory.Contract, inventory.Product, inventory.Region, inventory.Zone, inventory.Fee, inventory.Match} {
			row = append(row, s.Facts[a])
		}
		for k := range row {
			if row[k] == "" {
				row[k] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// unknownResource refuses a name of which nothing was ever recorded.
func unknownResource(names []string, records []inventory.Record) error {
	for _, name := range names {
		if !slices.ContainsFunc(records, func(r inventory.Record) bool { return r.Resource == name }) {
			return fmt.Errorf("the inventory has no resource %q; nines inventory show lists them", name)
		}
	}
	return nil
}

func newInventoryHistory(log *logs) *cobra.Command {
	var f viewFlags
	cmd := &cobra.Command{
		Use:   "history [RESOURCE...]",
		Short: "Show every fact that was recorded, by whom and why",
		Example: `  nines inventory history
  nines inventory history chat-a --format json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			records, err := f.records(cmd.Context(), log)
			if err != nil {
				return err
			}
			if err := unknownResource(args, records); err != nil {
				return failed(err)
			}
			records = slices.DeleteFunc(records, func(r inventory.Record) bool { return len(args) > 0 && !slices.Contains(args, r.Resource) })
			if f.format == "json" {
				return failed(writeIndented(cmd.OutOrStdout(), records))
			}
			if len(records) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the inventory is empty")
				return failed(err)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "id\trecorded\tresource\tfrom\tattribute\tvalue\tcorrects\tauthor\treason")
			for i := range records {
				r := &records[i]
				corrects := "-"
				if r.Supersedes != 0 {
					corrects = fmt.Sprint(r.Supersedes)
				}
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, instant(r.Recorded), r.Resource, instant(r.From), r.Attribute, r.Text(), corrects, r.Author, r.Reason)
			}
			return failed(t.Flush())
		},
	}
	f.add(cmd)
	return cmd
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
