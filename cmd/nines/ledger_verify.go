package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"nines/collector/notary"
	"nines/internal/ledger"
)

// signedFlags name checkpoints and the keys that they must be signed by.
type signedFlags struct{ checkpoints, keys []string }

func (f *signedFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.checkpoints, "checkpoint", nil, "file or directory of checkpoints (default the directory where this nines puts them)")
	cmd.Flags().StringSliceVar(&f.keys, "public-key", nil, "public key, or a file of them (default those of this nines)")
}

// read reads the checkpoints, ascending by size in each file. There are none
// where no flag names any and nothing was signed yet.
func (f *signedFlags) read(c CheckpointsConfig) ([]notary.Checkpoint, error) {
	from := f.checkpoints
	if len(from) == 0 {
		if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		from = []string{c.Dir}
	}
	keys := f.keys
	if len(keys) == 0 {
		keys = []string{notary.PublicFile(c.Key)}
	}
	verifiers, err := notary.Verifiers(keys...)
	if err != nil {
		return nil, fmt.Errorf("%w; name them with --public-key", err)
	}
	var out []notary.Checkpoint
	for _, path := range from {
		list, err := notary.Read(path, verifiers)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func newLedgerVerify(log *logs) *cobra.Command {
	var at ledgerFlags
	var signed signedFlags
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Read the whole ledger, or a backup, and tell what is wrong with it or was rewritten",
		Long: `Reads every page and row: what does not decode, totals that are not the sums of
their slots, slots both open and final, rows of unknown groups. It takes seconds
per gigabyte, and a running nines goes on meanwhile.

Then it recomputes the log of closed hours from the slots, and holds it to the
checkpoints that were signed: what was rewritten since is named by hour, group and
contract. Whoever can write to this host can replace its checkpoints and public
keys; bring your own copies with --checkpoint and --public-key.

With FILE it reads a backup, and writes nothing to it.`,
		Example: `  nines ledger verify
  nines ledger verify --checkpoint mail/checkpoints.txt --public-key nines.pub
  nines ledger verify /backup/nines-2026-11-21.db`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := at.config()
			if err != nil {
				return err
			}
			checkpoints, err := signed.read(cfg.Ledger.Checkpoints)
			if err != nil {
				return failed(err)
			}
			var led *ledger.Ledger
			if len(args) == 1 {
				led, err = ledger.OpenBackup(cmd.Context(), args[0])
				err = failed(err)
			} else {
				led, err = cfg.openLedger(cmd.Context(), false, log.logger())
			}
			if err != nil {
				return err
			}
			defer led.Close()
			return failed(verify(cmd.Context(), led, checkpoints, cmd.OutOrStdout()))
		},
	}
	at.add(cmd)
	signed.add(cmd)
	return cmd
}

// verify checks a ledger, and its log against checkpoints.
func verify(ctx context.Context, led *ledger.Ledger, checkpoints []notary.Checkpoint, out io.Writer) error {
	bar := newBar(os.Stderr, "verifying")
	err := led.VerifyWith(ctx, bar.show)
	bar.end()
	trees := make([]tlog.Tree, len(checkpoints))
	var newest time.Time
	for i, c := range checkpoints {
		trees[i] = c.Tree
		if c.Time.After(newest) {
			newest = c.Time
		}
	}
	if err := errors.Join(err, led.Compare(ctx, trees)); err != nil {
		return err
	}
	log, err := led.LogTree(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: no faults\n", led.Where())
	if log.N == 0 {
		fmt.Fprintln(out, "log: no hour has been logged yet")
		return nil
	}
	fmt.Fprintf(out, "log: %d leaves; slots of the hours from %s to %s are what was logged\n", log.N, instant(log.From), instant(log.Until))
	if len(checkpoints) == 0 {
		fmt.Fprintln(out, "checkpoints: none to compare with, so that a log made anew would not show")
		return nil
	}
	fmt.Fprintf(out, "checkpoints: %d, the newest signed %s; the log continues them all\n", len(checkpoints), newest.Format(time.RFC3339))
	return nil
}
