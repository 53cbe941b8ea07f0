package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
	"nines/rules"
	"nines/statement"
)

func newStatement(log *logs) *cobra.Command {
	var contract, month, format, recorded, dataDir, file string
	cmd := &cobra.Command{
		Use:   "statement",
		Short: "Settle one month of a contract from the ledger",
		Long: `Settles one month of a contract from the ledger: attainment, coverage, bad and
unknown slots, credit, and the steps that lead there. A month that is not over is
settled up to its last decided slot.`,
		Example: `  nines statement --contract example --month 2026-11
  nines statement --contract example --month 2026-11 --format json
  nines statement --contract example --month 2026-11 --format facts > november.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat("statement", format); err != nil {
				return err
			}
			led, err := openLedger(cmd.Context(), file, dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			facts, err := gather(cmd.Context(), led, contract, month, recorded)
			if err != nil {
				return failed(err)
			}
			return failed(writeStatement(cmd.OutOrStdout(), facts, format))
		},
	}
	cmd.Flags().StringVar(&contract, "contract", "", "name of the contract (needed where there are several)")
	cmd.Flags().StringVar(&month, "month", "", "month that names the period, in the contract's time zone, YYYY-MM (default the one that the log has come to)")
	cmd.Flags().StringVar(&format, "format", "table", formats)
	cmd.Flags().StringVar(&recorded, "known-at", "", "settle by the inventory and exclusions as they were known at this time (default now)")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "data directory with the ledger (default data)")
	cmd.Flags().StringVar(&file, "config", "", "configuration that names the ledger, where it is elsewhere")
	return cmd
}

func gather(ctx context.Context, led *ledger.Ledger, name, month, recorded string) (*statement.Facts, error) {
	q := statement.Request{Principal: access.Local(), Month: month}
	var set *slo.RuleSet
	var err error
	if q.Recorded, err = flagInstant("known-at", recorded); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	q.Contract, set, err = contractOf(ctx, led, name)
	if err != nil {
		return nil, err
	}
	if q.AsOf, err = led.LogTime(ctx); err != nil {
		return nil, err
	}
	if q.Month == "" {
		loc, err := rules.LoadZone(q.Contract)
		if err != nil {
			return nil, err
		}
		q.Month = statement.MonthAt(q.Contract, cmp.Or(q.AsOf, time.Now().UnixMilli()), loc)
	}
	q.Stream = func(id string) *slo.Stream { return set.Streams[id] }
	return statement.Gather(ctx, led, q)
}

// flagInstant reads a flag that is a time, 0 where it is not given.
func flagInstant(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := yamlconf.ParseInstant(text)
	if err != nil {
		return 0, fmt.Errorf("--%s: %w, got %q", flag, err, text)
	}
	return at, nil
}

// contractOf finds the contract in the rule set in force.
func contractOf(ctx context.Context, led *ledger.Ledger, name string) (*sla.Contract, *slo.RuleSet, error) {
	set, _, err := led.CurrentRuleSet(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil, errors.New("the ledger holds no rules yet: has `nines up` run for a few seconds?")
	}
	if err != nil {
		return nil, nil, err
	}
	names := slices.Sorted(maps.Keys(set.Contracts))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if _, ok := set.Contracts[name]; !ok {
		return nil, nil, fmt.Errorf("no contract %q; there are: %s", name, strings.Join(names, ", "))
	}
	rec, err := set.Contract(name)
	if err != nil {
		return nil, nil, err
	}
	return rec.Contract, set, nil
}

// formats are the ways in which a settlement is written.
const formats = "table, json, or facts: json with all that it was computed from, for docs/verify/nines_verify.py"

func checkFormat(command, format string) error {
	if !slices.Contains([]string{"table", "json", "facts"}, format) {
		return fmt.Errorf("%s: --format: must be table, json or facts, got %q", command, format)
	}
	return nil
}

func writeStatement(w io.Writer, f *statement.Facts, format string) error {
	switch format {
	case "json":
		return statement.WriteJSON(w, f.Settle())
	case "facts":
		return statement.WriteFacts(w, f)
	}
	return statement.WriteTable(w, f.Settle())
}
