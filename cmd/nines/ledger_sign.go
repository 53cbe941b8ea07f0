package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/collector/notary"
	"nines/internal/access"
	"nines/internal/ledger"
)

func newLedgerCheckpoint(log *logs) *cobra.Command {
	var at ledgerFlags
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Log the hours that closed, sign the log and print the checkpoint",
		Long: `Does now what nines does once a day: it logs the hours that closed, signs the
log's size and root, and saves the checkpoint in the directory that
ledger.checkpoints.dir names (default checkpoints in the data directory). It prints
the checkpoint, to be sent to whoever is to verify the ledger later.`,
		Example: `  nines ledger checkpoint
  nines ledger checkpoint --config /etc/nines/nines.yaml | mail -s "ledger" auditor@example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := at.config()
			if err != nil {
				return err
			}
			led, err := cfg.openLedger(cmd.Context(), false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			c := cfg.Ledger.Checkpoints
			key, _, err := notary.OpenKey(c.Key, c.Name)
			if err != nil {
				return failed(err)
			}
			n, err := notary.New(notary.Options{Ledger: led, Key: key, Dir: c.Dir, Log: log.logger()})
			if err != nil {
				return err
			}
			signed, err := n.Sign(cmd.Context())
			if err != nil {
				return failed(err)
			}
			_, err = cmd.OutOrStdout().Write(signed.Note)
			return failed(err)
		},
	}
	at.add(cmd)
	return cmd
}

func newLedgerKey() *cobra.Command {
	var at ledgerFlags
	var rotate bool
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public keys of the ledger's checkpoints, the one in use last",
		Long: `Prints the public keys that verify this nines' checkpoints, one a line: those
that were used before, and the one in use last. Give them to whoever is to verify
the ledger, by a way that whoever runs it cannot change later.

With --rotate a new key takes the old one's place, which is destroyed; checkpoints
it signed stay valid under its public key. Restart nines to have it sign by the
new one.`,
		Example: `  nines ledger key > nines.pub
  nines ledger key --rotate --data-dir /var/lib/nines`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := at.config()
			if err != nil {
				return err
			}
			file := cfg.Ledger.Checkpoints.Key
			if rotate {
				if _, err := notary.Rotate(file); err != nil {
					return failed(err)
				}
			}
			b, err := os.ReadFile(notary.PublicFile(file))
			if err != nil {
				return failed(fmt.Errorf("read public keys: %w; nines makes a key when it starts, and nines ledger checkpoint when it signs", err))
			}
			_, err = cmd.OutOrStdout().Write(b)
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "make a new key")
	at.add(cmd)
	return cmd
}

func newLedgerProve(log *logs) *cobra.Command {
	var at ledgerFlags
	var signed signedFlags
	var labels []string
	var hour, stream string
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Print a proof that a group's slots of one hour are what was signed",
		Long: `Prints a JSON document that shows, without the ledger, that a group's slots of
one hour are in the log that a checkpoint signed: the slots with their evidence as
text, and the hashes from there to the checkpoint. nines ledger check-proof checks
it; docs/ledger.md says how to do so without nines.

It proves against the newest checkpoint, or that of --checkpoint.`,
		Example: `  nines ledger prove --group target=10.0.0.7 --hour 2026-11-21T10:00:00Z > proof.json
  nines ledger check-proof proof.json --public-key nines.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := time.Parse(time.RFC3339, hour)
			if err != nil {
				return fmt.Errorf("prove: --hour: want 2026-11-21T10:00:00Z, got %q", hour)
			}
			cfg, err := at.config()
			if err != nil {
				return err
			}
			checkpoints, err := signed.read(cfg.Ledger.Checkpoints)
			if err == nil && len(checkpoints) == 0 {
				err = errors.New("prove: no checkpoint was signed yet: nines ledger checkpoint signs one")
			}
			if err != nil {
				return failed(err)
			}
			filter, err := (&historyRequest{group: labels}).filter()
			if err != nil {
				return err
			}
			if stream != "" {
				filter.Streams = []string{stream}
			}
			led, err := cfg.openLedger(cmd.Context(), false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			groups, err := led.Groups(cmd.Context(), access.Local(), filter)
			if err != nil {
				return failed(err)
			}
			if len(groups) == 0 {
				return failed(fmt.Errorf("prove: the ledger has no group with the labels %s", strings.Join(labels, ",")))
			}
			if len(groups) != 1 {
				return failed(fmt.Errorf("prove: that names %d groups of the ledger; name one by --group and --stream%s", len(groups), listed(groups)))
			}
			last := checkpoints[len(checkpoints)-1]
			leaves, err := led.Prove(cmd.Context(), access.Local(), groups[0].Key, when.UnixMilli(), last.N)
			if err != nil {
				return failed(err)
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return failed(enc.Encode(notary.Proof{Checkpoint: string(last.Note), Leaves: leaves}))
		},
	}
	cmd.Flags().StringSliceVar(&labels, "group", nil, "labels of the group, name=value by comma (required)")
	cmd.Flags().StringVar(&stream, "stream", "", "the group's stream, where several have its labels (nines ledger history prints it)")
	cmd.Flags().StringVar(&hour, "hour", "", "a time in the hour, 2026-11-21T10:00:00Z (required)")
	at.add(cmd)
	signed.add(cmd)
	return cmd
}

// listed names the first few groups.
func listed(groups []ledger.Group) string {
	var b strings.Builder
	for i, g := range groups[:min(len(groups), 5)] {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + g.Labels.String() + " of stream " + g.Key.Stream)
	}
	return b.String()
}

func newLedgerCheckProof() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "check-proof FILE",
		Short: "Check a proof that nines ledger prove printed, without a ledger",
		Long: `Checks that a proof's slots are in the log that its checkpoint signed, and that
one of the public keys signed the checkpoint; prints both. FILE may be - for the
standard input.`,
		Example: `  nines ledger check-proof proof.json --public-key nines.pub`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return errors.New("check-proof: name the public key with --public-key")
			}
			verifiers, err := notary.Verifiers(keys...)
			if err != nil {
				return failed(err)
			}
			var b []byte
			if args[0] == "-" {
				b, err = io.ReadAll(cmd.InOrStdin())
			} else {
				b, err = os.ReadFile(args[0])
			}
			if err != nil {
				return failed(fmt.Errorf("read proof: %w", err))
			}
			p, err := notary.ParseProof(b)
			if err != nil {
				return failed(err)
			}
			c, err := p.Check(verifiers)
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			for _, l := range p.Leaves {
				fmt.Fprintln(out, l.Leaf)
			}
			_, err = fmt.Fprintf(out, "the slots above are in the log of ledger %s as it was signed at %s over %d leaves\n", c.Name, c.Time.Format(time.RFC3339), c.N)
			return failed(err)
		},
	}
	cmd.Flags().StringSliceVar(&keys, "public-key", nil, "public key, or a file of them (required)")
	return cmd
}
