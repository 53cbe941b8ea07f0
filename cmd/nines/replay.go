package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/collector/evaluate"
	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/rows"
	"nines/internal/yamlconf"
	"nines/rules"
)

// replayRequest is what the command line asks for.
type replayRequest struct {
	mapping, config, dir, until string
	objectives, contracts       []string
	inventory                   []string
	files                       []string
	tick                        time.Duration
	appendTo, strict, daily     bool
}

func newReplay(log *logs) *cobra.Command {
	var q replayRequest
	cmd := &cobra.Command{
		Use:   "replay --mapping M.yaml FILE…",
		Short: "Judge recorded measurements, CSV or JSON lines, into a ledger",
		Long: `Reads recorded measurements and judges them as a running nines would have, at
full speed, into a ledger of their own. The mapping says which columns are time,
series and value, or that each row is one request; see docs/replay.md. FILE is CSV
or JSON lines, packed by gzip or not, or a .tar.gz of one such file, - the standard
input; several are merged by time.

Rows that cannot be used are counted by reason and the first are shown. Time in
which the data says nothing is unknown. Alerts are judged and counted, and sent to
nobody.

Exit codes: 0 success, 1 failure, or a row refused with --strict, 2 wrong usage or
configuration.`,
		Example: `  nines replay --mapping requests.yaml --objectives objectives.yaml november.csv.gz
  nines replay --mapping m.yaml --config nines.yaml --ledger november day-*.jsonl
  nines replay --mapping m.yaml --objectives o.yaml --contracts sla.yaml --daily data.csv
  nines replay --mapping m.yaml --config nines.yaml --inventory resources.yaml november.csv
  nines statement --data-dir replay --month 2026-11`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.files = args
			return q.run(cmd.Context(), log, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.mapping, "mapping", "", "file that says what rows and columns are")
	f.StringArrayVar(&q.objectives, "objectives", nil, "file or folder of objectives; may be repeated")
	f.StringArrayVar(&q.contracts, "contracts", nil, "file or folder of contracts; may be repeated")
	f.StringArrayVar(&q.inventory, "inventory", nil, "file of what runs, for whom and since when; may be repeated")
	f.StringVar(&q.config, "config", "", "configuration whose objectives and contracts to take")
	f.StringVar(&q.dir, "ledger", "replay", "data directory for the ledger: a new or empty one")
	f.BoolVar(&q.appendTo, "append", false, "go on in a ledger that an earlier replay wrote")
	f.BoolVar(&q.strict, "strict", false, "end at the first row that cannot be used")
	f.StringVar(&q.until, "until", "", "when the data ends, RFC 3339 (default: with the shortest slot that holds its newest row)")
	f.DurationVar(&q.tick, "tick", replay.DefaultTick, "how exactly alerts are timed, 1s to 1m; longer is faster, slots do not depend on it")
	f.BoolVar(&q.daily, "daily", false, "show every day of every objective")
	_ = cmd.MarkFlagRequired("mapping") // the flag exists
	return cmd
}

func (q *replayRequest) run(ctx context.Context, log *logs, out io.Writer) error {
	mapping, err := rows.Load(q.mapping)
	if err != nil {
		return err
	}
	set, err := q.rules()
	if err != nil {
		return err
	}
	if unfed := replay.Unfed(set.RuleSet, mapping); len(unfed) > 0 {
		return fmt.Errorf("%s: %s", q.mapping, strings.Join(unfed, "\n"+q.mapping+": "))
	}
	until, err := q.end()
	if err != nil {
		return err
	}
	facts, err := readInventories(q.inventory)
	if err != nil {
		return err
	}
	files, err := rows.Open(rows.Options{Mapping: mapping, Files: q.files, Strict: q.strict})
	if err != nil {
		return err
	}
	defer files.Close()
	led, err := q.open(ctx, log)
	if err != nil {
		return failed(err)
	}
	defer led.Close()
	if err := recordGiven(ctx, led, facts); err != nil {
		return err
	}
	r := &replayed{out: out, set: set, dir: q.dir, daily: q.daily, zone: mapping.Zone(), files: files, led: led, alerts: map[string]int{}}
	if err := r.play(ctx, q.tick, until); err != nil {
		return failed(err)
	}
	return failed(r.report(ctx))
}

// rules reads what to judge by.
func (q *replayRequest) rules() (*rules.Set, error) {
	files := slices.Concat(q.objectives, q.contracts)
	if q.config != "" {
		cfg, err := loadConfig(q.config)
		if err != nil {
			return nil, err
		}
		files = slices.Concat(files, cfg.Objectives, cfg.Contracts)
	}
	if len(files) == 0 {
		return nil, errors.New("replay: name what to judge by: --objectives, --contracts, or a --config that does")
	}
	set, err := rules.Load(files)
	if err != nil {
		return nil, err
	}
	if len(set.RuleSet.Objectives) == 0 {
		return nil, fmt.Errorf("replay: there is no objective in %s", strings.Join(files, ", "))
	}
	return set, nil
}

// recordGiven writes what runs into the ledger, before anything is judged.
func recordGiven(ctx context.Context, led *ledger.Ledger, entries []inventory.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	note := ledger.Note{Author: cmp.Or(userName(), "nines replay"), Reason: "given to nines replay", At: time.Now().UnixMilli()}
	_, err := led.RecordFacts(ctx, access.Local(), note, entries)
	if mistakes := (yamlconf.Errors)(nil); errors.As(err, &mistakes) {
		return err
	}
	return failed(err)
}

func (q *replayRequest) end() (int64, error) {
	if q.until == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, q.until)
	if err != nil {
		return 0, fmt.Errorf("replay: --until: want a time such as 2026-12-01T00:00:00Z, got %q", q.until)
	}
	return t.UnixMilli(), nil
}

// open opens the ledger in a directory that holds nothing else's.
func (q *replayRequest) open(ctx context.Context, log *logs) (*ledger.Ledger, error) {
	entries, err := os.ReadDir(q.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open ledger in %s: %w", q.dir, reason(err))
	}
	path := ledgerPath(q.dir)
	if len(entries) > 0 {
		_, err := os.Stat(filepath.Join(path, ledger.FileName))
		switch {
		case !q.appendTo:
			return nil, fmt.Errorf("open ledger in %s: the directory is not empty; name another with --ledger, or go on in it with --append", q.dir)
		case err != nil:
			return nil, fmt.Errorf("open ledger in %s: the directory is not empty and holds no ledger to go on in", q.dir)
		}
	}
	return ledger.Open(ctx, ledger.Options{Path: path, Log: log.logger()})
}

// Bounds that suit recorded data: a series that is silent for long is expected
// still, and whether its agent lives is not in the data.
const forEver = 100 * 365 * 24 * time.Hour

// replayed is a replay and what came of it.
type replayed struct {
	out    io.Writer
	set    *rules.Set
	dir    string
	daily  bool
	zone   *time.Location
	files  *rows.Files
	led    *ledger.Ledger
	player *replay.Player
	until  int64
	took   time.Duration
	alerts map[string]int // fired, by severity
}

func (r *replayed) play(ctx context.Context, tick time.Duration, until int64) error {
	began := time.Now()
	p, err := replay.New(ctx, replay.Options{
		Rules: r.set.RuleSet, Ledger: r.led, TickEvery: tick, Owner: "nines replay", Alerts: r.count,
		Evaluate: evaluate.Config{Lateness: replay.PlayedLateness, BlindAfter: forEver.Milliseconds(), RetireAfter: forEver.Milliseconds()},
	})
	if errors.Is(err, replay.ErrForeign) {
		return fmt.Errorf("%w, named with --ledger", err)
	}
	if err != nil {
		return err
	}
	bar := newBar(os.Stderr, "replaying")
	defer bar.end()
	r.player = replay.NewPlayer(p, &r.files.Table)
	r.player.Progress = func() {
		read, size := r.files.Progress()
		bar.note = rate(r.files.Counts.Rows, time.Since(began))
		bar.show(read, size)
	}
	if err := r.player.Play(r.files); err != nil {
		return errors.Join(err, p.Commit())
	}
	r.until, err = r.player.End(until)
	r.took = time.Since(began)
	return err
}

func (r *replayed) count(_ int64, alerts []alert.Alert) {
	for i := range alerts {
		if alerts[i].Status == alert.Firing {
			r.alerts[alerts[i].Labels["severity"]]++
		}
	}
}

// rate says how fast rows are read.
func rate(n uint64, took time.Duration) string {
	per := float64(n) / max(took.Seconds(), 1e-3)
	if per >= 10_000 {
		return fmt.Sprintf("%.0fk rows/s", per/1000)
	}
	return fmt.Sprintf("%.0f rows/s", per)
}

// longest returns the length of the longest slots, in milliseconds.
func longest(set *rules.Set) int64 {
	length := int64(1)
	for _, st := range set.RuleSet.Streams {
		length = max(length, st.Rule.Length)
	}
	return length
}

func (r *replayed) report(ctx context.Context) error {
	c := &r.files.Counts
	fmt.Fprintf(r.out, "%d rows in %s (%s): %d samples of %d series, %d rows ignored, %d refused\n",
		c.Rows, r.took.Round(time.Millisecond), rate(c.Rows, r.took), c.Points, len(r.files.Table.Series), c.Ignored, c.RefusedRows())
	r.problems(c)
	if r.player.Old > 0 {
		fmt.Fprintf(r.out, "%d samples are older than what the ledger holds and were left out\n", r.player.Old)
	}
	if r.player.Begin == 0 {
		return errors.New("no row could be used: nothing was judged")
	}
	from := r.player.Begin - r.player.Begin%longest(r.set)
	standings, err := replay.Summarize(ctx, r.led, r.set.RuleSet, from, r.until, r.zone)
	if err != nil {
		return err
	}
	if len(standings) == 0 {
		return errors.New("the rows fed no objective: do its labels and matchers fit those that the mapping makes?")
	}
	fmt.Fprintf(r.out, "from %s to %s\n\n", r.date(r.player.Begin), r.date(r.until))
	printStandings(r.out, standings)
	if r.daily {
		printDaily(r.out, standings)
	}
	r.next(standings)
	return nil
}

func (r *replayed) date(ms int64) string {
	return time.UnixMilli(ms).In(r.zone).Format("2006-01-02 15:04:05 MST")
}

// problems says why rows were refused.
func (r *replayed) problems(c *rows.Counts) {
	var parts []string
	for why, n := range c.Refused {
		parts = append(parts, fmt.Sprintf("%d %s", n, why))
	}
	if slices.Sort(parts); len(parts) > 0 {
		fmt.Fprintf(r.out, "refused: %s; the first:\n", strings.Join(parts, ", "))
	}
	for _, p := range c.First {
		fmt.Fprintf(r.out, "  %v\n", p)
	}
}

// next says what to do with the ledger.
func (r *replayed) next(standings []replay.Standing) {
	open := uint64(0)
	for i := range standings {
		open += standings[i].Sum.Open
	}
	if open > 0 {
		fmt.Fprintf(r.out, "%d slots are open: they end after the data; --until sets when it ends\n", open)
	}
	fmt.Fprintf(r.out, "alerts that would have fired: %d pages, %d tickets, %d advisories\n",
		r.alerts[alert.Page], r.alerts[alert.Ticket], r.alerts[alert.Advisory])
	for _, c := range r.set.Contracts {
		fmt.Fprintf(r.out, "next: nines statement --data-dir %s --contract %s --month %s\n", r.dir, c.Name,
			time.UnixMilli(r.player.Begin).In(r.zone).Format("2006-01"))
	}
	fmt.Fprintf(r.out, "next: nines ledger verify --data-dir %s\n", r.dir)
}
