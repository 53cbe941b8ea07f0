package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nines/configs"
)

func newInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write the shipped configuration to DIR for editing",
		Long: `Writes the shipped configuration to DIR: nines.yaml, the agent's, objectives,
contracts, Prometheus rules and alert routing, the scenarios that show what they
do (nines test DIR), and the agent's systemd unit. Files that exist are left alone.`,
		Example: `  nines init /etc/nines && nines up --config /etc/nines/nines.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := configs.Write(args[0])
			for _, f := range written {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			if err != nil {
				return failed(err)
			}
			if len(written) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing to write: all files are in %s already\n", args[0])
			}
			return nil
		},
	}
}
