package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
)

// historyRequest is what the command line asks for.
type historyRequest struct {
	contract     string
	group        []string
	at, from, to string
	notGood      bool
	json         bool
}

func newLedgerHistory(log *logs) *cobra.Command {
	var at ledgerFlags
	var q historyRequest
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Print the versions of slots, with their evidence and when they were written",
		Long: `Prints how slots were decided, and decided anew: every version, when it was
written (log time), and what each vantage point saw. Good slots that are complete
keep no evidence.

Without --at it prints the slots of the time that have more than one version, and
with --not-good those that are bad or unknown, too. --group names labels that the
groups must have.`,
		Example: `  nines ledger history --group target=10.0.0.7 --at 2026-11-21T10:05:00Z
  nines ledger history --contract example --from 2026-11-01 --to 2026-12-01
  nines ledger history --contract example --from 2026-11-21 --to 2026-11-22 --not-good --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, to, err := q.times()
			if err != nil {
				return err
			}
			filter, err := q.filter()
			if err != nil {
				return err
			}
			led, err := openLedger(cmd.Context(), at.file, at.dataDir, false, log.logger())
			if err != nil {
				return err
			}
			defer led.Close()
			return failed(q.print(cmd.Context(), led, filter, from, to, cmd.OutOrStdout()))
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.contract, "contract", "", "only what this contract settles")
	f.StringSliceVar(&q.group, "group", nil, "only groups with these labels, name=value by comma")
	f.StringVar(&q.at, "at", "", "the slot that holds this time")
	f.StringVar(&q.from, "from", "", "first time, 2026-11-21 or 2026-11-21T10:05:00Z")
	f.StringVar(&q.to, "to", "", "time before which slots start")
	f.BoolVar(&q.notGood, "not-good", false, "bad and unknown slots, too")
	f.BoolVar(&q.json, "json", false, "one JSON document a slot")
	at.add(cmd)
	return cmd
}

// longestSlot bounds how long before a time its slot can start.
const longestSlot = 24 * time.Hour

// times returns the range in Unix milliseconds.
func (q *historyRequest) times() (from, to int64, err error) {
	parse := func(flag, s string) (time.Time, error) {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil {
				return t, nil
			}
		}
		return time.Time{}, fmt.Errorf("history: --%s: want 2026-11-21 or 2026-11-21T10:05:00Z, got %q", flag, s)
	}
	if q.at != "" {
		if q.from != "" || q.to != "" {
			return 0, 0, errors.New("history: give --at, or --from and --to")
		}
		t, err := parse("at", q.at)
		return t.Add(-longestSlot).UnixMilli(), t.UnixMilli() + 1, err
	}
	if q.from == "" || q.to == "" {
		return 0, 0, errors.New("history: say which slots, with --at, or with --from and --to")
	}
	a, err := parse("from", q.from)
	if err != nil {
		return 0, 0, err
	}
	b, err := parse("to", q.to)
	if err == nil && !a.Before(b) {
		err = errors.New("history: --from must be before --to")
	}
	return a.UnixMilli(), b.UnixMilli(), err
}

func (q *historyRequest) filter() (ledger.GroupFilter, error) {
	f := ledger.GroupFilter{IncludeRetired: true, Labels: map[string]string{}}
	for _, pair := range q.group {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return f, fmt.Errorf("--group: want name=value, got %q", pair)
		}
		f.Labels[name] = value
	}
	return f, nil
}

func (q *historyRequest) print(ctx context.Context, led *ledger.Ledger, filter ledger.GroupFilter, from, to int64, out io.Writer) error {
	if q.contract != "" {
		c, _, err := contractOf(ctx, led, q.contract)
		if err != nil {
			return err
		}
		for _, o := range c.Objectives {
			filter.Streams = append(filter.Streams, o.Stream)
		}
	}
	groups, err := led.Groups(ctx, access.Local(), filter)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return errors.New("the ledger has no such group")
	}
	printed := 0
	for i := range groups {
		starts, err := q.starts(ctx, led, &groups[i], from, to)
		if err != nil {
			return err
		}
		for n, start := range starts {
			versions, err := led.Versions(ctx, access.Local(), groups[i].Key, start)
			if err != nil {
				return err
			}
			if len(versions) == 0 {
				continue // open still
			}
			printed++
			if err := q.write(out, &groups[i], versions, n == 0); err != nil {
				return err
			}
		}
	}
	if printed == 0 && !q.json {
		_, err = fmt.Fprintf(out, "%s in %d group(s)\n", q.nothing(), len(groups))
	}
	return err
}

// nothing says of what kind there are no slots.
func (q *historyRequest) nothing() string {
	switch {
	case q.at != "":
		return "no slot of this time is decided"
	case q.notGood:
		return "no slot is bad, unknown or was decided anew"
	}
	return "no slot was decided anew (--not-good prints bad and unknown ones, too)"
}

// starts returns the slots of a group that are asked for.
func (q *historyRequest) starts(ctx context.Context, led *ledger.Ledger, g *ledger.Group, from, to int64) ([]int64, error) {
	var starts []int64
	if q.at == "" {
		var err error
		if starts, err = led.Restated(ctx, access.Local(), g.Key, from, to); err != nil || !q.notGood {
			return starts, err
		}
	}
	slots, err := led.GroupSlots(ctx, access.Local(), g.Key, from, to)
	if q.at != "" { // the last that begins by then
		if len(slots) > 0 {
			starts = append(starts, slots[len(slots)-1].Start)
		}
		return starts, err
	}
	for i := range slots {
		if s := slots[i].State; s == sla.Bad || s == sla.Unknown {
			starts = append(starts, slots[i].Start)
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts), err
}

// historyDoc is a slot in JSON.
type historyDoc struct {
	Stream   string            `json:"stream"`
	Labels   map[string]string `json:"labels"`
	Customer string            `json:"customer,omitempty"`
	Start    int64             `json:"start"`
	Versions []versionDoc      `json:"versions"`
}

type versionDoc struct {
	Version   uint32        `json:"version"`
	WrittenAt int64         `json:"written_at"`
	State     string        `json:"state"`
	Good      uint64        `json:"good"`
	Total     uint64        `json:"total"`
	Blind     uint64        `json:"blind,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Evidence  []evidenceDoc `json:"evidence,omitempty"`
	// Complete are the vantage points with a success in every bin, where all are.
	Complete []string `json:"complete,omitempty"`
}

// evidenceDoc counts the bins of one vantage point.
type evidenceDoc struct {
	Vantage string `json:"vantage"`
	OK      int    `json:"ok"`
	Failed  int    `json:"failed"`
	Blind   int    `json:"blind"`
}

func (q *historyRequest) write(out io.Writer, g *ledger.Group, versions []ledger.Versioned, first bool) error {
	doc := historyDoc{Stream: g.Key.Stream, Labels: g.Labels.Map(), Customer: g.Customer, Start: versions[0].Start}
	for _, v := range versions {
		d := versionDoc{Version: v.Version, WrittenAt: v.WrittenAt, State: v.State.String(), Good: v.Good, Total: v.Total, Blind: v.Blind, Reason: v.Reason,
			Complete: v.Complete}
		for _, b := range v.Vantages {
			d.Evidence = append(d.Evidence, evidenceDoc{Vantage: b.Vantage, OK: ones(b.OK), Failed: ones(b.Fail), Blind: ones(b.Missing)})
		}
		doc.Versions = append(doc.Versions, d)
	}
	if q.json {
		return json.NewEncoder(out).Encode(doc)
	}
	var b strings.Builder
	if first {
		fmt.Fprintf(&b, "%s", labelText(doc.Labels))
		if doc.Customer != "" {
			fmt.Fprintf(&b, ", customer %s", doc.Customer)
		}
		fmt.Fprintf(&b, " (stream %s)\n", doc.Stream)
	}
	fmt.Fprintf(&b, "  slot %s\n", instant(doc.Start))
	for _, v := range doc.Versions {
		fmt.Fprintf(&b, "    version %d, written %s: %s, %d of %d good", v.Version, instant(v.WrittenAt), v.State, v.Good, v.Total)
		if v.Reason != "" {
			fmt.Fprintf(&b, ", %s", v.Reason)
		}
		if v.Blind > 0 {
			fmt.Fprintf(&b, ", %d attempts discarded as blind", v.Blind)
		}
		b.WriteByte('\n')
		for _, name := range v.Complete {
			fmt.Fprintf(&b, "      from %s: every bin ok\n", name)
		}
		for _, e := range v.Evidence {
			fmt.Fprintf(&b, "      from %s: %d bins ok, %d failed, %d blind\n", e.Vantage, e.OK, e.Failed, e.Blind)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func ones(words []uint64) (n int) {
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
