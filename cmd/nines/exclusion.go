package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/rules"
)

func newExclusion(log *logs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exclusion",
		Short: "Propose, approve and list time that a contract takes out",
		Long: `Keeps exclusions in the ledger, beside those of the contract's file. Settlements list
what is proposed and apply what somebody else has approved. Every step is kept.`,
		Example: `  nines exclusion propose --contract bank-chat --file works.yaml
  nines exclusion approve 3 --author ben
  nines exclusion withdraw 3 --reason "put off"
  nines exclusion list --contract bank-chat`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExclusionPropose(log), newExclusionList(log),
		newExclusionStep(log, inventory.Approve, "Approve a proposed exclusion; its author cannot", `  nines exclusion approve 3 --author ben`),
		newExclusionStep(log, inventory.Reject, "Reject a proposed exclusion", `  nines exclusion reject 3 --author ben --reason "not agreed with the customer"`),
		newExclusionStep(log, inventory.Withdraw, "Withdraw an exclusion, proposed or approved", `  nines exclusion withdraw 3 --reason "put off"`))
	return cmd
}

func newExclusionPropose(log *logs) *cobra.Command {
	var q changeFlags
	var contract, file string
	cmd := &cobra.Command{
		Use:   "propose",
		Short: "Propose the exclusions of a file",
		Long: `Proposes exclusions of a contract. The file has the field exclusions as a contract
has it (docs/contracts.md), without approvedBy:

  exclusions:
  - start: 2026-11-12T22:00:00Z
    end: 2026-11-12T23:00:00Z
    effect: removed
    category: maintenance
    reason: new switches
    author: ann`,
		Example: `  nines exclusion propose --contract bank-chat --file works.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read exclusions: %w", err)
			}
			led, err := openLedger(cmd.Context(), q.file, q.dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			return q.propose(cmd.Context(), led, contract, file, data, cmd.OutOrStdout())
		},
	}
	q.ledgerFlags.add(cmd)
	cmd.Flags().StringVar(&q.reason, "reason", "", "a remark on the proposal")
	cmd.Flags().StringVar(&contract, "contract", "", "name of the contract (needed where there are several)")
	cmd.Flags().StringVar(&file, "file", "", "YAML file with exclusions")
	_ = cmd.MarkFlagRequired("file") // the flag exists
	return cmd
}

func (f *changeFlags) propose(ctx context.Context, led *ledger.Ledger, contract, file string, data []byte, out io.Writer) error {
	c, _, err := contractOf(ctx, led, contract)
	if err != nil {
		return failed(err)
	}
	list, err := rules.ReadExclusions(file, data, c)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("propose: %s holds no exclusions", file)
	}
	for i := range list {
		if list[i].ApprovedBy != "" {
			return fmt.Errorf("propose: %s: exclusions[%d].approvedBy: leave it out: somebody else approves it with nines exclusion approve", file, i)
		}
	}
	for _, e := range list {
		n := f.note()
		n.Author = e.Author
		x, err := led.ProposeExclusion(ctx, access.Local(), n, c.Name, c.Customer, e)
		if err != nil {
			return failed(err)
		}
		fmt.Fprintf(out, "exclusion %d of %s proposed by %s: %s\n", x.ID, x.Contract, x.Author, x.Exclusion.Reason)
	}
	return nil
}

func newExclusionStep(log *logs, step inventory.Step, short, example string) *cobra.Command {
	var q changeFlags
	cmd := &cobra.Command{
		Use:     string(step) + " ID",
		Short:   short,
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id <= 0 {
				return fmt.Errorf("%s: want the number of an exclusion, as nines exclusion list shows it, got %q", step, args[0])
			}
			led, err := openLedger(cmd.Context(), q.file, q.dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			x, err := led.StepExclusion(cmd.Context(), access.Local(), q.note(), id, step)
			if err != nil {
				return failed(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "exclusion %d of %s is %s\n", x.ID, x.Contract, x.State)
			return nil
		},
	}
	q.add(cmd)
	return cmd
}

func newExclusionList(log *logs) *cobra.Command {
	var at ledgerFlags
	var contract, knownAt, format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List exclusions and what was done about them",
		Example: `  nines exclusion list
  nines exclusion list --contract bank-chat --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("list: --format: must be table or json, got %q", format)
			}
			known, err := flagInstant("known-at", knownAt)
			if err != nil {
				return err
			}
			led, err := openLedger(cmd.Context(), at.file, at.dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			list, err := led.Exclusions(cmd.Context(), access.Local(), contract, known)
			if err != nil {
				return failed(err)
			}
			if format == "json" {
				return failed(writeIndented(cmd.OutOrStdout(), list))
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no exclusions")
				return failed(err)
			}
			return failed(writeExclusions(cmd.OutOrStdout(), list))
		},
	}
	at.add(cmd)
	cmd.Flags().StringVar(&contract, "contract", "", "of this contract only")
	cmd.Flags().StringVar(&knownAt, "known-at", "", "as they stood at this time (default now)")
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	return cmd
}

func writeExclusions(w io.Writer, list []inventory.Exclusion) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "id\tcontract\tstate\tfrom\tto\teffect\tcategory\treason\tsteps")
	for i := range list {
		x := &list[i]
		from, to := bound(x.Start), bound(x.End)
		if x.Recurs != nil {
			from, to = "recurs, from "+from, "until "+to
		}
		var steps []string
		for _, e := range x.History {
			steps = append(steps, fmt.Sprintf("%s by %s %s", e.Step, e.Author, instant(e.Recorded)))
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.ID, x.Contract, x.State, from, to, x.Effect, x.Category, x.Reason, strings.Join(steps, "; "))
	}
	return t.Flush()
}

func bound(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return instant(ms)
}
