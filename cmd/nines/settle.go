package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nines/internal/sla"
	"nines/rules"
	"nines/statement"
)

func newSettle() *cobra.Command {
	var q settleRequest
	cmd := &cobra.Command{
		Use:   "settle",
		Short: "Settle a contract from a file of facts, without a ledger",
		Long: `Settles a period of a contract from facts, for what-if, tests and disputes: the
same calculation as nines statement, from a CSV file instead of the ledger.

The file has the header resource,zone,start,end,state,value. Times are RFC 3339.
state is down, unknown, stopped, loss (value: share of traffic lost, 0 to 1) or
requests (value: total:bad or total:bad:above, of each slot of that time). What is
not mentioned was good and running.`,
		Example: `  nines settle --contract bank.yaml --facts november.csv --period 2026-11
  nines settle --contract bank.yaml --contract objectives.yaml --facts f.csv --exclusions x.yaml --period 2026-11 --format json
  nines settle --contract bank.yaml --facts november.csv --period 2026-11 --format facts | python3 docs/verify/nines_verify.py -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat("settle", q.format); err != nil {
				return err
			}
			facts, err := q.gather()
			if err != nil {
				return err
			}
			return failed(writeStatement(cmd.OutOrStdout(), facts, q.format))
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&q.contracts, "contract", nil, "file of the contract; again for the objectives that it names")
	f.StringVar(&q.name, "name", "", "name of the contract (needed where the files hold several)")
	f.StringVar(&q.facts, "facts", "", "CSV file of facts")
	f.StringVar(&q.exclusions, "exclusions", "", "YAML file with exclusions beside the contract's")
	f.StringVar(&q.period, "period", "", "calendar month in the contract's time zone, YYYY-MM")
	f.StringVar(&q.format, "format", "table", formats)
	for _, name := range []string{"contract", "facts", "period"} {
		_ = cmd.MarkFlagRequired(name) // the flags exist
	}
	return cmd
}

// settleRequest is what the command line asks for.
type settleRequest struct {
	contracts                               []string
	name, facts, exclusions, period, format string
}

func (q *settleRequest) gather() (*statement.Facts, error) {
	set, err := rules.Load(q.contracts)
	if err != nil {
		return nil, err
	}
	c, err := q.choose(set.Contracts)
	if err != nil {
		return nil, err
	}
	loc, err := rules.LoadZone(c)
	if err != nil {
		return nil, err
	}
	period, err := statement.Period(c, q.period, loc)
	if err != nil {
		return nil, fmt.Errorf("settle: --period: %w", err)
	}
	if q.exclusions != "" {
		data, err := os.ReadFile(q.exclusions)
		if err != nil {
			return nil, fmt.Errorf("read exclusions: %w", err)
		}
		more, err := rules.ReadExclusions(q.exclusions, data, c)
		if err != nil {
			return nil, err
		}
		c.Exclusions = append(slices.Clip(c.Exclusions), more...)
	}
	data, err := os.ReadFile(q.facts)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	in, err := rules.ReadFacts(q.facts, data, c)
	if err != nil {
		return nil, err
	}
	return &statement.Facts{Contract: c, Period: period, Location: loc, Input: in}, nil
}

// choose returns the contract that is meant.
func (q *settleRequest) choose(all []*sla.Contract) (*sla.Contract, error) {
	var names []string
	for _, c := range all {
		if c.Name == q.name || q.name == "" && len(all) == 1 {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("settle: %s: no contract in it", strings.Join(q.contracts, " "))
	}
	return nil, fmt.Errorf("settle: --name: want one of %s, got %q", strings.Join(names, ", "), q.name)
}
