package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nines/internal/bus"
	"nines/internal/deadletter"
	"nines/internal/wire"
)

// letterFlags say how to reach Kafka, and which letters are meant.
type letterFlags struct {
	kafkaFlags
	reason, topic, since string
	from                 int64
	limit                int
	format               string
}

func (q *letterFlags) addFilter(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.reason, "reason", "", "only letters of this reason")
	f.StringVar(&q.topic, "topic", "", "only letters whose original stands in this topic")
	f.Int64Var(&q.from, "from", 0, "only letters from this number on; older ones are not read")
	q.addSince(cmd)
}

func (q *letterFlags) addSince(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.since, "since", "", "only letters since then: 2h, 2026-11-21 or 2026-11-21T10:05:00Z; older ones are not read")
}

func (q *letterFlags) addFormat(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.format, "format", "text", "text or json")
}

// check tells early what is wrong with the flags.
func (q *letterFlags) check() error {
	if q.format != "" && q.format != "text" && q.format != "json" {
		return fmt.Errorf("deadletter: --format: want text or json, got %q", q.format)
	}
	if q.limit < 0 {
		return fmt.Errorf("deadletter: --limit: want 0 for all, or more, got %d", q.limit)
	}
	if q.from < 0 {
		return fmt.Errorf("deadletter: --from: want a letter's number, got %d", q.from)
	}
	_, err := q.filter(time.Now())
	return err
}

func (q *letterFlags) filter(now time.Time) (deadletter.Filter, error) {
	f := deadletter.Filter{Reason: q.reason, Topic: q.topic, From: q.from}
	if q.since == "" {
		return f, nil
	}
	if d, err := time.ParseDuration(q.since); err == nil && d >= 0 {
		f.Since = now.Add(-d).UnixMilli()
		return f, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, q.since); err == nil {
			f.Since = t.UnixMilli()
			return f, nil
		}
	}
	return f, fmt.Errorf("deadletter: --since: want 2h, 2026-11-21 or 2026-11-21T10:05:00Z, got %q", q.since)
}

// with calls f with a client that reaches Kafka.
func (q *letterFlags) with(ctx context.Context, log *logs, f func(*bus.Client) error) error {
	if err := q.check(); err != nil {
		return err
	}
	return q.kafkaFlags.with(ctx, log, f)
}

func newDeadletter(log *logs) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "List and show records that could not be used, and send them again",
		Long: `Works on nines.deadletter, where collectors put records that they could not use,
with the reason; they are kept for 7 days. A letter is called by its offset there.

Exit codes: 0 success, 1 failure or letters that were not sent, 2 wrong usage or configuration.`,
		Example: `  nines deadletter list --since 2h
  nines deadletter show 17
  nines deadletter reinject 17
  nines deadletter reinject --reason influx --since 2h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadletterList(log), newDeadletterShow(log), newDeadletterReinject(log))
	return cmd
}

func newDeadletterList(log *logs) *cobra.Command {
	var q letterFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the newest last",
		Long: `Lists dead letters: when they were buried, why, where the original stands, its key
(an agent's name, or what another fleet's client uses) and size, and whether it was
sent again. It reads from the end of the topic until it has --limit letters.`,
		Example: `  nines deadletter list --since 2h
  nines deadletter list --reason unkeyed --topic telegraf --limit 0
  nines deadletter list --format json | jq -r .reason | sort | uniq -c`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return q.with(cmd.Context(), log, func(client *bus.Client) error {
				return q.list(cmd.Context(), client, cmd.OutOrStdout())
			})
		},
	}
	q.addKafka(cmd)
	q.addFilter(cmd)
	q.addFormat(cmd)
	cmd.Flags().IntVar(&q.limit, "limit", 50, "at most so many, the newest; 0 for all")
	return cmd
}

func (q *letterFlags) list(ctx context.Context, client *bus.Client, out io.Writer) error {
	now := time.Now()
	box, err := q.read(ctx, client, now, deadletter.Filter{Newest: q.limit})
	if err != nil {
		return err
	}
	letters := box.Letters
	if q.limit > 0 && len(letters) > q.limit {
		letters = letters[len(letters)-q.limit:]
	}
	if q.format == "json" {
		enc := json.NewEncoder(out)
		for i := range letters {
			if err := enc.Encode(letterDocOf(&letters[i])); err != nil {
				return failed(err)
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(letters) > 0 {
		fmt.Fprintln(t, "letter\tage\treason\tfrom\tkey\tbytes\tsent again")
	}
	for i := range letters {
		l := &letters[i]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, ageOf(now, l.Buried), l.Reason, sourceOf(l), keyOf(l), max(l.Size, l.Bytes), againOf(l))
	}
	if err := t.Flush(); err != nil {
		return failed(err)
	}
	if box.Older {
		fmt.Fprintf(out, "the newest %d letters; --limit 0 reads those before %d too", len(letters), box.From)
	} else {
		fmt.Fprintf(out, "%d of %d letters", len(letters), len(box.Letters))
	}
	if box.Unreadable > 0 {
		fmt.Fprintf(out, "; %d records of %s are none", box.Unreadable, wire.TopicDeadLetter)
	}
	fmt.Fprintln(out)
	return nil
}

// read reads the letters that the flags and more name.
func (q *letterFlags) read(ctx context.Context, client *bus.Client, now time.Time, more deadletter.Filter) (*deadletter.Box, error) {
	f, err := q.filter(now)
	if err != nil {
		return nil, err
	}
	f.Chosen, f.From, f.Newest = more.Chosen, max(f.From, more.From), more.Newest
	bar := newBar(os.Stderr, "reading")
	defer bar.end()
	box, err := deadletter.Read(ctx, client, f, bar.show)
	return box, failed(err)
}

// letterDoc is a letter for programs.
type letterDoc struct {
	Letter    int64  `json:"letter"`
	Time      string `json:"time"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       string `json:"key,omitempty"`
	Bytes     int    `json:"bytes"`
	// Cut is the length of the original where the letter has only its beginning.
	Cut   int       `json:"cut_from,omitempty"`
	Again *againDoc `json:"sent_again,omitempty"`
}

// againDoc says where a letter was sent; no offset where that is not known.
type againDoc struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset,omitempty"`
}

func letterDocOf(l *deadletter.Letter) letterDoc {
	d := letterDoc{Letter: l.ID, Time: instant(l.Buried), Reason: l.Reason, Detail: l.Detail, Topic: l.Topic, Partition: l.Partition,
		Offset: l.Offset, Key: string(l.Key), Bytes: l.Bytes, Cut: l.Size}
	if l.Again != nil {
		d.Again = &againDoc{Topic: l.Again.Topic, Partition: l.Again.Partition}
		if l.Again.Offset >= 0 {
			d.Again.Offset = &l.Again.Offset
		}
	}
	return d
}

func sourceOf(l *deadletter.Letter) string {
	return fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset)
}

func againOf(l *deadletter.Letter) string {
	from, returned := l.Returned()
	switch {
	case l.Again != nil && l.Again.Offset < 0:
		return fmt.Sprintf("perhaps, to %s/%d", l.Again.Topic, l.Again.Partition)
	case l.Again != nil:
		return fmt.Sprintf("%s/%d/%d", l.Again.Topic, l.Again.Partition, l.Again.Offset)
	case returned:
		return "no; was letter " + from
	}
	return "no"
}

// keyOf is the original's key where it is short text.
func keyOf(l *deadletter.Letter) string {
	if len(l.Key) == 0 {
		return "-"
	}
	if !utf8.Valid(l.Key) || strings.ContainsFunc(string(l.Key), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%d bytes", len(l.Key))
	}
	return string(l.Key)
}

// ageOf is how long ago ms was, in whole units.
func ageOf(now time.Time, ms int64) string {
	d := max(now.Sub(time.UnixMilli(ms)), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// named returns what chooses the letters that args name: by number, or by the
// place of the original. Letters before the first number need not be read.
func named(args []string) (deadletter.Filter, error) {
	want := map[string]bool{}
	var f deadletter.Filter
	for i, a := range args {
		parts := strings.Split(a, "/")
		var errs []error
		from := int64(0)
		switch len(parts) {
		case 1:
			n, err := strconv.ParseUint(a, 10, 63)
			from, errs = int64(n), append(errs, err)
		case 3:
			_, err := strconv.ParseUint(parts[1], 10, 31)
			_, err2 := strconv.ParseUint(parts[2], 10, 63)
			errs = append(errs, err, err2)
		default:
			errs = append(errs, errors.New("neither"))
		}
		if errors.Join(errs...) != nil {
			return f, fmt.Errorf("deadletter: want a letter's number, as nines deadletter list shows it, or TOPIC/PARTITION/OFFSET of the original, got %q", a)
		}
		if want[a] = true; i == 0 || from < f.From {
			f.From = from
		}
	}
	f.Chosen = func(l *deadletter.Letter) bool { return want[strconv.FormatInt(l.ID, 10)] || want[sourceOf(l)] }
	return f, nil
}
