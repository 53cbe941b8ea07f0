package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/access"
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
and compares every slot: good, bad and blind events, less the very frames that the
ledger's gaps name. Whatever differs is named with both figures and is an error, and
so is a lost frame that no gap reports. Give the files of all shards together,
after the last slots have closed.

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
	gaps, err := led.Gaps(ctx, access.Local(), 0, math.MaxInt64)
	if err != nil {
		return err
	}
	counts, err := truth.NewCounts(set, gaps)
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
	fmt.Fprintf(out, "%d samples, %d of them of an objective; %d faults\n", c.Samples, c.Fed, len(c.Faults))
	fmt.Fprintf(out, "%d slots with %d events compared: %d agree, %d of them all are bad, %d still open\n", r.Slots, r.Events, r.Same, r.Bad, r.Open)
	if c.Lost > 0 {
		fmt.Fprintf(out, "%d samples were lost, as the ledger's gaps report\n", c.Lost)
	}
	if c.Kept > 0 {
		fmt.Fprintf(out, "%d samples never left their hosts: it ended before their zones were back\n", c.Kept)
	}
	if len(c.Skipped) > 0 {
		fmt.Fprintf(out, "%d streams were not compared: raw ratios and gauges of counts\n", len(c.Skipped))
	}
	if c.Incomplete > 0 {
		fmt.Fprintf(out, "%d of %d files end early: not everything in them was sent, and the last slots may differ\n", c.Incomplete, len(c.Parts))
	}
	writeLosses(out, c.Unreported)
	writeDifferences(out, r)
	if n, m := r.Wrong(), len(c.Unreported); n+m > 0 {
		return fmt.Errorf("the ledger is not true: %d slots differ from the truth, and %d frames were lost of which it reports no gap", n, m)
	}
	fmt.Fprintln(out, "the ledger is true")
	return nil
}

func writeLosses(out io.Writer, list []truth.Loss) {
	for i, l := range list {
		if i == shownDifferences {
			fmt.Fprintf(out, "  and %d frames more\n", len(list)-i)
			break
		}
		fmt.Fprintf(out, "  frame %d of %s with %d samples from %s on was lost, and no gap says so\n", l.Frame.Frame, l.Host, l.Samples, time.UnixMilli(l.From).UTC().Format(time.DateTime))
	}
}

// writeDifferences names those first that nothing accounts for.
func writeDifferences(out io.Writer, r *truth.Report) {
	if n := len(r.Differences) - r.Wrong(); n > 0 {
		fmt.Fprintf(out, "%d slots have less while records left the log unread or could not be decoded: the ledger reports these, and not whose they were\n", n)
	}
	slices.SortStableFunc(r.Differences, func(a, b truth.Difference) int {
		switch {
		case a.Possible == b.Possible:
			return 0
		case a.Possible:
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
		if d.Possible {
			note = " (may have been among them)"
		}
		fmt.Fprintf(out, "  %s%s\n", d, note)
	}
}
