package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/ledger"
)

// ledgerFlags say which ledger a tool works on.
type ledgerFlags struct{ file, dataDir string }

func (f *ledgerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "data directory with the ledger (default data)")
	cmd.Flags().StringVar(&f.file, "config", "", "configuration that names the ledger, where it is elsewhere")
}

func newLedger(log *logs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Verify, sign, back up and restore the ledger; show how a slot was decided",
		Long: `Works on the ledger, of which SQLite and PostgreSQL are the two kinds. All but
restore may run beside a running nines.

Exit codes: 0 success, 1 failure or a damaged or rewritten ledger, 2 wrong usage or configuration.`,
		Example: `  nines ledger verify
  nines ledger backup /backup/nines-2026-11-21.db
  nines ledger restore /backup/nines-2026-11-21.db --config nines.yaml
  nines ledger checkpoint
  nines ledger history --contract example --from 2026-11-01 --to 2026-12-01`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLedgerVerify(log), newLedgerBackup(log), newLedgerRestore(log), newLedgerHistory(log),
		newLedgerCheckpoint(log), newLedgerKey(), newLedgerProve(log), newLedgerCheckProof())
	return cmd
}

func newLedgerBackup(log *logs) *cobra.Command {
	var at ledgerFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the ledger to a new file, while nines runs",
		Long: `Writes one commit's state of the ledger to FILE, which must not exist; a failed
backup leaves nothing. Whatever the ledger is kept in, FILE is an SQLite ledger: it
restores into either database, and verify reads it.`,
		Example: `  nines ledger backup /backup/nines-$(date +%F).db
  nines ledger backup /backup/nines.db --config /etc/nines/nines.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			led, err := openLedger(cmd.Context(), at.file, at.dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			bar := newBar(os.Stderr, "backing up")
			err = led.Backup(cmd.Context(), args[0], bar.show)
			bar.end()
			if err != nil {
				return failed(err)
			}
			st, err := os.Stat(args[0])
			if err != nil {
				return failed(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %.1f MB\n", args[0], float64(st.Size())/1e6)
			return nil
		},
	}
	at.add(cmd)
	return cmd
}

func newLedgerRestore(log *logs) *cobra.Command {
	var at ledgerFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill a new ledger from a backup",
		Long: `Fills the ledger that --data-dir or the configuration names from the backup FILE,
and verifies it. It must be empty: move an old one away first, or name another
directory, database or schema. Stop nines before; started again, it goes on from
the backup's position in Kafka and counts again what Kafka still has.`,
		Example: `  nines ledger restore /backup/nines-2026-11-21.db --data-dir /var/lib/nines
  nines ledger restore /backup/nines-2026-11-21.db --config with-postgres.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return failed(fmt.Errorf("restore from %s: %w", args[0], reason(err)))
			}
			led, err := openLedger(cmd.Context(), at.file, at.dataDir, true, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			bar := newBar(os.Stderr, "restoring")
			err = led.Restore(cmd.Context(), args[0], bar.show)
			bar.end()
			if errors.Is(err, ledger.ErrNotEmpty) {
				return failed(fmt.Errorf("%w; move this one away, or name another with --data-dir or --config", err))
			}
			if err != nil {
				return failed(err)
			}
			bar = newBar(os.Stderr, "verifying")
			err = led.VerifyWith(cmd.Context(), bar.show)
			bar.end()
			if err != nil {
				return failed(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: restored and verified\n", led.Where())
			return nil
		},
	}
	at.add(cmd)
	return cmd
}

// bar shows the progress of long work on a terminal, and nothing elsewhere.
type bar struct {
	out          io.Writer
	what         string
	began, shown time.Time
	drawn        bool
	note         string // stands behind the bar
}

func newBar(f *os.File, what string) *bar {
	b := &bar{what: what, began: time.Now()}
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		b.out = f
	}
	return b
}

// barWidth is in characters.
const barWidth = 30

func (b *bar) show(done, total int64) {
	now := time.Now()
	if b.out == nil || total <= 0 || now.Sub(b.shown) < 100*time.Millisecond && done < total {
		return
	}
	b.shown, b.drawn = now, true
	fmt.Fprintf(b.out, "\r%s\x1b[K", b.line(done, total, now.Sub(b.began)))
}

func (b *bar) line(done, total int64, took time.Duration) string {
	part := float64(done) / float64(total)
	full := int(part * barWidth)
	s := fmt.Sprintf("%s [%s%s] %3.0f %%", b.what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100)
	if part > 0 && part < 1 && took > time.Second {
		s += fmt.Sprintf("  %s left", time.Duration(float64(took)*(1-part)/part).Round(time.Second))
	}
	if b.note != "" {
		s += "  " + b.note
	}
	return s
}

// end clears the line.
func (b *bar) end() {
	if b.drawn {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
