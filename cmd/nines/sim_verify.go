package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"nines/internal/ledger"
	"nines/internal/truth"
)

// shownDifferences bounds how many differences are printed.
const shownDifferences = 20

func newSimVerify(log *logs) *cobra.Command {
	var at ledgerFlags
	var files []string
	cmd := &cobra.Command{
		Use:   "verify --truth FILE",
		Short: "Hold a ledger against what a simulated fleet measured",
		Long: `Counts what the fleet measured by the objectives of the ledger, sample by sample,
and compares every slot: good, bad and blind events. What differs is named. A slot
within a gap that the ledger reports is told apart: frames were lost, and the
ledger says so. Give the files of all shards together, after the last slots have
closed.

Exit codes: 0 the ledger is true, 1 it is not, 2 wrong usage or configuration.`,
		Example: `  nines sim verify --truth truth.jsonl
  nines sim verify --truth a.jsonl --truth b.jsonl --data-dir /var/lib/nines`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return errors.New("sim verify: name what nines sim wrote with --truth")
			}
			cfg, err := at.config()
			if err != nil {
				return err
			}
			led, err := cfg.openLedger(cmd.Context(), false, log.logger())
			if err != nil {
				return failed(err)
			}
			defer led.Close()
			return failed(verifyTruth(cmd.Context(), led, files, cmd.OutOrStdout()))
		},
	}
	at.add(cmd)
	cmd.Flags().StringArrayVar(&files, "truth", nil, "file that nines sim wrote; may be repeated")
	return cmd
}

func verifyTruth(ctx context.Context, led *ledger.Ledger, files []string, out io.Writer) error {
	set, _, err := led.CurrentRuleSet(ctx)
	if err != nil {
		return err
	}
	counts, err := truth.NewCounts(set)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := readTruth(name, counts); err != nil {
			return err
		}
	}
	if counts.Fed == 0 {
		return fmt.Errorf("none of the %d samples belongs to an objective of this ledger: nothing was compared", counts.Samples)
	}
	r, err := counts.Compare(ctx, led, set)
	if err != nil {
		return err
	}
	return writeReport(out, counts, r)
}

// readTruth reads one file, with a bar.
func readTruth(name string, counts *truth.Counts) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read truth: %w", err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read truth: %w", err)
	}
	b := newBar(os.Stderr, "reading "+name)
	defer b.end()
	return truth.Read(name, &shownRead{in: file, size: st.Size(), bar: b}, counts)
}

// shownRead shows on a bar how much was read.
type shownRead struct {
	in         io.Reader
	read, size int64
	bar        *bar
}

// Read implements io.Reader.
func (m *shownRead) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.read += int64(n)
	m.bar.show(m.read, m.size)
	return n, err
}

func writeReport(out io.Writer, c *truth.Counts, r *truth.Report) error {
	fmt.Fprintf(out, "%d samples, %d of them of an objective; %d faults; %d gaps that the ledger reports\n", c.Samples, c.Fed, len(c.Faults), r.Gaps)
	fmt.Fprintf(out, "%d slots with %d events compared: %d agree, %d of them all are bad, %d still open\n", r.Slots, r.Events, r.Same, r.Bad, r.Open)
	if len(c.Skipped) > 0 {
		fmt.Fprintf(out, "%d streams were not compared: raw ratios and gauges of counts\n", len(c.Skipped))
	}
	if c.Incomplete > 0 {
		fmt.Fprintf(out, "%d of %d files end early: not everything in them was sent, and the last slots may differ\n", c.Incomplete, c.Files)
	}
	wrong := r.Unexplained()
	if n := len(r.Differences) - wrong; n > 0 {
		fmt.Fprintf(out, "%d slots differ within gaps that the ledger reports\n", n)
	}
	// Those that nothing explains come first.
	slices.SortStableFunc(r.Differences, func(a, b truth.Difference) int {
		if a.Explained == b.Explained {
			return 0
		}
		if a.Explained {
			return 1
		}
		return -1
	})
	for i, d := range r.Differences {
		if i == shownDifferences {
			fmt.Fprintf(out, "  and %d more\n", len(r.Differences)-i)
			break
		}
		note := ""
		if d.Explained {
			note = " (within a gap)"
		}
		fmt.Fprintf(out, "  %s%s\n", d, note)
	}
	if wrong > 0 {
		return fmt.Errorf("%d slots differ from the truth, and no gap explains it", wrong)
	}
	fmt.Fprintln(out, "the ledger is true")
	return nil
}
